//! The agent of a node: orders in, processes under shims, statuses out.
//!
//! One task owns everything ([`work::Work`]): it waits for one event (orders changed, an instance reported or ended, a
//! heartbeat was acknowledged, the session changed, it is time to flush or to stop) and then applies it. Instances live in
//! tasks of their own and only ever send reports. Orders are level-triggered: whatever the history, the agent compares what
//! is ordered with what it runs.
//!
//! What keeps an instance that must never run twice from doing so, when everything else may fail:
//!
//! * Each acknowledged heartbeat prolongs the leases of strict instances ([`heartbeat`], [`crate::lease`]), but only while the
//!   session that acknowledged it is the one that owns the node's presence, all orders were read under that registration, and
//!   the order of the instance still stands. Their shims do the rest, with or without the agent.
//! * A new session means a new registration, which raises the node epoch, then a new reading of all orders. Only then anything
//!   is prolonged again, and what is not ordered any more is ended: either the control plane moved an instance before the
//!   registration, and the order is gone, or it fails on the epoch.
//! * Strict instances are started through a gate ([`crate::instance`]), never on what is merely remembered.
//! * An agent that is told to stop leaves its apps and its session alone. The next one takes both over; if there is none, the
//!   leases end before the session does.

mod board;
mod heartbeat;
mod identity;
mod registration;
mod work;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_engine::model::NodeId;
use flowkeeper_engine::restart::RestartPolicy;
use flowkeeper_zk::recipes::{Connection, SavedSession};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::access::AccessError;
use crate::artifact::Artifacts;
use crate::cgroup::Groups;
use crate::instance::{Leases, Node};
use crate::lease::Lease;
use crate::machine::{DiskLimit, lacks_room, processors};
use crate::port::Ports;
use crate::task::spawn;
use crate::znode;
use board::Board;
use identity::Identity;
use registration::Registration;
use work::Work;

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
    /// Leases that the node keeps. `None`: it fences nothing, and strict instances are only as exclusive as the orders.
    pub lease: Option<Lease>,
    /// Where the node is and what it has, for placement.
    pub traits: Traits,
    /// What must stay free on the disk.
    pub disk: DiskLimit,
    /// How often disk and load are looked at.
    pub sample: Duration,
    /// How many instances may be starting at the same time.
    pub starts: usize,
}

/// How many instances may be starting at the same time, unless told otherwise: two for each processor.
pub fn usual_starts() -> usize {
    STARTS_PER_PROCESSOR * processors()
}

/// What a node tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Where others reach it.
    pub ip: String,
    pub zone: String,
    pub rack: String,
    pub groups: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Thousandths of processors and MiB of memory; 0: not known and not limited.
    pub cpu_m: u32,
    pub mem_mib: u32,
}

const STARTS_PER_PROCESSOR: usize = 2;
/// How often disk and load are looked at, unless told otherwise.
pub const SAMPLE: Duration = Duration::from_secs(10);

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("the folder {folder} is used by another agent; give this one its own --data, or stop the other")]
    Locked { folder: PathBuf },
    #[error(
        "the folder {folder} belongs to the node {owner}, whose apps may still run; start it with --name {owner}, or give \
         {node} another --data"
    )]
    FolderOfAnother { folder: PathBuf, owner: NodeId, node: NodeId },
    #[error("the folder {folder} cannot be used: {source}")]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error(
        "a node named {node} is alive in another place ({machine}); give this one another --name, or stop the other"
    )]
    NameTaken { node: NodeId, machine: String },
    #[error(
        "the node {node} is alive, but not from the folder {folder}, which has its identity: this folder or machine is a copy \
         of the other; delete {} in it and give this one another --name, or stop the other",
        identity::FOLDER_ID
    )]
    Cloned { node: NodeId, folder: PathBuf },
    #[error(
        "a node named {node} was registered by another agent, and zookeeper lets only that one use the name; give this one \
         another --name, or forget that node"
    )]
    NotOurs { node: NodeId },
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

/// The session that an earlier agent left in the folder `data`, to be taken up again by the connection of the next one. The
/// caller must hold the folder's lock, or it would take the session of a living agent away.
pub fn saved_session(data: &Path) -> Option<SavedSession> {
    identity::saved_session(data)
}

/// What it means for an agent that its connection could not be opened, when it is not that no server answers.
pub fn refusal(error: &zookeeper_client::Error) -> Option<AccessError> {
    match error {
        zookeeper_client::Error::AuthFailed | zookeeper_client::Error::NoAuth => Some(AccessError::Denied),
        zookeeper_client::Error::NoNode => Some(AccessError::NotLaidOut),
        _ => None,
    }
}

/// The secret by which the node with the folder `data` proves that it is itself; made at the first time.
///
/// # Errors
/// The system's, when it can neither be read nor written.
pub fn node_secret(data: &Path) -> std::io::Result<String> {
    std::fs::create_dir_all(data)?;
    identity::node_secret(data)
}

impl Agent {
    /// Registers the node and starts to follow its orders. The metadata tree must be laid out.
    ///
    /// # Errors
    /// See [`AgentError`]; nothing runs then.
    pub async fn start(options: Options, connection: Connection) -> Result<Agent, AgentError> {
        let lock = lock(&options.data)?;
        let instances = options.data.join("instances");
        let fail = |folder: &Path, source| AgentError::Folder { folder: folder.to_owned(), source };
        std::fs::create_dir_all(&instances).map_err(|error| fail(&instances, error))?;
        let owner =
            identity::name(&options.data, &options.node).map_err(|error| fail(&options.data, error))?;
        if owner != options.node {
            let Options { data: folder, node, .. } = options;
            return Err(AgentError::FolderOfAnother { folder, owner, node });
        }
        let identity = Identity::of(&options.data).map_err(|error| fail(&options.data, error))?;
        let unfit = watch::Sender::new(lacks_room(&options.data, options.disk));
        let lapse = watch::Sender::new(0);
        let lease = options.lease;
        let node = Arc::new(Node {
            id: options.node.clone(),
            connection: connection.clone(),
            artifacts: options.artifacts.clone(),
            ports: Ports::default(),
            http: reqwest::Client::new(),
            instances,
            program: options.program.clone(),
            env: options.env.clone(),
            policy: options.policy,
            groups: Groups::find(identity.group_prefix(&options.node)),
            leases: lease.map(|lease| Leases { lease, deadline: lapse.subscribe() }),
            unfit: unfit.subscribe(),
            starting: Arc::new(Semaphore::new(options.starts)),
        });
        let why = unfit.borrow().clone();
        let registration = Registration::new(&connection, &options, &identity, why).await?;
        let (beats_sender, beats) = mpsc::channel(64);
        let (reports_sender, reports) = mpsc::channel(256);
        let (ended_sender, ended) = mpsc::channel(256);
        let (stop, stopping) = mpsc::channel(1);
        let tracker = TaskTracker::new();
        let mut work = Work::new(work::Parts {
            board: Board::new(options.node.clone()),
            options,
            node,
            identity,
            registration,
            reports: reports_sender,
            ended: ended_sender,
            tracker: tracker.clone(),
            lapse,
            unfit,
            _lock: lock,
        });
        if let Some(lease) = lease {
            let every = Duration::from_millis(lease.profile.heartbeat_ms);
            let path = znode::node_registration(work.node_id());
            let beating = heartbeat::beat(connection, path, every, beats_sender, tracker.clone());
            spawn(&tracker, "heartbeat", work.until_detached(beating));
        }
        work.follow();
        spawn(&tracker, "agent", work.run(beats, reports, ended, stopping));
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
