//! Nodes that are lost or to be emptied, move by move.

use super::world::GUARD_MS;
use super::*;
use crate::model::{Closed, Exclusivity};

/// Stream of `x` (one copy) and `y` (two copies) on nodes `a` and `b`.
fn deployed(exclusivity: Exclusivity) -> World {
    let mut world = World::with_nodes(&["a", "b"]);
    world.deploy(&[("x", 1), ("y", 2)]);
    world.app("x").exclusivity = exclusivity;
    world.settle();
    world
}

/// The node on which `x` runs, and the other one.
fn node_of_x(world: &World) -> (&'static str, &'static str) {
    let is_on_a = world.running().iter().any(|line| line.contains("~x~") && line.contains("@a "));
    if is_on_a { ("a", "b") } else { ("b", "a") }
}

fn x(world: &World) -> Vec<String> {
    world.running().into_iter().filter(|line| line.contains("~x~")).collect()
}

#[test]
fn what_is_exclusive_moves_when_nothing_can_run_there_any_more() {
    for exclusivity in [Exclusivity::Strict, Exclusivity::BestEffort] {
        let mut world = deployed(exclusivity);
        let (on, other) = node_of_x(&world);
        world.leave(on);
        assert_eq!(world.plan().wake_ms, Some(GUARD_MS));
        world.pass(GUARD_MS - 1);
        assert!(world.step().iter().all(|action| !action_is_of(action, "x")));
        assert_eq!(
            world.told("x").1,
            Some(format!(
                "node {on} does not answer since 2 s; it moves to another node in 1 s unless that one returns"
            ))
        );
        world.pass(1);
        let moved = world.step();
        let expected = Action::Move {
            instance: InstanceId::new("s", "x", 1, 0),
            from: NodeId(on.into()),
            to: NodeId(other.into()),
            term: Term(2),
        };
        assert!(moved.contains(&expected), "{moved:?}");
        world.join(on);
        world.settle();
        assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
    }
}

fn action_is_of(action: &Action, label: &str) -> bool {
    match action {
        Action::Assign { instance, .. }
        | Action::Move { instance, .. }
        | Action::Stop { instance, .. }
        | Action::Withdraw { instance, .. } => instance.app == label,
        Action::Remove => false,
    }
}

#[test]
fn what_went_at_one_moment_is_waited_for_before_anything_moves() {
    for exclusivity in [Exclusivity::Strict, Exclusivity::Shared] {
        let mut world = deployed(exclusivity);
        let (on, _) = node_of_x(&world);
        world.node(on).spread_ms = 3 * GUARD_MS + DEBOUNCE_MS;
        world.leave(on);
        assert_eq!(world.plan().wake_ms, Some(3 * GUARD_MS + DEBOUNCE_MS), "{exclusivity:?}");
        world.pass(3 * GUARD_MS + DEBOUNCE_MS);
        assert!(world.step().iter().any(|action| matches!(action, Action::Move { .. })), "{exclusivity:?}");
    }
}

#[test]
fn what_may_overlap_waits_only_while_others_do_its_work() {
    let mut world = deployed(Exclusivity::Shared);
    let (on, _) = node_of_x(&world);
    world.leave(on);
    assert_eq!(world.plan().wake_ms, Some(DEBOUNCE_MS), "nothing else does the work of x");
    world.pass(DEBOUNCE_MS);
    let moved = world.step();
    assert!(
        moved.iter().any(|action| matches!(action, Action::Move { instance, .. } if instance.app == "x"))
    );
    assert!(!moved.iter().any(|action| action_is_of(action, "y")), "the other copy of y does the work");
    world.obey();
    assert_eq!(world.plan().wake_ms, Some(RETURN_MS - DEBOUNCE_MS));
    world.pass(RETURN_MS - DEBOUNCE_MS);
    world.settle();
    assert_eq!(world.running().len(), 3);
    assert!(!world.running().iter().any(|line| line.contains(&format!("@{on} "))));
    // What it still runs when it comes back is stopped, because nobody ordered it.
    world.join(on);
    world.settle();
    assert_eq!(world.processes.len(), 3);
}

#[test]
fn an_app_may_say_how_long_it_waits() {
    let mut world = deployed(Exclusivity::Shared);
    world.app("y").needs.return_ms = Some(60_000);
    world.leave("a");
    world.pass(RETURN_MS);
    world.settle();
    assert_eq!(world.plan().wake_ms, Some(50_000));
}

#[test]
fn a_node_that_returns_in_time_keeps_everything_under_its_terms() {
    let mut world = deployed(Exclusivity::Strict);
    let before = world.running();
    world.leave("a");
    world.leave("b");
    world.pass(DEBOUNCE_MS - 1);
    assert_eq!(world.step(), []);
    world.join("a");
    world.join("b");
    world.settle();
    assert_eq!(world.running(), before);
}

