//! Keeps true: the orders that stand are those that the stream definitions want.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowkeeper_deploy::record::{AssignmentRecord, Order, VERSION, encode, encode_compact};
use flowkeeper_deploy::{rollout, znode};
use flowkeeper_engine::model::{Desired, InstanceId, NodeId, Placement, Resources, Want};
use flowkeeper_engine::planner::{Action, Plan, plan_with};
use flowkeeper_engine::rollout::Rollout;
use flowkeeper_zk::mutant;
use flowkeeper_zk::recipes::{Leadership, Txn, TxnError};
use futures::StreamExt;
use tokio::time::Instant;

use super::reservations::{Reservations, Reserved};
use crate::clock;
use crate::meta::record::StateRecord;
use crate::meta::{Dirty, Meta, Model, Versioned};
use crate::metrics::Metrics;

/// Time between two looks at everything.
const FULL_PASS: Duration = Duration::from_secs(30);
/// Streams reconciled at the same time.
const IN_FLIGHT: usize = 64;
/// Orders written in one transaction.
const ORDERS_PER_TXN: usize = 100;
/// How long a pass waits for its own write to reach the model.
const SETTLE: Duration = Duration::from_secs(5);
/// Pause before a failed pass is repeated: the first, and the longest.
const RETRY: Duration = Duration::from_millis(50);
const MOST_RETRY: Duration = Duration::from_secs(10);

/// A deadline is looked at a little late, so that it has passed for certain.
const LATE: Duration = Duration::from_millis(20);

/// The reconciler of all streams, for one leadership.
#[derive(Debug)]
pub(crate) struct Streams<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) metrics: &'a Metrics,
    pub(crate) leadership: &'a Leadership,
    /// When to look again at streams although nothing of them changes: a release has had its time, a lost node too.
    pub(crate) deadlines: Mutex<BTreeMap<String, Instant>>,
    /// How often in a row a change of a stream failed.
    pub(crate) failures: Mutex<BTreeMap<String, u32>>,
    /// How many instances of a stream have no place, where there are such.
    pub(crate) unplaced: Mutex<BTreeMap<String, usize>>,
    /// What decisions under way will take of the nodes.
    pub(crate) reservations: Reservations,
}

/// The leadership is lost: stop at once.
struct Deposed;

/// What one pass writes.
struct Decision<'a> {
    txns: Vec<Txn>,
    /// Nodes of which it presumes that they are lost.
    lost: BTreeSet<NodeId>,
    /// Given back once the copy of the metadata shows what was decided, or it came to nothing.
    _reserved: Reserved<'a>,
}

