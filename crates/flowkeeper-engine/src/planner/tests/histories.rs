//! Properties of the planner over random histories.

use proptest::prelude::*;

use super::*;
use crate::placement::COMPARISONS;

#[derive(Clone, Debug)]
enum Event {
    Deploy(Vec<u32>),
    Update(usize),
    /// The next release fails, or never gets ready.
    Kill,
    Sicken,
    Expire,
    Cancel,
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
        (0usize..3).prop_map(Event::Update),
        (0usize..3).prop_map(Event::Update),
        Just(Event::Kill),
        Just(Event::Sicken),
        Just(Event::Expire),
        Just(Event::Cancel),
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
        let mut given: BTreeMap<(String, u32, Term), InstanceId> = BTreeMap::new();
        for event in history {
            match event {
                Event::Deploy(counts) => {
                    let apps: Vec<_> = LABELS.iter().copied().zip(counts).collect();
                    world.deploy(&apps);
                }
                Event::Update(index) => world.try_update(LABELS[index]),
                Event::Kill => drop(world.dead.insert(world.next_release())),
                Event::Sicken => drop(world.sick.insert(world.next_release())),
                Event::Expire => world.desired.elapsed_ms = 1000,
                Event::Cancel => world.desired.cancelled = world.desired.release.as_ref().map(|release| release.number),
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
            // A new copy has a term that no copy of its label and index ever had.
            for (instance, order) in &world.observed.assignments {
                let known = given.entry((instance.app.clone(), instance.index, order.term)).or_insert(instance.clone());
                prop_assert_eq!(&*known, instance, "term {} was given twice", order.term);
            }
        }
        for node in NODES {
            world.join(node);
        }
        world.desired.elapsed_ms = 1000;
        world.obey();
        world.settle();
        let rollout = Rollout::of(&world.desired, world.placement.as_ref());
        prop_assert!(!matches!(rollout, Rollout::Replacing { .. }), "an update never ends");
        let wanted: BTreeSet<InstanceId> =
            rollout.running().into_iter().flat_map(|app| app.instances("s")).collect();
        let ordered: BTreeSet<InstanceId> = world.observed.assignments.keys().cloned().collect();
        prop_assert_eq!(&ordered, &wanted);
        prop_assert_eq!(world.running().len(), wanted.len());

    }

    /// The same inputs give the same plan, and planning what is at rest gives nothing.
    #[test]
    fn is_deterministic_and_comes_to_rest(history in events()) {
        let mut world = World::with_nodes(&["n0", "n1"]);
        for event in history {
            match event {
                Event::Deploy(counts) => world.deploy(&["a", "b", "c"].iter().copied().zip(counts).collect::<Vec<_>>()),
                Event::Update(index) => world.try_update(["a", "b", "c"][index]),
                Event::Kill => drop(world.dead.insert(world.next_release())),
                Event::Undeploy => world.want(Want::Undeployed),
                Event::Step => { world.step(); }
                _ => world.obey(),
            }
            prop_assert_eq!(world.plan(), world.plan());
        }
        world.settle();
        let before = COMPARISONS.get();
        let plan = world.plan();
        prop_assert_eq!(COMPARISONS.get(), before, "nodes are compared although nothing moves");
        prop_assert!(plan.actions.is_empty());
        prop_assert_eq!(Some(plan.placement), world.placement);
    }
}
