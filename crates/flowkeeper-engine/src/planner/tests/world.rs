//! A little world that carries out what is planned: metadata, nodes, agents and processes of one stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Action, Plan, plan};
use crate::model::{
    Assignment, Closed, Desired, Exclusivity, InstanceId, InstanceState, Leaving, NodeId, NodeView, Observed,
    Placement, Presence, Release, ReleaseApp, Report, Term, Uid, Want,
};
use crate::phase::{Phase, phase};
use crate::rollout::Rollout;

/// Guard time of every node, in milliseconds.
pub(super) const GUARD_MS: u64 = 2_000;

/// Metadata and nodes of one stream, in memory. Agents act when told to: [`World::obey`], or [`World::obey_on`] one by one.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) name: &'static str,
    pub(super) desired: Desired,
    pub(super) placement: Option<Placement>,
    /// Follows from the rest, but for the nodes and the brake.
    pub(super) observed: Observed,
    /// Orders as they stand.
    orders: BTreeMap<(InstanceId, NodeId), Assignment>,
    reports: BTreeMap<(InstanceId, NodeId), Report>,
    /// Processes, also those on nodes that are lost, with the term they run under.
    pub(super) processes: BTreeMap<(InstanceId, NodeId), Term>,
    pub(super) removed: bool,
    /// Releases whose instances never become healthy.
    pub(super) sick: BTreeSet<u32>,
    /// Those that fail for good instead of just not being ready.
    pub(super) dead: BTreeSet<u32>,
}

