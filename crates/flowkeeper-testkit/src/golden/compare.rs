//! What has to be equal in two answers: status, media type, path of the location, and the body but for what varies, for prose,
//! and for the order of Java's hash maps.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::Answer;

/// What differs, by pointer.
pub(super) type Found = Vec<(String, String)>;

/// Compares an answer with the recorded one of `entry`; `body` is its body as JSON.
pub(super) fn compare(entry: &Value, answer: &Answer, body: &Value) -> Found {
    let wanted = &entry["response"];
    let mut found = Found::new();
    if wanted["status"] != answer.status {
        let text = format!("want {}, got {} {}", wanted["status"], answer.status, answer.body);
        found.push(("status".to_owned(), text));
    }
    let want_type = wanted["headers"]["Content-Type"].as_str().unwrap_or_default();
    let got_type = answer.header("content-type");
    let media_type = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
    if media_type(want_type) != media_type(got_type) {
        found.push(("type".to_owned(), format!("want {want_type}, got {got_type}")));
    }
    // The path of a location counts; the address before it is that of this run.
    let path_of = |location: &str| location.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    let want_location = wanted["headers"]["Location"].as_str().unwrap_or_default();
    if path_of(want_location) != path_of(answer.header("location")) {
        found.push(("location".to_owned(), answer.header("location").to_owned()));
    }
    let varies = wanted["varies"].as_array().into_iter().flatten();
    let varies: BTreeSet<&str> = varies.filter_map(Value::as_str).collect();
    if varies.contains("") {
        return found;
    }
    match wanted["bodyIs"].as_str() {
        Some("empty") if !answer.body.is_empty() => found.push(("body".to_owned(), answer.body.clone())),
        Some("text") if normal("", &wanted["body"]) != normal("", &Value::from(answer.body.as_str())) => {
            found.push(("body".to_owned(), answer.body.clone()));
        }
        Some("json") => {
            let path = entry["request"]["path"].as_str().unwrap_or_default();
            let mut comparison =
                Comparison { varies, is_platform_list: path.ends_with("/platform/list"), found };
            comparison.values(&wanted["body"], body, "");
            return comparison.found;
        }
        _ => {}
    }
    found
}

struct Comparison<'a> {
    varies: BTreeSet<&'a str>,
    is_platform_list: bool,
    found: Found,
}

impl Comparison<'_> {
    fn values(&mut self, want: &Value, got: &Value, at: &str) {
        if self.varies.contains(at) {
            return;
        }
        let name = at.rsplit('/').next().unwrap_or_default();
        if self.is_prose(name) {
            // SCDF's own text may be missing; ours need not.
            if got.as_str().is_none_or(str::is_empty) {
                self.add(at, format!("some text is wanted, got {got}"));
            }
            return;
        }
        match (normal(name, want), normal(name, got)) {
            (Value::Object(want), Value::Object(got)) => {
                for (key, value) in &want {
                    let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    match got.get(key) {
                        Some(got) => self.values(value, got, &at),
                        None if self.varies.contains(at.as_str()) => {}
                        None => self.add(&at, "is missing".to_owned()),
                    }
                }
                let is_hash_map = ["/deploymentProperties/", "/auditData", "/platformStatus"];
                let is_hash_map = is_hash_map.iter().any(|part| at.contains(part));
                if !is_hash_map && want.len() == got.len() && want.keys().ne(got.keys()) {
                    let order = got.keys().cloned().collect::<Vec<_>>().join(", ");
                    self.add(&format!("{at}/order"), format!("members are in the order {order}"));
                }
                for key in got.keys().filter(|key| !want.contains_key(*key)) {
                    self.add(&format!("{at}/{key}"), "is not in the recorded answer".to_owned());
                }
            }
            (Value::Array(want), Value::Array(got)) => {
                if want.len() != got.len() {
                    self.add(at, format!("want {} items, got {}", want.len(), got.len()));
                }
                for (index, (want, got)) in want.iter().zip(&got).enumerate() {
                    self.values(want, got, &format!("{at}/{index}"));
                }
            }
            (want, got) if want != got => self.add(at, format!("want {want}, got {got}")),
            _ => {}
        }
    }

    /// Prose is ours; its place is what counts.
    fn is_prose(&self, name: &str) -> bool {
        let is_description = name.to_lowercase().ends_with("description");
        name == "statusDescription" || (self.is_platform_list && is_description)
    }

    fn add(&mut self, at: &str, text: String) {
        self.found.push((at.to_owned(), text));
    }
}

