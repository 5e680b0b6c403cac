//! Finds in a program's output what it complained about last.

/// How a line tells that something is wrong, in the log formats of Java, Rust and others.
const SIGNS: [&str; 9] =
    [" WARN ", " WARNING ", " ERROR ", " FATAL ", " SEVERE ", "ERROR:", "Error:", "Exception", "panicked at"];
/// How much of a line is told, in characters.
const MAX: usize = 300;

/// The last line of `output` that complains, without time and place, so that a complaint that is repeated stays the same.
pub(super) fn last(output: &str) -> Option<String> {
    let complains = |line: &&str| SIGNS.iter().any(|sign| line.contains(sign)) && !line.starts_with("\tat ");
    let line = output.lines().rev().find(complains)?;
    // Boot: `TIME  WARN PID --- [app] [thread] logger   : message`.
    let level = SIGNS[..5].iter().filter_map(|level| Some(line.find(level)? + level.len())).min();
    let message = level.map_or(line, |at| {
        let rest = &line[at..];
        rest.split_once(" : ").map_or(rest, |(_, message)| message)
    });
    let message = message.trim();
    let cut: String = message.chars().take(MAX).collect();
    Some(if cut.len() < message.len() { format!("{cut}…") } else { cut }).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_complaint_is_told_without_its_time() {
        let boot = "2026-11-26T11:53:26.511Z  INFO 2576 --- [log-sink] [main] o.a.k.c.NetworkClient : Node -1 disconnected.\n\
             2026-11-26T11:53:26.511Z  WARN 2576 --- [log-sink] [main] o.a.k.c.NetworkClient   : Connection to node -1 (/127.0.0.1:1) could not be established.\n\
             2026-11-26T11:53:27.003Z  INFO 2576 --- [log-sink] [main] o.a.k.c.NetworkClient : Node -1 disconnected.\n";
        assert_eq!(
            last(boot).as_deref(),
            Some("Connection to node -1 (/127.0.0.1:1) could not be established.")
        );
        let trace = "java.lang.IllegalStateException: no url\n\tat a.B.c(B.java:1)\n\tat java.lang.Exception.x(X.java:2)\n";
        assert_eq!(last(trace).as_deref(), Some("java.lang.IllegalStateException: no url"));
        assert_eq!(last("12:00 ERROR all is lost\n").as_deref(), Some("all is lost"));
        assert_eq!((last("all is well\n"), last("")), (None, None));
        assert_eq!(
            last(&format!("Error: {}", "x".repeat(1000))).map(|text| text.chars().count()),
            Some(MAX + 1)
        );
    }

    proptest! {
        #[test]
        fn any_output_is_one_line_or_none(output in "(\\PC| WARN | : |\n){0,40}") {
            if let Some(text) = last(&output) {
                prop_assert!(!text.is_empty() && !text.contains('\n') && text.chars().count() <= MAX + 1);
            }
        }
    }
}
