//! Stream applications for people: what they are, and what changes of them.

use flowkeeper_api::applications::{
    Application, ApplicationChanges, ApplicationRelease, ApplicationStream, ApplicationSummary, ChangeAction,
    StreamChange,
};
use serde::Serialize;

use crate::table::Table;
use crate::wait::in_one_line;

/// Status of a stream that does not run and is not to.
const UNDEPLOYED: &str = "undeployed";

/// What a file changed, or would change.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Registrations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) apps: Vec<AppChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) applications: Vec<ApplicationChanges>,
    /// Streams that belong to no application.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) streams: Vec<StreamChange>,
}

/// What happens to a registration.
#[derive(Debug, Serialize)]
pub(super) struct AppChange {
    /// `type:name:version`.
    pub(super) app: String,
    /// `register`, `default`, `unchanged`.
    pub(super) action: &'static str,
}

impl Report {
    /// Names of what was in the file.
    pub(super) fn names(&self) -> Vec<String> {
        let apps = self.apps.iter().map(|app| app.app.clone());
        let applications = self.applications.iter().map(|application| application.name.clone());
        apps.chain(applications).chain(self.streams.iter().map(|stream| stream.stream.clone())).collect()
    }

    /// The report as a text; `is_done`: it happened.
    pub(super) fn describe(&self, is_done: bool) -> String {
        let mut text = String::new();
        if !self.apps.is_empty() {
            text += "apps\n";
            for app in &self.apps {
                let sign = if app.action == "unchanged" { '=' } else { '+' };
                text += &format!("  {sign} {}  {}\n", app.app, app.action);
            }
        }
        for application in &self.applications {
            text += &head(application, is_done);
            text += &changes(&application.changes);
        }
        if !self.streams.is_empty() {
            text += "streams that belong to no application\n";
            text += &changes(&self.streams);
        }
        text
    }
}

/// One line: what becomes of the application as a whole.
pub(super) fn head(application: &ApplicationChanges, is_done: bool) -> String {
    let ApplicationChanges { name, release, changes, applied } = application;
    let count = changes.iter().filter(|change| change.action != ChangeAction::Unchanged).count();
    let of = format!("{count} of {}", plural(changes.len(), "stream"));
    match (is_done, applied) {
        (true, true) => format!("{name} is release {release} now: {of} changed\n"),
        (true, false) => format!("{name} is as it should be (release {release}): nothing was changed\n"),
        (false, _) if count == 0 => format!("{name} is as it should be (release {release})\n"),
        (false, _) if *release == 0 => format!("{name} would be new: {}\n", plural(changes.len(), "stream")),
        (false, _) => format!("{name} would become another (release {release} now): {of} would change\n"),
    }
}

/// Changes of streams, each with its details; those that stay are only counted.
pub(super) fn changes(changes: &[StreamChange]) -> String {
    let width = changes.iter().map(|change| change.stream.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for change in changes {
        let (sign, word) = match change.action {
            ChangeAction::Create => ('+', "create"),
            ChangeAction::Update => ('~', "update"),
            ChangeAction::Remove => ('-', "remove"),
            ChangeAction::Deploy => ('>', "deploy"),
            ChangeAction::Undeploy => ('x', "undeploy"),
            ChangeAction::Unchanged => continue,
        };
        text += &format!("  {sign} {:width$}  {word}\n", change.stream);
        for line in &change.details {
            text += &format!("      {line}\n");
        }
    }
    let same = changes.iter().filter(|change| change.action == ChangeAction::Unchanged).count();
    if same > 0 && same < changes.len() {
        text += &format!("  = {} as before\n", plural(same, "stream"));
    }
    text
}

/// All applications.
pub(super) fn list(applications: &[ApplicationSummary]) -> Table {
    let mut table = Table::new(&["Application", "Description", "Streams", "Release", "Status"]);
    for it in applications {
        table.row([&it.name, &it.description, &it.streams.to_string(), &it.release.to_string(), &it.status]);
    }
    table
}

/// The streams of an application.
pub(super) fn streams(application: &Application) -> Table {
    let mut table = Table::new(&["Stream", "Definition", "Description", "Release", "Status"]);
    for it in &application.streams {
        let release = if it.release == 0 { "-".to_owned() } else { it.release.to_string() };
        table.row([&it.name, &it.definition, &it.description, &release, &it.status]);
    }
    table
}

/// One line above the table of streams.
pub(super) fn title(application: &Application) -> String {
    let Application { name, description, release, status, .. } = application;
    let what = if description.is_empty() { String::new() } else { format!(" ({description})") };
    format!("{name}{what} is {status}, release {release}\n")
}

/// What there is to say below the table: properties, and why something is not as wanted.
pub(super) fn remarks(application: &Application) -> String {
    let mut text = String::new();
    for stream in application.streams.iter().filter(|stream| !stream.properties.is_empty()) {
        text += &format!("{} is deployed with\n", stream.name);
        for (key, value) in &stream.properties {
            text += &format!("  {key}: {value}\n");
        }
    }
    text + &reasons(application)
}

/// Why streams are not as wanted, a line each.
pub(super) fn reasons(application: &Application) -> String {
    told(application.streams.iter())
}

/// Why streams that are to run do not, or not as wanted, a line each: one that is stopped or not there is none of them.
pub(super) fn wrongs(application: &Application) -> String {
    told(application.streams.iter().filter(|stream| stream.status != UNDEPLOYED))
}

fn told<'a>(streams: impl Iterator<Item = &'a ApplicationStream>) -> String {
    let told = streams.filter_map(|stream| Some((&stream.name, stream.reason.as_deref()?)));
    told.map(|(name, reason)| format!("{name}: {}\n", shared_once(&in_one_line(reason)))).collect()
}

