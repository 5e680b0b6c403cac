//! Reads from the health page of a Boot app which part of it is down, and why.

use reqwest::StatusCode;
use serde_json::Value;

/// How much is told, in characters.
const MAX: usize = 400;
/// How deep components are looked into.
const DEPTH: usize = 8;

/// The end of a sentence about a page that answered `status` with `body`: `says DOWN: binders.kafka: no broker`.
pub(super) fn of(status: StatusCode, body: &str) -> String {
    let parsed = serde_json::from_str::<Value>(body).ok();
    let word = parsed.as_ref().and_then(|page| page["status"].as_str()).filter(|_| status.is_server_error());
    let text = match (word, &parsed) {
        (Some(word), Some(page)) => {
            let mut parts = Vec::new();
            collect(page, String::new(), DEPTH, &mut parts);
            if parts.is_empty() {
                format!(
                    "says {word} and not why; the app tells it with \
                     --management.endpoint.health.show-details=always"
                )
            } else {
                format!("says {word}: {}", parts.join("; "))
            }
        }
        _ if status == StatusCode::NOT_FOUND => "answers 404: it has no such page".to_owned(),
        _ => {
            if body.trim().is_empty() {
                format!("answers {status}")
            } else {
                format!("answers {status}: {body}")
            }
        }
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > MAX { text.chars().take(MAX).chain(['…']).collect() } else { text }
}

/// Notes the innermost parts that are not up. Boot 2 called the `components` of a page `details` at first.
fn collect(part: &Value, name: String, depth: usize, found: &mut Vec<String>) {
    let parts = part["components"].as_object().or_else(|| part["details"].as_object());
    let inner = parts.into_iter().flatten().filter(|(_, part)| is_down(part));
    let before = found.len();
    for (key, part) in inner {
        if depth > 0 {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            collect(part, name, depth - 1, found);
        }
    }
    if found.len() == before && !name.is_empty() {
        let details = &part["details"];
        let told = ["error", "message", "reason"].iter().find_map(|key| details[*key].as_str());
        let told = told.map(str::to_owned).or_else(|| {
            let details = details.as_object().filter(|details| !details.is_empty())?;
            let all = details.iter().map(|(key, value)| match value {
                Value::String(text) => format!("{key}: {text}"),
                value => format!("{key}: {value}"),
            });
            Some(all.collect::<Vec<_>>().join(", "))
        });
        let word = part["status"].as_str().unwrap_or_default();
        found.push(format!("{name}: {}", told.as_deref().unwrap_or(word)));
    }
}

fn is_down(part: &Value) -> bool {
    part["status"].as_str().is_some_and(|status| matches!(status, "DOWN" | "OUT_OF_SERVICE"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOWN: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

    #[test]
    fn the_part_that_is_down_is_named_with_its_error() {
        let boot = r#"{"status":"DOWN","components":{
            "binders":{"status":"DOWN","components":{"kafka":{"status":"DOWN","details":{"error":"TimeoutException: no node"}}}},
            "db":{"status":"OUT_OF_SERVICE"},
            "disk":{"status":"DOWN","details":{"free":3}},
            "diskSpace":{"status":"UP","details":{"free":77}}},"groups":["liveness"]}"#;
        assert_eq!(
            of(DOWN, boot),
            r#"says DOWN: binders.kafka: TimeoutException: no node; db: OUT_OF_SERVICE; disk: free: 3"#
        );
        let old = r#"{"status":"DOWN","details":{"rabbit":{"status":"DOWN","details":{"error":"refused"}}}}"#;
        assert_eq!(of(DOWN, old), "says DOWN: rabbit: refused");
    }

    #[test]
    fn a_page_that_hides_its_reasons_is_told_how_to_show_them() {
        let text = of(DOWN, r#"{"status":"DOWN","groups":["liveness","readiness"]}"#);
        assert!(
            text.starts_with("says DOWN and not why; ") && text.contains("show-details=always"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_health_page_is_quoted() {
        assert_eq!(of(DOWN, ""), "answers 503 Service Unavailable");
        assert_eq!(of(DOWN, "<p>\n  busy\n</p>"), "answers 503 Service Unavailable: <p> busy </p>");
        assert_eq!(of(StatusCode::NOT_FOUND, "{}"), "answers 404: it has no such page");
        assert_eq!(of(DOWN, &"x".repeat(10_000)).chars().count(), MAX + 1);
    }

    proptest! {
        #[test]
        fn any_answer_becomes_one_line(status in 100u16..600, body in any::<String>()) {
            let text = of(StatusCode::from_u16(status).expect("in range"), &body);
            prop_assert!(!text.is_empty() && !text.contains('\n'), "{}", text);
        }
    }
}
