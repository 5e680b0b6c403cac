//! Keeps true: the orders that stand are those that the stream definitions want.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowkeeper_deploy::record::{AssignmentRecord, Order, VERSION, encode, encode_compact};
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::{Desired, InstanceId, Placement, Want};
use flowkeeper_engine::planner::{Action, Plan, plan};
use flowkeeper_engine::rollout::Rollout;
use flowkeeper_zk::recipes::{Leadership, Txn, TxnError};
use futures::StreamExt;
use tokio::time::Instant;

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
/// Pause before a failed pass is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// A deadline is looked at a little late, so that it has passed for certain.
const LATE: Duration = Duration::from_millis(20);

/// The reconciler of all streams, for one leadership.
#[derive(Debug)]
pub(crate) struct Streams<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) metrics: &'a Metrics,
    pub(crate) leadership: &'a Leadership,
    /// When to look again at streams of which one release replaces another: then the new one has had its time.
    pub(crate) deadlines: Mutex<BTreeMap<String, Instant>>,
}

/// The leadership is lost: stop at once.
struct Deposed;

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
            let names = if dirty.all { self.every_name() } else { dirty.streams.into_iter().collect() };
            let names = self.in_order(names);
            let mut passes =
                futures::stream::iter(names).map(|name| self.reconcile(name)).buffer_unordered(IN_FLIGHT);
            while let Some(pass) = passes.next().await {
                if pass.is_err() {
                    return;
                }
            }
        }
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
        let Some(txns) = self.decide(&name) else { return Ok(()) };
        for txn in txns {
            match self.meta.connection().commit(txn).await {
                Ok(committed) => {
                    self.meta.wait_applied(committed.zxid, SETTLE).await;
                }
                Err(error) if self.leadership.is_deposed_by(&error) => return Err(Deposed),
                Err(error) => {
                    self.metrics.reconcile_failures.inc();
                    tracing::warn!(stream.name = %name, %error, "a change of the stream's orders is tried again");
                    if !matches!(error, TxnError::Refused { .. }) {
                        tokio::time::sleep(RETRY).await;
                    }
                    // The next look starts from what stands then.
                    self.meta.mark_dirty(&name);
                    return Ok(());
                }
            }
        }
        self.wake_peers(&name);
        Ok(())
    }

    /// Has the streams looked at again that wait for this one, unless it still waits itself.
    fn wake_peers(&self, name: &str) {
        let model = self.meta.model();
        if model.replacing(name).is_none() {
            model.replacing_together(name).into_iter().for_each(|peer| self.meta.mark_dirty(peer));
        }
    }

    /// Plans from the model as it is, and writes the plan down as transactions. `None`: at rest.
    fn decide(&self, name: &str) -> Option<Vec<Txn>> {
        let model = self.meta.model();
        let stream = model.streams.get(name);
        // A name that only orders or a placement still know is wound up like a destroyed stream.
        let gone = || Desired { want: Want::Destroyed, ..Desired::default() };
        let desired = model.desired(name).unwrap_or_else(gone);
        let state = model.states.get(name);
        if stream.is_none() && state.is_none() && model.assignments_of(name).next().is_none() {
            return None;
        }
        let placement = state.map(|state| state.record.placement());
        let rollout = Rollout::of(&desired, placement.as_ref());
        match rollout {
            // One that has had its time and has not failed is healthy and waits for others, who will wake it.
            Rollout::Replacing { to, .. } if desired.elapsed_ms < to.patience_ms => {
                let left = Duration::from_millis(to.patience_ms - desired.elapsed_ms) + LATE;
                self.deadlines().insert(name.to_owned(), Instant::now() + left);
            }
            _ => drop(self.deadlines().remove(name)),
        }
        let plan = plan(name, &desired, placement.as_ref(), &model.observed(name));
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
            return Some(vec![self.removal(&model, name, fence())]);
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
        Some(txns)
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
        let standing = |instance: &InstanceId| model.assignment(instance).map(|(_, order)| order);
        match action {
            Action::Assign { instance, node, term } => {
                let record = AssignmentRecord {
                    v: VERSION,
                    uid: uid.to_owned(),
                    t: term.0,
                    rel: instance.release,
                    want: Order::Run,
                    x: Default::default(),
                    le: self.leadership.epoch,
                    extra: Default::default(),
                };
                txn.create(znode::assignment(node, instance), encode(&record))
            }
            Action::Stop { instance, node } => match standing(instance) {
                Some(order) => {
                    let mut record = AssignmentRecord::clone(&order.record);
                    record.want = Order::Stop;
                    record.le = self.leadership.epoch;
                    txn.set(znode::assignment(node, instance), encode(&record), order.version)
                }
                None => txn,
            },
            Action::Withdraw { instance, node } => {
                txn.delete(znode::assignment(node, instance), standing(instance).map(|order| order.version))
            }
            // Records go only after the last order is withdrawn: the next pass does it.
            Action::Remove => txn,
        }
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

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
