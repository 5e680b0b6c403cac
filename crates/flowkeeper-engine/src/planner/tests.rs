//! The planner against a little world that carries out its actions: cases as data, and properties over random histories.

use proptest::prelude::*;

use super::*;
use crate::model::{NodeView, Release, ReleaseApp, Report, Uid};
use crate::phase::{Phase, phase};

/// Metadata and nodes of one stream, in memory; agents obey at once when told to [`World::obey`].
#[derive(Clone, Default)]
struct World {
    desired: Desired,
    placement: Option<Placement>,
    observed: Observed,
    removed: bool,
}

impl World {
    fn with_nodes(names: &[&str]) -> World {
        let mut world =
            World { desired: Desired { uid: Uid("1".into()), ..Desired::default() }, ..World::default() };
        for name in names {
            world.join(name);
        }
        world
    }

    fn join(&mut self, name: &str) {
        let id = NodeId(name.into());
        self.observed.nodes.insert(id.clone(), NodeView { id, schedulable: true, slots: 10, used: 0 });
    }

    fn leave(&mut self, name: &str) {
        let id = NodeId(name.into());
        self.observed.nodes.remove(&id);
        let orders = &self.observed.assignments;
        self.observed
            .reports
            .retain(|instance, _| orders.get(instance).is_some_and(|order| order.node != id));
    }

    fn deploy(&mut self, apps: &[(&str, u32)]) {
        let number = self.desired.release.as_ref().map_or(1, |release| release.number + 1);
        let apps =
            apps.iter().map(|(label, count)| ReleaseApp { label: (*label).into(), count: *count }).collect();
        self.desired.release = Some(Release { number, apps });
        self.desired.want = Want::Deployed;
        self.desired.generation += 1;
    }

    fn want(&mut self, want: Want) {
        self.desired.want = want;
        self.desired.generation += 1;
    }

    fn plan(&self) -> Plan {
        plan("s", &self.desired, self.placement.as_ref(), &self.observed)
    }

    /// Carries out one plan, as the leader's transaction would.
    fn step(&mut self) -> Vec<Action> {
        let plan = self.plan();
        self.placement = Some(plan.placement);
        for action in plan.actions.clone() {
            match action {
                Action::Assign { instance, node, term, release } => {
                    let order =
                        Assignment { node, uid: self.desired.uid.clone(), term, release, stop: false };
                    assert!(
                        self.observed.assignments.insert(instance, order).is_none(),
                        "an order was overwritten"
                    );
                }
                Action::Stop { instance, .. } => {
                    self.observed.assignments.get_mut(&instance).expect("stops a standing order").stop = true;
                }
                Action::Withdraw { instance, .. } => {
                    self.observed.assignments.remove(&instance).expect("withdraws a standing order");
                    self.observed.reports.remove(&instance);
                }
                Action::Remove => self.removed = true,
            }
        }
        plan.actions
    }

    /// Live agents start what they are told to run and stop what they are told to stop.
    fn obey(&mut self) {
        for (instance, order) in &self.observed.assignments {
            if !self.observed.nodes.contains_key(&order.node) {
                continue;
            }
            let state = if order.stop { InstanceState::Stopped } else { InstanceState::Running };
            let report = Report { term: order.term, state, ready: !order.stop, failing: false, reason: None };
            self.observed.reports.insert(instance.clone(), report);
        }
    }

    /// Plans and obeys until nothing changes.
    fn settle(&mut self) {
        for _ in 0..20 {
            let before = self.observed.clone();
            let quiet = self.step().is_empty();
            self.obey();
            if quiet && self.observed == before {
                return;
            }
        }
        panic!("the planner does not come to rest: {:?}", self.plan());
    }

    fn phase(&self) -> Phase {
        phase("s", &self.desired, self.placement.as_ref(), &self.observed).phase
    }

    fn running(&self) -> Vec<String> {
        self.observed
            .assignments
            .iter()
            .filter(|(_, order)| !order.stop)
            .map(|(instance, order)| format!("{instance}@{} t{} r{}", order.node, order.term, order.release))
            .collect()
    }
}

#[test]
fn deploys_sinks_first() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("time", 1), ("log", 2)]);
    let order: Vec<_> = world
        .step()
        .into_iter()
        .map(|action| match action {
            Action::Assign { instance, .. } => instance.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["s~log~0", "s~log~1", "s~time~0"]);
    assert_eq!(world.phase(), Phase::Deploying);
    world.settle();
    assert_eq!(world.phase(), Phase::Deployed);
}

#[test]
fn spreads_over_the_least_loaded_nodes() {
    let mut world = World::with_nodes(&["a", "b", "c"]);
    world.deploy(&[("x", 6)]);
    world.settle();
    for node in ["a", "b", "c"] {
        assert_eq!(
            world.running().iter().filter(|line| line.contains(&format!("@{node} "))).count(),
            2,
            "{node}"
        );
    }
}

#[test]
fn undeploys_and_keeps_terms() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.want(Want::Undeployed);
    world.settle();
    assert_eq!((world.phase(), world.running().len()), (Phase::Undeployed, 0));
    world.deploy(&[("x", 1)]);
    world.settle();
    assert_eq!(world.running(), ["s~x~0@n t2 r2"]);
}

#[test]
fn a_new_release_replaces_after_the_old_stopped() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1), ("y", 1)]);
    world.settle();
    world.deploy(&[("x", 1)]);
    let actions = world.step();
    assert!(actions.iter().all(|action| matches!(action, Action::Stop { .. })), "{actions:?}");
    world.obey();
    world.settle();
    assert_eq!(world.running(), ["s~x~0@n t2 r2"]);
}

