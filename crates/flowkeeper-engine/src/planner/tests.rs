//! The planner against a little world that carries out its actions.

mod groups;
mod histories;

use std::sync::Arc;

use super::*;
use crate::model::{Exclusive, NodeView, Release, Report, Uid};
use crate::phase::{Phase, phase};

/// Metadata and nodes of one stream, in memory; agents obey at once when told to [`World::obey`].
#[derive(Clone, Default)]
struct World {
    name: &'static str,
    desired: Desired,
    placement: Option<Placement>,
    observed: Observed,
    removed: bool,
    /// Releases whose instances never become healthy.
    sick: BTreeSet<u32>,
    /// Those that fail for good instead of just not being ready.
    dead: BTreeSet<u32>,
}

impl World {
    fn with_nodes(names: &[&str]) -> World {
        let mut world = World {
            name: "s",
            desired: Desired { uid: Uid("1".into()), ..Desired::default() },
            ..World::default()
        };
        for name in names {
            world.join(name);
        }
        world
    }

    fn join(&mut self, name: &str) {
        let id = NodeId(name.into());
        Arc::make_mut(&mut self.observed.nodes).insert(id, NodeView::open(name, 10));
    }

    fn leave(&mut self, name: &str) {
        let id = NodeId(name.into());
        Arc::make_mut(&mut self.observed.nodes).remove(&id);
        let orders = &self.observed.assignments;
        self.observed
            .reports
            .retain(|instance, _| orders.get(instance).is_some_and(|order| order.node != id));
    }

    fn deploy(&mut self, apps: &[(&str, u32)]) {
        let number = self.desired.release.as_ref().map_or(1, |release| release.number + 1);
        let apps = apps
            .iter()
            .map(|(label, count)| ReleaseApp {
                label: (*label).into(),
                since: number,
                count: *count,
                ..ReleaseApp::default()
            })
            .collect();
        self.desired.release = Some(Release { number, apps, ..Release::default() });
        self.desired.base = None;
        self.desired.want = Want::Deployed;
        self.desired.generation += 1;
    }

    /// Asks for a release that replaces the running one, as the server does: only `changed` apps get a new copy.
    fn update(&mut self, changed: &[&str]) {
        let newest = self.desired.release.clone().expect("deployed");
        let current = self.placement.as_ref().map_or(newest.number, |placement| placement.release);
        let base =
            if current == newest.number { newest.clone() } else { self.desired.base.clone().expect("kept") };
        let number = newest.number + 1;
        let mut apps = base.apps.clone();
        apps.iter_mut().filter(|app| changed.contains(&&*app.label)).for_each(|app| app.since = number);
        self.desired.release = Some(Release { number, replaces: Some(base.number), patience_ms: 1000, apps });
        self.desired.base = Some(base);
        self.desired.elapsed_ms = 0;
        self.desired.generation += 1;
    }

    fn want(&mut self, want: Want) {
        self.desired.want = want;
        self.desired.generation += 1;
    }

    fn plan(&self) -> Plan {
        plan(self.name, &self.desired, self.placement.as_ref(), &self.observed)
    }

    /// Carries out one plan, as the leader's transaction would.
    fn step(&mut self) -> Vec<Action> {
        let plan = self.plan();
        self.placement = Some(plan.placement);
        self.carry_out(&plan.actions);
        plan.actions
    }

    /// Carries out the first writes of a plan, as a leader does that dies between two transactions: the placement, then orders.
    /// Gives back how many there were.
    fn step_at_most(&mut self, writes: usize) -> usize {
        let plan = self.plan();
        let is_new = self.placement.as_ref() != Some(&plan.placement);
        self.placement = Some(plan.placement);
        let orders = plan.actions.len().min(writes - usize::from(is_new));
        self.carry_out(&plan.actions[..orders]);
        orders + usize::from(is_new)
    }

    fn carry_out(&mut self, actions: &[Action]) {
        for action in actions.iter().cloned() {
            match action {
                Action::Assign { instance, node, term } => {
                    let order = Assignment { node, uid: self.desired.uid.clone(), term, stop: false };
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
    }

    /// Live agents start what they are told to run and stop what they are told to stop.
    fn obey(&mut self) {
        for (instance, order) in &self.observed.assignments {
            if !self.observed.nodes.contains_key(&order.node) {
                continue;
            }
            let is_dead = self.dead.contains(&instance.release);
            let state = match (order.stop, is_dead) {
                (true, _) => InstanceState::Stopped,
                (false, true) => InstanceState::Failed,
                (false, false) => InstanceState::Running,
            };
            let ready = state == InstanceState::Running && !self.sick.contains(&instance.release);
            let report = Report { term: order.term, state, ready, failing: is_dead, reason: None };
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
        phase(self.name, &self.desired, self.placement.as_ref(), &self.observed).phase
    }

    fn running(&self) -> Vec<String> {
        self.observed
            .assignments
            .iter()
            .filter(|(_, order)| !order.stop)
            .map(|(instance, order)| format!("{instance}@{} t{}", order.node, order.term))
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
    assert_eq!(world.observed.assignments.len(), 1);
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

impl World {
    fn next_release(&self) -> u32 {
        self.desired.release.as_ref().map_or(1, |release| release.number + 1)
    }

    /// Updates, if a server would: the stream runs, and no update is under way.
    fn try_update(&mut self, label: &str) {
        let is_settled = matches!(
            Rollout::of(&self.desired, self.placement.as_ref()),
            Rollout::Only(release) | Rollout::Kept { from: release, .. }
                if self.placement.as_ref().is_some_and(|placement| placement.release == release.number)
        );
        if is_settled {
            self.update(&[label]);
        }
    }

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
        assert_eq!(world.observed.assignments.len(), 0, "{want:?}");
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
            assert_eq!(world.observed.assignments.len(), expected.len(), "{name} cut off after {writes}");
        }
    }
}
