//! The planner against a little world that carries out its actions.

mod deaths;
mod groups;
mod histories;
mod moves;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::model::{Exclusive, Uid};
use crate::phase::{Phase, phase};
use crate::rollout::{Rollout, Verdict};
use world::World;

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
    assert_eq!(order, ["s~log~v1~0", "s~log~v1~1", "s~time~v1~0"]);
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
    assert_eq!(world.running(), ["s~x~v2~0@n t2"]);
}

#[test]
fn a_new_deployment_replaces_at_once() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1), ("y", 1)]);
    world.settle();
    world.deploy(&[("x", 1)]);
    world.step();
    assert_eq!(world.running(), ["s~x~v2~0@n t2"]);
    world.settle();
    assert_eq!(world.running(), ["s~x~v2~0@n t2"]);
    assert_eq!(world.orders(), 1);
}

#[test]
fn another_port_needs_no_room() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.desired.release.as_mut().expect("deployed").apps[0].exclusive = Exclusive::Port(1);
    world.settle();
    world.sick.insert(2);
    world.update(&["x"]);
    world.desired.release.as_mut().expect("updated").apps[0].exclusive = Exclusive::Port(2);
    world.settle();
    assert_eq!(world.running(), ["s~x~v1~0@n t1", "s~x~v2~0@n t2"]);
    world.desired.release.as_mut().expect("updated").apps[0].exclusive = Exclusive::Port(1);
    world.settle();
    assert_eq!(world.running(), ["s~x~v2~0@n t2"], "both cannot have the port");
    let told = phase("s", &world.desired, world.placement.as_ref(), &world.observed).rollout;
    assert!(told.is_some_and(|told| told.contains("but for x, which had to make room")));
}

#[test]
fn what_was_stopped_half_way_did_not_run() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.sick.insert(2);
    world.update(&["x"]);
    world.settle();
    world.want(Want::Undeployed);
    world.settle();
    let placement = world.placement.as_ref().expect("placed");
    assert_eq!(placement.release, 1);
    assert_eq!(placement.failed[&2], "Undeployed before all its apps were healthy.");
}

#[test]
fn an_exclusive_app_starts_after_its_predecessor_stopped() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.update(&["x"]);
    world.desired.release.as_mut().expect("updated").apps[0].exclusive = Exclusive::Always;
    assert_eq!(world.step().len(), 1, "one stop");
    assert_eq!(world.running(), [""; 0]);
    world.settle();
    assert_eq!(world.running(), ["s~x~v2~0@n t2"]);
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
    let nodes = Arc::make_mut(&mut world.observed.nodes);
    nodes.get_mut(&NodeId("n".into())).expect("joined").used.slots = 10;
    world.deploy(&[("x", 1)]);
    assert_eq!(world.plan().unplaced[0].1, "no node can take it: 1 full; add an agent or raise its slots");
}

#[test]
fn a_lost_node_keeps_its_instances_for_its_return() {
    let mut world = World::with_nodes(&["a"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.leave("a");
    world.pass(3_600_000);
    assert_eq!(world.step(), []);
    assert_eq!(
        world.phase(),
        Phase::Partial,
        "nothing is known of its only app, and that it does not run is no news"
    );
    world.join("a");
    world.settle();
    assert_eq!(world.running(), ["s~x~v1~0@a t1"]);
}

#[test]
fn orders_of_an_earlier_life_are_withdrawn() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.desired.uid = Uid("2".into());
    world.settle();
    let order = &world.observed.assignments[&InstanceId::new("s", "x", 1, 0)];
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

#[test]
fn a_crash_between_placement_and_orders_is_completed_with_the_same_terms() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 2)]);
    let plan = world.plan();
    world.placement = Some(plan.placement);
    world.settle();
    assert_eq!(world.running(), ["s~x~v1~0@n t1", "s~x~v1~1@n t1"]);
}

#[test]
fn a_lost_placement_is_rebuilt_from_the_orders() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.placement = None;
    world.settle();
    assert_eq!(world.running(), ["s~x~v1~0@n t1"]);
    assert_eq!(world.phase(), Phase::Deployed);
}

#[test]
fn an_update_starts_the_new_beside_the_old_and_stops_the_old_when_the_new_is_healthy() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("a", 1), ("b", 2)]);
    world.settle();
    world.update(&["b"]);
    world.step();
    assert_eq!(
        world.running(),
        ["s~a~v1~0@n t1", "s~b~v1~0@n t1", "s~b~v1~1@n t1", "s~b~v2~0@n t2", "s~b~v2~1@n t2"]
    );
    assert_eq!(world.phase(), Phase::Deploying);
    world.settle();
    assert_eq!(world.running(), ["s~a~v1~0@n t1", "s~b~v2~0@n t2", "s~b~v2~1@n t2"]);
    let placement = world.placement.as_ref().expect("placed");
    assert_eq!((placement.release, placement.apps["b"].len()), (2, 2), "old slots are forgotten");
    assert_eq!(world.phase(), Phase::Deployed);
}

