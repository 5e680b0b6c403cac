//! Desired + placement + observed → what the leader writes next. Pure and deterministic: two leaders that see the same
//! state plan the same.
//!
//! The planner is level-triggered: it never remembers what it planned before, so a crash between any two writes is
//! repaired by planning again from what stands in the metadata.
//!
//! One plan goes through four steps, each in a file of its own:
//!
//! 1. `board`: what stands: slots and orders. Slots that are behind their orders are brought up to date, so that no term is
//!    ever given twice.
//! 2. [`crate::rollout`]: which apps of which release are to run.
//! 3. `retire`: orders that are not wanted, or that have a successor, are wound up.
//! 4. `settle`: each wanted instance gets a node and an order, and leaves nodes that are lost or to be emptied.
//!
//! # Moving
//!
//! An instance has one slot, and the order with the slot's term is its *current* one. Orders with lower terms are leaving.
//!
//! * *Its node is lost.* After a while (`lost`) the old order is withdrawn and a new one is written on another node,
//!   [`Action::Move`], in one transaction that also checks that the lost node has not registered again: the node that comes
//!   back and the leader that gives up on it cannot both win. With nowhere to go it stays recorded where it was, because that
//!   node may return.
//! * *Its node is to be emptied.* What may run twice gets its new order beside the old one; once the new copy is ready the old
//!   one is stopped and withdrawn, so never fewer run than wanted. What must not run twice is stopped first, and only if
//!   another node can take it; its new order is written when its node reports that it stopped.
//! * *The new node is lost while the old copy still runs.* The new order moves on to a third node, and the old copy goes on
//!   until that one is ready. The instance does not go back to its old order: that one has a lower term, and a slot that
//!   went back to it would give the terms in between a second time.

mod board;
mod lost;
mod retire;
mod settle;

use std::collections::BTreeMap;

use board::Board;
pub(crate) use lost::explain as explain_loss;
pub use lost::{DEBOUNCE_MS, RETURN_MS};

use crate::model::{Desired, InstanceId, NodeId, Observed, Placement, ReleaseApp, Resources, Term, Want};

/// What the leader writes in one transaction (split by the driver when it is too long).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The placement as it must be recorded; equal to the old one when nothing moved.
    pub placement: Placement,
    pub actions: Vec<Action>,
    /// Instances that are wanted and cannot be placed, or cannot leave the node they are on, each with the reason.
    pub unplaced: Vec<(InstanceId, String)>,
    /// Milliseconds until it is to be planned again although nothing changed: a lost node has had its time then.
    pub wake_ms: Option<u64>,
}

/// One write of the leader.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Order a node to run an instance. An older order for it may stand on another node.
    Assign { instance: InstanceId, node: NodeId, term: Term },
    /// Withdraw the order on a lost node and order another one to run the instance, in one transaction, provided that the
    /// lost node has not registered again.
    Move { instance: InstanceId, from: NodeId, to: NodeId, term: Term },
    /// Tell the node to stop it; the order stays until the node reports that it stopped.
    Stop { instance: InstanceId, node: NodeId },
    /// Withdraw an order whose instance is stopped, or whose node is lost; in that case provided that the node has not
    /// registered again.
    Withdraw { instance: InstanceId, node: NodeId },
    /// Everything of a destroyed stream is stopped: remove its records.
    Remove,
}

/// Plans the next step of stream `name`. Applying it and calling again converges on what is desired.
pub fn plan(name: &str, desired: &Desired, placement: Option<&Placement>, observed: &Observed) -> Plan {
    plan_with(name, desired, placement, observed, &BTreeMap::new())
}

/// As [`plan`], where `taken` is what other plans, which are not observed yet, take of the nodes.
pub fn plan_with(
    name: &str,
    desired: &Desired,
    placement: Option<&Placement>,
    observed: &Observed,
    taken: &BTreeMap<NodeId, Resources>,
) -> Plan {
    let mut board = Board::new(name, desired, placement, observed, taken);
    board.adopt();
    let running = board.roll_out();
    // An app that is carried over from one release to the next is named twice; the newer one counts.
    let wanted: BTreeMap<InstanceId, &ReleaseApp> =
        running.iter().flat_map(|app| app.instances(name).map(|instance| (instance, *app))).collect();
    board.retire(&wanted);
    // Sinks first, as SCDF deploys: consumers are asked for before producers.
    for app in running.iter().rev() {
        app.instances(name).for_each(|instance| board.settle(&instance, wanted[&instance], &wanted));
    }
    board.finish()
}

/// Moves an instance to another node although the one that it is on is fine: its new order is written beside the old one, which
/// later plans wind up once the new copy is ready. `None`: it is not placed, or it is there already. Only for what may run
/// twice for a moment; nobody but [`crate::rebalance`] has a reason to.
pub fn relocate(placement: &Placement, instance: &InstanceId, to: &NodeId) -> Option<Plan> {
    placement.slot(instance)?.node.as_ref().filter(|node| *node != to)?;
    let term = Term(placement.term(&instance.app, instance.index).0 + 1);
    let mut placement = placement.clone();
    board::record(&mut placement, instance, to.clone(), term);
    let actions = vec![Action::Assign { instance: instance.clone(), node: to.clone(), term }];
    Some(Plan { placement, actions, ..Plan::default() })
}

impl Board<'_> {
    fn finish(mut self) -> Plan {
        self.placement.generation = self.desired.generation;
        if self.desired.want == Want::Destroyed && self.standing.is_empty() && self.placement.is_vacant() {
            self.actions.push(Action::Remove);
        }
        Plan {
            placement: self.placement,
            actions: self.actions,
            unplaced: self.unplaced,
            wake_ms: self.wake_ms,
        }
    }
}

#[cfg(test)]
mod tests;
