//! `stream explain`: why a stream is in its state, what happened to it, and what is awaited.

use clap::{ArgMatches, Command};
use flowkeeper_api::Client;
use flowkeeper_api::cluster::StreamExplanation;

use crate::commands::{name, name_args};
use crate::exit::Failure;
use crate::table::Table;
use crate::ui::{Format, Ui};

pub(super) fn command() -> Command {
    Command::new("explain")
        .about("Tells why a stream is in its state: what happened to it, and what is awaited")
        .args(name_args())
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let stream = client.explain_stream(name(matches)?).await?;
    match ui.format {
        Format::Auto => {
            ui.print(&describe(&stream));
            Ok(())
        }
        _ => ui.show(&stream, std::slice::from_ref(&stream.name), &Table::default()),
    }
}

/// The explanation as a text.
fn describe(stream: &StreamExplanation) -> String {
    let release = if stream.release > 0 { format!(", release {}", stream.release) } else { String::new() };
    let mut text = format!("{} is {} (wanted: {}{release})\n", stream.name, stream.phase, stream.want);
    if let Some(rollout) = &stream.rollout {
        text.push_str(&format!("{rollout}\n"));
    }
    if let Some(awaits) = stream.awaits.as_ref().filter(|awaits| stream.rollout.as_ref() != Some(awaits)) {
        let awaits = first_line(awaits);
        let word = if awaits.starts_with("nothing is awaited") { "" } else { "awaited: " };
        text.push_str(&format!("{word}{awaits}\n"));
    }
    for app in &stream.apps {
        text.push_str(&format!("\n{} is {}\n", app.label, app.phase));
        for instance in &app.instances {
            let node = instance.node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
            let since = instance.since.as_ref().map(|at| format!(" since {at}")).unwrap_or_default();
            let restarts = match instance.restarts {
                0 => String::new(),
                1 => ", 1 restart".to_owned(),
                many => format!(", {many} restarts"),
            };
            text.push_str(&format!("  {} is {}{node}{since}{restarts}\n", instance.id, instance.phase));
            if let Some(placement) = &instance.placement {
                text.push_str(&format!("    where: {placement}\n"));
            }
            if let Some(reason) = &instance.reason {
                text.push_str(&format!("    why: {}\n", first_line(reason)));
            }
            for line in &instance.last_lines {
                text.push_str(&format!("    | {line}\n"));
            }
        }
    }
    if !stream.events.is_empty() {
        text.push_str("\nWhat happened:\n");
    }
    for event in &stream.events {
        let who = event.instance.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
        text.push_str(&format!("  {}{who} {}\n", event.at, event.what));
    }
    text
}

/// What comes after the first line of a reason is output, which is told separately.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_the_lines_and_the_story_are_told() {
        let stream: StreamExplanation = serde_json::from_value(serde_json::json!({
            "name": "s", "phase": "failed", "want": "deployed", "generation": 1, "release": 2, "active": 1,
            "rollout": null, "awaits": "s.log-v2-0 to be healthy: exit code 1",
            "apps": [{"label": "log", "phase": "failed", "instances": [{
                "id": "s.log-v2-0", "index": 0, "phase": "failed", "state": "backoff", "reason": "exit code 1\nx",
                "node": "n", "restarts": 3, "exit": "exit code 1", "since": "12:00", "last_lines": ["boom"],
            }]}],
            "events": [{"at": "11:59", "what": "release 2 was asked for"}, {"at": "12:00", "instance": "s.log-v2-0", "what": "starting"}],
        }))
        .expect("an explanation");
        assert_eq!(
            describe(&stream),
            "s is failed (wanted: deployed, release 2)\n\
             awaited: s.log-v2-0 to be healthy: exit code 1\n\n\
             log is failed\n  s.log-v2-0 is failed on node n since 12:00, 3 restarts\n    why: exit code 1\n    | boom\n\n\
             What happened:\n  11:59 release 2 was asked for\n  12:00 s.log-v2-0 starting\n"
        );
    }

    #[test]
    fn it_is_told_when_nothing_is_awaited() {
        let stream: StreamExplanation = serde_json::from_value(serde_json::json!({
            "name": "s", "phase": "failed", "want": "deployed", "generation": 1, "release": 1, "active": 1,
            "awaits": "nothing is awaited: s.log-v1-0 failed for good; deploy or update the stream",
            "apps": [{"label": "log", "phase": "failed", "instances": [{
                "id": "s.log-v1-0", "index": 0, "phase": "failed", "state": "failed", "reason": null,
                "node": null, "restarts": 1, "exit": null, "since": null,
            }]}],
        }))
        .expect("an explanation");
        assert_eq!(
            describe(&stream),
            "s is failed (wanted: deployed, release 1)\n\
             nothing is awaited: s.log-v1-0 failed for good; deploy or update the stream\n\n\
             log is failed\n  s.log-v1-0 is failed, 1 restart\n"
        );
    }
}
