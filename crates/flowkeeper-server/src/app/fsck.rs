//! What does not fit together in the metadata. A finding that lasts is a fault of ours or an operator's hand; one that is
//! gone a moment later was a change under way.

use flowkeeper_api::nodes::{Fsck, Problem};
use flowkeeper_deploy::record::Order;
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::{InstanceId, NodeId};

use super::nodes::instance_name;
use crate::meta::record::WantState;
use crate::meta::{Model, Placed};

/// Looks at the whole copy.
pub fn check(model: &Model) -> Fsck {
    let mut found = Findings::default();
    for (path, reason) in &model.unreadable {
        found.add("unreadable", path, format!("it cannot be read and counts as absent: {reason}"));
    }
    found.checked += model.unreadable.len();
    model.streams.keys().for_each(|name| found.stream(model, name));
    for (name, state) in &model.states {
        found.checked += 1;
        let is_known = model.streams.get(name).is_some_and(|stream| stream.uid == state.record.uid);
        if !is_known && !model.streams.contains_key(name) {
            let what = "there is no such stream; the leader removes it once nothing of it runs";
            found.add("state-without-stream", &znode::state(name), what.to_owned());
        }
    }
    model.assignments().for_each(|(instance, placed)| found.order(model, instance, placed));
    for node in model.nodes.keys() {
        found.statuses(model, node);
    }
    Fsck { checked: found.checked, problems: found.problems }
}

#[derive(Default)]
struct Findings {
    checked: usize,
    problems: Vec<Problem>,
}

impl Findings {
    fn add(&mut self, kind: &str, path: &str, what: String) {
        self.problems.push(Problem { kind: kind.to_owned(), path: path.to_owned(), what });
    }

    fn stream(&mut self, model: &Model, name: &str) {
        self.checked += 1;
        let Some(stream) = model.streams.get(name) else { return };
        let want = &stream.record.want;
        if want.state == WantState::Deployed && model.release(name, want.rel).is_none() {
            let what = format!("release {} is to run and does not exist: deploy the stream again", want.rel);
            self.add("release-missing", &znode::stream(name), what);
        }
        let state = model.states.get(name).filter(|state| state.record.uid == stream.uid);
        let slots = state.into_iter().flat_map(|state| &state.record.apps);
        for (app, slot) in slots.flat_map(|(app, slots)| slots.iter().map(move |slot| (app, slot))) {
            let Some(node) = &slot.node else { continue };
            let instance = InstanceId::new(name, app.clone(), slot.rel, slot.i);
            let order = model.assignment_on(&instance, &NodeId(node.clone()));
            if order.is_none_or(|order| order.record.t != slot.t) {
                let what = format!(
                    "{} is placed on node {node} under term {} and has no such order; the leader writes it",
                    instance_name(&instance),
                    slot.t
                );
                self.add("placed-without-order", &znode::state(name), what);
            }
        }
    }

    fn order(&mut self, model: &Model, instance: &InstanceId, (node, order): &Placed) {
        self.checked += 1;
        let path = znode::assignment(node, instance);
        let Some(stream) = model.streams.get(&instance.stream) else {
            let what = "there is no such stream; the leader stops and removes it".to_owned();
            return self.add("order-without-stream", &path, what);
        };
        if stream.uid != order.record.uid {
            let what =
                "it belongs to an earlier life of the stream; the leader stops and removes it".to_owned();
            return self.add("order-of-earlier-life", &path, what);
        }
        let newest = model.assignment(instance).map(|(_, newest)| newest.record.t);
        let slot = model.states.get(&instance.stream).and_then(|state| {
            let slots = state.record.apps.get(&instance.app)?;
            slots.iter().find(|slot| (slot.i, slot.rel) == (instance.index, instance.release))
        });
        let is_moving = newest.is_some_and(|newest| newest > order.record.t);
        if order.record.want == Order::Run
            && !is_moving
            && slot.is_none_or(|slot| slot.t != order.record.t || slot.node.as_ref() != Some(&node.0))
        {
            let what =
                "it is not where the stream's state says; the leader takes it up or stops it".to_owned();
            self.add("order-without-state", &path, what);
        }
        if !model.nodes.contains_key(node) {
            let what = format!("node {node} is not known; the leader places the instance elsewhere");
            self.add("order-to-unknown-node", &path, what);
        }
    }

    fn statuses(&mut self, model: &Model, node: &NodeId) {
        for (path, instance, status) in model.statuses_of(node) {
            self.checked += 1;
            let order = model.assignment_on(&instance, node);
            if order.is_none_or(|order| order.record.t < status.t) {
                let what = format!("node {node} reports {} without an order", instance_name(&instance));
                self.add("status-without-order", &path, what);
            }
        }
    }
}
