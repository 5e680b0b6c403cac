//! Heartbeats: a `sync` at fixed pauses, and what its acknowledgement proves.

use std::time::Duration;

use flowkeeper_zk::recipes::{Connection, LinkState};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use crate::lease::now_ns;
use crate::task::spawn;

/// Heartbeats whose answers are awaited at once. They are answered in order, so a longer queue proves nothing more.
const UNDER_WAY: usize = 32;

/// A heartbeat that ZooKeeper's leader acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// Since when the leases it buys count, on their clock in ns.
    pub(super) from_ns: u64,
    /// The session, as numbered by the connection, that it was acknowledged in.
    pub(super) session: u64,
    /// When it was sent.
    pub(super) sent_ns: u64,
}

/// Sends a heartbeat every `every`, for ever. One is sent whether or not those before it were answered: the arithmetic of leases
/// counts on the pauses between them, not on the answers.
pub(super) async fn beat(
    connection: Connection,
    path: String,
    every: Duration,
    beats: mpsc::Sender<Beat>,
    tracker: TaskTracker,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
    let mut last: Option<(u64, u64)> = None;
    loop {
        ticks.tick().await;
        let link = connection.link();
        if link.state != LinkState::Connected {
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let sent_ns = now_ns();
        let from_ns = counts_from(last, link.incarnation, sent_ns, every);
        last = Some((link.incarnation, sent_ns));
        if from_ns.is_none() {
            // The first of a session only begins the count, so the next one need not wait.
            ticks.reset_immediately();
        }
        let (connection, path, beats) = (connection.clone(), path.clone(), beats.clone());
        spawn(&tracker, "one heartbeat", async move {
            if let Ok(session) = connection.sync_acknowledged(&path).await
                && session == link.incarnation
                && let Some(from_ns) = from_ns
            {
                // The agent has ended when nobody receives it.
                let _ = beats.send(Beat { from_ns, session, sent_ns }).await;
            }
            drop(place);
        });
    }
}

/// Since when a beat sent at `sent_ns` counts. What a server knows of this session for sure is the activity before the beat, so
/// after a pause that was too long (this process stood still) it counts from when it should have been sent.
fn counts_from(last: Option<(u64, u64)>, session: u64, sent_ns: u64, every: Duration) -> Option<u64> {
    let (_, before) = last.filter(|(of, _)| *of == session)?;
    let due = before.saturating_add(u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
    Some(sent_ns.min(due))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_beat_counts_from_when_it_was_due() {
        let every = Duration::from_nanos(100);
        assert_eq!(counts_from(None, 1, 1_000, every), None);
        assert_eq!(counts_from(Some((1, 900)), 2, 1_000, every), None, "another session");
        assert_eq!(counts_from(Some((1, 950)), 1, 1_000, every), Some(1_000));
        assert_eq!(counts_from(Some((1, 500)), 1, 1_000, every), Some(600));
    }
}
