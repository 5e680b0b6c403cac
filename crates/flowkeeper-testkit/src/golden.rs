//! Replays what a real SCDF 2.11.5 answered against a server, and compares every answer.
//!
//! A trace is a file of entries: request, answer, and which parts of the answer differ from run to run. What a server answers
//! otherwise on purpose stands in a list ([`Differences`]), so that nothing else gets through, and nothing stays in the list that
//! is not true any more. [`apps`] makes the programs that the traces register. The traces and their description lie in
//! `crates/flowkeeper-server/tests/data/golden`; `FLOWKEEPER_GOLDEN` names another folder.

pub mod apps;
mod compare;
mod differences;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Answer, exchange};
use crate::wait::pause;
use crate::workspace_root;
pub use differences::Differences;

/// How long an answer may take to become the recorded one, where the recording waited too.
const PATIENCE: Duration = Duration::from_secs(45);
/// Where the traces' server was.
const RECORDED: &str = "http://127.0.0.1:9393";

/// A server to compare, and where its programs lie.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Where its API listens: `host:port`.
    pub api: &'a str,
    /// The folder that stands for the root of the traces' machine: programs lie in `apps` below it.
    pub root: &'a Path,
}

/// How a trace went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub equal: usize,
    /// Different as listed.
    pub listed: usize,
    /// Listed as work to be done.
    pub later: usize,
    /// What differs and is not listed, or is listed and does not differ.
    pub failures: Vec<String>,
}

impl Tally {
    /// The figures on one line.
    pub fn summary(&self, trace: &str) -> String {
        let Tally { equal, listed, later, failures } = self;
        format!("{trace}: {equal} equal, {listed} differ as listed, {} failed, {later} later", failures.len())
    }
}

/// Replays the trace of this name (`streams` for `streams.json`) from its first to its last entry against an empty server.
///
/// # Panics
/// When the trace cannot be read, or the server does not answer.
pub fn replay(subject: &Subject<'_>, trace: &str, differences: &Differences) -> Tally {
    let path = folder().join(format!("{trace}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let entries: Vec<Value> = serde_json::from_str(&text).expect("a trace is an array of entries");
    let mut tally = Tally::default();
    for entry in &entries {
        let id = text_at(entry, "id");
        let known = differences.of(id);
        let found = subject.step(entry, |found| {
            // What is known to differ is not waited for.
            known.contains_key("*") || found.iter().all(|(pointer, _)| differences.covers(id, pointer))
        });
        if let Some(reason) = known.get("*") {
            let is_later = reason.starts_with("later:");
            tally.later += usize::from(is_later);
            tally.listed += usize::from(!is_later);
            if found.is_empty() {
                tally.failures.push(format!("{id}: listed with '*' and yet equal"));
            }
            continue;
        }
        let pointers: BTreeSet<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        let stale = known.keys().filter(|pointer| !pointers.contains(pointer.as_str()));
        let mut failures: Vec<_> =
            stale.map(|pointer| format!("{id}: {pointer} is listed and yet equal")).collect();
        let surprises = found.iter().filter(|(pointer, _)| !differences.covers(id, pointer));
        failures.extend(surprises.map(|(pointer, text)| format!("{id}: {pointer}: {text}")));
        match (failures.is_empty(), known.is_empty()) {
            (true, true) => tally.equal += 1,
            (true, false) => tally.listed += 1,
            (false, _) => tally.failures.extend(failures),
        }
    }
    let ids: BTreeSet<&str> = entries.iter().map(|entry| text_at(entry, "id")).collect();
    let unknown = differences.ids().filter(|id| id.starts_with(&format!("{trace}-")) && !ids.contains(id));
    tally.failures.extend(unknown.map(|id| format!("{id}: listed, but no such entry exists")));
    tally
}

impl Subject<'_> {
    /// Differences between what is recorded and what is answered, by pointer. Where the recording waited, for a condition or for
    /// things to settle, the request is repeated until its answer `is_fine`.
    fn step(&self, entry: &Value, is_fine: impl Fn(&compare::Found) -> bool) -> compare::Found {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.send(&entry["request"]);
            let body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
            let found = compare::compare(entry, &answer, &body);
            let has_waited = entry["until"].is_object() || entry["pauseMillis"].is_u64();
            if !has_waited || is_fine(&found) || Instant::now() >= deadline {
                return found;
            }
            pause();
        }
    }

    fn send(&self, request: &Value) -> Answer {
        let headers = request["headers"].as_object().expect("headers");
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
        let headers: Vec<_> = headers.collect();
        let path = self.placed(text_at(request, "path"));
        let body = request["body"].as_str().map(|body| self.placed(body));
        let answer = exchange(self.api, text_at(request, "method"), &path, &headers, body.as_deref());
        let mut answer =
            answer.unwrap_or_else(|error| panic!("{} gave no answer to {path}: {error}", self.api));
        let here = format!("http://{}", self.api);
        answer.body = answer.body.replace(&here, RECORDED).replace(&self.root.display().to_string(), "");
        answer
    }

    /// A text in which the programs of the traces are those of this run.
    fn placed(&self, text: &str) -> String {
        let root = self.root.display().to_string();
        let encoded = root.replace('/', "%2F");
        text.replace("file:///apps/", &format!("file://{root}/apps/"))
            .replace("file%3A%2F%2F%2Fapps%2F", &format!("file%3A%2F%2F{encoded}%2Fapps%2F"))
    }
}

fn text_at<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {value}"))
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration module")]
fn folder() -> PathBuf {
    let own = || workspace_root().join("crates/flowkeeper-server/tests/data/golden");
    std::env::var_os("FLOWKEEPER_GOLDEN").map_or_else(own, PathBuf::from)
}
