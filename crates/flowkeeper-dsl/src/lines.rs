//! Definitions that a file breaks into lines.

use crate::parse;

/// A definition of the stream `name` without blanks around it and in one line. Files break long definitions into lines, which the
/// language does not; a line break within quotes stays.
pub fn in_one_line(name: &str, text: &str) -> String {
    let text = text.trim();
    if !text.contains('\n') || parse(Some(name), text).is_ok() {
        return text.to_owned();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_where_they_must_be() {
        assert_eq!(in_one_line("s", "  time\n  --x=1\n| log\n"), "time --x=1 | log");
        assert_eq!(in_one_line("s", "time --x='a\nb' | log\n"), "time --x='a\nb' | log");
        assert_eq!(in_one_line("s", "time |\n| log"), "time | | log", "what is wrong stays wrong");
    }
}
