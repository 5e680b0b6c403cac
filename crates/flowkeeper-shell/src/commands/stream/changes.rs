//! Which properties of the running apps are not as the definition was typed.

use flowkeeper_dsl::AppDefinition;
use indexmap::IndexMap;

/// Prefixes of properties that the server and the frameworks give every app, and that nobody typed.
const FRAMEWORK: [&str; 4] = ["management.", "wavefront.", "spring.cloud.dataflow.", "spring.cloud.stream."];

/// A line for each app whose properties, according to the text that runs, differ from what was typed; none when a text cannot
/// be read, which says nothing about a difference.
pub(super) fn since_typed(stream: &str, typed: &str, runs: &str) -> Vec<String> {
    let apps = |text: &str| flowkeeper_dsl::parse(Some(stream), text).map(|it| it.app_definitions());
    let (Ok(typed), Ok(runs)) = (apps(typed), apps(runs)) else { return Vec::new() };
    let line = |app: AppDefinition| {
        let typed = typed.iter().find(|typed| typed.label == app.label)?;
        let differences = differences(&typed.properties, &app.properties);
        let differences: Vec<_> =
            differences.into_iter().map(|difference| format!("{}.{difference}", app.label)).collect();
        (!differences.is_empty()).then(|| format!("changed since it was typed: {}", differences.join(", ")))
    };
    runs.into_iter().filter_map(line).collect()
}

/// `key=value` of what runs otherwise than typed, and `key (removed)` of what was typed and does not run.
fn differences(typed: &IndexMap<String, String>, runs: &IndexMap<String, String>) -> Vec<String> {
    let is_own = |key: &str| !FRAMEWORK.iter().any(|prefix| key.starts_with(prefix));
    let has =
        |(key, value): (&String, &String)| typed.iter().any(|(name, was)| was == value && means(name, key));
    let changed = runs.iter().filter(|(key, _)| is_own(key)).filter(|pair| !has(*pair));
    let removed = typed.keys().filter(|name| is_own(name) && !runs.keys().any(|key| means(name, key)));
    let changed = changed.map(|(key, value)| format!("{key}={}", value.replace('\n', "\\n")));
    changed.chain(removed.map(|name| format!("{name} (removed)"))).collect()
}

/// True when `name`, as someone types it, can be the name or a short name of the property `key`: the server writes names in full.
fn means(name: &str, key: &str) -> bool {
    let (name, key) = (plain(name), plain(key));
    key.strip_suffix(&name).is_some_and(|group| group.is_empty() || group.ends_with('.'))
}

/// A name without what Spring Boot's relaxed spelling leaves open: `fixed-delay`, `fixed_delay` and `fixedDelay` are the same.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = "--management.metrics.tags.application=s --wavefront.application.name=s \
                            --spring.cloud.dataflow.stream.name=s --spring.cloud.stream.bindings.input.group=s";

    fn changes(typed: &str, runs: &str) -> Vec<String> {
        since_typed("s", typed, runs)
    }

    #[test]
    fn an_updated_value_is_told_under_its_full_name() {
        let runs =
            format!("http {DEFAULTS} | transform --spel.function.expression=payload.trim() {DEFAULTS} | log");
        assert_eq!(
            changes("http | transform --expression=payload.toUpperCase() | log", &runs),
            ["changed since it was typed: transform.spel.function.expression=payload.trim()"]
        );
    }

    #[test]
    fn what_runs_as_typed_is_no_change() {
        let typed = "time --fixedDelay=5 --trigger.time_unit='SECONDS' | log --password='******'";
        let runs = format!(
            "time {DEFAULTS} --spring.integration.poller.fixed-delay=5 --trigger.time-unit=SECONDS | \
             log --log.password='******'"
        );
        assert!(changes(typed, &runs).is_empty());
        assert!(changes("time | log", "time | log").is_empty());
    }

    #[test]
    fn one_line_an_app_tells_what_was_changed_added_and_removed() {
        let typed = "a: time --x=1 --y=2 --z=3 | log --level=warn | more";
        let runs = "a: time --x=1 --y=4 --w='two words' | log --log.level=info | more";
        assert_eq!(
            changes(typed, runs),
            [
                "changed since it was typed: a.y=4, a.w=two words, a.z (removed)",
                "changed since it was typed: log.log.level=info"
            ]
        );
    }

    #[test]
    fn an_unlike_name_is_another_property_and_an_unreadable_text_no_change() {
        assert!(!means("delay", "poller.fixed-delay") && means("fixedDelay", "poller.fixed-delay"));
        assert!(changes("time |", "time --x=1").is_empty());
    }
}
