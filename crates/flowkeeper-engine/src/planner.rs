//! Desired + placement + observed → what the leader writes next. Pure and deterministic: two leaders that see the same
//! state plan the same.
//!
//! The planner is level-triggered: it never remembers what it planned before, so a crash between any two writes is
//! repaired by planning again from what stands in the metadata.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Assignment, Desired, Exclusive, InstanceId, InstanceState, NodeId, Observed, Placement, ReleaseApp, Slot,
    Term, Want,
};
use crate::rollout::{Rollout, Verdict, verdict};

/// Failures of so many releases before the one that runs are remembered.
const KEPT_FAILURES: u32 = 20;

/// What the leader writes in one transaction (split by the driver when it is too long).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The placement as it must be recorded; equal to the old one when nothing moved.
    pub placement: Placement,
    pub actions: Vec<Action>,
    /// Instances that are wanted and cannot be placed, each with the reason.
    pub unplaced: Vec<(InstanceId, String)>,
}

/// One write of the leader.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Order a node to run an instance.
    Assign { instance: InstanceId, node: NodeId, term: Term },
    /// Tell the node to stop it; the order stays until the node reports that it stopped.
    Stop { instance: InstanceId, node: NodeId },
    /// Withdraw an order whose instance is stopped, or whose node is gone.
    Withdraw { instance: InstanceId, node: NodeId },
    /// Everything of a destroyed stream is stopped: remove its records.
    Remove,
}

/// Plans the next step of stream `name`. Applying it and calling again converges on what is desired.
pub fn plan(name: &str, desired: &Desired, placement: Option<&Placement>, observed: &Observed) -> Plan {
    let mut planning = Planning::new(name, desired, placement, observed);
    planning.adopt();
    let running = planning.roll_out();
    let wanted: BTreeSet<InstanceId> = running.iter().flat_map(|app| app.instances(name)).collect();
    planning.retire(&wanted);
    // Sinks first, as SCDF deploys: consumers are asked for before producers.
    for app in running.into_iter().rev() {
        app.instances(name).for_each(|instance| planning.place(instance, app.exclusive, &wanted));
    }
    planning.placement.generation = desired.generation;
    if desired.want == Want::Destroyed && planning.is_finished() {
        planning.actions.push(Action::Remove);
    }
    Plan { placement: planning.placement, actions: planning.actions, unplaced: planning.unplaced }
}

struct Planning<'a> {
    name: &'a str,
    desired: &'a Desired,
    observed: &'a Observed,
    placement: Placement,
    /// Orders as they will stand once the actions so far are carried out.
    standing: BTreeMap<InstanceId, Assignment>,
    actions: Vec<Action>,
    unplaced: Vec<(InstanceId, String)>,
    /// Instances this plan puts on each node, on top of what it holds.
    added: BTreeMap<NodeId, u32>,
}

impl<'a> Planning<'a> {
    fn new(
        name: &'a str,
        desired: &'a Desired,
        placement: Option<&Placement>,
        observed: &'a Observed,
    ) -> Self {
        // A placement of an earlier life of the name is void.
        let placement = placement.filter(|placement| placement.uid == desired.uid).cloned();
        let placement =
            placement.unwrap_or_else(|| Placement { uid: desired.uid.clone(), ..Placement::default() });
        Planning {
            name,
            desired,
            observed,
            placement,
            standing: observed.assignments.clone(),
            actions: Vec::new(),
            unplaced: Vec::new(),
            added: BTreeMap::new(),
        }
    }

