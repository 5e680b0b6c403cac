//! `--wait`: follows a stream until it is as wanted, or will not be.

use std::time::{Duration, Instant};

use flowkeeper_api::cluster::{InstanceExplanation, StreamExplanation};
use flowkeeper_api::{Client, Kind};

use crate::exit::Failure;
use crate::ui::Ui;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until stream `name` is in `phase`, showing progress. A failed release that was `known` before the request does not count.
///
/// # Errors
/// When it failed (with the reason), disappeared, or `limit` has passed.
pub(crate) async fn until(
    client: &Client,
    name: &str,
    phase: &str,
    known: Option<&str>,
    limit: Duration,
    ui: &mut Ui,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut shown = String::new();
    loop {
        let now = match client.stream_state(name).await {
            Ok(now) => now,
            Err(error) if error.kind() == Kind::NotFound && phase == "undeployed" => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // What is undeployed is done only when its last process is gone, and what replaces something when that is gone.
        let instances: usize = now.apps.iter().map(|app| app.instances.len()).sum();
        let is_settled = match phase {
            "undeployed" => now.active == 0,
            _ => now.replaces.is_none() && now.active as usize <= instances,
        };
        if now.phase == phase && is_settled {
            return match now.rollout.as_deref().filter(|told| Some(*told) != known) {
                None => Ok(()),
                Some(rollout) => Err(Failure::failed(format!("stream '{name}': {rollout}"))),
            };
        }
        // A release that replaces another is withdrawn when it fails; then there is more to say.
        if let Some(reason) = failure(&now).filter(|_| now.replaces.is_none()) {
            return Err(Failure::failed(format!("stream '{name}' failed: {reason}")));
        }
        let line = describe(&now);
        if line != shown {
            ui.progress(&line);
            shown = line;
        }
        if Instant::now() > deadline {
            return Err(Failure::failed(format!(
                "stream '{name}' is not {phase} after {} s: {shown}; it goes on; 'stream explain {name}' tells what it waits for, 'stream logs {name}' what its apps say",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn instances(stream: &StreamExplanation) -> impl Iterator<Item = &InstanceExplanation> {
    stream.apps.iter().flat_map(|app| &app.instances)
}

/// Why it will not become what is wanted, if so.
fn failure(stream: &StreamExplanation) -> Option<String> {
    let failed = instances(stream).find(|instance| instance.has_failed_for_good())?;
    let reason = failed.reason.as_deref().unwrap_or("no reason was reported");
    Some(format!("{}: {reason}", failed.id))
}

/// The first line of a reason; where it announces output, with the last line of that, which is usually the one that counts.
pub(crate) fn in_one_line(reason: &str) -> String {
    let first = reason.lines().next().unwrap_or_default();
    match (first.strip_suffix("; last output:"), reason.lines().rfind(|line| !line.trim().is_empty())) {
        (Some(first), Some(last)) => format!("{first}: {}", last.trim()),
        _ => first.to_owned(),
    }
}

/// One line: which apps are up, and what is said about the others.
fn describe(stream: &StreamExplanation) -> String {
    if stream.apps.is_empty() {
        return format!("{}: {} instances are stopping", stream.phase, stream.active);
    }
    let apps: Vec<_> = stream.apps.iter().map(|app| format!("{} {}", app.label, app.phase)).collect();
    let reason = instances(stream).find_map(|instance| instance.reason.as_deref());
    let reason = reason.map(|reason| format!(" ({})", in_one_line(reason))).unwrap_or_default();
    format!("{}: {}{reason}", stream.phase, apps.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_matters_is_shown() {
        let reason = "exit code 1; restart 2 in 2 s; last output:\nstarting\nError: corrupt jarfile\n\n";
        assert_eq!(in_one_line(reason), "exit code 1; restart 2 in 2 s: Error: corrupt jarfile");
        assert_eq!(in_one_line("it does not listen on port 1 yet"), "it does not listen on port 1 yet");
        assert_eq!(in_one_line(""), "");
    }
}
