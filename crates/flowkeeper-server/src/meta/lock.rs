//! Locks that tell people who is doing what, and the board on which all of them are shown.
//!
//! Nothing depends on a lock: record versions decide who wins. A lock makes the loser wait his turn, or learn whom he
//! waits for.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use flowkeeper_deploy::record::{Extra, VERSION, decode, encode};
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::{Change, Held, Lock, LockError, Txn, TxnError};
use serde::{Deserialize, Serialize};
use zookeeper_client::Error;

use super::{Meta, Shared};
use crate::clock;

/// Root of all locks.
pub const LOCKS: &str = "/locks";
/// How long somebody waits for a lock before he is told who has it.
const WAIT: Duration = Duration::from_secs(5);

/// Document of a lock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockRecord {
    #[serde(default)]
    pub v: u32,
    /// Id of the server that holds it.
    pub who: String,
    /// The operation it is held for.
    pub op: String,
    /// What that operation does, as a verb: `deploy`, `destroy`.
    pub what: String,
    /// Since when, RFC 3339.
    pub since: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A held lock. Dropping it releases it without waiting; [`StreamLock::check`] makes a write depend on it.
#[derive(Debug)]
pub struct StreamLock(Held);

impl StreamLock {
    /// The transaction up to which a copy of the metadata shows everything that earlier holders did.
    pub fn zxid(&self) -> i64 {
        self.0.zxid()
    }

    /// Put before a write, it makes that fail when the lock was released by force.
    pub fn check(&self) -> Txn {
        self.0.check()
    }
}

/// A lock was not had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LockRefused {
    /// Somebody else is at it.
    #[error("{}", busy(subject, owner.as_deref()))]
    Busy {
        subject: String,
        /// `None`: it let go a moment ago.
        owner: Option<Box<LockRecord>>,
    },
    #[error("the metadata store does not answer: {0}")]
    Unavailable(String),
}

fn busy(subject: &str, owner: Option<&LockRecord>) -> String {
    match owner {
        Some(LockRecord { who, what, since, .. }) => {
            format!("{subject} is locked by server {who}, which has been busy to {what} it since {since}")
        }
        None => format!("{subject} is being changed by one request after another"),
    }
}

/// The board: locks by path. Those that wait stand behind the one that holds.
pub(super) type Board = BTreeMap<String, LockRecord>;

impl Meta {
    /// Takes the lock of a stream for one request, waiting 5 s at most. Keep it until the request is answered. Costs one round
    /// trip when it is free. Cancel safe.
    ///
    /// # Errors
    /// See [`LockRefused`].
    pub async fn lock_stream(&self, name: &str, what: &str) -> Result<StreamLock, LockRefused> {
        let dir = format!("{LOCKS}/s/{}/{}", znode::shard(name), znode::encode(name));
        self.lock(dir, format!("stream '{name}'"), what).await
    }

    /// Takes the lock of a purpose of which the cluster does one at a time: `migrate`, `backup`.
    ///
    /// # Errors
    /// See [`LockRefused`].
    pub async fn lock_purpose(&self, purpose: &str) -> Result<StreamLock, LockRefused> {
        self.lock(format!("{LOCKS}/x/{}", znode::encode(purpose)), format!("'{purpose}'"), purpose).await
    }

    async fn lock(&self, dir: String, subject: String, what: &str) -> Result<StreamLock, LockRefused> {
        let op = uuid::Uuid::new_v4().simple().to_string();
        let tag = LockRecord {
            v: VERSION,
            who: self.server_name().to_owned(),
            op: op.clone(),
            what: what.to_owned(),
            since: clock::now(),
            extra: Extra::default(),
        };
        let lock = Lock::new(self.connection.clone(), dir, &op, encode(&tag));
        match lock.acquire(WAIT).await {
            Ok(held) => Ok(StreamLock(held)),
            Err(LockError::Busy { path, owner }) => {
                Err(LockRefused::Busy { subject, owner: decode(&path, &owner).ok().map(Box::new) })
            }
            Err(error @ (LockError::Forced { .. } | LockError::Unavailable(_))) => {
                Err(LockRefused::Unavailable(error.to_string()))
            }
        }
    }

    /// All locks by path, as far as this server's copy shows them. The first of a directory holds, the others wait.
    pub fn locks(&self) -> BTreeMap<String, LockRecord> {
        self.shared.board().clone()
    }

    /// Releases a lock by force; harmless, because versions protect what it was taken for. Tells whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when ZooKeeper does not answer.
    pub async fn force_release(&self, path: &str) -> Result<bool, LockRefused> {
        match self.connection.commit(Txn::new().delete(path, None)).await {
            Ok(committed) => {
                // Whoever looks at the board next does not find it there.
                self.wait_applied(committed.zxid, super::OWN_WRITE_WAIT).await;
                Ok(true)
            }
            Err(TxnError::Refused { cause: Error::NoNode, .. }) => Ok(false),
            Err(error) => Err(LockRefused::Unavailable(error.to_string())),
        }
    }
}

impl Shared {
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a change, if it is one of a lock.
    pub(super) fn note_lock(&self, change: &Change) {
        let Change { path, node } = change;
        let is_lock =
            path.starts_with(LOCKS) && path.rsplit('/').next().is_some_and(|name| name.starts_with("l-"));
        if !is_lock {
            return;
        }
        match node.as_ref().and_then(|node| decode(path, &node.data).ok()) {
            Some(record) => drop(self.board().insert(path.clone(), record)),
            None => drop(self.board().remove(path)),
        }
    }
}
