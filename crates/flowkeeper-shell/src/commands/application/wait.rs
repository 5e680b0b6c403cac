//! `--wait` for a whole application: until nothing of it is being started, replaced or stopped.

use std::time::{Duration, Instant};

use flowkeeper_api::Client;
use flowkeeper_api::applications::Application;

use super::show::wrongs;
use crate::exit::Failure;
use crate::ui::{Format, Ui};
use crate::wait::in_one_line;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until application `name` has come to rest, showing progress.
///
/// # Errors
/// When its streams are not as wanted then (with the reasons), or `limit` has passed.
pub(super) async fn until_settled(
    client: &Client,
    name: &str,
    limit: Duration,
    ui: &mut Ui,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut shown = String::new();
    loop {
        let now = client.application(name).await?;
        if now.streams.iter().all(|stream| stream.settled) {
            return judge(&now, ui);
        }
        let line = describe(&now);
        if line != shown {
            ui.progress(&line);
            shown = line;
        }
        if Instant::now() > deadline {
            return Err(Failure::failed(format!(
                "stream application '{name}' is not done after {} s: {shown}; it goes on; look again with 'application info {name}'",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn judge(application: &Application, ui: &mut Ui) -> Result<(), Failure> {
    let Application { name, status, .. } = application;
    let reasons = wrongs(application);
    if !reasons.is_empty() {
        return Err(Failure::failed(format!(
            "stream application '{name}' is not as wanted:\n{}",
            reasons.trim_end()
        )));
    }
    if ui.format == Format::Auto {
        ui.done(&format!("Stream application '{name}' is {status}"), name);
    }
    Ok(())
}

/// One line: how many are done, and what the first of the others is about.
fn describe(application: &Application) -> String {
    let streams = &application.streams;
    let done = streams.iter().filter(|stream| stream.settled).count();
    let next = streams.iter().find(|stream| !stream.settled).map(|stream| {
        let reason = stream.reason.as_deref().map(|reason| format!(" ({})", in_one_line(reason)));
        format!("; {} is {}{}", stream.name, stream.status, reason.unwrap_or_default())
    });
    format!("{done} of {} streams are done{}", streams.len(), next.unwrap_or_default())
}
