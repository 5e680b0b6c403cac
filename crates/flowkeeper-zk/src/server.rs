//! A ZooKeeper server for one machine, embedded in the process that starts it.
//!
//! ```text
//! acceptor ─ per connection: one task ─┐                    ┌─> connections: one queue each
//!                                      ├─> core thread ─────┤
//!                               ticks ─┘   check + apply    └─> log thread: append, sync, release replies
//! ```
//!
//! The `core` thread owns the whole state and takes requests one by one, so there are no locks and no
//! half-applied states; reads see every write before them. The log thread (`storage`) groups writes into one
//! sync, and no reply leaves before what it shows is durable. If the disk fails, the server stops: nothing is
//! acknowledged that could be lost.
//!
//! [`start`] recovers, binds and serves; [`Server`] is the handle. It speaks all client operations of Apache
//! ZooKeeper 3.9 except reconfiguration, and takes them over TLS too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

mod acl;
mod admin;
mod apache;
mod complaints;
mod config;
mod conn;
mod core;
mod error;
mod facts;
mod journal;
mod listener;
mod ops;
mod quota;
mod sasl;
mod sessions;
mod state;
mod stats;
mod storage;
mod task;
mod tls;
pub mod tools;
mod tree;
mod watches;
pub mod zoo_cfg;

pub use config::{Admin, ClientAuth, Config, Sasl, Tls, TlsVersion};
pub use error::Error;
pub use stats::Stats;
pub use storage::log::Durability;
pub use storage::recovery::{Recovery, TornTail};

use self::core::{Clock, Core, Input, LogLink, Snapshots};
use complaints::Complaints;
use listener::{Doors, Reception, Seats};
use state::State;
use stats::Counters;
use storage::log::LogWriter;
use storage::space::Space;
use storage::{Folder, log, recovery};

/// Messages that may wait for the core. Each holds one read's worth of frames at most.
const CORE_QUEUE: usize = 1024;
/// Rounds that may wait for the log; then the core waits too.
const LOG_QUEUE: usize = 256;
/// A connection that has no session, or has not finished its TLS handshake, is closed after this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections get to say goodbye when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running server. Dropping it ends the server without a last snapshot; nothing acknowledged is lost, the
/// next start just replays the log.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    secure_addr: Option<SocketAddr>,
    admin_addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    recovery: Recovery,
    counters: Arc<Counters>,
    core: mpsc::Sender<Input>,
    finished: oneshot::Receiver<Result<(), Error>>,
    failure: watch::Receiver<Option<Error>>,
    tracker: TaskTracker,
    stopping: DropGuard,
    abandoned: DropGuard,
}

/// Starts a server: recovers its data, listens, and serves.
///
/// Must be called within a tokio runtime; connections are tasks of that runtime.
///
/// # Errors
/// The configuration makes no sense, the data folder cannot be used, or the address is taken.
///
/// # Cancel safety
/// Cancelled before it returns, it leaves nothing running once the recovery under way is through.
pub async fn start(config: Config) -> Result<Server, Error> {
    config.validate()?;
    // Before the data are read, which may take longer.
    let certificates = listener::certificates(&config).await?;
    let (folder, state, recovery) = task::blocking("recovery", {
        let config = config.clone();
        move || recover(&config)
    })
    .await??;
    let doors = Doors::open(&config, certificates).await?;
    let (addr, secure_addr) = (doors.plain.or(doors.secure).unwrap_or(config.listen), doors.secure);
    let http = admin::Listeners::bind(&config).await?;
    let (admin_addr, metrics_addr) = (http.admin_addr(), http.metrics_addr());
    log_recovery(&recovery, addr);

    let (core, inputs) = mpsc::channel(CORE_QUEUE);
    let (failed, failure) = watch::channel(None);
    let (finish, finished) = oneshot::channel();
    let abandoned = CancellationToken::new();
    let stopping = abandoned.child_token();
    let counters = Arc::new(Counters::default());
    let clock = Clock::new(config.tick);
    let (log, snapshots) = match folder {
        None => (None, None),
        Some(folder) => {
            let size = recovery.snapshot.and_then(|z| std::fs::metadata(folder.snapshot_path(z)).ok());
            let size = size.map_or(0, |file| file.len());
            let at = recovery.snapshot.unwrap_or(0);
            let snapshots =
                Snapshots::new(Arc::clone(&folder), core.downgrade(), recovery.log_bytes, size, at)
                    .after(config.snapshot_after);
            let next = recovery.zxid + 1;
            let log = start_log(folder, next, config.durability, core.downgrade(), Arc::clone(&counters))?;
            (Some(log), Some(snapshots))
        }
    };
    let complaints = Arc::new(Complaints::default());
    let mut served = Config { listen: addr, ..config.clone() };
    if let Some(tls) = &mut served.tls {
        tls.listen = secure_addr;
    }
    let shared = admin::Shared {
        config: Arc::new(served.clone()),
        core: core.clone(),
        counters: Arc::clone(&counters),
    };
    let thread =
        Core::new(served, state, clock, log, snapshots, Arc::clone(&counters), Arc::clone(&complaints));
    let halt = stopping.clone();
    drop(task::spawn_thread("zk-core", move || {
        let result = thread.run(inputs);
        halt.cancel();
        if let Err(error) = &result {
            tracing::error!(%error, "the zookeeper server has stopped");
            failed.send_replace(Some(error.clone()));
        }
        // A server that was dropped does not ask.
        let _ = finish.send(result);
    })?);

    let tracker = TaskTracker::new();
    doors.serve(&Reception {
        seats: Arc::new(Seats::new(config.max_connections_per_client, config.max_connections)),
        core: core.clone(),
        limits: conn::Limits {
            max_frame: config.max_frame,
            write_time: config.max_session_timeout,
            handshake_time: HANDSHAKE,
        },
        counters: Arc::clone(&counters),
        complaints,
        tracker: tracker.clone(),
        ends: conn::Ends { stopping: stopping.clone(), abandoned: abandoned.clone() },
    });
    http.serve(&shared, &tracker, &stopping);
    task::spawn(&tracker, listener::tick(config.tick, core.clone(), stopping.clone()));
    let (stopping, abandoned) = (stopping.drop_guard(), abandoned.drop_guard());
    Ok(Server {
        addr,
        secure_addr,
        admin_addr,
        metrics_addr,
        recovery,
        counters,
        core,
        finished,
        failure,
        tracker,
        stopping,
        abandoned,
    })
}

