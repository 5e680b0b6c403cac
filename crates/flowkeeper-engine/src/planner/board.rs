//! What stands while a plan is made: slots, orders, and what the plan has decided so far.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Action;
use super::lost::{Loss, loss};
use crate::model::{
    Assignment, Desired, Exclusivity, InstanceId, InstanceState, NodeId, Observed, Placement, ReleaseApp,
    Report, Resources, Slot, Term, Want,
};
use crate::placement::takes;
use crate::rollout::{Rollout, Verdict, verdict};

/// Failures of so many releases before the one that runs are remembered.
const KEPT_FAILURES: u32 = 20;

pub(super) struct Board<'a> {
    pub(super) name: &'a str,
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) placement: Placement,
    /// Orders as they will stand once the actions so far are carried out; of each instance the newest first.
    pub(super) standing: BTreeMap<InstanceId, Vec<Order<'a>>>,
    pub(super) actions: Vec<Action>,
    pub(super) unplaced: Vec<(InstanceId, String)>,
    pub(super) wake_ms: Option<u64>,
    /// What is planned to go to each node, on top of what it holds.
    pub(super) taken: Cow<'a, BTreeMap<NodeId, Resources>>,
}

/// An order, and what its node says of the instance.
#[derive(Clone)]
pub(super) struct Order<'a> {
    pub(super) node: NodeId,
    pub(super) term: Term,
    pub(super) stop: bool,
    /// It belongs to this life of the stream's name.
    pub(super) is_ours: bool,
    /// The report under this order's term.
    report: Option<&'a Report>,
}

impl<'a> Board<'a> {
    pub(super) fn new(
        name: &'a str,
        desired: &'a Desired,
        placement: Option<&Placement>,
        observed: &'a Observed,
        taken: &'a BTreeMap<NodeId, Resources>,
    ) -> Self {
        // A placement of an earlier life of the name is void.
        let placement = placement.filter(|placement| placement.uid == desired.uid).cloned();
        let placement =
            placement.unwrap_or_else(|| Placement { uid: desired.uid.clone(), ..Placement::default() });
        let mut standing: BTreeMap<InstanceId, Vec<Order<'_>>> = BTreeMap::new();
        for (instance, order) in &observed.assignments {
            let order = Order::new(order, observed.reports.get(instance), desired);
            standing.entry(instance.clone()).or_default().push(order);
        }
        for (instance, leaving) in &observed.leaving {
            let older =
                leaving.iter().map(|leaving| Order::new(&leaving.order, leaving.report.as_ref(), desired));
            let orders = standing.entry(instance.clone()).or_default();
            orders.extend(older);
            orders.sort_by_key(|order| std::cmp::Reverse(order.term));
        }
        Board {
            name,
            desired,
            observed,
            placement,
            standing,
            actions: Vec::new(),
            unplaced: Vec::new(),
            wake_ms: None,
            taken: Cow::Borrowed(taken),
        }
    }

    /// Takes slots from standing orders where the placement was lost or is behind, so that no term is ever given twice.
    pub(super) fn adopt(&mut self) {
        for (instance, orders) in &self.standing {
            let Some(newest) = orders.iter().find(|order| order.is_ours) else { continue };
            // A slot without a node may have been vacated by a plan of which the withdrawal was not written.
            let is_behind = |slot: &Slot| (slot.term, slot.node.is_some()) < (newest.term, true);
            if self.placement.slot(instance).is_none_or(is_behind) {
                record(&mut self.placement, instance, newest.node.clone(), newest.term);
            }
        }
    }

    /// Decides which apps run now, and records what became of one that replaces another.
    pub(super) fn roll_out(&mut self) -> Vec<&'a ReleaseApp> {
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

