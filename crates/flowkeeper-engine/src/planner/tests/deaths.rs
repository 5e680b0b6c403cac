//! Whatever dies or is cut off whenever: everything comes back or is reported, nothing exclusive runs twice, and draining takes
//! nothing away.

use proptest::prelude::*;

use super::*;
use crate::model::{Closed, Exclusivity, Presence};

const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];

#[derive(Clone, Debug)]
enum Event {
    /// Cut off, with its processes running on.
    Cut(usize),
    Die(usize),
    Join(usize),
    Forget(usize),
    Drain(usize),
    Open(usize),
    /// Milliseconds.
    Pass(u64),
    /// A leader writes so much of its plan and dies.
    Write(usize),
    Step,
    Obey(usize),
    Brake(bool),
    Undeploy,
    Deploy,
    Update,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = || 0usize..NODES.len();
    let event = prop_oneof![
        2 => one().prop_map(Event::Cut),
        1 => one().prop_map(Event::Die),
        3 => one().prop_map(Event::Join),
        1 => one().prop_map(Event::Forget),
        2 => one().prop_map(Event::Drain),
        1 => one().prop_map(Event::Open),
        3 => prop_oneof![Just(100u64), Just(500), Just(1_999), Just(2_000), Just(10_000)].prop_map(Event::Pass),
        4 => (0usize..4).prop_map(Event::Write),
        4 => Just(Event::Step),
        6 => one().prop_map(Event::Obey),
        1 => any::<bool>().prop_map(Event::Brake),
        1 => Just(Event::Undeploy),
        1 => Just(Event::Deploy),
        1 => Just(Event::Update),
    ];
    prop::collection::vec(event, 0..60)
}

/// Three apps of two copies each, one for each way of being exclusive.
fn deployed() -> World {
    let mut world = World::with_nodes(&NODES);
    world.deploy(&[("strict", 2), ("best", 2), ("shared", 2)]);
    world.app("strict").exclusivity = Exclusivity::Strict;
    world.app("best").exclusivity = Exclusivity::BestEffort;
    world.settle();
    world
}

fn apply(world: &mut World, event: Event) {
    match event {
        Event::Cut(node) => world.leave(NODES[node]),
        Event::Die(node) => world.die(NODES[node]),
        Event::Join(node) => world.join(NODES[node]),
        // Only what is lost for long enough can be forgotten: the command waits that long.
        Event::Forget(node) => {
            let id = NodeId(NODES[node].into());
            let presence = world.observed.nodes.get(&id).map(|node| node.presence);
            if matches!(presence, Some(Presence::Lost { for_ms, guard_ms }) if for_ms >= guard_ms) {
                world.nodes().remove(&id);
            }
        }
        Event::Drain(node) => close(world, node, Some(Closed::Draining)),
        Event::Open(node) => close(world, node, None),
        Event::Pass(ms) => world.pass(ms),
        Event::Write(writes) => drop(world.step_at_most(writes)),
        Event::Step => drop(world.step()),
        Event::Obey(node) => world.obey_on(NODES[node]),
        Event::Brake(on) => world.observed.brake = on.then(|| "too many are lost".into()),
        Event::Undeploy => world.want(Want::Undeployed),
        Event::Deploy => world.want(Want::Deployed),
        Event::Update => world.try_update("shared"),
    }
}

fn close(world: &mut World, node: usize, closed: Option<Closed>) {
    if let Some(node) = world.nodes().get_mut(&NodeId(NODES[node].into())) {
        node.closed = closed;
    }
}

