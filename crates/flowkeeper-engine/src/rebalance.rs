//! Which instances should move because some nodes hold far more than others. Only a proposal: whoever carries it out decides
//! when, and does it as if the node were drained ([`crate::planner::relocate`]), so that no copy is missing meanwhile.

use std::collections::BTreeMap;

use crate::model::{Exclusivity, InstanceId, NodeId, NodeView, ReleaseApp, Resources};
use crate::placement::{Surroundings, choose, dominant_share, takes};

/// Nodes whose dominant shares differ by no more than this, in thousandths, are left alone.
const TOLERATED: i32 = 250;
const AT_ONCE: usize = 5;
/// Of so many instances one may move at a time.
const ONE_OF: usize = 100;

/// An instance that runs well and may be moved.
#[derive(Clone, Debug)]
pub struct Movable<'a> {
    pub instance: &'a InstanceId,
    pub app: &'a ReleaseApp,
    pub node: &'a NodeId,
    pub around: &'a Surroundings,
}

/// An instance that should move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub instance: InstanceId,
    pub from: NodeId,
    pub to: NodeId,
}

/// Proposes moves that bring the fullest and the emptiest node closer together: at most five, and at most one of a hundred of
/// `total` instances (but one at least). Only what may run twice for a moment is moved. The order of `movable` is of no matter.
pub fn propose(nodes: &BTreeMap<NodeId, NodeView>, movable: &[Movable<'_>], total: usize) -> Vec<Proposal> {
    let most = (total / ONE_OF).clamp(1, AT_ONCE);
    let mut movable: Vec<_> =
        movable.iter().filter(|movable| movable.app.exclusivity == Exclusivity::Shared).collect();
    // The biggest first, because few moves then do much.
    movable.sort_by(|a, b| size(b.app).cmp(&size(a.app)).then_with(|| a.instance.cmp(b.instance)));
    let mut nodes = nodes.clone();
    let mut proposals: Vec<Proposal> = Vec::new();
    while proposals.len() < most {
        let Some(from) = fullest_of_uneven(&nodes) else { break };
        let is_left = |movable: &&&Movable<'_>| {
            *movable.node == from && !proposals.iter().any(|proposal| proposal.instance == *movable.instance)
        };
        let found = movable.iter().filter(is_left).find_map(|movable| {
            let to = improvement(&nodes, movable)?;
            Some((movable.app, Proposal { instance: movable.instance.clone(), from: from.clone(), to }))
        });
        let Some((app, proposal)) = found else { break };
        if let Some(node) = nodes.get_mut(&proposal.from) {
            node.used = node.used.without(takes(app));
        }
        if let Some(node) = nodes.get_mut(&proposal.to) {
            node.used = node.used.with(takes(app));
        }
        proposals.push(proposal);
    }
    proposals
}

fn size(app: &ReleaseApp) -> (u32, u32) {
    (app.needs.cpu_m, app.needs.mem_mib)
}

fn share(node: &NodeView) -> i32 {
    dominant_share(node.used, node.capacity)
}

/// The fullest node, if the difference to the emptiest one is worth a move. Nodes that take nothing new are no part of it.
fn fullest_of_uneven(nodes: &BTreeMap<NodeId, NodeView>) -> Option<NodeId> {
    let open = || nodes.values().filter(|node| node.is_live() && node.closed.is_none());
    // Of equals the first by name.
    let fullest = open().rev().max_by_key(|node| share(node))?;
    let emptiest = open().min_by_key(|node| share(node))?;
    (share(fullest) - share(emptiest) > TOLERATED).then(|| fullest.id.clone())
}

