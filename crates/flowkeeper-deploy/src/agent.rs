//! The agent of a node: orders in, processes under shims, statuses out.
//!
//! One task owns everything ([`Work`]): it waits for one [`Event`] (orders changed, an instance reported or ended, the
//! session changed, it is time to flush or to stop) and then applies it. Instances live in tasks of their own and only ever
//! send reports. Orders are level-triggered: whatever the history, the agent compares what is ordered with what it runs.

mod board;
mod registration;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_engine::restart::RestartPolicy;
use flowkeeper_zk::recipes::{Batch, Connection, LinkState, TreeFollower, TxnError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::artifact::Artifacts;
use crate::instance::{Job, Node, Reported, live};
use crate::port::Ports;
use crate::record::{AssignmentRecord, Order, decode};
use crate::task::spawn;
use crate::znode;
use board::Board;
use registration::Registration;

/// Changes are collected this long before they are written, so that a burst becomes one write.
const FLUSH_AFTER: Duration = Duration::from_millis(10);
/// Pause before a failed write of statuses or a failed registration is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    pub node: NodeId,
    /// Folder of the node: instances with their logs, fetched programs.
    pub data: PathBuf,
    /// App instances it may hold.
    pub slots: u32,
    /// Where programs come from.
    pub artifacts: Artifacts,
    /// The `flowkeeper` binary: it runs shims and bundled apps.
    pub program: PathBuf,
    /// The agent's own environment; apps inherit a few variables of it.
    pub env: BTreeMap<String, String>,
    pub policy: RestartPolicy,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("the folder {folder} is used by another agent; give this one its own --data, or stop the other")]
    Locked { folder: PathBuf },
    #[error("the folder {folder} cannot be used: {source}")]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("a node named {node} is alive on another machine ({machine}); give this one another --name")]
    NameTaken { node: NodeId, machine: String },
    #[error("the node cannot be registered: {0}")]
    Zookeeper(String),
}

/// What happens to the apps when the agent stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// They are stopped politely, and started again by the next agent.
    StopApps,
    /// They go on; the next agent adopts them.
    LeaveApps,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    stop: mpsc::Sender<(StopMode, oneshot::Sender<()>)>,
    tracker: TaskTracker,
}

impl Agent {
    /// Registers the node and starts to follow its orders. The metadata tree must be laid out.
    ///
    /// # Errors
    /// See [`AgentError`]; nothing runs then.
    pub async fn start(options: Options, connection: Connection) -> Result<Agent, AgentError> {
        let lock = lock(&options.data)?;
        let instances = options.data.join("instances");
        std::fs::create_dir_all(&instances)
            .map_err(|source| AgentError::Folder { folder: instances.clone(), source })?;
        let http = reqwest::Client::new();
        let node = Arc::new(Node {
            connection: connection.clone(),
            artifacts: options.artifacts.clone(),
            ports: Ports::default(),
            http,
            instances,
            program: options.program.clone(),
            env: options.env.clone(),
            policy: options.policy,
        });
        let registration = Registration::new(&connection, &options).await?;
        let (orders_sender, orders) = mpsc::channel(16);
        let (reports_sender, reports) = mpsc::channel(256);
        let (ended_sender, ended) = mpsc::channel(256);
        let (stop, stopping) = mpsc::channel(1);
        let tracker = TaskTracker::new();
        let detach = CancellationToken::new();
        let follower = TreeFollower::new(connection, znode::assignments(&options.node), |_| true);
        spawn(&tracker, "orders", forward(follower, orders_sender, detach.clone()));
        let work = Work {
            board: Board::new(options.node.clone()),
            options,
            node,
            registration,
            orders: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            running: BTreeMap::new(),
            is_listed: false,
            reports: reports_sender,
            ended: ended_sender,
            tracker: tracker.clone(),
            detach,
            stopping: None,
            _lock: lock,
        };
        spawn(&tracker, "agent", work.run(orders, reports, ended, stopping));
        Ok(Agent { stop, tracker })
    }

    /// Stops the agent, and its apps or not.
    pub async fn stop(self, mode: StopMode) {
        let (done, finished) = oneshot::channel();
        if self.stop.send((mode, done)).await.is_ok() {
            drop(finished.await);
        }
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn lock(folder: &PathBuf) -> Result<File, AgentError> {
    let fail = |source| AgentError::Folder { folder: folder.clone(), source };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let file = File::create(folder.join("agent.lock")).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AgentError::Locked { folder: folder.clone() }),
        Err(std::fs::TryLockError::Error(source)) => Err(fail(source)),
    }
}