    /// Decides which apps run now, and records what became of one that replaces another.
    fn roll_out(&mut self) -> Vec<&'a ReleaseApp> {
        let rollout = Rollout::of(self.desired, Some(&self.placement));
        match rollout {
            Rollout::Only(release) => {
                self.placement.release = release.number;
                self.placement.failed.retain(|number, _| *number + KEPT_FAILURES > release.number);
            }
            Rollout::Replacing { from, to } => {
                match verdict(self.name, to, self.desired, &self.placement, self.observed) {
                    Verdict::Waiting(_) => {}
                    Verdict::Healthy => {
                        self.placement.release = to.number;
                        return Rollout::Only(to).running();
                    }
                    Verdict::Failed(reason) => {
                        self.placement.failed.insert(to.number, reason);
                        return Rollout::Kept { from, to }.running();
                    }
                }
            }
            Rollout::Off => self.give_up_half_done(),
            Rollout::Kept { .. } => {}
        }
        rollout.running()
    }

    /// A stream that is stopped while one release replaces another last ran the other.
    fn give_up_half_done(&mut self) {
        let half_done = self.desired.release.as_ref().filter(|to| {
            to.replaces == Some(self.placement.release) && self.desired.want == Want::Undeployed
        });
        if let Some(to) = half_done {
            let reason = "Undeployed before all its apps were healthy.".to_owned();
            self.placement.failed.entry(to.number).or_insert(reason);
        }
    }

    /// Takes slots from standing orders where the placement was lost or is behind, so that no term is ever given twice.
    fn adopt(&mut self) {
        let orders = self.observed.assignments.iter().filter(|(_, order)| order.uid == self.desired.uid);
        let orders: Vec<_> = orders.map(|(instance, order)| (instance.clone(), order.clone())).collect();
        for (instance, order) in orders {
            let known = self.placement.slot(&instance);
            if known.is_none_or(|slot| slot.term < order.term) {
                self.record(&instance, order.node, order.term);
            }
        }
    }

    /// Stops and then withdraws every order that is not wanted: surplus instances, other releases, other lives of the name.
    fn retire(&mut self, wanted: &BTreeSet<InstanceId>) {
        let standing: Vec<_> = self.standing.iter().map(|(id, order)| (id.clone(), order.clone())).collect();
        for (instance, order) in standing {
            let is_current = order.uid == self.desired.uid
                && wanted.contains(&instance)
                && self.placement.slot(&instance).is_none_or(|slot| slot.term <= order.term);
            if is_current && !order.stop {
                continue;
            }
            if self.has_stopped(&instance, &order) {
                self.actions.push(Action::Withdraw { instance: instance.clone(), node: order.node.clone() });
                self.standing.remove(&instance);
                self.vacate(&instance);
            } else if !order.stop {
                self.actions.push(Action::Stop { instance, node: order.node });
            }
        }
        // Slots whose order is gone although they are not wanted: crashed between two writes, or an operator's hand.
        let placed = |(app, slots): (&String, &Vec<Slot>)| {
            let placed = slots.iter().filter(|slot| slot.node.is_some());
            placed
                .map(|slot| InstanceId::new(self.name, app.clone(), slot.release, slot.index))
                .collect::<Vec<_>>()
        };
        let leftover: Vec<_> = self.placement.apps.iter().flat_map(placed).collect();
        for instance in leftover {
            if !wanted.contains(&instance) && !self.standing.contains_key(&instance) {
                self.vacate(&instance);
            }
        }
    }

    /// The instance runs no more under this order: its node says so, or its node is gone (an agent that comes back stops
    /// whatever has no order before it accepts new ones).
    fn has_stopped(&self, instance: &InstanceId, order: &Assignment) -> bool {
        if self.observed.live(&order.node).is_none() {
            return true;
        }
        let report = self.observed.reports.get(instance);
        report.is_some_and(|report| report.term == order.term && report.state == InstanceState::Stopped)
    }

    /// Notes that the instance is nowhere. Of all copies with its label and index the one with the highest term is kept.
    fn vacate(&mut self, instance: &InstanceId) {
        let newest = self.placement.term(&instance.app, instance.index);
        let Some(slots) = self.placement.apps.get_mut(&instance.app) else { return };
        slots.retain_mut(|slot| {
            if (slot.release, slot.index) != (instance.release, instance.index) {
                return true;
            }
            slot.node = None;
            slot.term == newest
        });
    }

    /// Sees to it that a wanted instance has a node and an order.
    fn place(&mut self, instance: InstanceId, exclusive: Exclusive, wanted: &BTreeSet<InstanceId>) {
        let is_exclusive = exclusive != Exclusive::No;
        // One that is to run beside it does not clash.
        let is_other = |other: &InstanceId| {
            (&other.app, other.index) == (&instance.app, instance.index)
                && other.release != instance.release
                && !wanted.contains(other)
        };
        // It is as wanted, or an old one is still stopping: its place is taken once it is gone.
        if self.standing.contains_key(&instance) || (is_exclusive && self.standing.keys().any(is_other)) {
            return;
        }
        let old = self.placement.slot(&instance).cloned();
        if let Some(Slot { node: Some(node), term, .. }) = old {
            // Placed, but the order is missing: the crash was between recording and ordering.
            self.assign(instance, node, term);
            return;
        }
        let term = Term(self.placement.term(&instance.app, instance.index).0 + 1);
        match self.choose_node(&instance) {
            Ok(node) => {
                self.record(&instance, node.clone(), term);
                self.assign(instance, node, term);
            }
            Err(reason) => self.unplaced.push((instance, reason)),
        }
    }

    fn assign(&mut self, instance: InstanceId, node: NodeId, term: Term) {
        *self.added.entry(node.clone()).or_default() += 1;
        let order = Assignment { node: node.clone(), uid: self.desired.uid.clone(), term, stop: false };
        self.standing.insert(instance.clone(), order);
        self.actions.push(Action::Assign { instance, node, term });
    }

    /// Notes where the instance is; vacant copies of older releases with its index have had their day.
    fn record(&mut self, instance: &InstanceId, node: NodeId, term: Term) {
        let InstanceId { app, release, index, .. } = instance;
        let slots = self.placement.apps.entry(app.clone()).or_default();
        let is_old = |slot: &Slot| slot.index == *index && (slot.release == *release || slot.node.is_none());
        slots.retain(|slot| !is_old(slot));
        slots.push(Slot { index: *index, node: Some(node), term, release: *release });
        slots.sort_by_key(|slot| (slot.release, slot.index));
    }

    /// The least loaded node with room; a rendezvous hash decides between equals.
    fn choose_node(&self, instance: &InstanceId) -> Result<NodeId, String> {
        if !self.observed.has_live_node() {
            return Err("no node is alive; start an agent with 'flowkeeper agent'".to_owned());
        }
        let load = |id: &NodeId, used: u32| used + self.added.get(id).copied().unwrap_or(0);
        let best = self
            .observed
            .nodes
            .values()
            .filter(|node| node.is_live() && node.closed.is_none())
            .filter(|node| load(&node.id, node.used.slots) < node.capacity.slots)
            .min_by_key(|node| (load(&node.id, node.used.slots), rendezvous(instance, &node.id)));
        best.map(|node| node.id.clone()).ok_or_else(|| {
            let live = self.observed.nodes.values().filter(|node| node.is_live());
            let (closed, full): (Vec<_>, Vec<_>) = live.partition(|node| node.closed.is_some());
            let (closed, full) = (closed.len(), full.len());
            format!("no node has room: {full} full, {closed} cordoned; add an agent or raise its slots")
        })
    }

    fn is_finished(&self) -> bool {
        self.standing.is_empty() && self.placement.is_vacant()
    }
}

/// Highest-random-weight hash (FNV-1a): the same pair gives the same weight in every process and version. The release is no
/// part of it, so that copies of two releases prefer the same node.
fn rendezvous(instance: &InstanceId, node: &NodeId) -> u64 {
    let InstanceId { stream, app, index, .. } = instance;
    let text = format!("{stream}~{app}~{index}@{node}");
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