impl World {
    pub(super) fn with_nodes(names: &[&str]) -> World {
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

    pub(super) fn nodes(&mut self) -> &mut BTreeMap<NodeId, NodeView> {
        Arc::make_mut(&mut self.observed.nodes)
    }

    pub(super) fn node(&mut self, name: &str) -> &mut NodeView {
        self.nodes().get_mut(&NodeId(name.into())).expect("joined")
    }

    /// A node comes, or comes back: its agent ends what has no order, and knows of nothing that it reported before.
    pub(super) fn join(&mut self, name: &str) {
        let id = NodeId(name.into());
        let view = self.nodes().entry(id.clone()).or_insert_with(|| NodeView::open(name, 10));
        if view.presence == Presence::Live {
            return;
        }
        view.presence = Presence::Live;
        let orders = &self.orders;
        self.processes.retain(|(instance, node), term| {
            *node != id
                || orders.get(&(instance.clone(), node.clone())).is_some_and(|order| order.term == *term)
        });
        self.look();
    }

    /// A node is cut off: nobody hears of it, and what runs there runs on.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(node) = self.nodes().get_mut(&NodeId(name.into())).filter(|node| node.is_live()) {
            node.presence = Presence::Lost { for_ms: 0, guard_ms: GUARD_MS };
        }
        self.reports.retain(|(_, node), _| node.0 != name);
        self.look();
    }

    /// A node dies with all that runs on it.
    pub(super) fn die(&mut self, name: &str) {
        self.leave(name);
        self.processes.retain(|(_, node), _| node.0 != name);
    }

    /// Time passes: what must not run twice is frozen when the guard time of its lost node is over.
    pub(super) fn pass(&mut self, ms: u64) {
        let mut over = BTreeSet::new();
        for node in self.nodes().values_mut() {
            if let Presence::Lost { for_ms, guard_ms } = &mut node.presence {
                *for_ms += ms;
                if *for_ms >= *guard_ms {
                    over.insert(node.id.clone());
                }
            }
        }
        let strict = self.exclusive_apps();
        self.processes.retain(|(instance, node), _| !over.contains(node) || !strict.contains(&instance.app));
    }

    fn exclusive_apps(&self) -> BTreeSet<String> {
        let apps = self.desired.release.iter().flat_map(|release| &release.apps);
        apps.filter(|app| app.exclusivity != Exclusivity::Shared).map(|app| app.label.clone()).collect()
    }

    pub(super) fn drain(&mut self, name: &str) {
        self.node(name).closed = Some(Closed::Draining);
    }

    pub(super) fn deploy(&mut self, apps: &[(&str, u32)]) {
        let number = self.next_release();
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

    pub(super) fn app(&mut self, label: &str) -> &mut ReleaseApp {
        let apps = &mut self.desired.release.as_mut().expect("deployed").apps;
        apps.iter_mut().find(|app| app.label == label).expect("an app of the release")
    }

    /// Asks for a release that replaces the running one, as the server does: only `changed` apps get a new copy.
    pub(super) fn update(&mut self, changed: &[&str]) {
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

    /// Updates, if a server would: the stream runs, and no update is under way.
    pub(super) fn try_update(&mut self, label: &str) {
        let is_settled = matches!(
            Rollout::of(&self.desired, self.placement.as_ref()),
            Rollout::Only(release) | Rollout::Kept { from: release, .. }
                if self.placement.as_ref().is_some_and(|placement| placement.release == release.number)
        );
        if is_settled {
            self.update(&[label]);
        }
    }

    pub(super) fn next_release(&self) -> u32 {
        self.desired.release.as_ref().map_or(1, |release| release.number + 1)
    }

    pub(super) fn want(&mut self, want: Want) {
        self.desired.want = want;
        self.desired.generation += 1;
    }

    pub(super) fn plan(&self) -> Plan {
        plan(self.name, &self.desired, self.placement.as_ref(), &self.observed)
    }

    /// Carries out one plan, as the leader's transaction would.
    pub(super) fn step(&mut self) -> Vec<Action> {
        self.carry_out_plan(self.plan())
    }

    pub(super) fn carry_out_plan(&mut self, plan: Plan) -> Vec<Action> {
        self.placement = Some(plan.placement);
        self.carry_out(&plan.actions);
        plan.actions
    }

    /// Carries out the first writes of a plan, as a leader does that dies between two transactions: the placement, then orders.
    /// Gives back how many there were.
    pub(super) fn step_at_most(&mut self, writes: usize) -> usize {
        let plan = self.plan();
        let is_new = self.placement.as_ref() != Some(&plan.placement);
        if writes < usize::from(is_new) {
            return 0;
        }
        self.placement = Some(plan.placement);
        let orders = plan.actions.len().min(writes - usize::from(is_new));
        self.carry_out(&plan.actions[..orders]);
        orders + usize::from(is_new)
    }

    fn carry_out(&mut self, actions: &[Action]) {
        for action in actions.iter().cloned() {
            match action {
                Action::Assign { instance, node, term } => self.order(instance, node, term),
                Action::Move { instance, from, to, term } => {
                    assert!(
                        self.observed.live(&from).is_none(),
                        "{instance} is moved off the live node {from}"
                    );
                    self.withdraw(&instance, &from);
                    self.order(instance, to, term);
                }
                Action::Stop { instance, node } => {
                    self.orders.get_mut(&(instance, node)).expect("stops a standing order").stop = true;
                }
                Action::Withdraw { instance, node } => self.withdraw(&instance, &node),
                Action::Remove => self.removed = true,
            }
        }
        self.look();
    }

    fn order(&mut self, instance: InstanceId, node: NodeId, term: Term) {
        let order = Assignment { node: node.clone(), uid: self.desired.uid.clone(), term, stop: false };
        assert!(self.orders.insert((instance, node), order).is_none(), "an order was overwritten");
    }

    fn withdraw(&mut self, instance: &InstanceId, node: &NodeId) {
        let key = (instance.clone(), node.clone());
        self.orders.remove(&key).expect("withdraws a standing order");
        self.reports.remove(&key);
    }

    /// Derives what is observed from what stands.
    fn look(&mut self) {
        self.observed.assignments.clear();
        self.observed.leaving.clear();
        self.observed.reports.clear();
        for ((instance, node), order) in &self.orders {
            let report = self.reports.get(&(instance.clone(), node.clone())).cloned();
            let (mut order, mut report) = (order.clone(), report);
            if let Some(other) = self.observed.assignments.get_mut(instance) {
                let mut other_report = self.observed.reports.remove(instance);
                if other.term < order.term {
                    std::mem::swap(other, &mut order);
                    std::mem::swap(&mut other_report, &mut report);
                }
                self.observed.leaving.entry(instance.clone()).or_default().push(Leaving { order, report });
                report = other_report;
            } else {
                self.observed.assignments.insert(instance.clone(), order);
            }
            if let Some(report) = report {
                self.observed.reports.insert(instance.clone(), report);
            }
        }
    }

    /// All live agents start what they are told to run and stop what they are told to stop.
    pub(super) fn obey(&mut self) {
        let names: Vec<_> = self.observed.nodes.keys().map(|id| id.0.clone()).collect();
        names.iter().for_each(|name| self.obey_on(name));
    }

    /// One agent does so, if it is live.
    pub(super) fn obey_on(&mut self, name: &str) {
        let id = NodeId(name.into());
        if self.observed.live(&id).is_none() {
            return;
        }
        let orders = &self.orders;
        self.processes.retain(|(instance, node), _| {
            *node != id || orders.contains_key(&(instance.clone(), id.clone()))
        });
        for (key, order) in self.orders.iter().filter(|((_, node), _)| *node == id) {
            let is_dead = self.dead.contains(&key.0.release);
            let state = match (order.stop, is_dead) {
                (true, _) => InstanceState::Stopped,
                (false, true) => InstanceState::Failed,
                (false, false) => InstanceState::Running,
            };
            if state == InstanceState::Running {
                self.processes.insert(key.clone(), order.term);
            } else {
                self.processes.remove(key);
            }
            let ready = state == InstanceState::Running && !self.sick.contains(&key.0.release);
            let report = Report { term: order.term, state, ready, failing: is_dead, reason: None };
            self.reports.insert(key.clone(), report);
        }
        self.look();
    }

    /// Plans and obeys until nothing changes.
    pub(super) fn settle(&mut self) {
        for _ in 0..30 {
            let before = self.observed.clone();
            let quiet = self.step().is_empty();
            self.obey();
            if quiet && self.observed == before {
                return;
            }
        }
        panic!("the planner does not come to rest: {:?}", self.plan());
    }

    pub(super) fn settle_until_removed(&mut self) {
        for _ in 0..10 {
            self.obey();
            self.step();
            if self.removed {
                return;
            }
        }
        panic!("never removed: {:?}", self.plan());
    }

    pub(super) fn phase(&self) -> Phase {
        phase(self.name, &self.desired, self.placement.as_ref(), &self.observed).phase
    }

    /// What people are told of the instance with this label and index 0.
    pub(super) fn told(&self, label: &str) -> (Phase, Option<String>) {
        let phases = phase(self.name, &self.desired, self.placement.as_ref(), &self.observed).instances;
        phases.into_iter().find(|(id, _)| id.app == label && id.index == 0).expect("an instance").1
    }

    /// Orders to run, as text.
    pub(super) fn running(&self) -> Vec<String> {
        let run = self.orders.iter().filter(|(_, order)| !order.stop);
        run.map(|((instance, node), order)| format!("{instance}@{node} t{}", order.term)).collect()
    }

    pub(super) fn orders(&self) -> usize {
        self.orders.len()
    }
}