#[test]
fn without_a_node_it_waits_and_says_so() {
    let mut world = World::with_nodes(&[]);
    world.deploy(&[("x", 1)]);
    let plan = world.plan();
    assert_eq!(plan.actions, []);
    assert_eq!(plan.unplaced[0].1, "no node is alive; start an agent with 'flowkeeper agent'");
    world.join("n");
    world.settle();
    assert_eq!(world.phase(), Phase::Deployed);
}

#[test]
fn a_full_node_takes_nothing() {
    let mut world = World::with_nodes(&["n"]);
    world.observed.nodes.get_mut(&NodeId("n".into())).expect("joined").used = 10;
    world.deploy(&[("x", 1)]);
    assert_eq!(
        world.plan().unplaced[0].1,
        "no node has room: 1 full, 0 cordoned; add an agent or raise its slots"
    );
}

#[test]
fn a_lost_node_keeps_its_instances_for_its_return() {
    let mut world = World::with_nodes(&["a"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.leave("a");
    assert_eq!(world.step(), []);
    assert_eq!(world.phase(), Phase::Undeployed, "nothing is known of its only app");
    world.join("a");
    world.settle();
    assert_eq!(world.running(), ["s~x~0@a t1 r1"]);
}

#[test]
fn orders_of_an_earlier_life_are_withdrawn() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.desired.uid = Uid("2".into());
    world.settle();
    let order = &world.observed.assignments[&InstanceId::new("s", "x", 0)];
    assert_eq!(order.uid, Uid("2".into()));
}

#[test]
fn removes_only_after_everything_stopped() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 2)]);
    world.settle();
    world.want(Want::Destroyed);
    assert!(!world.step().contains(&Action::Remove));
    assert!(!world.removed);
    world.settle_until_removed();
}

impl World {
    fn settle_until_removed(&mut self) {
        for _ in 0..10 {
            self.obey();
            self.step();
            if self.removed {
                return;
            }
        }
        panic!("never removed: {:?}", self.plan());
    }
}

#[test]
fn a_crash_between_placement_and_orders_is_completed_with_the_same_terms() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 2)]);
    let plan = world.plan();
    world.placement = Some(plan.placement);
    world.settle();
    assert_eq!(world.running(), ["s~x~0@n t1 r1", "s~x~1@n t1 r1"]);
}

#[test]
fn a_lost_placement_is_rebuilt_from_the_orders() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.placement = None;
    world.settle();
    assert_eq!(world.running(), ["s~x~0@n t1 r1"]);
    assert_eq!(world.phase(), Phase::Deployed);
}

#[derive(Clone, Debug)]
enum Event {
    Deploy(Vec<u32>),
    Undeploy,
    Join(usize),
    Leave(usize),
    Step,
    Obey,
    LosePlacement,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        prop::collection::vec(1u32..4, 1..4).prop_map(Event::Deploy),
        Just(Event::Undeploy),
        (0usize..3).prop_map(Event::Join),
        (0usize..3).prop_map(Event::Leave),
        Just(Event::Step),
        Just(Event::Step),
        Just(Event::Obey),
        Just(Event::LosePlacement),
    ];
    prop::collection::vec(event, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happened, once nodes are back and agents obey, exactly what is wanted runs, and terms never went back.
    #[test]
    fn converges_from_any_history(history in events()) {
        const LABELS: [&str; 3] = ["a", "b", "c"];
        const NODES: [&str; 3] = ["n0", "n1", "n2"];
        let mut world = World::with_nodes(&["n0"]);
        let mut terms: BTreeMap<InstanceId, Term> = BTreeMap::new();
        for event in history {
            match event {
                Event::Deploy(counts) => {
                    let apps: Vec<_> = LABELS.iter().copied().zip(counts).collect();
                    world.deploy(&apps);
                }
                Event::Undeploy => world.want(Want::Undeployed),
                Event::Join(index) => world.join(NODES[index]),
                Event::Leave(index) => world.leave(NODES[index]),
                Event::Step => { world.step(); }
                Event::Obey => world.obey(),
                // Only what orders can rebuild may be lost: an empty board remembers no terms.
                Event::LosePlacement => {
                    let slots = world.placement.iter().flat_map(|placement| placement.apps.values().flatten()).count();
                    if slots == world.observed.assignments.len() {
                        world.placement = None;
                    }
                }
            }
            for (instance, order) in &world.observed.assignments {
                let seen = terms.entry(instance.clone()).or_default();
                prop_assert!(*seen <= order.term, "{} went from {} to {}", instance, seen, order.term);
                *seen = order.term;
            }
        }
        for node in NODES {
            world.join(node);
        }
        world.obey();
        world.settle();
        let wanted = match (world.desired.want, &world.desired.release) {
            (Want::Deployed, Some(release)) => release.apps.iter().map(|app| app.count as usize).sum(),
            _ => 0,
        };
        prop_assert_eq!(world.running().len(), wanted);
        prop_assert_eq!(world.observed.assignments.len(), wanted);
        prop_assert_eq!(world.phase(), if wanted > 0 { Phase::Deployed } else { Phase::Undeployed });
    }

    /// The same inputs give the same plan, and planning what is at rest gives nothing.
    #[test]
    fn is_deterministic_and_comes_to_rest(history in events()) {
        let mut world = World::with_nodes(&["n0", "n1"]);
        for event in history {
            match event {
                Event::Deploy(counts) => world.deploy(&["a", "b", "c"].iter().copied().zip(counts).collect::<Vec<_>>()),
                Event::Undeploy => world.want(Want::Undeployed),
                Event::Step => { world.step(); }
                _ => world.obey(),
            }
            prop_assert_eq!(world.plan(), world.plan());
        }
        world.settle();
        let plan = world.plan();
        prop_assert!(plan.actions.is_empty());
        prop_assert_eq!(Some(plan.placement), world.placement);
    }
}
