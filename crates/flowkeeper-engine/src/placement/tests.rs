//! Placement: what is refused and why, what is preferred, and that it is stable.

use std::sync::Arc;

use super::*;
use crate::model::{Closed, Needs, NodeTraits, Presence};

struct Case {
    instance: InstanceId,
    app: ReleaseApp,
    nodes: BTreeMap<NodeId, NodeView>,
    taken: BTreeMap<NodeId, Resources>,
    previous: Option<NodeId>,
    copies: Vec<NodeId>,
    neighbours: Vec<NodeId>,
    not_on: Option<NodeId>,
}

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

impl Case {
    fn with(nodes: &[&str]) -> Case {
        Case {
            instance: InstanceId::new("s", "a", 1, 0),
            app: ReleaseApp { label: "a".into(), count: 1, ..ReleaseApp::default() },
            nodes: nodes.iter().map(|name| (id(name), NodeView::open(*name, 10))).collect(),
            taken: BTreeMap::new(),
            previous: None,
            copies: Vec::new(),
            neighbours: Vec::new(),
            not_on: None,
        }
    }

    fn node(&mut self, name: &str) -> &mut NodeView {
        self.nodes.get_mut(&id(name)).expect("a node")
    }

    fn traits(&mut self, name: &str, host: &str, zone: &str) {
        self.node(name).traits =
            Arc::new(NodeTraits { host: host.into(), zone: zone.into(), ..NodeTraits::default() });
    }

    fn rank(&self) -> Ranking {
        let ask = Ask {
            instance: &self.instance,
            app: &self.app,
            previous: self.previous.as_ref(),
            copies: &self.copies,
            neighbours: &self.neighbours,
            not_on: self.not_on.as_ref(),
        };
        let ranking = rank(&ask, &self.nodes, &self.taken);
        assert_eq!(choose(&ask, &[], &self.nodes, &self.taken).ok(), ranking.chosen, "both ways agree");
        ranking
    }

    fn chosen(&self) -> String {
        self.rank().chosen.expect("chosen").0
    }

    fn refused(&self, node: &str) -> String {
        let ranking = self.rank();
        let candidate = ranking.candidates.into_iter().find(|it| it.node.0 == node).expect("a candidate");
        candidate.verdict.expect_err("refused")
    }

    fn score(&self, node: &str) -> Score {
        let ranking = self.rank();
        let candidate = ranking.candidates.into_iter().find(|it| it.node.0 == node).expect("a candidate");
        candidate.verdict.expect("scored")
    }
}

#[test]
fn refusals_say_what_is_in_the_way() {
    let mut case = Case::with(&["a", "b"]);
    case.node("a").presence = Presence::Lost { for_ms: 1, guard_ms: 2 };
    assert_eq!(case.refused("a"), "does not answer");
    case.node("a").presence = Presence::Live;
    let reasons = [
        (Closed::Cordoned, "is cordoned"),
        (Closed::Draining, "is being drained"),
        (Closed::Quarantined("3 departures".into()), "is in quarantine: 3 departures"),
        (Closed::Unfit("its disk is full".into()), "takes nothing more: its disk is full"),
        (Closed::Settling, "arrived a moment ago"),
    ];
    for (closed, reason) in reasons {
        case.node("a").closed = Some(closed);
        assert_eq!(case.refused("a"), reason);
    }
    case.node("a").closed = None;
    case.not_on = Some(id("a"));
    assert_eq!(case.refused("a"), "is the node that it is to leave");
    case.not_on = None;
    case.node("a").used.slots = 9;
    case.taken.insert(id("a"), Resources { slots: 1, ..Resources::default() });
    assert_eq!(case.refused("a"), "is full: holds 10 of 10 instances");
    case.taken.clear();
    case.app.needs = Needs { cpu_m: 600, mem_mib: 300, ..Needs::default() };
    case.node("a").capacity = Resources { slots: 10, cpu_m: 1000, mem_mib: 1000 };
    case.node("a").used = Resources { slots: 1, cpu_m: 500, mem_mib: 0 };
    assert_eq!(case.refused("a"), "has 500 thousandths of a processor left and 600 are needed");
    case.node("a").used = Resources { slots: 1, cpu_m: 400, mem_mib: 701 };
    assert_eq!(case.refused("a"), "has 299 MiB of memory left and 300 are needed");
    case.node("a").used.mem_mib = 700;
    assert!(case.rank().candidates.iter().all(|it| it.verdict.is_ok()), "it just fits; b limits nothing");
    case.app.needs.criteria = Some(Arc::new("id = b".parse().expect("criteria")));
    assert_eq!(case.refused("a"), "does not fulfil id = b");
    case.app.needs = Needs { apart: true, ..Needs::default() };
    case.traits("a", "h", "");
    case.traits("b", "h", "");
    case.copies = vec![id("b")];
    assert_eq!(case.refused("a"), "another copy of the app is on host h");
    assert_eq!(case.rank().chosen, None);
}

