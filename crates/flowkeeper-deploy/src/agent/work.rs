//! The one task that owns everything an agent knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_zk::mutant;
use flowkeeper_zk::recipes::{Batch, LinkState, TreeFollower, TxnError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::heartbeat::Beat;
use super::identity::Identity;
use super::registration::Registration;
use super::{Options, RETRY, StopMode};
use crate::instance::{Job, Node, Reported, live};
use crate::lease::{LeaseFile, now_ns};
use crate::machine::{Meter, lacks_room};
use crate::record::{AssignmentRecord, Exclusivity, Order, decode};
use crate::task::spawn;
use crate::znode;

/// How long an agent that ends tries to say so.
const CLOSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Orders with the number of the registration under which they were read.
type Numbered = (u64, Batch);

const NS_PER_MS: u64 = 1_000_000;

/// Everything that can happen to an agent.
#[derive(Debug)]
enum Event {
    /// Orders changed, as read under this registration, counted from the first.
    Orders(u64, Batch),
    Beat(Beat),
    Reported(Box<Reported>),
    Ended(InstanceId),
    SessionReplaced,
    Sample,
    Flush,
    Stop(StopMode, oneshot::Sender<()>),
}

/// An instance that a task takes care of.
#[derive(Debug)]
struct Handle {
    job: Job,
    stop: CancellationToken,
    /// Where its deadline is written, once it has one.
    lease: Option<LeaseFile>,
}

/// What the work begins with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) options: Options,
    pub(super) node: Arc<Node>,
    pub(super) identity: Identity,
    pub(super) registration: Registration,
    pub(super) board: Board,
    pub(super) reports: mpsc::Sender<Reported>,
    pub(super) ended: mpsc::Sender<InstanceId>,
    pub(super) tracker: TaskTracker,
    /// The newest deadline of leases.
    pub(super) lapse: watch::Sender<u64>,
    /// Why nothing new is started.
    pub(super) unfit: watch::Sender<Option<String>>,
    /// Held while the agent lives; the kernel releases it.
    pub(super) _lock: File,
}

#[derive(Debug)]
pub(super) struct Work {
    parts: Parts,
    orders: BTreeMap<InstanceId, AssignmentRecord>,
    /// Orders that cannot be read: what they are about is left as it is.
    unreadable: BTreeSet<InstanceId>,
    running: BTreeMap<InstanceId, Handle>,
    /// True once all orders were read under the registration in force: before that nothing may be concluded from a missing
    /// one, and no lease is prolonged.
    is_listed: bool,
    /// True once what an earlier agent left was looked at.
    is_settled: bool,
    /// Counts registrations.
    generation: u64,
    /// Ends the reading of orders of an earlier registration.
    following: CancellationToken,
    batches: mpsc::Sender<Numbered>,
    orders_read: Option<mpsc::Receiver<Numbered>>,
    detach: CancellationToken,
    stopping: Option<oneshot::Sender<()>>,
    meter: Meter,
}

impl Work {
    pub(super) fn new(parts: Parts) -> Work {
        let (sender, receiver) = mpsc::channel(16);
        let detach = CancellationToken::new();
        Work {
            parts,
            orders: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            running: BTreeMap::new(),
            is_listed: false,
            is_settled: false,
            generation: 0,
            following: detach.child_token(),
            batches: sender,
            orders_read: Some(receiver),
            detach,
            stopping: None,
            meter: Meter::default(),
        }
    }

    pub(super) fn node_id(&self) -> &NodeId {
        &self.parts.options.node
    }

    /// `future`, ended when the agent ends.
    pub(super) fn until_detached(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        until(self.detach.clone(), future)
    }

    /// Begins to read the orders under the registration in force, from scratch: what was read before it may be older.
    pub(super) fn follow(&mut self) {
        self.following.cancel();
        self.following = self.detach.child_token();
        self.generation += 1;
        self.is_listed = false;
        let root = znode::assignments(self.node_id());
        let follower = TreeFollower::new(self.parts.node.connection.clone(), root, |_| true);
        let reading = forward(follower, self.generation, self.batches.clone());
        spawn(&self.parts.tracker, "orders", until(self.following.clone(), reading));
    }

