//! Replays what a real SCDF 2.11.5 answered, and compares every answer.
//!
//! `tests/data/golden-differences.txt` lists what differs on purpose or is not there yet: entry, JSON pointer (or `*` for
//! all of it, `status` for the status), reason. A reason that starts with `later:` marks what is still to be built. A listed
//! difference that is none any more fails too, so the list stays true. `FLOWKEEPER_GOLDEN` names another folder of traces.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Answer, Running, write_trace_apps};

/// Where the traces' server was, and where its programs lay.
const RECORDED: &str = "http://127.0.0.1:9393";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_documents_are_those_of_scdf() {
    replay("root").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_registry_answers_as_scdf() {
    replay("apps").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_answer_as_scdf() {
    replay("streams").await;
}

/// Differences listed for one entry: pointer → reason.
type Listed = BTreeMap<String, String>;

async fn replay(file: &str) {
    let entries: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(folder().join(format!("{file}.json"))).unwrap())
            .unwrap();
    let listed = listed_differences();
    let programs = tempfile::tempdir().unwrap();
    std::fs::create_dir(programs.path().join("apps")).unwrap();
    write_trace_apps(&programs.path().join("apps"));
    let replay = Replay { running: Running::start().await, programs: programs.path().display().to_string() };
    let (mut equal, mut differ, mut later, mut failures) = (0, 0, 0, Vec::new());
    for entry in &entries {
        let id = entry["id"].as_str().unwrap();
        let none = Listed::new();
        let known = listed.get(id).unwrap_or(&none);
        let found = replay.step(entry, !known.is_empty()).await;
        if known.contains_key("*") {
            let is_later = known["*"].starts_with("later:");
            later += usize::from(is_later);
            differ += usize::from(!is_later);
            if found.is_empty() {
                failures.push(format!("{id}: listed with '*' and yet equal"));
            }
            continue;
        }
        let found_pointers: BTreeSet<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        let stale = known.keys().filter(|pointer| !found_pointers.contains(pointer.as_str()));
        failures.extend(stale.map(|pointer| format!("{id}: {pointer} is listed and yet equal")));
        let surprises = found.iter().filter(|(pointer, _)| !known.contains_key(pointer));
        let surprises: Vec<_> = surprises.map(|(pointer, text)| format!("{id}: {pointer}: {text}")).collect();
        match (surprises.is_empty(), known.is_empty()) {
            (true, true) => equal += 1,
            (true, false) => differ += 1,
            (false, _) => failures.extend(surprises),
        }
    }
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    let unknown =
        listed.keys().filter(|id| id.starts_with(&format!("{file}-")) && !ids.contains(id.as_str()));
    failures.extend(unknown.map(|id| format!("{id}: listed, but no such entry exists")));
    summary(&format!(
        "{file}: {equal} equal, {differ} differ as listed, {} failed, {later} later",
        failures.len()
    ));
    replay.running.stop().await;
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[expect(clippy::print_stdout, reason = "the figures are what one runs this test for")]
fn summary(line: &str) {
    println!("{line}");
}

struct Replay {
    running: Running,
    /// Folder that stands for the root of the traces' machine.
    programs: String,
}

impl Replay {
    /// Differences between what is recorded and what is answered, by pointer. What is known to differ is not waited for.
    async fn step(&self, entry: &Value, is_listed: bool) -> Vec<(String, String)> {
        let limit = entry["until"]["timeoutSeconds"].as_u64().filter(|_| !is_listed).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(limit);
        loop {
            let answer = self.send(&entry["request"]).await;
            let body = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
            let is_met = entry["until"].as_object().is_none_or(|until| {
                let found = body.pointer(until["pointer"].as_str().unwrap()).map(text_of);
                until["in"].as_array().unwrap().iter().any(|wanted| found.as_deref() == wanted.as_str())
            });
            if is_met || Instant::now() >= deadline {
                return compare(entry, &answer, body);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, request: &Value) -> Answer {
        let place = |text: &str| {
            let encoded = form_urlencoded::byte_serialize(self.programs.as_bytes()).collect::<String>();
            text.replace("file:///apps/", &format!("file://{}/apps/", self.programs))
                .replace("file%3A%2F%2F%2Fapps%2F", &format!("file%3A%2F%2F{encoded}%2Fapps%2F"))
        };
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let path = place(request["path"].as_str().unwrap());
        let body = request["body"].as_str().map(place);
        let mut answer = self.running.ask(request["method"].as_str().unwrap(), &path, &headers, body).await;
        answer.text = answer.text.replace(&self.running.base(), RECORDED).replace(&self.programs, "");
        answer
    }
}

fn compare(entry: &Value, answer: &Answer, body: Value) -> Vec<(String, String)> {
    let wanted = &entry["response"];
    let mut found = Vec::new();
    if wanted["status"] != answer.status {
        found.push((
            "status".to_owned(),
            format!("want {}, got {} {}", wanted["status"], answer.status, answer.text),
        ));
    }
    let want_type = wanted["headers"]["Content-Type"].as_str().unwrap_or_default();
    let media_type = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
    if media_type(want_type) != media_type(answer.header("content-type")) {
        found.push(("type".to_owned(), format!("want {want_type}, got {}", answer.header("content-type"))));
    }
    // The path of a location counts; the address before it is that of this run.
    let path_of = |location: &str| location.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    let location = answer.header("location");
    if path_of(wanted["headers"]["Location"].as_str().unwrap_or_default()) != path_of(location) {
        found.push(("location".to_owned(), location.to_owned()));
    }
    let varies: BTreeSet<&str> =
        wanted["varies"].as_array().into_iter().flatten().map(|pointer| pointer.as_str().unwrap()).collect();
    if varies.contains("") {
        return found;
    }
    match wanted["bodyIs"].as_str().unwrap() {
        "empty" if !answer.text.is_empty() => found.push(("body".to_owned(), answer.text.clone())),
        "text" if wanted["body"] != answer.text.as_str() => {
            found.push(("body".to_owned(), answer.text.clone()))
        }
        "json" => {
            // Prose is ours; its place is what counts.
            let is_prose = |name: &str| {
                let is_platform = entry["request"]["path"].as_str().unwrap().ends_with("/platform/list");
                name == "statusDescription" || (is_platform && name.to_lowercase().ends_with("description"))
            };
            differences(&wanted["body"], &body, "", &varies, &is_prose, &mut found);
        }
        _ => {}
    }
    found
}

fn differences(
    want: &Value,
    got: &Value,
    at: &str,
    varies: &BTreeSet<&str>,
    is_prose: &dyn Fn(&str) -> bool,
    found: &mut Vec<(String, String)>,
) {
    if varies.contains(at) {
        return;
    }
    let name = at.rsplit('/').next().unwrap_or_default();
    if is_prose(name) {
        // SCDF's own text may be missing; ours need not.
        if got.as_str().is_none_or(str::is_empty) {
            found.push((at.to_owned(), format!("some text is wanted, got {got}")));
        }
        return;
    }
    match (normal(name, want), normal(name, got)) {
        (Value::Object(want), Value::Object(got)) => {
            for (key, value) in &want {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match got.get(key) {
                    Some(got) => differences(value, got, &at, varies, is_prose, found),
                    None if varies.contains(at.as_str()) => {}
                    None => found.push((at, "is missing".to_owned())),
                }
            }
            let is_hash_map = at.contains("/deploymentProperties/");
            if !is_hash_map && want.len() == got.len() && want.keys().ne(got.keys()) {
                let order = got.keys().cloned().collect::<Vec<_>>().join(", ");
                found.push((format!("{at}/order"), format!("members are in the order {order}")));
            }
            let more = got.keys().filter(|key| !want.contains_key(*key));
            found.extend(more.map(|key| (format!("{at}/{key}"), "is not in the recorded answer".to_owned())));
        }
        (Value::Array(want), Value::Array(got)) => {
            if want.len() != got.len() {
                found.push((at.to_owned(), format!("want {} items, got {}", want.len(), got.len())));
            }
            for (index, (want, got)) in want.iter().zip(&got).enumerate() {
                differences(want, got, &format!("{at}/{index}"), varies, is_prose, found);
            }
        }
        (want, got) if want != got => found.push((at.to_owned(), format!("want {want}, got {got}"))),
        _ => {}
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
        ("dslText" | "originalDslText", Value::String(text)) => {
            let sorted = |app: &str| {
                let mut words: Vec<&str> = app.split(" --").collect();
                words[1..].sort_unstable();
                words.join(" --")
            };
            Value::String(text.split(" | ").map(sorted).collect::<Vec<_>>().join(" | "))
        }
        ("deploymentProperties", Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        _ => value.clone(),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration module")]
fn folder() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden");
    std::env::var_os("FLOWKEEPER_GOLDEN").map_or_else(|| own.into(), PathBuf::from)
}

fn listed_differences() -> BTreeMap<String, Listed> {
    let text = include_str!("../data/golden-differences.txt");
    let mut listed = BTreeMap::<String, Listed>::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (Some(id), Some(pointer), Some(reason)) = (words.next(), words.next(), words.next()) else {
            panic!("'{line}' is not: entry pointer reason");
        };
        listed.entry(id.to_owned()).or_default().insert(pointer.to_owned(), reason.to_owned());
    }
    listed
}
