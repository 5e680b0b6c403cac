//! Winds up orders: what is not wanted any more, what is stopped, and what has a successor on another node.

use std::collections::BTreeMap;

use super::Action;
use super::board::{Board, Order};
use super::lost::{Loss, patience_ms, withdrawal_ms};
use crate::model::{Exclusivity, InstanceId, ReleaseApp, Slot};

/// What is to become of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    /// It stands.
    Keep,
    /// It goes once its successor is ready, or its node has been lost for too long.
    Linger,
    /// It goes now.
    Go,
}

impl Board<'_> {
    /// Stops and then withdraws every order that is not to stand: surplus instances, other releases, other lives of the name,
    /// and copies that have moved.
    pub(super) fn retire(&mut self, wanted: &BTreeMap<InstanceId, &ReleaseApp>) {
        let instances: Vec<_> = self.standing.keys().cloned().collect();
        for instance in instances {
            let orders = self.standing.remove(&instance).unwrap_or_default();
            let app = wanted.get(&instance).copied();
            let successor = self.successor_is_ready(&instance, &orders);
            let mut left = Vec::new();
            for order in orders {
                let course = self.course(&instance, &order, app, successor);
                left.extend(self.pursue(&instance, order, app, course));
            }
            if !left.is_empty() {
                self.standing.insert(instance, left);
            }
        }
        self.forget_leftovers(wanted);
    }

    /// Whether the copy is ready that is to take the place of older ones.
    fn successor_is_ready(&self, instance: &InstanceId, orders: &[Order<'_>]) -> bool {
        let term = self.placement.slot(instance).map(|slot| slot.term);
        orders.first().is_some_and(|newest| {
            newest.is_ours && Some(newest.term) == term && !newest.stop && newest.is_ready(self.observed)
        })
    }

    fn course(
        &self,
        instance: &InstanceId,
        order: &Order<'_>,
        app: Option<&ReleaseApp>,
        successor_is_ready: bool,
    ) -> Course {
        let Some(app) = app.filter(|_| order.is_ours && !order.stop) else { return Course::Go };
        let Some(slot) = self.placement.slot(instance) else { return Course::Keep };
        if slot.term <= order.term {
            return Course::Keep;
        }
        // What must not run twice makes room first. So does what stands where its successor is to be: one node holds one
        // order for an instance.
        let must_go = app.exclusivity != Exclusivity::Shared || slot.node.as_ref() == Some(&order.node);
        if must_go || successor_is_ready { Course::Go } else { Course::Linger }
    }

    /// Writes the next step of an order's way. Gives it back as it stands then.
    fn pursue<'a>(
        &mut self,
        instance: &InstanceId,
        mut order: Order<'a>,
        app: Option<&ReleaseApp>,
        course: Course,
    ) -> Option<Order<'a>> {
        let observed = self.observed;
        let loss = match (course, app) {
            (Course::Keep, _) => return Some(order),
            (Course::Linger, Some(app)) => {
                self.loss(&order.node, |guard_ms| patience_ms(app, instance, observed, &order.node, guard_ms))
            }
            _ => {
                let exclusivity = self.exclusivity(instance);
                self.loss(&order.node, |guard_ms| withdrawal_ms(exclusivity, guard_ms))
            }
        };
        if loss == Loss::Over || order.has_stopped(observed) {
            // The slot tells of the newest order; an older one goes without a trace.
            if self.placement.slot(instance).is_none_or(|slot| slot.term <= order.term) {
                self.vacate(instance);
            }
            self.actions.push(Action::Withdraw { instance: instance.clone(), node: order.node });
            return None;
        }
        // A lost node is told as well: it stops the instance as soon as it returns.
        if course == Course::Go && !order.stop {
            self.actions.push(Action::Stop { instance: instance.clone(), node: order.node.clone() });
            order.stop = true;
        }
        Some(order)
    }

    /// Vacates slots whose order is gone although they are not wanted: crashed between two writes, or an operator's hand.
    fn forget_leftovers(&mut self, wanted: &BTreeMap<InstanceId, &ReleaseApp>) {
        let placed = |(app, slots): (&String, &Vec<Slot>)| {
            let placed = slots.iter().filter(|slot| slot.node.is_some());
            placed
                .map(|slot| InstanceId::new(self.name, app.clone(), slot.release, slot.index))
                .collect::<Vec<_>>()
        };
        let leftover: Vec<_> = self.placement.apps.iter().flat_map(placed).collect();
        for instance in leftover {
            if !wanted.contains_key(&instance) && !self.standing.contains_key(&instance) {
                self.vacate(&instance);
            }
        }
    }
}