#[test]
fn an_update_that_fails_leaves_the_old_running_and_says_why() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("a", 1), ("b", 1)]);
    world.settle();
    world.dead.insert(2);
    world.update(&["b"]);
    world.settle();
    assert_eq!(world.running(), ["s~a~v1~0@n t1", "s~b~v1~0@n t1"]);
    assert_eq!(world.placement.as_ref().expect("placed").failed[&2], "b-0 on node n failed");
    assert_eq!(world.phase(), Phase::Deployed);
    // The next try starts from the good release, and its terms go on.
    world.update(&["b"]);
    world.settle();
    assert_eq!(world.running(), ["s~a~v1~0@n t1", "s~b~v3~0@n t3"]);
}

#[test]
fn an_update_has_its_time_and_may_be_given_up() {
    let mut world = World::with_nodes(&["n"]);
    world.deploy(&[("a", 1)]);
    world.settle();
    world.sick.extend([2, 3]);
    world.update(&["a"]);
    world.settle();
    assert_eq!(world.running(), ["s~a~v1~0@n t1", "s~a~v2~0@n t2"]);
    world.desired.elapsed_ms = 1000;
    world.settle();
    assert_eq!(world.running(), ["s~a~v1~0@n t1"]);
    let failed = |world: &World, release| world.placement.as_ref().expect("placed").failed[&release].clone();
    assert_eq!(
        failed(&world, 2),
        "Did not detect apps to be healthy within 1000 ms: a-0 on node n is not healthy yet"
    );
    world.update(&["a"]);
    world.desired.elapsed_ms = 7;
    world.step();
    world.desired.cancelled = Some(3);
    world.settle();
    assert_eq!(
        (world.running(), failed(&world, 3)),
        (vec!["s~a~v1~0@n t1".to_owned()], "Cancelled after 7 ms.".to_owned())
    );
}

#[test]
fn an_update_may_be_undeployed_and_destroyed_in_the_middle() {
    for want in [Want::Undeployed, Want::Destroyed] {
        let mut world = World::with_nodes(&["n"]);
        world.deploy(&[("a", 1)]);
        world.settle();
        world.sick.insert(2);
        world.update(&["a"]);
        world.settle();
        world.want(want);
        if want == Want::Destroyed {
            world.settle_until_removed();
        } else {
            world.settle();
        }
        assert_eq!(world.orders(), 0, "{want:?}");
    }
}

/// A world in which a leader and its agents can stop at any moment: what was written stands, everything else is forgotten.
/// Every operation is cut off after every number of writes; then a new leader takes over and everything comes to rest.
#[test]
fn every_operation_may_be_cut_off_after_every_write() {
    type Operation = fn(&mut World);
    let operations: [(&str, Operation, &[&str]); 6] = [
        ("deploy", |world| world.deploy(&[("a", 1), ("b", 2)]), &["s~a~v2~0", "s~b~v2~0", "s~b~v2~1"]),
        ("update", |world| world.update(&["b"]), &["s~a~v1~0", "s~b~v2~0", "s~b~v2~1"]),
        (
            "failed update",
            |world| {
                world.dead.insert(2);
                world.update(&["a", "b"]);
            },
            &["s~a~v1~0", "s~b~v1~0", "s~b~v1~1"],
        ),
        (
            "cancelled update",
            |world| {
                world.sick.insert(2);
                world.update(&["a"]);
                world.desired.cancelled = Some(2);
            },
            &["s~a~v1~0", "s~b~v1~0", "s~b~v1~1"],
        ),
        (
            "scale",
            |world| {
                let release = world.desired.release.as_mut().expect("deployed");
                release.apps[1].count = 1;
                world.desired.generation += 1;
            },
            &["s~a~v1~0", "s~b~v1~0"],
        ),
        ("undeploy", |world| world.want(Want::Undeployed), &[]),
    ];
    for (name, operate, expected) in operations {
        for writes in 0..40 {
            let mut world = World::with_nodes(&["n", "m"]);
            world.deploy(&[("a", 1), ("b", 2)]);
            world.settle();
            operate(&mut world);
            let mut left = writes;
            while left > 0 {
                let planned = world.step_at_most(left);
                left -= planned.min(left).max(1);
                world.obey();
            }
            world.settle();
            let running: BTreeSet<String> =
                world.running().iter().filter_map(|line| Some(line.split_once('@')?.0.to_owned())).collect();
            assert_eq!(
                running,
                expected.iter().map(|name| (*name).to_owned()).collect(),
                "{name} cut off after {writes}"
            );
            assert_eq!(world.orders(), expected.len(), "{name} cut off after {writes}");
        }
    }
}
