//! The one task that changes the model: follows the tree and applies what changed.

use std::sync::{Arc, PoisonError};

use flowkeeper_zk::recipes::{Batch, Connection, TreeFollower};

use super::{Dirty, Shared};

/// Keeps the model current; run it in a task of its own.
#[derive(Debug)]
pub struct Follower {
    tree: TreeFollower,
    shared: Arc<Shared>,
}

impl Follower {
    pub(super) fn new(connection: Connection, shared: Arc<Shared>) -> Follower {
        Follower { tree: TreeFollower::new(connection, "/", |_| true), shared }
    }

    /// Follows until the connection is closed.
    pub async fn run(mut self) {
        while let Some(batch) = self.tree.next().await {
            self.apply(batch);
        }
    }

    fn apply(&self, batch: Batch) {
        let mut dirty = Dirty::default();
        {
            let mut model = self.shared.model.write().unwrap_or_else(PoisonError::into_inner);
            for change in batch.changes {
                model.apply(change, &mut dirty);
            }
            if batch.resynced {
                model.mark_complete();
                dirty.all = true;
            }
        }
        {
            let mut waiting = self.shared.dirty();
            waiting.all |= dirty.all;
            waiting.streams.append(&mut dirty.streams);
        }
        self.shared.wake.notify_one();
        // Sent even when the id did not grow: waiters look at the model again.
        self.shared.applied.send_modify(|applied| *applied = (*applied).max(batch.zxid));
    }
}
