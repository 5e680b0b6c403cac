//! The one task that changes the model: follows the tree and applies what changed.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use flowkeeper_zk::recipes::{Batch, Connection, TreeFollower};

use super::feed::Subject;
use super::paths::{self, Place};
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
        self.shared.note_copy(&batch);
        batch.changes.iter().for_each(|change| self.shared.note_lock(change));
        let mut subjects: BTreeSet<Subject> =
            batch.changes.iter().filter_map(|change| subject(&change.path)).collect();
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
        // Streams change with what nodes report of them, too.
        subjects.extend(dirty.streams.iter().cloned().map(Subject::Stream));
        {
            let mut feed = self.shared.feed();
            if batch.resynced {
                feed.reset(batch.zxid);
            }
            feed.push(batch.zxid, subjects);
        }
        {
            let mut waiting = self.shared.dirty();
            waiting.all |= dirty.all;
            waiting.streams.append(&mut dirty.streams);
        }
        self.shared.wake.notify_one();
        if dirty.all {
            self.shared.nodes.send_replace(());
        }
        // Sent even when the id did not grow: waiters look at the model again.
        self.shared.applied.send_modify(|applied| *applied = (*applied).max(batch.zxid));
    }
}

/// What people see of a change at `path`, if anything. Streams are told of by the model, which knows more about them.
fn subject(path: &str) -> Option<Subject> {
    match paths::place(path) {
        Place::Application(name) => Some(Subject::Application(name)),
        Place::App { kind, name } | Place::AppVersion { kind, name, .. } => {
            Some(Subject::App(format!("{kind}:{name}")))
        }
        Place::NodeLive(name) | Place::NodeConfig(name) => Some(Subject::Node(name)),
        Place::Server(id) => Some(Subject::Server(id)),
        Place::Holder => Some(Subject::Leader),
        _ => None,
    }
}
