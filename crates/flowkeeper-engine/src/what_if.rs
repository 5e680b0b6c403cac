//! What would move, and where to, if nodes were lost or emptied: the very planner, applied to a copy until it comes to rest.
//!
//! In the copy time is no matter: whoever is lost has had its time, whoever arrived a moment ago has settled, no brake holds
//! anything, and agents do at once what they are told.

mod copy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use copy::Copy;

use crate::model::{
    Closed, Desired, InstanceId, NodeId, NodeView, Observed, Placement, Presence, ReleaseApp, Resources,
};
use crate::placement::{Surroundings, takes};
use crate::planner::Action;
use crate::rollout::Rollout;

/// A stream as the planner is told of it.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub name: String,
    pub desired: Desired,
    pub placement: Option<Placement>,
    pub observed: Observed,
}

/// How nodes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// At once and for good.
    Lost,
    /// After what runs there has moved elsewhere.
    Drained,
}

/// An instance that would move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relocation {
    pub instance: InstanceId,
    pub from: NodeId,
    pub to: NodeId,
}

/// What would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub moves: Vec<Relocation>,
    /// Instances that would have nowhere to go, each with the reason.
    pub stranded: Vec<(InstanceId, String)>,
    /// What would be taken of the live nodes that stay.
    pub load_after: BTreeMap<NodeId, Resources>,
}

/// Finds out what becomes of `streams` when the nodes `gone` go. Streams earlier in the list choose first.
pub fn without(
    nodes: &BTreeMap<NodeId, NodeView>,
    streams: &[Stream],
    gone: &BTreeSet<NodeId>,
    how: Gone,
) -> Outcome {
    let after = Arc::new(nodes.values().map(|node| (node.id.clone(), changed(node, gone, how))).collect());
    let mut taken = BTreeMap::new();
    let mut outcome = Outcome::default();
    for stream in streams.iter().filter(|stream| stream.touches(gone)) {
        let mut copy = Copy::of(stream, Arc::clone(&after));
        let last = copy.run(&mut taken);
        for (instance, from) in stream.placed().filter(|(_, from)| gone.contains(*from)) {
            let to = last.placement.slot(&instance).and_then(|slot| slot.node.clone());
            match to {
                Some(to) if !gone.contains(&to) => {
                    outcome.moves.push(Relocation { instance, from: from.clone(), to });
                }
                _ => outcome
                    .stranded
                    .extend(last.unplaced.iter().find(|(other, _)| *other == instance).cloned()),
            }
        }
    }
    let stays = after.values().filter(|node| node.is_live() && !gone.contains(&node.id));
    outcome.load_after = stays
        .map(|node| (node.id.clone(), node.used.with(taken.get(&node.id).copied().unwrap_or_default())))
        .collect();
    outcome
}

fn changed(node: &NodeView, gone: &BTreeSet<NodeId>, how: Gone) -> NodeView {
    let mut node = node.clone();
    if node.closed == Some(Closed::Settling) {
        node.closed = None;
    }
    match how {
        _ if !gone.contains(&node.id) => {}
        Gone::Lost => node.presence = Presence::Lost { for_ms: u64::MAX, guard_ms: 0 },
        // One that is lost already cannot be emptied in good order.
        Gone::Drained if node.is_live() => node.closed = Some(Closed::Draining),
        Gone::Drained => node.presence = Presence::Lost { for_ms: u64::MAX, guard_ms: 0 },
    }
    node
}

impl Stream {
    /// The app that makes an instance, if its release is known.
    pub fn app(&self, instance: &InstanceId) -> Option<&ReleaseApp> {
        let releases = self.desired.release.iter().chain(&self.desired.base);
        let mut apps = releases.flat_map(|release| &release.apps);
        apps.find(|app| app.label == instance.app && app.since == instance.release)
    }

    /// Instances that are wanted or placed.
    pub fn instances(&self) -> BTreeSet<InstanceId> {
        let running = Rollout::of(&self.desired, self.placement.as_ref()).running();
        let wanted = running.into_iter().flat_map(|app| app.instances(&self.name));
        wanted.chain(self.placed().map(|(instance, _)| instance)).collect()
    }

    /// Where an instance was, and where the rest of the stream is.
    pub fn neighbours(&self, instance: &InstanceId) -> Surroundings {
        self.placement
            .as_ref()
            .map_or_else(Surroundings::default, |placement| Surroundings::of(placement, instance))
    }

    fn placed(&self) -> impl Iterator<Item = (InstanceId, &NodeId)> {
        let slots = self.placement.iter().flat_map(|placement| &placement.apps);
        slots.flat_map(move |(app, slots)| {
            slots.iter().filter_map(move |slot| {
                let instance = InstanceId::new(&*self.name, &**app, slot.release, slot.index);
                Some((instance, slot.node.as_ref()?))
            })
        })
    }

    fn touches(&self, gone: &BTreeSet<NodeId>) -> bool {
        self.placed().any(|(_, node)| gone.contains(node))
    }

    /// What an action takes of a node.
    fn taken_by(&self, action: &Action) -> Option<(NodeId, Resources)> {
        let (instance, node) = match action {
            Action::Assign { instance, node, .. } | Action::Move { instance, to: node, .. } => {
                (instance, node)
            }
            Action::Stop { .. } | Action::Withdraw { .. } | Action::Remove => return None,
        };
        Some((node.clone(), takes(self.app(instance)?)))
    }
}

#[cfg(test)]
mod tests;