/// Following is not cancel safe, so it has a task of its own.
async fn forward(mut follower: TreeFollower, orders: mpsc::Sender<Batch>, detach: CancellationToken) {
    let follow = async {
        while let Some(batch) = follower.next().await {
            if orders.send(batch).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = detach.cancelled() => {}
    }
}

/// Everything that can happen to an agent.
#[derive(Debug)]
enum Event {
    Orders(Batch),
    Reported(Box<Reported>),
    Ended(InstanceId),
    SessionReplaced,
    Flush,
    Stop(StopMode, oneshot::Sender<()>),
}

/// An instance that a task takes care of.
#[derive(Debug)]
struct Handle {
    job: Job,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Work {
    options: Options,
    node: Arc<Node>,
    registration: Registration,
    board: Board,
    orders: BTreeMap<InstanceId, AssignmentRecord>,
    /// Orders that cannot be read: what they are about is left as it is.
    unreadable: BTreeSet<InstanceId>,
    running: BTreeMap<InstanceId, Handle>,
    /// True once all orders were read: before that nothing may be concluded from a missing one.
    is_listed: bool,
    reports: mpsc::Sender<Reported>,
    ended: mpsc::Sender<InstanceId>,
    tracker: TaskTracker,
    detach: CancellationToken,
    stopping: Option<oneshot::Sender<()>>,
    _lock: File,
}

impl Work {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Batch>,
        mut reports: mpsc::Receiver<Reported>,
        mut ended: mpsc::Receiver<InstanceId>,
        mut stop: mpsc::Receiver<(StopMode, oneshot::Sender<()>)>,
    ) {
        let mut link = self.node.connection.watch_link();
        loop {
            let flush_at = self.board.flush_at();
            let session = self.registration.incarnation_of_link();
            let event = tokio::select! {
                Some((mode, done)) = stop.recv() => Event::Stop(mode, done),
                Some(batch) = orders.recv() => Event::Orders(batch),
                Some(report) = reports.recv() => Event::Reported(Box::new(report)),
                Some(instance) = ended.recv() => Event::Ended(instance),
                Ok(_) = link.wait_for(|link| link.state == LinkState::Connected && link.incarnation != session) => {
                    Event::SessionReplaced
                }
                () = sleep_until(flush_at) => Event::Flush,
                else => break,
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
            Event::Orders(batch) => self.take_orders(batch),
            Event::Reported(report) => {
                let Reported { instance, entry } = *report;
                self.board.put(instance, entry);
            }
            Event::Ended(instance) => {
                self.running.remove(&instance);
                if self.stopping.is_none() {
                    self.settle(&instance);
                }
            }
            Event::SessionReplaced => self.register_again().await,
            Event::Flush => return self.flush().await,
            Event::Stop(mode, done) => {
                self.stopping = Some(done);
                match mode {
                    StopMode::LeaveApps => return true,
                    StopMode::StopApps => self.running.values().for_each(|handle| handle.stop.cancel()),
                }
            }
        }
        self.stopping.is_some() && self.running.is_empty()
    }

    fn take_orders(&mut self, batch: Batch) {
        let mut touched = BTreeSet::new();
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
        if batch.resynced && !self.is_listed {
            self.is_listed = true;
            touched.extend(self.leftovers());
            // Buckets of an earlier incarnation are replaced even when nothing is reported.
            self.board.mark_all_dirty();
        }
        if self.stopping.is_none() {
            touched.iter().for_each(|instance| self.settle(instance));
        }
    }

    /// Instances that have a folder here, whatever made it.
    fn leftovers(&self) -> Vec<InstanceId> {
        let entries = std::fs::read_dir(&self.node.instances).into_iter().flatten().flatten();
        entries.filter_map(|entry| znode::parse_instance_segment(entry.file_name().to_str()?)).collect()
    }

    /// Compares what is ordered for one instance with what runs, and starts or stops its task.
    fn settle(&mut self, instance: &InstanceId) {
        if !self.is_listed || self.unreadable.contains(instance) {
            return;
        }
        let order = self.orders.get(instance);
        let wanted = order.filter(|order| order.want == Order::Run);
        if let Some(handle) = self.running.get(instance) {
            let is_current =
                wanted.is_some_and(|order| order.uid == handle.job.uid && order.t == handle.job.term);
            if !is_current {
                handle.stop.cancel();
            }
            return;
        }
        match order {
            Some(order) if order.want == Order::Stop && self.board.has_stopped(instance, order.t) => {}
            Some(order) => {
                let job = Job {
                    instance: instance.clone(),
                    uid: order.uid.clone(),
                    term: order.t,
                    release: order.rel,
                };
                self.begin(job, order.want == Order::Stop);
            }
            None if self
                .node
                .folder(instance)
                .state()
                .is_some_and(|state| state.app.is_some_and(|app| app.is_alive())) =>
            {
                // Left over without an order: it is taken under a job of no term, only to be stopped.
                let job = Job { instance: instance.clone(), uid: String::new(), term: 0, release: 0 };
                self.begin(job, true);
            }
            None => {
                self.board.remove(instance);
                self.node.folder(instance).remove();
            }
        }
    }

    fn begin(&mut self, job: Job, only_to_stop: bool) {
        let stop = CancellationToken::new();
        if only_to_stop {
            stop.cancel();
        }
        let instance = job.instance.clone();
        let (detach, ended) = (self.detach.clone(), self.ended.clone());
        let life = live(self.node.clone(), job.clone(), stop.clone(), self.reports.clone());
        let name = instance.clone();
        spawn(&self.tracker, "instance", async move {
            tokio::select! {
                () = life => drop(ended.send(name).await),
                () = detach.cancelled() => {}
            }
        });
        self.running.insert(instance, Handle { job, stop });
    }

    /// A new session: our presence is gone. Announce the node again, and report everything under the new incarnation.
    async fn register_again(&mut self) {
        match Registration::new(&self.node.connection, &self.options).await {
            Ok(registration) => {
                self.registration = registration;
                self.board.mark_all_dirty();
            }
            Err(error) => {
                tracing::error!(%error, "the node could not be registered again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Writes what changed; true when another incarnation of this node has taken over.
    async fn flush(&mut self) -> bool {
        let Some(txn) = self.board.take(&self.registration.incarnation) else { return false };
        match self.node.connection.commit(self.registration.fence().and(txn)).await {
            Ok(_) => self.board.written(),
            Err(error) if self.registration.is_replaced_by(&error) => {
                tracing::error!("another agent has taken this node over; leaving the apps to it");
                return true;
            }
            Err(error) => {
                if !matches!(error, TxnError::Unknown { .. }) {
                    tracing::warn!(%error, "statuses could not be written and are written again");
                }
                self.board.failed(RETRY);
            }
        }
        false
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
