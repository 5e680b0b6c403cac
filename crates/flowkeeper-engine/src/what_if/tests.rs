//! What if nodes went: what moves, what is stranded, and that nothing else happens.

use super::*;
use crate::model::{Assignment, Exclusivity, InstanceState, Release, Report, Slot, Term, Uid, Want};

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

/// Streams `s0`, `s1`, … of one app each, that runs on the given node.
fn cluster(
    nodes: &[(&str, u32)],
    on: &[&str],
    exclusivity: Exclusivity,
) -> (BTreeMap<NodeId, NodeView>, Vec<Stream>) {
    let mut views: BTreeMap<_, _> =
        nodes.iter().map(|(name, slots)| (id(name), NodeView::open(*name, *slots))).collect();
    let streams = on.iter().enumerate().map(|(number, node)| {
        views.get_mut(&id(node)).expect("a node").used.slots += 1;
        let name = format!("s{number}");
        let app = ReleaseApp { label: "a".into(), since: 1, count: 1, exclusivity, ..ReleaseApp::default() };
        let instance = InstanceId::new(&*name, "a", 1, 0);
        let order = Assignment { node: id(node), uid: Uid("1".into()), term: Term(1), stop: false };
        let report = Report {
            term: Term(1),
            state: InstanceState::Running,
            ready: true,
            failing: false,
            reason: None,
        };
        let slot = Slot { index: 0, node: Some(id(node)), term: Term(1), release: 1 };
        Stream {
            name,
            desired: Desired {
                uid: Uid("1".into()),
                want: Want::Deployed,
                release: Some(Release { number: 1, apps: vec![app], ..Release::default() }),
                ..Desired::default()
            },
            placement: Some(Placement {
                uid: Uid("1".into()),
                release: 1,
                apps: BTreeMap::from([("a".to_owned(), vec![slot])]),
                ..Placement::default()
            }),
            observed: Observed {
                assignments: BTreeMap::from([(instance.clone(), order)]),
                reports: BTreeMap::from([(instance, report)]),
                brake: Some("held".into()),
                ..Observed::default()
            },
        }
    });
    let streams = streams.collect();
    (views, streams)
}

fn moved(outcome: &Outcome) -> Vec<String> {
    outcome.moves.iter().map(|it| format!("{} {}->{}", it.instance.stream, it.from, it.to)).collect()
}

#[test]
fn what_runs_on_a_node_that_goes_moves_and_the_rest_stays() {
    for how in [Gone::Lost, Gone::Drained] {
        for exclusivity in [Exclusivity::Shared, Exclusivity::BestEffort, Exclusivity::Strict] {
            let (nodes, streams) =
                cluster(&[("a", 4), ("b", 4), ("c", 4)], &["a", "b", "a", "c", "a", "a"], exclusivity);
            let outcome = without(&nodes, &streams, &BTreeSet::from([id("a")]), how);
            assert_eq!(outcome.stranded, [], "{how:?} {exclusivity:?}");
            assert_eq!(outcome.moves.len(), 4);
            let load: Vec<_> = outcome.load_after.iter().map(|(node, load)| (&*node.0, load.slots)).collect();
            assert_eq!(load, [("b", 3), ("c", 3)], "spread by load");
            assert_eq!(without(&nodes, &streams, &BTreeSet::from([id("a")]), how), outcome, "deterministic");
        }
    }
}

#[test]
fn what_has_nowhere_to_go_is_told_with_the_reason() {
    let (nodes, streams) = cluster(&[("a", 2), ("b", 2)], &["a", "a", "b"], Exclusivity::Strict);
    let gone = BTreeSet::from([id("a")]);
    let lost = without(&nodes, &streams, &gone, Gone::Lost);
    assert_eq!(moved(&lost), ["s0 a->b"]);
    let reason = |node: &str| format!("cannot leave node a{node}: no node can take it: 1 full");
    assert_eq!(lost.stranded.len(), 1);
    assert!(lost.stranded[0].1.starts_with(&reason(", which does not answer")), "{:?}", lost.stranded);
    let drained = without(&nodes, &streams, &gone, Gone::Drained);
    assert_eq!(moved(&drained), ["s0 a->b"]);
    assert!(drained.stranded[0].1.starts_with(&reason("")), "{:?}", drained.stranded);
}

#[test]
fn all_nodes_but_one_may_go_at_once() {
    let (nodes, streams) = cluster(&[("a", 9), ("b", 9), ("c", 9)], &["a", "b", "c"], Exclusivity::Shared);
    let outcome = without(&nodes, &streams, &BTreeSet::from([id("a"), id("b")]), Gone::Lost);
    assert_eq!(moved(&outcome), ["s0 a->c", "s1 b->c"]);
    assert_eq!(
        outcome.load_after,
        BTreeMap::from([(id("c"), Resources { slots: 3, ..Resources::default() })])
    );
}

#[test]
fn a_stream_knows_its_apps_and_instances() {
    let (_, streams) = cluster(&[("a", 9)], &["a"], Exclusivity::Shared);
    let instance = InstanceId::new("s0", "a", 1, 0);
    assert_eq!(streams[0].instances(), BTreeSet::from([instance.clone()]));
    assert_eq!(streams[0].app(&instance).map(|app| &*app.label), Some("a"));
    assert_eq!(streams[0].neighbours(&instance).previous, Some(id("a")));
}