    /// The order under which the instance is to run: the newest one, if it is the one its slot tells of.
    pub(super) fn current(&self, instance: &InstanceId) -> Option<&Order<'a>> {
        let newest = self.standing.get(instance)?.first()?;
        let slot = self.placement.slot(instance)?;
        (newest.is_ours && newest.term == slot.term).then_some(newest)
    }

    /// Writes an order for a slot that is recorded.
    pub(super) fn assign(&mut self, instance: &InstanceId, app: &ReleaseApp, node: NodeId, term: Term) {
        self.stand(instance, app, node.clone(), term);
        self.actions.push(Action::Assign { instance: instance.clone(), node, term });
    }

    /// Notes an order that is about to be written.
    pub(super) fn stand(&mut self, instance: &InstanceId, app: &ReleaseApp, node: NodeId, term: Term) {
        self.reserve(app, &node);
        let order = Order { node, term, stop: false, is_ours: true, report: None };
        self.standing.entry(instance.clone()).or_default().insert(0, order);
    }

    pub(super) fn reserve(&mut self, app: &ReleaseApp, node: &NodeId) {
        let sum = self.taken.to_mut().entry(node.clone()).or_default();
        *sum = sum.with(takes(app));
    }

    /// The next term of the instance's label and index.
    pub(super) fn next_term(&self, instance: &InstanceId) -> Term {
        Term(self.placement.term(&instance.app, instance.index).0 + 1)
    }

    /// Notes that the instance is nowhere. Of all copies with its label and index the one with the highest term is kept.
    pub(super) fn vacate(&mut self, instance: &InstanceId) {
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

    /// Whether `node` is lost for so long that `wait` (of the node's guard time) is over; if it is not yet, asks to be woken.
    pub(super) fn loss(&mut self, node: &NodeId, wait: impl FnOnce(u64) -> u64) -> Loss {
        let loss = loss(self.observed, node, wait);
        if let Loss::Waits { left_ms } = loss {
            self.wake_ms = Some(self.wake_ms.map_or(left_ms, |wake| wake.min(left_ms)));
        }
        loss
    }

    /// How exclusive an instance is that may not be wanted any more. One of a release that is not known is taken for the
    /// most exclusive, because waiting is always safe.
    pub(super) fn exclusivity(&self, instance: &InstanceId) -> Exclusivity {
        let releases = self.desired.release.iter().chain(&self.desired.base);
        let mut apps = releases.flat_map(|release| &release.apps);
        let app = apps.find(|app| app.label == instance.app && app.since == instance.release);
        app.map_or(Exclusivity::Strict, |app| app.exclusivity)
    }
}

/// Notes where the instance is; vacant copies of other releases with its index have had their day, unless only they still
/// know the highest term.
pub(super) fn record(placement: &mut Placement, instance: &InstanceId, node: NodeId, term: Term) {
    let InstanceId { app, release, index, .. } = instance;
    let slots = placement.apps.entry(app.clone()).or_default();
    let is_past = |slot: &Slot| slot.node.is_none() && slot.term <= term;
    let is_old = |slot: &Slot| slot.index == *index && (slot.release == *release || is_past(slot));
    slots.retain(|slot| !is_old(slot));
    slots.push(Slot { index: *index, node: Some(node), term, release: *release });
    slots.sort_by_key(|slot| (slot.release, slot.index));
}

impl<'a> Order<'a> {
    fn new(order: &Assignment, report: Option<&'a Report>, desired: &Desired) -> Order<'a> {
        Order {
            node: order.node.clone(),
            term: order.term,
            stop: order.stop,
            is_ours: order.uid == desired.uid,
            report: report.filter(|report| report.term == order.term),
        }
    }

    /// Its node, which is live, says that the process is gone for good.
    pub(super) fn has_stopped(&self, observed: &Observed) -> bool {
        observed.live(&self.node).is_some()
            && self.report.is_some_and(|report| report.state == InstanceState::Stopped)
    }

    pub(super) fn is_ready(&self, observed: &Observed) -> bool {
        observed.live(&self.node).is_some() && self.report.is_some_and(Report::is_ready)
    }
}