/// What follows the order of Java's hash maps is compared without order.
fn normal(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("options", Value::Array(options)) => {
            let mut options = options.clone();
            options.sort_by_key(|option| option["id"].to_string());
            Value::Array(options)
        }
        ("proposals", Value::Array(proposals)) => {
            let mut proposals = proposals.clone();
            proposals.iter_mut().for_each(without_our_prose);
            proposals.sort_by_key(|proposal| proposal["text"].to_string());
            Value::Array(proposals)
        }
        ("dslText" | "originalDslText" | "streamDefinitionDslText", Value::String(text)) => sorted_dsl(text),
        ("deploymentProperties" | "platformStatus", Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        // A definition, or a document.
        ("auditData", Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| sorted_dsl(text)),
        // Manifests and values: YAML, whose lines are sorted within each document.
        ("" | "data" | "raw" | "updateYaml", Value::String(text)) => {
            let document = |text: &str| {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.sort_unstable();
                lines.join("\n")
            };
            Value::String(text.split("---\n").map(document).collect::<Vec<_>>().join("\n---\n"))
        }
        // Numbers come from a sequence that SCDF shares with other things.
        ("auditRecordId", Value::Number(_)) => Value::Null,
        ("href", Value::String(link)) if link.contains("/audit-records/") => {
            Value::String(link.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
        }
        _ => value.clone(),
    }
}

/// A definition with the options of each app in order.
fn sorted_dsl(text: &str) -> Value {
    let sorted = |app: &str| {
        let mut words: Vec<&str> = app.split(" --").collect();
        words[1..].sort_unstable();
        words.join(" --")
    };
    Value::String(text.split(" | ").map(sorted).collect::<Vec<_>>().join(" | "))
}

/// Of the explanation of a proposal only that there is one, unless it is what an app says of its option.
fn without_our_prose(proposal: &mut Value) {
    let is_option = proposal["text"].as_str().is_some_and(|text| text.ends_with('='));
    let explanation =
        proposal.get_mut("explanation").filter(|text| text.as_str().is_some_and(|text| !text.is_empty()));
    if let Some(explanation) = explanation.filter(|_| !is_option) {
        *explanation = Value::from("some prose");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(recorded: Value, status: u16, body: &str) -> Vec<String> {
        let entry = json!({"request": {"path": "/x"}, "response": recorded});
        let headers = vec![("content-type".to_owned(), "application/json;charset=x".to_owned())];
        let answer = Answer { status, headers, body: body.to_owned() };
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        compare(&entry, &answer, &body).into_iter().map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let recorded = json!({"status": 200, "headers": {"Content-Type": "application/json"}, "bodyIs": "json",
            "varies": ["/time"], "body": {"time": 1, "a": [1, {"b/c": 2}], "statusDescription": "x",
            "dslText": "time --a=1 --b=2 | log"}});
        let same =
            r#"{"time":2,"a":[1,{"b/c":2}],"statusDescription":"y","dslText":"time --b=2 --a=1 | log"}"#;
        assert!(pointers(recorded.clone(), 200, same).is_empty());
        let other =
            r#"{"time":2,"a":[1,{"b/c":3},4],"statusDescription":"","dslText":"time | log","more":1}"#;
        let found = pointers(recorded.clone(), 404, other);
        assert_eq!(found, ["status", "/a", "/a/1/b~1c", "/statusDescription", "/dslText", "/more"]);
        let swapped =
            r#"{"a":[1,{"b/c":2}],"time":2,"statusDescription":"y","dslText":"time --b=2 --a=1 | log"}"#;
        assert_eq!(pointers(recorded, 200, swapped), ["/order"]);
    }

    #[test]
    fn proposals_are_a_set_and_their_prose_is_ours() {
        let proposals = |proposals: Value| {
            json!({"status": 200, "headers": {"Content-Type": "application/json"}, "bodyIs": "json",
                "body": {"proposals": proposals}})
        };
        let recorded =
            proposals(json!([{"text": "a", "explanation": "x"}, {"text": "b --c=", "explanation": "y"}]));
        let same = r#"{"proposals":[{"text":"b --c=","explanation":"y"},{"text":"a","explanation":"z"}]}"#;
        assert!(pointers(recorded.clone(), 200, same).is_empty());
        let other = r#"{"proposals":[{"text":"a","explanation":""},{"text":"b --c=","explanation":"z"}]}"#;
        assert_eq!(
            pointers(recorded.clone(), 200, other),
            ["/proposals/0/explanation", "/proposals/1/explanation"]
        );
        assert_eq!(pointers(recorded, 200, r#"{"proposals":[]}"#), ["/proposals"]);
    }

    #[test]
    fn texts_and_nothing_are_compared_as_they_are() {
        let recorded = |kind: &str, body: Value| {
            json!({"status": 200, "bodyIs": kind, "body": body,
            "headers": {"Content-Type": "application/json", "Location": "http://h/a"}})
        };
        assert_eq!(pointers(recorded("text", json!("x")), 200, "y"), ["location", "body"]);
        assert_eq!(pointers(recorded("empty", Value::Null), 200, "y"), ["location", "body"]);
    }
}
