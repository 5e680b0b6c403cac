//! What is known of the copy as a whole: which state of the tree it shows, and how old that is.

use std::sync::PoisonError;
use std::time::Duration;

use flowkeeper_deploy::record::encode;
use flowkeeper_zk::recipes::{Batch, Fingerprint, LinkState, Txn};

use super::{Meta, Shared, WriteError, paths};

/// State of the copy after the last batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyState {
    /// Every transaction up to this one is in the copy.
    pub zxid: i64,
    /// Equal on two servers that show the same state.
    pub fingerprint: Fingerprint,
    /// The connect over which it came.
    connects: u64,
}

impl Shared {
    /// Notes the state after a batch.
    pub(super) fn note_copy(&self, batch: &Batch) {
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let zxid = copy.zxid.max(batch.zxid);
        *copy = CopyState { zxid, fingerprint: batch.fingerprint, connects: batch.connects };
    }
}

impl Meta {
    /// State of the copy.
    pub fn copy_state(&self) -> CopyState {
        *self.shared.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long the copy may have been out of date: since the connection was lost, until everything was read again after
    /// it came back. `None` while it is current.
    pub fn stale_for(&self) -> Option<Duration> {
        let link = self.connection.link();
        if link.state == LinkState::Connected && self.copy_state().connects >= link.connects {
            return None;
        }
        link.lost.map(|lost| lost.elapsed())
    }

    /// Waits until the copy contains the transaction `zxid`, which somebody else was told of. If it is not there soon, has
    /// ZooKeeper bring our server of the ensemble up to date. Tells whether it was reached within `limit`. Cancel safe.
    pub async fn catch_up(&self, zxid: i64, limit: Duration) -> bool {
        if self.wait_applied(zxid, limit / 5).await {
            return true;
        }
        let catch_up = async {
            // The answer comes behind all events of what was committed before; a failure shows as a copy that stays behind.
            drop(self.connection.client().sync("/").await);
            self.wait_applied(zxid, limit).await
        };
        tokio::time::timeout(limit, catch_up).await.unwrap_or(false)
    }

    /// Makes the copy contain everything that was committed before this call, by a write of our own: reads after it are
    /// linearizable. Costs one transaction. `server` is the id of this server.
    ///
    /// # Errors
    /// `Unavailable` when it was not reached within `limit`.
    pub async fn strong_barrier(&self, server: &str, limit: Duration) -> Result<i64, WriteError> {
        let record = self.model().servers.get(server).cloned();
        let late =
            || WriteError::Unavailable(format!("no quorum confirmed a read within {} ms", limit.as_millis()));
        let record = record.ok_or_else(|| {
            WriteError::Unavailable("this server is not announced yet; try again in a moment".to_owned())
        })?;
        let barrier = async {
            let txn = Txn::new().set(paths::server(server), encode(&*record), None);
            let committed = self.connection.commit(txn).await?;
            if self.wait_applied(committed.zxid, limit).await { Ok(committed.zxid) } else { Err(late()) }
        };
        tokio::time::timeout(limit, barrier).await.unwrap_or_else(|_| Err(late()))
    }
}
