//! A copy of one stream in which plans are carried out and agents obey at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Stream;
use crate::model::{
    Assignment, InstanceId, InstanceState, Leaving, NodeId, NodeView, Observed, Placement, Report, Resources,
    Term,
};
use crate::planner::{Action, Plan, plan_with};

/// Plans after which a copy that does not come to rest is left as it is.
const MOST_PLANS: usize = 30;

pub(super) struct Copy<'a> {
    stream: &'a Stream,
    placement: Option<Placement>,
    observed: Observed,
    /// Orders by node, with what it reports.
    orders: BTreeMap<(InstanceId, NodeId), (Assignment, Option<Report>)>,
}

impl<'a> Copy<'a> {
    pub(super) fn of(stream: &'a Stream, nodes: Arc<BTreeMap<NodeId, NodeView>>) -> Copy<'a> {
        let seen = &stream.observed;
        let newest = seen.assignments.iter().map(|(id, order)| (id, order, seen.reports.get(id)));
        let older = seen
            .leaving
            .iter()
            .flat_map(|(id, all)| all.iter().map(move |it| (id, &it.order, it.report.as_ref())));
        let orders = newest.chain(older).map(|(instance, order, report)| {
            ((instance.clone(), order.node.clone()), (order.clone(), report.cloned()))
        });
        let mut copy = Copy {
            stream,
            placement: stream.placement.clone(),
            orders: orders.collect(),
            observed: Observed { nodes, ..Observed::default() },
        };
        copy.look();
        copy
    }

    /// Plans, carries out and obeys until nothing is left to do. Gives the last plan; what all of them took is added to `taken`.
    pub(super) fn run(&mut self, taken: &mut BTreeMap<NodeId, Resources>) -> Plan {
        let Stream { name, desired, .. } = self.stream;
        let mut last = Plan::default();
        for _ in 0..MOST_PLANS {
            last = plan_with(name, desired, self.placement.as_ref(), &self.observed, taken);
            self.placement = Some(last.placement.clone());
            if last.actions.is_empty() {
                break;
            }
            for action in &last.actions {
                if let Some((node, takes)) = self.stream.taken_by(action) {
                    let sum = taken.entry(node).or_default();
                    *sum = sum.with(takes);
                }
                self.carry_out(action);
            }
            self.look();
        }
        last
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Assign { instance, node, term } => self.run_on(instance, node, *term),
            Action::Move { instance, from, to, term } => {
                self.orders.remove(&(instance.clone(), from.clone()));
                self.run_on(instance, to, *term);
            }
            Action::Stop { instance, node } => {
                let is_live = self.observed.live(node).is_some();
                if let Some((order, report)) = self.orders.get_mut(&(instance.clone(), node.clone())) {
                    order.stop = true;
                    *report = is_live.then(|| says(order.term, InstanceState::Stopped));
                }
            }
            Action::Withdraw { instance, node } => {
                drop(self.orders.remove(&(instance.clone(), node.clone())))
            }
            Action::Remove => {}
        }
    }

    fn run_on(&mut self, instance: &InstanceId, node: &NodeId, term: Term) {
        let order =
            Assignment { node: node.clone(), uid: self.stream.desired.uid.clone(), term, stop: false };
        let report = self.observed.live(node).map(|_| says(term, InstanceState::Running));
        self.orders.insert((instance.clone(), node.clone()), (order, report));
    }

    /// Derives what is observed from the orders.
    fn look(&mut self) {
        let mut by_instance: BTreeMap<InstanceId, Vec<Leaving>> = BTreeMap::new();
        for ((instance, node), (order, report)) in &self.orders {
            let report = report.clone().filter(|_| self.observed.live(node).is_some());
            by_instance.entry(instance.clone()).or_default().push(Leaving { order: order.clone(), report });
        }
        self.observed.assignments.clear();
        self.observed.reports.clear();
        self.observed.leaving.clear();
        for (instance, mut orders) in by_instance {
            orders.sort_by_key(|leaving| leaving.order.term);
            let Some(Leaving { order, report }) = orders.pop() else { continue };
            self.observed.reports.extend(report.map(|report| (instance.clone(), report)));
            self.observed.assignments.insert(instance.clone(), order);
            if !orders.is_empty() {
                self.observed.leaving.insert(instance, orders);
            }
        }
    }
}

fn says(term: Term, state: InstanceState) -> Report {
    Report { term, state, ready: state == InstanceState::Running, failing: false, reason: None }
}