impl Server {
    /// Where the server listens, with the port it got: for TLS alone if it listens nowhere else.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the server listens for TLS alone, if it does.
    pub fn secure_addr(&self) -> Option<SocketAddr> {
        self.secure_addr
    }

    /// Where the HTTP side for operators listens, if it does.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// Where the metrics alone are served, if they are.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// What the start found in the data folder.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Figures of this moment.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Waits until the server had to stop by itself, and says why.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn failed(&self) -> Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(Error::Thread("core")),
            // The core has ended without saying why.
            Err(_) => Error::Thread("core"),
        }
    }

    /// Stops: answers what it has taken, closes all connections and leaves a snapshot. Sessions live on and
    /// may be re-attached after the next start.
    ///
    /// # Errors
    /// The disk failed. What was acknowledged is in the log all the same.
    ///
    /// # Cancel safety
    /// Cancelled, the server still stops.
    pub async fn stop(self) -> Result<(), Error> {
        // Take no new connections; the core hangs up on the others.
        // `_abandoned` ends everything should this future be dropped half-way.
        let Self { core, finished, tracker, stopping, abandoned: _abandoned, .. } = self;
        drop(stopping);
        // A core that is gone has already said why.
        let _ = core.send(Input::Stop).await;
        drop(core);
        let result = finished.await.unwrap_or(Err(Error::Thread("core")));
        tracker.close();
        if tokio::time::timeout(FAREWELL, tracker.wait()).await.is_err() {
            tracing::warn!(connections = tracker.len(), "some connections did not close in time");
        }
        result
    }
}

type Recovered = (Option<Arc<Folder>>, State, Recovery);

fn recover(config: &Config) -> Result<Recovered, Error> {
    let tick = config.tick.as_millis() as u64;
    let wall = self::core::wall();
    match &config.data {
        None => {
            let state = State::new(tick, wall);
            let recovery = Recovery { nodes: state.tree.len(), ..Recovery::default() };
            Ok((None, state, recovery))
        }
        Some(path) => {
            let folder = Folder::open_with_log(path, config.log.as_deref())?.keeping(config.kept_snapshots);
            let (state, recovery) = recovery::recover(&folder, tick, wall)?;
            Ok((Some(Arc::new(folder)), state, recovery))
        }
    }
}

fn start_log(
    folder: Arc<Folder>,
    next: i64,
    durability: Durability,
    core: mpsc::WeakSender<Input>,
    counters: Arc<Counters>,
) -> Result<LogLink, Error> {
    let (batches, waiting) = std::sync::mpsc::sync_channel(LOG_QUEUE);
    let done = Arc::new(AtomicU64::new(0));
    let released = Arc::clone(&done);
    let space = Arc::new(Space::default());
    let mut writer = LogWriter::new(folder, Arc::clone(&space), next).timed(counters);
    // Before the first write is taken: a full disk must be known by then.
    writer.prepare()?;
    let thread = task::spawn_thread("zk-log", move || {
        let result = log::run(writer, &waiting, durability, &released);
        // Hang up first: the core may be waiting to send.
        drop(waiting);
        if let (Err(_), Some(core)) = (&result, core.upgrade()) {
            // The core may have noticed by itself; it takes nothing more then, so this does not wait for it.
            let _ = core.blocking_send(Input::LogEnded);
        }
        result
    })?;
    Ok(LogLink { batches, done, thread, sent: 0, space })
}

fn log_recovery(recovery: &Recovery, addr: SocketAddr) {
    for file in &recovery.unreadable_snapshots {
        tracing::error!(file = %file.display(), "snapshot is damaged; an older one and the log made up for it");
    }
    if let Some(torn) = &recovery.torn {
        let (file, offset, bytes) = (torn.file.display(), torn.offset, torn.bytes);
        if torn.is_covered {
            tracing::error!(
                %file, offset, bytes,
                "the log is damaged or cut off before the newest snapshot, which covers what lacks: nothing is lost, but no older \
                 snapshot can take its place; check the disk and make a backup"
            );
        } else if torn.is_short {
            tracing::error!(
                %file, offset, bytes,
                "the log ends in the middle of a write and is shorter than a crash leaves it, unless its file system reserves no \
                 space or was full: something may have cut it, and acknowledged transactions may be lost; compare with a backup"
            );
        } else {
            tracing::warn!(
                %file, offset, bytes,
                "a crash interrupted the last write to this file; its unfinished end was removed: nothing acknowledged is lost"
            );
        }
    }
    tracing::info!(
        %addr,
        nodes = recovery.nodes,
        sessions = recovery.sessions,
        zxid = %format_args!("0x{:x}", recovery.zxid),
        replayed = recovery.replayed,
        took_ms = recovery.took.as_millis() as u64,
        "zookeeper server is ready"
    );
}
