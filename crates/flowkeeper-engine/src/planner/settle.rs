//! Sees to it that each wanted instance has a node and an order, and leaves nodes that are lost or to be emptied.

use std::collections::BTreeMap;

use super::Action;
use super::board::{Board, record};
use super::lost::{Loss, patience_ms};
use crate::model::{Closed, Exclusive, Exclusivity, InstanceId, NodeId, ReleaseApp, Slot, Term};
use crate::placement::{Surroundings, choose};

impl Board<'_> {
    pub(super) fn settle(
        &mut self,
        instance: &InstanceId,
        app: &ReleaseApp,
        wanted: &BTreeMap<InstanceId, &ReleaseApp>,
    ) {
        match self.current(instance).map(|order| (order.node.clone(), order.stop)) {
            // It is placed anew when it has stopped.
            Some((_, true)) => {}
            Some((node, false)) => match self.loss_of(instance, app, &node) {
                Loss::None if self.is_draining(&node) => self.leave(instance, app, &node),
                Loss::None | Loss::Waits { .. } => {}
                Loss::Over => self.give_up(instance, app, &node),
            },
            None => self.place(instance, app, wanted),
        }
    }

    fn loss_of(&mut self, instance: &InstanceId, app: &ReleaseApp, node: &NodeId) -> Loss {
        let observed = self.observed;
        self.loss(node, |guard_ms| patience_ms(app, instance, observed, node, guard_ms))
    }

    fn is_draining(&self, node: &NodeId) -> bool {
        self.observed.nodes.get(node).is_some_and(|node| node.closed == Some(Closed::Draining))
    }

    /// Gives an instance without an order of its slot's term a node and an order.
    fn place(&mut self, instance: &InstanceId, app: &ReleaseApp, wanted: &BTreeMap<InstanceId, &ReleaseApp>) {
        // An old one is still there: its place is taken once it is gone.
        let older = self.nodes_held(instance);
        if (app.exclusivity != Exclusivity::Shared && !older.is_empty())
            || (app.exclusive != Exclusive::No && self.has_rival(instance, wanted))
        {
            return;
        }
        if let Some(Slot { node: Some(node), term, .. }) = self.placement.slot(instance).cloned() {
            // Placed, but the order is missing: the crash was between recording and ordering.
            match self.loss_of(instance, app, &node) {
                Loss::None if older.contains(&node) => return,
                Loss::None if !self.is_draining(&node) => return self.assign(instance, app, node, term),
                Loss::Waits { .. } => return,
                Loss::None | Loss::Over => {}
            }
        }
        match self.choose(instance, app, None) {
            Ok(node) => {
                let term = self.record(instance, &node);
                self.assign(instance, app, node, term);
            }
            Err(reason) => self.unplaced.push((instance.clone(), reason)),
        }
    }

    /// Whether another release's copy with the same label and index is in the way. One that is to run beside it is not.
    fn has_rival(&self, instance: &InstanceId, wanted: &BTreeMap<InstanceId, &ReleaseApp>) -> bool {
        self.standing.keys().any(|other| {
            (&other.app, other.index) == (&instance.app, instance.index)
                && other.release != instance.release
                && !wanted.contains_key(other)
        })
    }

    /// Moves an instance off a node that has been lost for long enough.
    fn give_up(&mut self, instance: &InstanceId, app: &ReleaseApp, from: &NodeId) {
        if let Some(brake) = &self.observed.brake {
            let reason = format!(
                "cannot leave node {from}, which does not answer: nothing is moved at present: {brake}"
            );
            return self.unplaced.push((instance.clone(), reason));
        }
        // What must not run twice has no second order but one that is being wound up.
        if app.exclusivity != Exclusivity::Shared && self.nodes_held(instance).len() > 1 {
            return;
        }
        match self.choose(instance, app, Some(from)) {
            Ok(to) => {
                let term = self.record(instance, &to);
                if let Some(orders) = self.standing.get_mut(instance) {
                    orders.retain(|order| order.node != *from);
                }
                self.stand(instance, app, to.clone(), term);
                self.actions.push(Action::Move { instance: instance.clone(), from: from.clone(), to, term });
            }
            Err(reason) => {
                let reason = format!("cannot leave node {from}, which does not answer: {reason}");
                self.unplaced.push((instance.clone(), reason));
            }
        }
    }

    /// Moves an instance off a live node that is to be emptied.
    fn leave(&mut self, instance: &InstanceId, app: &ReleaseApp, from: &NodeId) {
        match self.choose(instance, app, Some(from)) {
            Ok(to) if app.exclusivity == Exclusivity::Shared => {
                let term = self.record(instance, &to);
                self.assign(instance, app, to, term);
            }
            Ok(to) => {
                // Room for it is kept while this plan goes on, so that two do not stop for the same last place.
                self.reserve(app, &to);
                if let Some(newest) = self.standing.get_mut(instance).and_then(|orders| orders.first_mut()) {
                    newest.stop = true;
                }
                self.actions.push(Action::Stop { instance: instance.clone(), node: from.clone() });
            }
            Err(reason) => {
                self.unplaced.push((instance.clone(), format!("cannot leave node {from}: {reason}")))
            }
        }
    }

    /// Notes the instance's new node under a new term.
    fn record(&mut self, instance: &InstanceId, node: &NodeId) -> Term {
        let term = self.next_term(instance);
        record(&mut self.placement, instance, node.clone(), term);
        term
    }

    fn nodes_held(&self, instance: &InstanceId) -> Vec<NodeId> {
        self.standing.get(instance).into_iter().flatten().map(|order| order.node.clone()).collect()
    }

    fn choose(
        &self,
        instance: &InstanceId,
        app: &ReleaseApp,
        not_on: Option<&NodeId>,
    ) -> Result<NodeId, String> {
        let around = Surroundings::of(&self.placement, instance);
        choose(
            &around.ask(instance, app, not_on),
            &self.nodes_held(instance),
            &self.observed.nodes,
            &self.taken,
        )
    }
}