/// Where an instance would go, if that node is emptier afterwards than its own is now.
fn improvement(nodes: &BTreeMap<NodeId, NodeView>, movable: &Movable<'_>) -> Option<NodeId> {
    let from = nodes.get(movable.node)?;
    let ask = movable.around.ask(movable.instance, movable.app, Some(movable.node));
    let to = choose(&ask, &[], nodes, &BTreeMap::new()).ok()?;
    let target = nodes.get(&to)?;
    let after: Resources = target.used.with(takes(movable.app));
    (dominant_share(after, target.capacity) < share(from)).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Needs;

    fn id(name: &str) -> NodeId {
        NodeId(name.into())
    }

    /// Nodes of 20 slots that hold so many instances each, and these instances.
    fn cluster(held: &[(&str, u32)]) -> (BTreeMap<NodeId, NodeView>, Vec<(InstanceId, NodeId)>) {
        let mut nodes = BTreeMap::new();
        let mut instances = Vec::new();
        for (name, count) in held {
            let mut node = NodeView::open(*name, 20);
            node.used.slots = *count;
            nodes.insert(id(name), node);
            instances.extend(
                (0..*count).map(|index| (InstanceId::new(format!("on-{name}"), "a", 1, index), id(name))),
            );
        }
        (nodes, instances)
    }

    fn propose_for(
        nodes: &BTreeMap<NodeId, NodeView>,
        instances: &[(InstanceId, NodeId)],
        app: &ReleaseApp,
        total: usize,
    ) -> Vec<String> {
        let around = Surroundings::default();
        let mut movable: Vec<_> = instances
            .iter()
            .map(|(instance, node)| Movable { instance, app, node, around: &around })
            .collect();
        let proposals = propose(nodes, &movable, total);
        movable.reverse();
        assert_eq!(propose(nodes, &movable, total), proposals, "the order is of no matter");
        proposals.iter().map(|it| format!("{} {}->{}", it.instance.index, it.from, it.to)).collect()
    }

    #[test]
    fn the_fullest_gives_to_the_emptiest_within_the_budget() {
        let (nodes, instances) = cluster(&[("a", 18), ("b", 10), ("c", 2)]);
        let app = ReleaseApp::default();
        assert_eq!(propose_for(&nodes, &instances, &app, 30), ["0 a->c"]);
        assert_eq!(propose_for(&nodes, &instances, &app, 250), ["0 a->c", "1 a->c"]);
        assert_eq!(propose_for(&nodes, &instances, &app, 10_000).len(), 5);
    }

    #[test]
    fn it_ends_when_they_are_close_enough() {
        let (nodes, instances) = cluster(&[("a", 10), ("b", 5)]);
        assert_eq!(
            propose_for(&nodes, &instances, &ReleaseApp::default(), 10_000),
            [""; 0],
            "25 points are tolerated"
        );
        let (nodes, instances) = cluster(&[("a", 12), ("b", 5)]);
        assert_eq!(propose_for(&nodes, &instances, &ReleaseApp::default(), 10_000), ["0 a->b"]);
    }

    #[test]
    fn what_must_not_run_twice_and_what_does_not_fit_stays() {
        let (mut nodes, instances) = cluster(&[("a", 18), ("b", 2)]);
        let strict = ReleaseApp { exclusivity: Exclusivity::Strict, ..ReleaseApp::default() };
        assert_eq!(propose_for(&nodes, &instances, &strict, 10_000), [""; 0]);
        let big = ReleaseApp { needs: Needs { mem_mib: 900, ..Needs::default() }, ..ReleaseApp::default() };
        let b = nodes.get_mut(&id("b")).expect("a node");
        b.capacity.mem_mib = 1000;
        assert_eq!(propose_for(&nodes, &instances, &big, 10_000), [""; 0], "b would be as full");
        b_closes(&mut nodes);
        assert_eq!(propose_for(&nodes, &instances, &ReleaseApp::default(), 10_000), [""; 0]);
    }

    fn b_closes(nodes: &mut BTreeMap<NodeId, NodeView>) {
        nodes.get_mut(&id("b")).expect("a node").closed = Some(crate::model::Closed::Cordoned);
    }
}