/// Copies of the exclusive apps that run on more than one node.
fn doubles(world: &World) -> Vec<InstanceId> {
    let mut seen = BTreeSet::new();
    let exclusive = world.processes.keys().filter(|(instance, _)| instance.app != "shared");
    exclusive
        .filter(|(instance, _)| !seen.insert(instance.clone()))
        .map(|(instance, _)| instance.clone())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_exclusive_runs_twice_and_everything_comes_back_or_is_reported(history in events(), left in 0usize..16) {
        let mut world = deployed();
        let mut given: BTreeMap<(String, u32, Term), (InstanceId, NodeId)> = BTreeMap::new();
        for event in history {
            apply(&mut world, event.clone());
            prop_assert_eq!(doubles(&world), [], "after {:?}", event);
            prop_assert_eq!(world.plan(), world.plan());
            let newest = world.observed.assignments.iter();
            for (instance, order) in newest {
                let who = (instance.clone(), order.node.clone());
                let known = given.entry((instance.app.clone(), instance.index, order.term)).or_insert(who.clone());
                prop_assert_eq!(&*known, &who, "term {} was given twice", order.term);
            }
        }
        // In the end some nodes are there and the others are gone for good.
        world.want(Want::Deployed);
        world.observed.brake = None;
        for (number, name) in NODES.iter().enumerate() {
            if left & (1 << number) != 0 { world.join(name) } else { world.die(name) }
        }
        world.desired.elapsed_ms = 1000;
        for _ in 0..4 {
            world.pass(RETURN_MS);
            world.obey();
            world.settle();
            prop_assert_eq!(doubles(&world), []);
        }
        let plan = world.plan();
        prop_assert_eq!(plan.wake_ms, None);
        let running = Rollout::of(&world.desired, world.placement.as_ref()).running();
        for instance in running.into_iter().flat_map(|app| app.instances("s")) {
            let order = world.observed.assignments.get(&instance);
            let runs = order.is_some_and(|order| world.processes.contains_key(&(instance.clone(), order.node.clone())));
            let runs_still = world.observed.moving_from(&instance, world.placement.as_ref().expect("placed")).is_some();
            let is_reported = plan.unplaced.iter().any(|(other, reason)| *other == instance && !reason.is_empty());
            prop_assert!(runs || runs_still || is_reported, "{} is forgotten: {:?}", instance, plan);
            // Nobody waits where there is room.
            let is_open = |name: &str| {
                let node = world.observed.nodes.get(&NodeId(name.into()));
                node.is_some_and(|node| node.is_live() && node.closed.is_none())
            };
            prop_assert!(runs || runs_still || !NODES.iter().any(|name| is_open(name)), "{} could run", instance);
        }
    }

    /// At every moment of a drain as many shared copies are ready as are wanted, however the agents are delayed and wherever
    /// a leader dies; in the end the node is empty.
    #[test]
    fn draining_never_goes_below_what_is_wanted(
        node in 0usize..4,
        other in 0usize..4,
        history in prop::collection::vec(prop_oneof![
            (0usize..4).prop_map(Event::Write), (0usize..4).prop_map(Event::Obey), Just(Event::Step)
        ], 0..40),
    ) {
        let mut world = deployed();
        let ready = |world: &World| -> BTreeSet<u32> {
            world.processes.keys().filter(|(instance, _)| instance.app == "shared").map(|(instance, _)| instance.index).collect()
        };
        world.drain(NODES[node]);
        for (moment, event) in history.into_iter().enumerate() {
            if moment == 10 {
                world.drain(NODES[other]);
            }
            apply(&mut world, event);
            prop_assert_eq!(ready(&world).len(), 2);
            prop_assert_eq!(doubles(&world), []);
        }
        world.settle();
        prop_assert_eq!(world.running().len(), 6);
        let line = format!("@{} ", NODES[node]);
        prop_assert!(!world.running().iter().any(|order| order.contains(&line)));
    }

    /// What nobody can tell from outside does not change a plan: the same state in another process gives the same plan, and
    /// a plan that is carried out leaves nothing to do but what agents report.
    #[test]
    fn plans_are_complete(history in events()) {
        let mut world = deployed();
        for event in history {
            apply(&mut world, event);
            let mut later = world.clone();
            later.step();
            let again = later.plan();
            prop_assert_eq!(again.actions, [], "a second plan without news finds more to do");
        }
    }
}
