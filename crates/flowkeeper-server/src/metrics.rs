//! All metrics of a server, with their help texts.

mod leader;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub(crate) use leader::LeaderMetrics;

/// One per process; clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Seconds from sending a change until ZooKeeper committed it (T_znode).
    pub update_znode: Histogram,
    /// Seconds from the commit until this server's model showed it (T_watcher).
    pub update_watcher: Histogram,
    /// Reconcile passes over a stream.
    pub reconciles: Counter,
    /// Passes that failed; each is tried again.
    pub reconcile_failures: Counter,
    /// 1 while this server leads.
    pub is_leader: Gauge,
    pub(crate) leader: LeaderMetrics,
    /// Connections made to ZooKeeper, for the same session or a new one.
    pub link_connects: Counter,
    /// Sessions opened.
    pub link_sessions: Counter,
    /// Seconds without a connection, counted when it is back.
    pub link_suspended: Counter<f64, AtomicU64>,
    /// Seconds until ZooKeeper's leader answered: a sync every few seconds.
    pub link_sync: Histogram,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("flowkeeper");
        // 0.1 ms to 3 s: from a local commit to a slow ensemble.
        let seconds = || Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let (update_znode, update_watcher) = (seconds(), seconds());
        let (reconciles, reconcile_failures, is_leader) =
            (Counter::default(), Counter::default(), Gauge::default());
        registry.register_with_unit(
            "update_znode",
            "Time from sending a change until it was committed",
            Unit::Seconds,
            update_znode.clone(),
        );
        registry.register_with_unit(
            "update_watcher",
            "Time from the commit of a change until this server showed it",
            Unit::Seconds,
            update_watcher.clone(),
        );
        registry.register("reconciles", "Reconcile passes over a stream", reconciles.clone());
        registry.register(
            "reconcile_failures",
            "Reconcile passes that failed and will be repeated",
            reconcile_failures.clone(),
        );
        registry.register("is_leader", "1 while this server leads", is_leader.clone());
        let (link_connects, link_sessions) = (Counter::default(), Counter::default());
        let (link_suspended, link_sync) = (Counter::<f64, AtomicU64>::default(), seconds());
        registry.register("link_connects", "Connections made to ZooKeeper", link_connects.clone());
        registry.register("link_sessions", "Sessions opened at ZooKeeper", link_sessions.clone());
        registry.register_with_unit(
            "link_suspended",
            "Time without a connection to ZooKeeper",
            Unit::Seconds,
            link_suspended.clone(),
        );
        registry.register_with_unit(
            "link_sync",
            "Time until the leader of ZooKeeper answered a sync",
            Unit::Seconds,
            link_sync.clone(),
        );
        let leader = LeaderMetrics::register(&mut registry);
        Metrics {
            registry: Arc::new(registry),
            leader,
            update_znode,
            update_watcher,
            reconciles,
            reconcile_failures,
            is_leader,
            link_connects,
            link_sessions,
            link_suspended,
            link_sync,
        }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// How many times the histogram called `name` was observed, and the sum of what was.
    pub fn totals(&self, name: &str) -> (u64, f64) {
        // The library gives this away in its text only.
        let text = self.render();
        let value = |suffix: &str| {
            let lines = text
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(suffix)?.strip_prefix(' '));
            lines.map(str::to_owned).next().unwrap_or_default()
        };
        (value("_count").parse().unwrap_or(0), value("_sum").parse().unwrap_or(0.0))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_what_was_observed() {
        let metrics = Metrics::new();
        assert_eq!(metrics.totals("flowkeeper_update_znode_seconds"), (0, 0.0));
        metrics.update_znode.observe(0.5);
        metrics.update_znode.observe(0.25);
        assert_eq!(metrics.totals("flowkeeper_update_znode_seconds"), (2, 0.75));
    }
}
