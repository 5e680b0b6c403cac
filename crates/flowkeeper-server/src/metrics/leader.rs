//! What the leader does and finds. On other servers these stand still.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct LeaderMetrics {
    /// Number of the present leadership.
    pub(crate) epoch: Gauge,
    /// Seconds of a look at all streams.
    pub(crate) pass: Histogram,
    /// Streams that a look at all of them takes in.
    pub(crate) streams: Gauge,
    /// Instances ordered to a node because another one was lost.
    pub(crate) moves: Counter,
    /// Orders to run an instance, moves included.
    pub(crate) orders: Counter,
    /// Instances that are wanted and have no node, or cannot leave theirs.
    pub(crate) unplaced: Gauge,
    /// Nodes that are live, and nodes that are known and not.
    pub(crate) nodes_live: Gauge,
    pub(crate) nodes_lost: Gauge,
    /// 1 while nothing is moved off lost nodes.
    pub(crate) brake: Gauge,
    /// Findings in the metadata that were there in two looks in a row.
    pub(crate) fsck_findings: Gauge,
}

impl LeaderMetrics {
    pub(super) fn register(registry: &mut Registry) -> LeaderMetrics {
        let metrics = LeaderMetrics {
            epoch: Gauge::default(),
            // 1 ms to 30 s: from an empty cluster to a hundred thousand streams.
            pass: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            streams: Gauge::default(),
            moves: Counter::default(),
            orders: Counter::default(),
            unplaced: Gauge::default(),
            nodes_live: Gauge::default(),
            nodes_lost: Gauge::default(),
            brake: Gauge::default(),
            fsck_findings: Gauge::default(),
        };
        registry.register("leader_epoch", "Number of this leadership, 0 while none", metrics.epoch.clone());
        registry.register_with_unit(
            "leader_pass",
            "Time of a look at all streams",
            Unit::Seconds,
            metrics.pass.clone(),
        );
        registry.register("leader_streams", "Streams in the last look at all", metrics.streams.clone());
        registry.register("leader_moves", "Instances moved off lost nodes", metrics.moves.clone());
        registry.register("leader_orders", "Orders to run an instance", metrics.orders.clone());
        registry.register(
            "leader_unplaced",
            "Instances without a node, or that cannot leave theirs",
            metrics.unplaced.clone(),
        );
        registry.register("nodes_live", "Nodes that are live", metrics.nodes_live.clone());
        registry.register("nodes_lost", "Nodes that are known and not live", metrics.nodes_lost.clone());
        registry.register("brake", "1 while nothing is moved off lost nodes", metrics.brake.clone());
        registry.register(
            "fsck_findings",
            "Things in the metadata that do not fit, in two looks in a row",
            metrics.fsck_findings.clone(),
        );
        metrics
    }
}