#[test]
fn the_brake_holds_everything_and_says_so() {
    let mut world = deployed(Exclusivity::Strict);
    let (on, _) = node_of_x(&world);
    world.observed.brake = Some("3 of 5 nodes are lost".into());
    world.leave(on);
    world.pass(60_000);
    let plan = world.plan();
    assert_eq!((plan.actions.as_slice(), plan.wake_ms), (&[][..], None));
    let (_, reason) = plan.unplaced.iter().find(|(instance, _)| instance.app == "x").expect("held");
    assert_eq!(
        *reason,
        format!(
            "cannot leave node {on}, which does not answer: nothing is moved at present: 3 of 5 nodes are lost"
        )
    );
    assert_eq!(
        world.told("x").1,
        Some(format!(
            "node {on} does not answer since 60 s, and nothing is moved at present: 3 of 5 nodes are lost"
        ))
    );
    world.observed.brake = None;
    world.settle();
    assert_eq!(world.running().len(), 3);
    assert_eq!(world.phase(), Phase::Deployed);
}

#[test]
fn with_nowhere_to_go_it_stays_recorded_and_is_reported() {
    let mut world = deployed(Exclusivity::Strict);
    let (on, other) = node_of_x(&world);
    world.node(other).closed = Some(Closed::Cordoned);
    world.leave(on);
    world.pass(60_000);
    let before = world.placement.clone();
    let plan = world.plan();
    assert_eq!((plan.actions.as_slice(), Some(plan.placement)), (&[][..], before));
    let (_, reason) = plan.unplaced.iter().find(|(instance, _)| instance.app == "x").expect("stranded");
    assert_eq!(
        *reason,
        format!(
            "cannot leave node {on}, which does not answer: no node can take it: 1 cordoned, 1 not answering; uncordon one"
        )
    );
    world.join(on);
    world.settle();
    assert_eq!(x(&world), [format!("s~x~v1~0@{on} t1")]);
}

#[test]
fn a_forgotten_node_is_given_up_at_once() {
    let mut world = deployed(Exclusivity::Strict);
    let (on, other) = node_of_x(&world);
    world.die(on);
    world.nodes().remove(&NodeId(on.into()));
    world.settle();
    assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
}

#[test]
fn what_is_undeployed_on_a_lost_node_is_forgotten_when_it_is_safe() {
    let mut world = deployed(Exclusivity::Strict);
    let (on, other) = node_of_x(&world);
    world.leave(on);
    world.want(Want::Undeployed);
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.orders(), 1, "the order of x is told to stop, in case its node returns");
    assert_eq!(world.plan().wake_ms, Some(GUARD_MS));
    // Deployed again, it may not start elsewhere before that either.
    world.want(Want::Deployed);
    world.settle();
    assert!(x(&world).is_empty());
    world.pass(GUARD_MS);
    world.settle();
    assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
}

#[test]
fn draining_starts_the_new_copy_before_the_old_one_stops() {
    let mut world = deployed(Exclusivity::Shared);
    let (on, other) = node_of_x(&world);
    world.drain(on);
    world.step();
    assert_eq!(x(&world).len(), 2);
    assert_eq!(
        world.told("x"),
        (
            Phase::Deployed,
            Some(format!(
                "runs on node {on} while it moves to node {other}: moves from node {on} to node {other}, which has not reported yet"
            ))
        )
    );
    assert_eq!(world.step(), [], "the old one runs until the new one is ready");
    world.obey_on(other);
    assert!(world.step().iter().all(|action| matches!(action, Action::Stop { node, .. } if node.0 == on)));
    assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
    world.settle();
    assert_eq!(world.orders(), 3);
    assert!(world.running().iter().all(|line| line.contains(&format!("@{other} "))));
}

#[test]
fn draining_stops_what_is_exclusive_first_and_only_if_it_can_go_elsewhere() {
    for exclusivity in [Exclusivity::Strict, Exclusivity::BestEffort] {
        let mut world = deployed(exclusivity);
        let (on, other) = node_of_x(&world);
        world.node(other).capacity.slots = world.node(other).used.slots;
        world.drain(on);
        let plan = world.plan();
        assert_eq!(plan.actions, []);
        assert!(plan.unplaced.iter().any(|(_, reason)| *reason
            == format!("cannot leave node {on}: no node can take it: 1 full, 1 being drained; add an agent or raise its slots")));
        world.node(other).capacity.slots = 10;
        let first = world.step();
        assert!(
            first.contains(&Action::Stop {
                instance: InstanceId::new("s", "x", 1, 0),
                node: NodeId(on.into())
            })
        );
        assert!(x(&world).is_empty());
        world.settle();
        assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
    }
}

#[test]
fn two_exclusive_copies_do_not_stop_for_one_place() {
    let mut world = World::with_nodes(&["a", "b"]);
    world.deploy(&[("x", 2)]);
    world.app("x").exclusivity = Exclusivity::Strict;
    world.node("b").closed = Some(Closed::Cordoned);
    world.settle();
    world.node("b").closed = None;
    world.node("b").capacity.slots = 1;
    world.drain("a");
    let plan = world.plan();
    assert_eq!((plan.actions.len(), plan.unplaced.len()), (1, 1), "{plan:?}");
}