impl Streams<'_> {
    /// Runs until the leadership is lost. May be dropped at any await.
    pub(crate) async fn run(&self) {
        let mut timer = tokio::time::interval(FULL_PASS);
        loop {
            let due = self.next_deadline();
            let dirty = tokio::select! {
                dirty = self.meta.next_dirty() => dirty,
                _ = timer.tick() => Dirty { all: true, ..Dirty::default() },
                () = sleep_until(due) => Dirty { streams: self.take_due(), ..Dirty::default() },
            };
            let began = Instant::now();
            let names = if dirty.all { self.every_name() } else { dirty.streams.into_iter().collect() };
            let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
            let names = self.in_order(names);
            let mut passes =
                futures::stream::iter(names).map(|name| self.reconcile(name)).buffer_unordered(IN_FLIGHT);
            while let Some(pass) = passes.next().await {
                if pass.is_err() {
                    return;
                }
            }
            if dirty.all {
                self.metrics.leader.pass.observe(began.elapsed().as_secs_f64());
                self.metrics.leader.streams.set(count);
                self.metrics.leader.unplaced.set(self.count_unplaced());
            }
        }
    }

    fn count_unplaced(&self) -> i64 {
        let count: usize = self.unplaced().values().sum();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn unplaced(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.unplaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines().values().min().copied()
    }

    fn take_due(&self) -> BTreeSet<String> {
        let now = Instant::now();
        self.deadlines().extract_if(.., |_, deadline| *deadline <= now).map(|(name, _)| name).collect()
    }

    fn deadlines(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All streams, and names that only orders or placements still know.
    fn every_name(&self) -> Vec<String> {
        let model = self.meta.model();
        let known = model.streams.keys().chain(model.states.keys());
        let mut names: Vec<_> = known.chain(model.ordered_streams()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Streams that were changed together are looked at readers first, so that their orders are written in that order.
    fn in_order(&self, names: Vec<String>) -> Vec<String> {
        let model = self.meta.model();
        let mut ordered: Vec<_> = names.into_iter().map(|name| (model.order(&name), name)).collect();
        ordered.sort_unstable();
        ordered.into_iter().map(|(_, name)| name).collect()
    }

    /// One pass over one stream.
    async fn reconcile(&self, name: String) -> Result<(), Deposed> {
        self.metrics.reconciles.inc();
        let Some(Decision { txns, lost, _reserved }) = self.decide(&name) else {
            self.failures().remove(&name);
            return Ok(());
        };
        if self.has_returned(&lost).await {
            // The model is about to show it, and then this stream is looked at again.
            return Ok(());
        }
        for txn in txns {
            match self.meta.connection().commit(txn).await {
                Ok(committed) => {
                    self.meta.wait_applied(committed.zxid, SETTLE).await;
                }
                Err(error) if self.leadership.is_deposed_by(&error) => return Err(Deposed),
                Err(error) => {
                    self.metrics.reconcile_failures.inc();
                    self.try_later(&name, &error);
                    return Ok(());
                }
            }
        }
        self.failures().remove(&name);
        self.wake_peers(&name);
        Ok(())
    }

    /// Writes a plan down that did not come from a look at a stream: one transaction. What does not succeed is left.
    pub(crate) async fn carry_out(&self, name: &str, plan: &Plan) {
        let txn = {
            let model = self.meta.model();
            let Some(stream) = model.streams.get(name) else { return };
            let fence = self.leadership.fence().check(znode::stream(name), stream.version);
            let txn = fence.and(self.placement(name, model.states.get(name), plan));
            plan.actions.iter().fold(txn, |txn, action| self.order(&model, &stream.uid, txn, action))
        };
        match self.meta.connection().commit(txn).await {
            Ok(committed) => drop(self.meta.wait_applied(committed.zxid, SETTLE).await),
            Err(error) => tracing::debug!(stream.name = %name, %error, "a move was left undone"),
        }
    }

    /// Has the streams looked at again that wait for this one, unless it still waits itself.
    fn wake_peers(&self, name: &str) {
        let model = self.meta.model();
        if model.replacing(name).is_none() {
            model.replacing_together(name).into_iter().for_each(|peer| self.meta.mark_dirty(peer));
        }
    }

    /// Plans from the model as it is, and writes the plan down as transactions. `None`: at rest.
    fn decide(&self, name: &str) -> Option<Decision<'_>> {
        let model = self.meta.model();
        if !model.unreadable.is_empty() && model.is_unreadable(name) {
            // It was told when it was read. Nothing that runs is touched until somebody has mended or deleted the document.
            return None;
        }
        let stream = model.streams.get(name);
        // A name that only orders or a placement still know is wound up like a destroyed stream.
        let gone = || Desired { want: Want::Destroyed, ..Desired::default() };
        let desired = model.desired(name).unwrap_or_else(gone);
        let state = model.states.get(name);
        if stream.is_none() && state.is_none() && model.assignments_of(name).next().is_none() {
            self.unplaced().remove(name);
            return None;
        }
        let placement = state.map(|state| state.record.placement());
        let rollout = Rollout::of(&desired, placement.as_ref());
        let observed = model.observed(name);
        let (plan, reserved) = self.reservations.reserve(
            |taken| plan_with(name, &desired, placement.as_ref(), &observed, taken),
            |plan| taken_by(&model, plan),
        );
        let patience = match rollout {
            // One that has had its time and has not failed is healthy and waits for others, who will wake it.
            Rollout::Replacing { to, .. } => {
                to.patience_ms.checked_sub(desired.elapsed_ms).filter(|left| *left > 0)
            }
            _ => None,
        };
        match patience.into_iter().chain(plan.wake_ms).min() {
            Some(left) => {
                let due = Instant::now() + Duration::from_millis(left) + LATE;
                self.deadlines().insert(name.to_owned(), due);
            }
            None => drop(self.deadlines().remove(name)),
        }
        match plan.unplaced.len() {
            0 => drop(self.unplaced().remove(name)),
            count => drop(self.unplaced().insert(name.to_owned(), count)),
        }
        for (instance, reason) in &plan.unplaced {
            tracing::debug!(%instance, reason, "an instance cannot be placed");
        }
        if plan.actions.is_empty()
            && (placement.as_ref() == Some(&plan.placement) || plan.placement.apps.is_empty())
        {
            return None;
        }
        let fence = || match stream {
            Some(stream) => self.leadership.fence().check(znode::stream(name), stream.version),
            None => self.leadership.fence(),
        };
        if plan.actions == [Action::Remove] {
            let txns = vec![self.removal(&model, name, fence())];
            return Some(Decision { txns, lost: BTreeSet::new(), _reserved: reserved });
        }
        let uid = stream.map(|stream| stream.uid.as_str()).unwrap_or_default();
        let mut txns = vec![match stream {
            Some(_) => fence().and(self.placement(name, state, &plan)),
            None => fence(),
        }];
        if let Rollout::Replacing { to, .. } = rollout
            && plan.placement.release == to.number
        {
            let together = model.replacing_together(name);
            // The first of them writes it for all; when they become healthy at the same time, the others leave it to that one.
            if let Some(first) = together.first().filter(|first| **first != name) {
                self.meta.mark_dirty(first);
                return None;
            }
            let peers = together.into_iter().filter(|peer| *peer != name);
            txns =
                vec![peers.fold(std::mem::take(&mut txns[0]), |txn, peer| self.take_over(&model, txn, peer))];
        }
        for actions in plan.actions.chunks(ORDERS_PER_TXN) {
            let orders = actions.iter().fold(Txn::new(), |txn, action| self.order(&model, uid, txn, action));
            match txns.last_mut() {
                Some(first) if first.len() < ORDERS_PER_TXN => *first = std::mem::take(first).and(orders),
                _ => txns.push(fence().and(orders)),
            }
        }
        Some(Decision { txns, lost: presumed_lost(&model, &plan), _reserved: reserved })
    }

    /// Has a stream looked at again after a pause that doubles with each failure in a row; the next look starts from what stands then.
    fn try_later(&self, name: &str, error: &TxnError) {
        let times = {
            let mut failures = self.failures();
            let times = failures.entry(name.to_owned()).or_default();
            *times = times.saturating_add(1);
            *times
        };
        let pause = (RETRY * 2_u32.saturating_pow(times - 1)).min(MOST_RETRY);
        // Once is what happens when two change the same thing.
        if times > 1 {
            tracing::warn!(stream.name = %name, %error, times, ?pause, "a change of the stream's orders is tried again");
        }
        self.deadlines().insert(name.to_owned(), Instant::now() + pause);
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of these nodes is there after all. That a node is lost and under which registration it was must be one view: the
    /// registration that a transaction checks was read before this, so a node that came back in between either is seen here or
    /// has raised its registration.
    async fn has_returned(&self, lost: &BTreeSet<NodeId>) -> bool {
        if mutant::is("no-node-epoch") {
            return false;
        }
        let client = self.meta.connection().client();
        for node in lost {
            // An error means that the transaction will not go through either.
            if !matches!(client.check_stat(&znode::node_live(node)).await, Ok(None)) {
                return true;
            }
        }
        false
    }

    fn placement(&self, name: &str, state: Option<&Versioned<StateRecord>>, plan: &Plan) -> Txn {
        let path = znode::state(name);
        let (epoch, now) = (self.leadership.epoch, clock::now());
        match state {
            None => Txn::new()
                .create(path, encode(&StateRecord::default().with_placement(&plan.placement, epoch, &now))),
            Some(state) => Txn::new().set(
                path,
                encode(&state.record.with_placement(&plan.placement, epoch, &now)),
                state.version,
            ),
        }
    }

    /// Notes that the newest release of a stream takes the place of the one before; its orders follow in its own pass.
    fn take_over(&self, model: &Model, txn: Txn, name: &str) -> Txn {
        let (Some(stream), Some(state)) = (model.streams.get(name), model.states.get(name)) else {
            return txn;
        };
        let placement = Placement { release: stream.record.want.rel, ..state.record.placement() };
        let record = state.record.with_placement(&placement, self.leadership.epoch, &clock::now());
        // Compact, because there may be two hundred of them.
        txn.check(znode::stream(name), stream.version).set(
            znode::state(name),
            encode_compact(&record),
            state.version,
        )
    }

    fn order(&self, model: &Model, uid: &str, txn: Txn, action: &Action) -> Txn {
        self.count(action);
        let standing = |instance: &InstanceId, node: &NodeId| model.assignment_on(instance, node);
        let version =
            |instance: &InstanceId, node: &NodeId| standing(instance, node).map(|order| order.version);
        match action {
            Action::Assign { instance, node, term } => {
                txn.create(znode::assignment(node, instance), self.run_order(model, uid, instance, term.0))
            }
            // T6: the node that was lost must not have registered again since this was decided; if it has, its registration
            // was raised, this fails, and its apps are looked at anew.
            Action::Move { instance, from, to, term } => still_lost(model, from, txn)
                .delete(znode::assignment(from, instance), version(instance, from))
                .create(znode::assignment(to, instance), self.run_order(model, uid, instance, term.0)),
            Action::Stop { instance, node } => match standing(instance, node) {
                Some(order) => {
                    let mut record = AssignmentRecord::clone(&order.record);
                    record.want = Order::Stop;
                    record.le = self.leadership.epoch;
                    txn.set(znode::assignment(node, instance), encode(&record), order.version)
                }
                None => txn,
            },
            Action::Withdraw { instance, node } => still_lost(model, node, txn)
                .delete(znode::assignment(node, instance), version(instance, node)),
            // Records go only after the last order is withdrawn: the next pass does it.
            Action::Remove => txn,
        }
    }

    fn count(&self, action: &Action) {
        let leader = &self.metrics.leader;
        if matches!(action, Action::Assign { .. } | Action::Move { .. }) {
            leader.orders.inc();
        }
        if matches!(action, Action::Move { .. }) {
            leader.moves.inc();
        }
    }

    fn run_order(&self, model: &Model, uid: &str, instance: &InstanceId, term: u64) -> Vec<u8> {
        let app = model.release(&instance.stream, instance.release);
        let app = app.and_then(|release| release.app(&instance.app));
        encode(&AssignmentRecord {
            v: VERSION,
            uid: uid.to_owned(),
            t: term,
            rel: instance.release,
            want: Order::Run,
            x: app.map(|app| rollout::asks(app).0.into()).unwrap_or_default(),
            le: self.leadership.epoch,
            extra: Default::default(),
        })
    }

    /// Removes everything of a destroyed stream (T9).
    fn removal(&self, model: &Model, name: &str, fence: Txn) -> Txn {
        let mut txn = fence;
        for release in model.releases(name) {
            txn = txn.delete(znode::release(name, release.n), None);
        }
        if let Some(state) = model.states.get(name) {
            txn = txn.delete(znode::state(name), state.version);
        }
        if model.streams.contains_key(name) { txn.delete(znode::stream(name), None) } else { txn }
    }
}

/// Demands that a node that is lost has not registered again. One that is live answers for itself.
fn still_lost(model: &Model, node: &NodeId, txn: Txn) -> Txn {
    if mutant::is("no-node-epoch") {
        return txn;
    }
    let lost = model.nodes.get(node).filter(|entry| entry.live.is_none());
    match lost.and_then(|entry| entry.registration.as_ref()) {
        Some(registration) => txn.check(znode::node_registration(node), registration.version),
        None => txn,
    }
}

/// Nodes of which a plan presumes that they are lost.
fn presumed_lost(model: &Model, plan: &Plan) -> BTreeSet<NodeId> {
    let nodes = plan.actions.iter().filter_map(|action| match action {
        Action::Move { from: node, .. } | Action::Withdraw { node, .. } => Some(node),
        Action::Assign { .. } | Action::Stop { .. } | Action::Remove => None,
    });
    let is_lost = |node: &&NodeId| model.nodes.get(node).is_some_and(|entry| entry.live.is_none());
    nodes.filter(is_lost).cloned().collect()
}

/// What a plan will take of each node.
fn taken_by(model: &Model, plan: &Plan) -> Vec<(NodeId, Resources)> {
    let taken = plan.actions.iter().filter_map(|action| match action {
        Action::Assign { instance, node, .. } | Action::Move { instance, to: node, .. } => {
            Some((node.clone(), model.takes(instance)))
        }
        Action::Stop { .. } | Action::Withdraw { .. } | Action::Remove => None,
    });
    taken.collect()
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
