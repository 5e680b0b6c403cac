//! Figures about a running server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    /// Requests received since the start.
    pub received: u64,
    /// Replies and notifications sent since the start.
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
    /// Microseconds.
    latency_sum: AtomicU64,
    latency_count: AtomicU64,
    /// Microseconds plus one, so that zero says "none yet".
    latency_min: AtomicU64,
    latency_max: AtomicU64,
}

impl Counters {
    pub(crate) fn set(field: &AtomicU64, n: usize) {
        field.store(n as u64, Ordering::Relaxed);
    }

    /// Counts requests whose replies have been written.
    pub(crate) fn answered(&self, requests: usize, took: Option<Duration>) {
        self.answered.fetch_add(requests as u64, Ordering::Relaxed);
        let Some(took) = took else { return };
        let micros = took.as_micros() as u64;
        self.latency_sum.fetch_add(micros, Ordering::Relaxed);
        self.latency_count.fetch_add(1, Ordering::Relaxed);
        self.latency_max.fetch_max(micros, Ordering::Relaxed);
        let min = self.latency_min.load(Ordering::Relaxed);
        if min == 0 || micros + 1 < min {
            // Two connections may race here; then one of two nearly equal minima stands.
            self.latency_min.store(micros + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let get = |field: &AtomicU64| field.load(Ordering::Relaxed);
        let (received, answered, notified) = (get(&self.received), get(&self.answered), get(&self.notified));
        Stats {
            zxid: get(&self.zxid) as i64,
            nodes: get(&self.nodes),
            ephemerals: get(&self.ephemerals),
            data_bytes: get(&self.data_bytes),
            watches: get(&self.watches),
            sessions: get(&self.sessions),
            connections: get(&self.connections),
            received,
            sent: answered + notified,
            outstanding: received.saturating_sub(answered),
            min_latency: Duration::from_micros(get(&self.latency_min).saturating_sub(1)),
            mean_latency: Duration::from_micros(
                get(&self.latency_sum).checked_div(get(&self.latency_count)).unwrap_or_default(),
            ),
            max_latency: Duration::from_micros(get(&self.latency_max)),
        }
    }
}