/// A reason without what another stream says itself.
fn shared_once(reason: &str) -> &str {
    let shared = reason.split_once("together with stream '").and_then(|(_, rest)| rest.split_once("': "));
    shared.map_or(reason, |(_, others)| reason.strip_suffix(&format!(": {others}")).unwrap_or(reason))
}

/// The releases of an application.
pub(super) fn history(releases: &[ApplicationRelease]) -> Table {
    let mut table = Table::new(&["Release", "Made By", "When", "Status", "Streams", "Reason"]);
    for it in releases {
        let streams = it.streams.iter().map(|stream| match stream.release {
            0 => stream.name.clone(),
            release => format!("{} v{release}", stream.name),
        });
        table.row([
            &it.release.to_string(),
            &it.from,
            &it.at,
            &it.status,
            &streams.collect::<Vec<_>>().join(", "),
            &it.reason.as_deref().map(in_one_line).unwrap_or_default(),
        ]);
    }
    table
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(stream: &str, action: ChangeAction, details: &[&str]) -> StreamChange {
        StreamChange {
            stream: stream.into(),
            action,
            details: details.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    #[test]
    fn what_one_stream_says_is_not_said_by_all() {
        let reason = "release 2 failed and release 1 runs on: Went back together with stream 'b': it: failed";
        assert_eq!(
            shared_once(reason),
            "release 2 failed and release 1 runs on: Went back together with stream 'b'"
        );
        assert_eq!(shared_once("release 2 failed: it: failed"), "release 2 failed: it: failed");
    }

    #[test]
    fn a_difference_reads_like_one() {
        let changes = vec![
            change(
                "ingest",
                ChangeAction::Update,
                &["definition: b", "before:     a", "release 2 takes the place of release 1: starts b"],
            ),
            change("audit", ChangeAction::Create, &["definition: :ingest.http > log"]),
            change("words", ChangeAction::Unchanged, &[]),
            change("old", ChangeAction::Remove, &["is destroyed"]),
        ];
        let application = ApplicationChanges { name: "orders".into(), release: 4, changes, applied: false };
        let report = Report {
            apps: vec![AppChange { app: "sink:mine:1.0".into(), action: "register" }],
            applications: vec![application],
            streams: vec![change("loose", ChangeAction::Create, &[])],
        };
        assert_eq!(
            report.describe(false),
            "apps\n  + sink:mine:1.0  register\n\
             orders would become another (release 4 now): 3 of 4 streams would change\n\
             \x20 ~ ingest  update\n\
             \x20     definition: b\n\
             \x20     before:     a\n\
             \x20     release 2 takes the place of release 1: starts b\n\
             \x20 + audit   create\n\
             \x20     definition: :ingest.http > log\n\
             \x20 - old     remove\n\
             \x20     is destroyed\n\
             \x20 = 1 stream as before\n\
             streams that belong to no application\n  + loose  create\n"
        );
        assert_eq!(report.names(), ["sink:mine:1.0", "orders", "loose"]);
    }
}
