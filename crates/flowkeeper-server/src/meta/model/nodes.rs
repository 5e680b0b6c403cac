//! The nodes of the cluster: what they say of themselves, what was decided about them, and how the planner sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use flowkeeper_deploy::record::{LiveRecord, LoadRecord, NodeConfigRecord, NodeRecord};
use flowkeeper_engine::model::{Closed, NodeId, NodeTraits, NodeView, Presence, Resources};
use flowkeeper_engine::nodes::Assessment;

use super::{Model, Versioned};

/// A node that is or was there.
#[derive(Clone, Debug, Default)]
pub struct NodeEntry {
    pub registration: Option<Versioned<NodeRecord>>,
    pub live: Option<Arc<LiveRecord>>,
    pub config: Option<Versioned<NodeConfigRecord>>,
    traits: Arc<NodeTraits>,
    /// What it said it has, also while it is lost.
    capacity: Resources,
    /// Since when this server knows that it is not live.
    lost_since: Option<Instant>,
}

impl NodeEntry {
    pub(super) fn set_live(&mut self, live: Option<Arc<LiveRecord>>) {
        if let Some(live) = &live {
            self.traits = Arc::new(NodeTraits {
                host: live.host.clone(),
                ip: live.ip.clone(),
                zone: live.zone.clone(),
                rack: live.rack.clone(),
                groups: live.groups.clone(),
                labels: live.labels.clone(),
            });
            self.capacity = Resources { slots: live.slots, cpu_m: live.cpu_m, mem_mib: live.mem_mib };
            self.lost_since = None;
        } else {
            self.lost_since.get_or_insert_with(Instant::now);
        }
        self.live = live;
    }

    /// Where it is and what it is called, as it said last.
    pub fn traits(&self) -> &NodeTraits {
        &self.traits
    }

    /// Milliseconds since this server saw it go; `None`: it is live.
    pub fn lost_ms(&self) -> Option<u64> {
        let since = self.lost_since.filter(|_| self.live.is_none())?;
        Some(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn is_gone(&self) -> bool {
        self.registration.is_none() && self.live.is_none() && self.config.is_none()
    }

    fn presence(&self) -> Presence {
        match self.lost_ms() {
            None if self.live.is_some() => Presence::Live,
            lost => Presence::Lost {
                for_ms: lost.unwrap_or(0),
                guard_ms: self.registration.as_ref().map_or(0, |found| found.record.guard),
            },
        }
    }

    /// Why nothing new is placed there, if so.
    pub fn closed(&self, id: &NodeId, assessment: &Assessment) -> Option<Closed> {
        let config = self.config.as_ref().map(|config| &*config.record);
        let quarantine = || {
            let found = config?.quarantine.as_ref().filter(|found| is_future(&found.until))?;
            Some(Closed::Quarantined(format!("{}; until {}", found.reason, found.until)))
        };
        let unfit = || self.live.as_ref()?.unfit.clone().map(Closed::Unfit);
        match config {
            Some(config) if config.draining => return Some(Closed::Draining),
            Some(config) if config.cordoned => return Some(Closed::Cordoned),
            _ => {}
        }
        let settling = || assessment.settling.contains(id).then_some(Closed::Settling);
        quarantine().or_else(unfit).or_else(settling)
    }
}

/// Whether a time, RFC 3339, is still to come.
fn is_future(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok_and(|at| at > jiff::Timestamp::now())
}

impl Model {
    /// Changes what is known of a node; one of which nothing is known any more is forgotten.
    pub(super) fn change_node(&mut self, id: NodeId, change: impl FnOnce(&mut NodeEntry)) {
        self.views.take();
        let entry = self.nodes.entry(id.clone()).or_default();
        change(entry);
        if entry.live.is_none() {
            entry.lost_since.get_or_insert_with(Instant::now);
        }
        if entry.is_gone() {
            self.nodes.remove(&id);
        }
    }

    /// Notes what the leader finds about the comings and goings of nodes.
    pub(in crate::meta) fn assess(&mut self, assessment: Arc<Assessment>) {
        self.views.take();
        self.assessment = assessment;
    }

    /// Why nothing is moved off lost nodes at present, if so.
    pub fn brake_reason(&self) -> Option<&str> {
        self.brake.as_ref()?.record.held.as_deref()
    }

    /// How busy a node says it is.
    pub fn load(&self, node: &NodeId) -> Option<&LoadRecord> {
        let live = self.nodes.get(node)?.live.as_ref()?;
        let bucket = self.statuses.get(&(node.clone(), "00".to_owned()))?;
        bucket.load.as_ref().filter(|_| bucket.inc == live.inc)
    }

    /// All nodes as the planner sees them. Cheap while none is lost: then the views of the last call are given again.
    pub fn views(&self) -> Arc<BTreeMap<NodeId, NodeView>> {
        if self.nodes.values().any(|entry| entry.live.is_none()) {
            return self.make_views();
        }
        self.views.get_or_init(|| self.make_views()).clone()
    }

    fn make_views(&self) -> Arc<BTreeMap<NodeId, NodeView>> {
        let view = |(id, entry): (&NodeId, &NodeEntry)| {
            let busy = self.load(id).map_or(0, |load| load.cpu.max(load.mem));
            let view = NodeView {
                id: id.clone(),
                presence: entry.presence(),
                spread_ms: entry.registration.as_ref().map_or(0, |found| found.record.spread),
                closed: entry.closed(id, &self.assessment),
                traits: entry.traits.clone(),
                capacity: entry.capacity,
                used: self.used(id),
                busy,
                penalty: self.assessment.penalties.get(id).copied().unwrap_or(0),
            };
            (id.clone(), view)
        };
        Arc::new(self.nodes.iter().map(view).collect())
    }
}
