//! The orders that stand, by instance. While an instance moves it has two: one on its new node and an older one, under a
//! lower term, on the node that it leaves.

use std::collections::BTreeMap;

use flowkeeper_deploy::record::AssignmentRecord;
use flowkeeper_engine::model::{InstanceId, NodeId, Resources};

use super::{Model, Versioned};

/// An order with the node it was given to.
pub type Placed = (NodeId, Versioned<AssignmentRecord>);

#[derive(Debug)]
struct Standing {
    placed: Placed,
    takes: Resources,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Of each instance the orders that stand, highest term first; never empty.
    standing: BTreeMap<InstanceId, Vec<Standing>>,
    /// What the orders take of each node.
    used: BTreeMap<NodeId, Resources>,
}

impl Orders {
    /// Notes the order about `instance` on `node`, or that there is none any more.
    pub(super) fn put(
        &mut self,
        instance: InstanceId,
        node: NodeId,
        order: Option<Versioned<AssignmentRecord>>,
        takes: Resources,
    ) {
        let mut standing = self.standing.remove(&instance).unwrap_or_default();
        if let Some(at) = standing.iter().position(|found| found.placed.0 == node) {
            let old = standing.remove(at);
            let used = self.used.entry(node.clone()).or_default();
            *used = used.without(old.takes);
        }
        if let Some(order) = order {
            let used = self.used.entry(node.clone()).or_default();
            *used = used.with(takes);
            standing.push(Standing { placed: (node, order), takes });
            standing.sort_by_key(|standing| std::cmp::Reverse(standing.placed.1.record.t));
        }
        if !standing.is_empty() {
            self.standing.insert(instance, standing);
        }
    }

    /// Counts again what each order takes.
    pub(super) fn weigh(&mut self, weight: impl Fn(&InstanceId) -> Resources) {
        self.used.clear();
        for (instance, standing) in &mut self.standing {
            let takes = weight(instance);
            for found in standing {
                found.takes = takes;
                let used = self.used.entry(found.placed.0.clone()).or_default();
                *used = used.with(takes);
            }
        }
    }

    pub(super) fn used(&self, node: &NodeId) -> Resources {
        self.used.get(node).copied().unwrap_or_default()
    }

    fn of<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = (&'a InstanceId, &'a Vec<Standing>)> {
        let first = InstanceId::new(stream, "", 0, 0);
        self.standing.range(first..).take_while(move |(instance, _)| instance.stream == stream)
    }
}

impl Model {
    /// What the orders of all streams take of `node`.
    pub fn used(&self, node: &NodeId) -> Resources {
        self.orders.used(node)
    }

    /// The newest order about each instance of `stream`.
    pub fn assignments_of<'a>(
        &'a self,
        stream: &'a str,
    ) -> impl Iterator<Item = (&'a InstanceId, &'a Placed)> {
        self.orders.of(stream).filter_map(|(instance, standing)| Some((instance, &standing.first()?.placed)))
    }

    /// Orders about instances of `stream` that stand beside newer ones.
    pub fn leaving_of<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = (&'a InstanceId, &'a Placed)> {
        let older = |(instance, standing): (&'a InstanceId, &'a Vec<Standing>)| {
            standing.iter().skip(1).map(move |found| (instance, &found.placed))
        };
        self.orders.of(stream).flat_map(older)
    }

    /// The newest order about one instance.
    pub fn assignment(&self, instance: &InstanceId) -> Option<&Placed> {
        Some(&self.orders.standing.get(instance)?.first()?.placed)
    }

    /// The order about one instance on one node.
    pub fn assignment_on(
        &self,
        instance: &InstanceId,
        node: &NodeId,
    ) -> Option<&Versioned<AssignmentRecord>> {
        let standing = self.orders.standing.get(instance)?;
        standing.iter().find(|found| found.placed.0 == *node).map(|found| &found.placed.1)
    }

    /// All orders, with the nodes they were given to.
    pub fn assignments(&self) -> impl Iterator<Item = (&InstanceId, &Placed)> {
        self.orders
            .standing
            .iter()
            .flat_map(|(instance, standing)| standing.iter().map(move |found| (instance, &found.placed)))
    }

    /// Streams that orders name, whether they exist or not.
    pub fn ordered_streams(&self) -> impl Iterator<Item = &String> {
        self.orders.standing.keys().map(|instance| &instance.stream)
    }
}
