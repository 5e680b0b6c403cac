//! The metadata of a cluster: typed records over ZooKeeper, and a copy of them in memory that every request reads.
//!
//! Writes are transactions ([`write`]); reads never leave the process: they look at [`Model`], which one task keeps current
//! from a recursive watch ([`Follower`]). A write returns only after its own effect is in the model, so whoever asks this
//! server next sees it. The znode tree is described in [`paths`], its documents in [`record`].

mod bootstrap;
mod feed;
mod follow;
mod hash;
mod lock;
mod model;
pub mod paths;
pub mod record;
pub mod schema;
mod seal;
mod shown;
mod write;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use flowkeeper_engine::nodes::Assessment;
use flowkeeper_zk::recipes::Connection;
use tokio::sync::{Notify, watch};

pub use bootstrap::{LayoutError, prepare};
pub use feed::{News, Subject};
pub use follow::Follower;
pub use hash::CopyState;
pub use lock::{LOCKS, LockRecord, LockRefused, StreamLock};
pub use model::{AppEntry, AppKey, AppKind, Model, NodeEntry, Placed, Versioned};
pub use seal::Resealed;
pub use shown::{Shown, redact};
pub use write::{AppChange, Write, WriteError, Written};

use crate::metrics::Metrics;
use feed::Feed;

/// How long a write waits for its own effect to reach the model before it is answered anyway: the commit stands, only the
/// copy is late.
const OWN_WRITE_WAIT: Duration = Duration::from_secs(2);

/// Handle to the metadata; clones share it.
#[derive(Clone, Debug)]
pub struct Meta {
    connection: Connection,
    shared: Arc<Shared>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Shared {
    /// A std lock: held for lookups and clones only, never across an await.
    model: RwLock<Model>,
    /// Every transaction up to this id is in the model.
    applied: watch::Sender<i64>,
    dirty: Mutex<Dirty>,
    /// Moves whenever something about nodes changed.
    nodes: watch::Sender<()>,
    wake: Notify,
    feed: Mutex<Feed>,
    copy: Mutex<CopyState>,
    locks: Mutex<lock::Board>,
    /// Id of this server, as it signs locks.
    name: OnceLock<String>,
}

/// Streams whose inputs changed since the reconciler last looked.
#[derive(Debug, Default)]
pub struct Dirty {
    pub streams: BTreeSet<String>,
    /// Nodes came, went or changed: look at every stream.
    pub all: bool,
}

impl Meta {
    /// Metadata over `connection`, and the task that keeps its model current.
    pub fn new(connection: Connection, metrics: Metrics) -> (Meta, Follower) {
        let shared = Arc::new(Shared {
            model: RwLock::new(Model::default()),
            applied: watch::Sender::new(0),
            dirty: Mutex::new(Dirty::default()),
            nodes: watch::Sender::new(()),
            wake: Notify::new(),
            feed: Mutex::default(),
            copy: Mutex::default(),
            locks: Mutex::default(),
            name: OnceLock::new(),
        });
        let follower = Follower::new(connection.clone(), shared.clone());
        (Meta { connection, shared, metrics }, follower)
    }

    /// Tells the id of this server; only the first one counts.
    pub fn set_server_name(&self, id: &str) {
        drop(self.shared.name.set(id.to_owned()));
    }

    /// The id of this server.
    pub fn server_name(&self) -> &str {
        self.shared.name.get().map_or("", String::as_str)
    }

    /// The connection beneath.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The model as it is now. Keep the guard for a lookup, never across an await.
    pub fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.shared.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the model holds a complete copy. Cancel safe.
    pub async fn ready(&self) {
        self.wait_applied_where(|_| self.model().is_complete()).await;
    }

    /// Waits until every transaction up to `zxid` is in the model, or `limit` has passed; tells which. Cancel safe.
    pub async fn wait_applied(&self, zxid: i64, limit: Duration) -> bool {
        let reached = self.wait_applied_where(|applied| applied >= zxid);
        tokio::time::timeout(limit, reached).await.is_ok()
    }

    async fn wait_applied_where(&self, is_reached: impl Fn(i64) -> bool) {
        let mut applied = self.shared.applied.subscribe();
        // The sender lives in `self.shared`, so waiting cannot fail.
        drop(applied.wait_for(|applied| is_reached(*applied)).await);
    }

    /// Waits until `is_true` of the model, or `limit` has passed; tells which. Cancel safe.
    pub async fn wait_until(&self, limit: Duration, is_true: impl Fn(&Model) -> bool) -> bool {
        let mut applied = self.shared.applied.subscribe();
        let reached = async {
            while !is_true(&self.model()) {
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, reached).await.is_ok()
    }

    /// The id of the newest transaction that the model contains.
    pub fn applied_zxid(&self) -> i64 {
        *self.shared.applied.borrow()
    }

    /// What changed after the transaction `since`; waits until there is something. Cancel safe.
    pub async fn news(&self, since: i64) -> News {
        let mut applied = self.shared.applied.subscribe();
        loop {
            let news = self.shared.feed().since(since);
            let is_nothing =
                matches!(&news, News::Changed { subjects, zxid } if subjects.is_empty() || *zxid <= since);
            // The sender lives in `self.shared`, so waiting cannot fail.
            if !is_nothing || applied.changed().await.is_err() {
                return news;
            }
        }
    }

    /// Waits for streams to look at and takes them. Cancel safe: nothing is taken until the call returns.
    pub async fn next_dirty(&self) -> Dirty {
        loop {
            let woken = self.shared.wake.notified();
            let dirty = std::mem::take(&mut *self.shared.dirty());
            if dirty.all || !dirty.streams.is_empty() {
                return dirty;
            }
            woken.await;
        }
    }

    /// A receiver that moves whenever something about nodes changed.
    pub(crate) fn watch_nodes(&self) -> watch::Receiver<()> {
        self.shared.nodes.subscribe()
    }

    /// Notes what the leader finds about the comings and goings of nodes, and has every stream looked at again.
    pub(crate) fn assess(&self, assessment: Assessment) {
        self.shared.model.write().unwrap_or_else(PoisonError::into_inner).assess(Arc::new(assessment));
        self.shared.dirty().all = true;
        self.shared.wake.notify_one();
    }

    /// Marks one stream as worth another look.
    pub fn mark_dirty(&self, stream: &str) {
        self.shared.dirty().streams.insert(stream.to_owned());
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