#[test]
fn a_refusal_counts_reasons_and_says_what_to_do() {
    let mut case = Case::with(&[]);
    assert_eq!(case.rank().refusal(), "no node is alive; start an agent with 'flowkeeper agent'");
    case = Case::with(&["a", "b", "c", "d", "e"]);
    for name in ["a", "b"] {
        case.node(name).closed = Some(Closed::Cordoned);
    }
    case.node("c").presence = Presence::Lost { for_ms: 1, guard_ms: 2 };
    case.node("d").used.slots = 10;
    case.node("e").closed = Some(Closed::Draining);
    assert_eq!(
        case.rank().refusal(),
        "no node can take it: 1 full, 2 cordoned, 1 being drained, 1 not answering; uncordon one"
    );
    let order: Vec<_> = case.rank().candidates.into_iter().map(|it| it.node.0).collect();
    assert_eq!(order, ["a", "b", "c", "d", "e"], "by name");
}

#[test]
fn room_decides_first() {
    let mut case = Case::with(&["a", "b"]);
    case.node("a").used.slots = 1;
    assert_eq!(case.chosen(), "b");
    case.taken.insert(id("b"), Resources { slots: 2, ..Resources::default() });
    assert_eq!(case.chosen(), "a");
    // The scarcest of all resources counts.
    case.app.needs.cpu_m = 500;
    case.node("a").capacity.cpu_m = 1000;
    assert_eq!(case.chosen(), "b");
    assert_eq!(case.score("a").parts, [("fit", 2000), ("spread", 3000)]);
    assert_eq!(case.score("a").total, 5000);
}

#[test]
fn copies_spread_over_hosts_and_then_zones() {
    let mut case = Case::with(&["a1", "a2", "b1", "b2"]);
    for (node, host, zone) in [("a1", "h1", "z1"), ("a2", "h2", "z1"), ("b1", "h3", "z2"), ("b2", "h1", "z2")]
    {
        case.traits(node, host, zone);
    }
    case.copies = vec![id("a1")];
    assert_eq!(case.chosen(), "b1", "neither its host nor its zone has a copy");
    case.copies = vec![id("a1"), id("b1")];
    assert_eq!(case.chosen(), "a2");
    let points = |case: &Case, node: &str| {
        case.score(node).parts.iter().find(|(name, _)| *name == "spread").map(|it| it.1)
    };
    assert_eq!(points(&case, "a2"), Some(2000 + 500));
    assert_eq!(points(&case, "b2"), Some(1000 + 500));
}

#[test]
fn where_it_was_and_where_its_neighbours_are_is_preferred_among_like_nodes() {
    let mut case = Case::with(&["a", "b", "c"]);
    let free = case.chosen();
    for name in ["a", "b", "c"] {
        case.previous = Some(id(name));
        assert_eq!(case.chosen(), name);
    }
    case.previous = None;
    case.neighbours = vec![id("a"), id("a")];
    assert_eq!(case.chosen(), free, "not asked for");
    case.app.needs.together = true;
    assert_eq!(case.score("a").parts, [("fit", 3600), ("spread", 3000), ("together", 1000)]);
    assert_eq!(case.chosen(), "a");
}

#[test]
fn busy_and_restless_nodes_are_avoided() {
    let mut case = Case::with(&["a", "b"]);
    let better = case.chosen();
    case.node(&better).busy = 80;
    assert_eq!(case.chosen(), better);
    case.node(&better).busy = 90;
    assert_ne!(case.chosen(), better, "of equals the less busy one");
    case.node(&better).busy = 0;
    case.previous = Some(id("a"));
    case.node("a").busy = 200;
    assert_eq!(case.chosen(), "a", "it does not outweigh what is more than a moment's figure");
    case.node("b").penalty = 255;
    assert_eq!(case.score("a").parts, [("fit", 3600), ("busy", -200), ("spread", 3000), ("sticky", 1500)]);
    assert_eq!(case.score("b").parts, [("fit", 3600), ("spread", 3000), ("penalty", -5000)]);
}

#[test]
fn equals_are_told_apart_by_the_same_hash_as_ever() {
    let names = ["alpha", "beta", "gamma", "delta"];
    let case = |stream: &str| Case { instance: InstanceId::new(stream, "a", 1, 0), ..Case::with(&names) };
    let chosen: Vec<_> = ["s", "t", "words", "ticktock"].map(|stream| case(stream).chosen()).into();
    assert_eq!(
        chosen,
        ["gamma", "beta", "gamma", "alpha"],
        "the hash has changed: everything that is placed anew moves"
    );
    let mut newer = case("s");
    newer.instance.release = 7;
    assert_eq!(newer.chosen(), chosen[0], "of each release the same");
}

#[test]
fn of_very_many_nodes_a_sample_is_compared_and_it_is_the_same_each_time() {
    let names: Vec<_> = (0..250).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut case = Case::with(&names);
    let ranking = case.rank();
    assert_eq!(ranking.candidates.iter().filter(|it| it.verdict.is_ok()).count(), 100);
    assert_eq!(ranking.candidates.len(), 250);
    assert_eq!(case.rank(), ranking);
    let sample = |ranking: &Ranking| -> Vec<NodeId> {
        ranking.candidates.iter().filter(|it| it.verdict.is_ok()).map(|it| it.node.clone()).collect()
    };
    case.instance.index = 1;
    let other = case.rank();
    let common = sample(&other).iter().filter(|node| sample(&ranking).contains(node)).count();
    assert!((20..60).contains(&common), "samples of different instances differ: {common} in common");
}