#[test]
fn a_new_copy_that_is_lost_moves_on_while_the_old_one_runs() {
    let mut world = deployed(Exclusivity::Shared);
    let (on, other) = node_of_x(&world);
    world.drain(on);
    world.step();
    world.die(other);
    world.pass(RETURN_MS);
    world.obey();
    assert_eq!(world.step(), [], "no third node");
    assert_eq!(world.told("x").0, Phase::Deployed);
    world.join("c");
    world.settle();
    assert_eq!(x(&world), ["s~x~v1~0@c t3"]);
    assert_eq!(world.orders(), 3);
}

#[test]
fn a_drain_that_is_taken_back_leaves_what_has_moved() {
    let mut world = deployed(Exclusivity::Shared);
    let (on, other) = node_of_x(&world);
    world.drain(on);
    world.step();
    world.node(on).closed = None;
    world.settle();
    assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
}

#[test]
fn a_move_that_was_recorded_and_not_ordered_is_completed_safely() {
    for exclusivity in [Exclusivity::Strict, Exclusivity::BestEffort, Exclusivity::Shared] {
        let mut world = deployed(exclusivity);
        let (on, other) = node_of_x(&world);
        world.leave(on);
        world.pass(RETURN_MS);
        assert_eq!(world.step_at_most(1), 1, "the placement only");
        world.join(on);
        world.obey();
        let next = world.step();
        let of_x =
            |is: fn(&Action) -> bool| next.iter().any(|action| action_is_of(action, "x") && is(action));
        let (stops, starts) = (
            of_x(|action| matches!(action, Action::Stop { .. })),
            of_x(|action| matches!(action, Action::Assign { .. })),
        );
        let is_shared = exclusivity == Exclusivity::Shared;
        assert_eq!((stops, starts), (!is_shared, is_shared), "what must not run twice stops first: {next:?}");
        world.settle();
        assert_eq!(x(&world), [format!("s~x~v1~0@{other} t2")]);
    }
}

/// The highest term of `x` is known only to a slot that was vacated, while an older order of another release still stands.
#[test]
fn a_term_is_not_forgotten_with_the_order_that_had_it() {
    let mut world = World::with_nodes(&["a", "b", "c"]);
    world.deploy(&[("x", 1)]);
    world.settle();
    world.update(&["x"]);
    world.step();
    let is_its = |node: &&str| world.running()[0].contains(&format!("@{node} "));
    let on = ["a", "b", "c"].into_iter().find(is_its).expect("placed");
    world.drain(on);
    world.step();
    let highest = |world: &World| world.observed.assignments.values().map(|order| order.term).max();
    let before = highest(&world).expect("ordered");
    ["a", "b", "c"].into_iter().filter(|node| *node != on).for_each(|node| world.die(node));
    world.want(Want::Undeployed);
    world.step();
    world.want(Want::Deployed);
    world.join("d");
    world.step();
    world.obey();
    world.settle();
    assert!(highest(&world).expect("ordered") > before, "{:?} after {before}", world.running());
}

#[test]
fn an_update_whose_node_is_lost_ends_and_the_old_release_runs() {
    let mut world = deployed(Exclusivity::Shared);
    world.update(&["x"]);
    world.step();
    let new = world.running().iter().find(|line| line.contains("~x~v2~")).cloned().expect("the new copy");
    let on = if new.contains("@a ") { "a" } else { "b" };
    world.observed.brake = Some("too many are lost".into());
    world.leave(on);
    world.pass(60_000);
    world.obey();
    world.step();
    assert_eq!(world.placement.as_ref().expect("placed").release, 1);
    world.desired.elapsed_ms = 1000;
    world.settle();
    let placement = world.placement.as_ref().expect("placed");
    assert!(
        placement.failed[&2].contains(&format!("node {on} does not answer since 60 s")),
        "{:?}",
        placement.failed
    );
    assert!(!world.running().iter().any(|line| line.contains("~v2~")));
    world.observed.brake = None;
    world.settle();
    assert_eq!((world.running().len(), world.phase()), (3, Phase::Deployed));
}

#[test]
fn an_update_goes_on_where_its_node_was_lost() {
    let mut world = deployed(Exclusivity::Shared);
    world.update(&["x", "y"]);
    world.step();
    world.die("a");
    world.pass(RETURN_MS);
    world.obey();
    world.settle();
    assert_eq!(world.placement.as_ref().expect("placed").release, 2);
    assert!(world.running().iter().all(|line| line.contains("~v2~") && line.contains("@b ")));
    assert_eq!(world.running().len(), 3);
}

#[test]
fn a_relocation_is_wound_up_like_a_drain() {
    let mut world = deployed(Exclusivity::Shared);
    let (on, other) = node_of_x(&world);
    let instance = InstanceId::new("s", "x", 1, 0);
    let placement = world.placement.clone().expect("placed");
    assert_eq!(relocate(&placement, &instance, &NodeId(on.into())), None, "it is there");
    world.carry_out_plan(relocate(&placement, &instance, &NodeId(other.into())).expect("a plan"));
    assert_eq!((x(&world).len(), world.step()), (2, vec![]));
    world.settle();
    assert_eq!((x(&world), world.orders()), (vec![format!("s~x~v1~0@{other} t2")], 3));
}