    pub(super) async fn run(
        mut self,
        mut beats: mpsc::Receiver<Beat>,
        mut reports: mpsc::Receiver<Reported>,
        mut ended: mpsc::Receiver<InstanceId>,
        mut stop: mpsc::Receiver<(StopMode, oneshot::Sender<()>)>,
    ) {
        let Some(mut orders) = self.orders_read.take() else { return };
        let mut link = self.parts.node.connection.watch_link();
        let mut samples = interval(self.parts.options.sample);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let flush_at = self.parts.board.flush_at();
            let session = self.parts.registration.incarnation_of_link();
            let event = tokio::select! {
                // In this order: what an instance reported last was sent before its end was told, and must be noted before
                // that; or it would be noted again after the instance was forgotten.
                biased;
                Some((mode, done)) = stop.recv() => Event::Stop(mode, done),
                Some(beat) = beats.recv() => Event::Beat(beat),
                Some(report) = reports.recv() => Event::Reported(Box::new(report)),
                Some(instance) = ended.recv() => Event::Ended(instance),
                Some((generation, batch)) = orders.recv() => Event::Orders(generation, batch),
                Ok(_) = link.wait_for(|link| link.state == LinkState::Connected && link.incarnation != session) => {
                    Event::SessionReplaced
                }
                _ = samples.tick() => Event::Sample,
                () = sleep_until(flush_at) => Event::Flush,
            };
            if self.apply(event).await {
                break;
            }
        }
        self.detach.cancel();
        if let Some(done) = self.stopping.take() {
            // The caller may have given up waiting.
            let _ = done.send(());
        }
    }

    /// Applies one event; true when the agent is to end.
    async fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Orders(generation, batch) if generation == self.generation => self.take_orders(batch),
            // Read under an earlier registration.
            Event::Orders(..) => {}
            Event::Beat(beat) => self.prolong(beat),
            Event::Reported(report) => {
                let Reported { instance, entry } = *report;
                self.parts.board.put(instance, entry);
            }
            Event::Ended(instance) => {
                self.running.remove(&instance);
                if self.stopping.is_none() {
                    self.settle(&instance);
                }
            }
            Event::SessionReplaced => self.register_again().await,
            Event::Sample => return self.sample().await,
            Event::Flush => return self.flush().await,
            Event::Stop(mode, done) => {
                self.stopping = Some(done);
                match mode {
                    StopMode::LeaveApps => {
                        self.close().await;
                        if mutant::is("polite-close") {
                            self.vanish().await
                        }
                        return true;
                    }
                    StopMode::StopApps => self.running.values().for_each(|handle| handle.stop.cancel()),
                }
            }
        }
        self.stopping.is_some() && self.running.is_empty()
    }

    fn take_orders(&mut self, batch: Batch) {
        let mut touched = BTreeSet::new();
        if batch.resynced && !self.is_listed {
            // All of them, read from scratch: what is not among them is not ordered.
            touched.extend(std::mem::take(&mut self.orders).into_keys());
            touched.extend(self.running.keys().cloned());
            self.unreadable.clear();
        }
        for change in batch.changes {
            let segment = change.path.rsplit('/').next().unwrap_or_default();
            let Some(instance) = znode::parse_instance_segment(segment) else { continue };
            self.unreadable.remove(&instance);
            match change.node.map(|node| decode::<AssignmentRecord>(&change.path, &node.data)) {
                None => drop(self.orders.remove(&instance)),
                Some(Ok(order)) => drop(self.orders.insert(instance.clone(), order)),
                Some(Err(error)) => {
                    tracing::error!(app.instance = %instance, %error, "an order was skipped");
                    self.unreadable.insert(instance.clone());
                }
            }
            touched.insert(instance);
        }
        self.is_listed |= batch.resynced;
        if self.is_listed && !self.is_settled {
            self.is_settled = true;
            touched.extend(self.leftovers());
            // Buckets of an earlier incarnation are replaced even when nothing is reported.
            self.parts.board.mark_all_dirty();
        }
        if self.stopping.is_none() {
            touched.iter().for_each(|instance| self.settle(instance));
        }
    }

    /// Instances that have a folder here, whatever made it.
    fn leftovers(&self) -> Vec<InstanceId> {
        let entries = std::fs::read_dir(&self.parts.node.instances).into_iter().flatten().flatten();
        entries.filter_map(|entry| znode::parse_instance_segment(entry.file_name().to_str()?)).collect()
    }

    /// Compares what is ordered for one instance with what runs, and starts or stops its task.
    fn settle(&mut self, instance: &InstanceId) {
        if !self.is_listed || self.unreadable.contains(instance) {
            return;
        }
        let order = self.orders.get(instance);
        if let Some(handle) = self.running.get(instance) {
            if !stands(order, &handle.job) {
                handle.stop.cancel();
            }
            return;
        }
        match order {
            Some(order) if order.want == Order::Stop && self.parts.board.has_stopped(instance, order.t) => {}
            Some(order) => {
                let job = Job {
                    instance: instance.clone(),
                    uid: order.uid.clone(),
                    term: order.t,
                    release: order.rel,
                    is_strict: order.x == Exclusivity::Strict && self.parts.options.lease.is_some(),
                };
                self.begin(job, order.want == Order::Stop);
            }
            None if self.parts.node.folder(instance).is_occupied() => {
                // Left over without an order: it is taken under a job of no term, only to be stopped.
                let (uid, instance) = (String::new(), instance.clone());
                self.begin(Job { instance, uid, term: 0, release: 0, is_strict: false }, true);
            }
            None => {
                self.parts.board.remove(instance);
                self.parts.node.folder(instance).remove();
            }
        }
    }

    fn begin(&mut self, job: Job, only_to_stop: bool) {
        let stop = CancellationToken::new();
        if only_to_stop {
            stop.cancel();
        }
        let instance = job.instance.clone();
        let ended = self.parts.ended.clone();
        let life = live(self.parts.node.clone(), job.clone(), stop.clone(), self.parts.reports.clone());
        let name = instance.clone();
        let life = async move {
            life.await;
            // Nobody receives it when the agent has ended.
            drop(ended.send(name).await);
        };
        spawn(&self.parts.tracker, "instance", until(self.detach.clone(), life));
        self.running.insert(instance, Handle { job, stop, lease: None });
    }

    /// Prolongs the leases of all strict instances whose orders stand.
    fn prolong(&mut self, beat: Beat) {
        let Some(lease) = self.parts.options.lease else { return };
        let session = self.parts.registration.incarnation_of_link();
        if !proves_contact(&beat, session, self.is_listed) || self.stopping.is_some() {
            return;
        }
        let late_ms = now_ns().saturating_sub(beat.sent_ns) / NS_PER_MS;
        if late_ms > lease.profile.heartbeat_ms.max(lease.profile.deadline_ms / 4) {
            tracing::warn!(late_ms, "zookeeper took long to acknowledge a heartbeat");
        }
        let deadline = beat.from_ns + lease.profile.deadline_ms * NS_PER_MS;
        let before = *self.parts.lapse.borrow();
        // Answers to heartbeats may arrive out of turn, and a deadline never goes back.
        let deadline = deadline.max(before);
        let lapsed = before != 0 && before < now_ns();
        if lapsed && deadline > now_ns() {
            tracing::warn!("contact with the control plane is back; strict instances go on");
        }
        self.parts.lapse.send_replace(deadline);
        for (instance, handle) in &mut self.running {
            let goes_on = handle.job.is_strict && !handle.stop.is_cancelled();
            if goes_on && stands(self.orders.get(instance), &handle.job) {
                let path = self.parts.node.folder(instance).lease();
                if let Err(error) = handle.prolong(&path, deadline) {
                    tracing::warn!(app.instance = %instance, %error, "a lease could not be prolonged");
                    handle.lease = None;
                }
            }
        }
    }

    /// A new session: our presence is gone. Announce the node again, read all orders anew, and report everything under the new
    /// incarnation. Until the orders were read nothing is prolonged.
    async fn register_again(&mut self) {
        self.is_listed = false;
        let Parts { node, options, identity, unfit, .. } = &self.parts;
        let why = unfit.borrow().clone();
        match Registration::new(&node.connection, options, identity, why).await {
            Ok(registration) => {
                self.parts.registration = registration;
                self.parts.board.mark_all_dirty();
                self.follow();
            }
            Err(error) => {
                tracing::error!(%error, "the node could not be registered again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Lets nothing new be placed here until the next agent of this node registers: what runs goes on, but nobody could start
    /// more. Best effort: the agent ends whether this is written or not.
    async fn close(&mut self) {
        let txn = self.parts.registration.declare(Some("its agent was stopped".to_owned()));
        drop(timeout(CLOSE, self.parts.node.connection.commit(txn)).await);
    }

    /// What a session that is closed takes along.
    async fn vanish(&self) {
        let presence = znode::node_live(self.node_id());
        let _ = self.parts.node.connection.client().delete(&presence, None).await;
    }

    /// Looks at disk and load; true when another incarnation of this node has taken over.
    async fn sample(&mut self) -> bool {
        if let Some((cpu, mem)) = self.meter.look() {
            self.parts.board.put_load(cpu, mem, Instant::now());
        }
        let why = lacks_room(&self.parts.options.data, self.parts.options.disk);
        let was_unfit = self.parts.unfit.borrow().is_some();
        if why.is_some() != was_unfit {
            match &why {
                Some(why) => tracing::warn!("nothing new is started here: {why}"),
                None => tracing::warn!("the disk has room again"),
            }
            self.parts.unfit.send_replace(why.clone());
        }
        if why.is_some() == self.parts.registration.unfit().is_some() {
            return false;
        }
        let said = self.parts.registration.unfit().map(str::to_owned);
        let txn = self.parts.registration.declare(why);
        match self.parts.node.connection.commit(txn).await {
            Ok(_) => {}
            Err(error) if self.parts.registration.is_replaced_by(&error) => return replaced(),
            Err(error) => {
                tracing::warn!(%error, "the state of the node could not be written and is written again");
                drop(self.parts.registration.declare(said));
            }
        }
        false
    }

    /// Writes what changed; true when another incarnation of this node has taken over.
    async fn flush(&mut self) -> bool {
        let registration = &self.parts.registration;
        let Some(txn) = self.parts.board.take(&registration.incarnation) else { return false };
        match self.parts.node.connection.commit(registration.fence().and(txn)).await {
            Ok(_) => self.parts.board.written(),
            Err(error) if registration.is_replaced_by(&error) => return replaced(),
            Err(error) => {
                if !matches!(error, TxnError::Unknown { .. }) {
                    tracing::warn!(%error, "statuses could not be written and are written again");
                }
                self.parts.board.failed(RETRY);
            }
        }
        false
    }
}

impl Handle {
    /// Writes the deadline, if the instance was ever started: its file is made at the start gate.
    fn prolong(&mut self, path: &std::path::Path, deadline_ns: u64) -> std::io::Result<()> {
        if self.lease.is_none() {
            match LeaseFile::open(path) {
                Ok(file) => self.lease = Some(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.lease.as_ref().map_or(Ok(()), |lease| lease.renew(deadline_ns))
    }
}

/// Whether a heartbeat proves that what is ordered is still ours: it was acknowledged in the session that owns our presence, and
/// all orders were read under that registration.
fn proves_contact(beat: &Beat, session: u64, is_listed: bool) -> bool {
    beat.session == session && is_listed
}

/// Whether `order` is that very job, and to run it.
fn stands(order: Option<&AssignmentRecord>, job: &Job) -> bool {
    order.is_some_and(|order| order.want == Order::Run && order.uid == job.uid && order.t == job.term)
}

/// Says that this agent is no longer the one of its node.
fn replaced() -> bool {
    tracing::error!("another agent has taken this node over; leaving the apps to it");
    true
}

async fn until(end: CancellationToken, future: impl Future<Output = ()>) {
    tokio::select! {
        () = future => {}
        () = end.cancelled() => {}
    }
}

/// Following is not cancel safe, so it has a task of its own; a cancelled one is never asked again.
async fn forward(mut follower: TreeFollower, generation: u64, orders: mpsc::Sender<Numbered>) {
    while let Some(batch) = follower.next().await {
        if orders.send((generation, batch)).await.is_err() {
            return;
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_heartbeat_of_the_registered_session_behind_a_reading_of_all_orders_counts() {
        let beat = Beat { from_ns: 1, session: 2, sent_ns: 1 };
        assert!(proves_contact(&beat, 2, true));
        assert!(!proves_contact(&beat, 2, false), "what was moved meanwhile would go on");
        assert!(!proves_contact(&beat, 1, true), "the presence belongs to an earlier session");
    }

    #[test]
    fn an_order_stands_for_its_life_and_term_only() {
        let job = Job {
            instance: InstanceId::new("s", "a", 1, 0),
            uid: "u".into(),
            term: 3,
            release: 1,
            is_strict: true,
        };
        let order = |uid: &str, t: u64, want: Order| -> AssignmentRecord {
            let text = serde_json::json!({"v": 1, "uid": uid, "t": t, "rel": 1, "want": want, "x": "strict", "le": 1});
            serde_json::from_value(text).expect("an order")
        };
        assert!(stands(Some(&order("u", 3, Order::Run)), &job));
        for other in [order("u", 4, Order::Run), order("v", 3, Order::Run), order("u", 3, Order::Stop)] {
            assert!(!stands(Some(&other), &job), "{other:?}");
        }
        assert!(!stands(None, &job));
    }
}
