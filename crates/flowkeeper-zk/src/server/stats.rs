//! Figures about a running server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) mod figures;
mod latency;
mod summary;

pub(crate) use latency::{Latency, Times};
pub(crate) use summary::Summary;

/// Figures of a moment. All but the latencies are as of the core's last round of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Last transaction.
    pub zxid: i64,
    /// Nodes in the tree.
    pub nodes: u64,
    /// Ephemeral nodes among them.
    pub ephemerals: u64,
    /// Bytes of names and data.
    pub data_bytes: u64,
    /// Watches: pairs of path and connection.
    pub watches: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests received since the start, or since the last reset.
    pub received: u64,
    /// Replies and notifications sent since then.
    pub sent: u64,
    /// Requests received and not yet answered.
    pub outstanding: u64,
    /// Shortest time a round of requests took, from arrival to the written reply.
    pub min_latency: Duration,
    /// Mean of these times.
    pub mean_latency: Duration,
    /// Longest of these times.
    pub max_latency: Duration,
}

/// The figures as they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) zxid: AtomicU64,
    pub(crate) nodes: AtomicU64,
    pub(crate) ephemerals: AtomicU64,
    pub(crate) data_bytes: AtomicU64,
    pub(crate) watches: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) notified: AtomicU64,
    answered: AtomicU64,
    /// Connections that were taken.
    pub(crate) accepted: AtomicU64,
    /// Connections that were refused because there were too many.
    pub(crate) rejected: AtomicU64,
    /// Attempts to authenticate that failed.
    pub(crate) auth_failed: AtomicU64,
    /// TLS handshakes that failed.
    pub(crate) bad_handshakes: AtomicU64,
    /// Sessions that expired.
    pub(crate) expired: AtomicU64,
    /// What `received`, and the packets sent, were at the last reset.
    received_then: AtomicU64,
    sent_then: AtomicU64,
    /// Of all rounds.
    latency: Latency,
    /// From arrival to the written reply, of rounds that only read.
    pub(crate) reads: Summary,
    /// The same of rounds that wrote.
    pub(crate) updates: Summary,
    /// Syncs of the log.
    pub(crate) syncs: Summary,
    /// Snapshots written.
    pub(crate) snapshots: Summary,
}

impl Counters {
    pub(crate) fn set(field: &AtomicU64, n: usize) {
        field.store(n as u64, Ordering::Relaxed);
    }

    /// Counts one more.
    pub(crate) fn count(field: &AtomicU64) {
        field.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(field: &AtomicU64) -> u64 {
        field.load(Ordering::Relaxed)
    }

    /// Counts requests whose replies have been written, whether one of them wrote, and how long the oldest took.
    pub(crate) fn answered(&self, requests: usize, is_update: bool, took: Option<Duration>) {
        self.answered.fetch_add(requests as u64, Ordering::Relaxed);
        let Some(took) = took else { return };
        if is_update {
            self.updates.record(took)
        } else {
            self.reads.record(took)
        }
        self.latency.record(took);
    }

    /// Lets go of what the summaries hold of longer ago. To be called every half a minute.
    pub(crate) fn age(&self) {
        for summary in [&self.reads, &self.updates, &self.syncs, &self.snapshots] {
            summary.age();
        }
    }

    /// Begins anew with packets and latencies, for the word `srst`.
    pub(crate) fn reset(&self) {
        let sent = self.sent();
        self.received_then.store(Self::get(&self.received), Ordering::Relaxed);
        self.sent_then.store(sent, Ordering::Relaxed);
        self.latency.reset();
    }

    /// Replies and notifications since the start, whatever was reset.
    pub(crate) fn sent(&self) -> u64 {
        Self::get(&self.answered) + Self::get(&self.notified)
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let get = Self::get;
        let (received, answered) = (get(&self.received), get(&self.answered));
        let Times { min, mean, max, .. } = self.latency.times();
        Stats {
            zxid: get(&self.zxid) as i64,
            nodes: get(&self.nodes),
            ephemerals: get(&self.ephemerals),
            data_bytes: get(&self.data_bytes),
            watches: get(&self.watches),
            sessions: get(&self.sessions),
            connections: get(&self.connections),
            received: received.saturating_sub(get(&self.received_then)),
            sent: self.sent().saturating_sub(get(&self.sent_then)),
            outstanding: received.saturating_sub(answered),
            min_latency: min,
            mean_latency: mean,
            max_latency: max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_begins_anew_and_loses_no_request_under_way() {
        let c = Counters::default();
        c.received.store(10, Ordering::Relaxed);
        c.answered(7, false, Some(Duration::from_millis(3)));
        c.reset();
        let s = c.snapshot();
        assert_eq!((s.received, s.sent, s.outstanding), (0, 0, 3));
        assert_eq!(
            (s.min_latency, s.max_latency, s.mean_latency),
            (Duration::ZERO, Duration::ZERO, Duration::ZERO)
        );
        c.received.store(12, Ordering::Relaxed);
        c.answered(5, true, Some(Duration::from_millis(2)));
        let s = c.snapshot();
        assert_eq!((s.received, s.sent, s.outstanding), (2, 5, 0));
        assert_eq!(s.min_latency, Duration::from_millis(2));
    }
}
