//! When to snapshot, and the thread that does.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::Input;
use crate::server::error::Error;
use crate::server::state::StateCut;
use crate::server::storage::{Folder, snapshot};
use crate::server::task;

/// The least log, in bytes, that is worth a snapshot.
const LEAST_LOG: u64 = 16 << 20;

/// Decides by log bytes, so that a start never replays more than twice what it loads.
pub(crate) struct Snapshots {
    folder: Arc<Folder>,
    /// Weak, so that the core does not keep itself alive.
    core: mpsc::WeakSender<Input>,
    /// Bytes logged since the last snapshot was cut.
    logged: u64,
    /// Size of the last snapshot.
    size: u64,
    running: Option<JoinHandle<()>>,
    /// Zxid of the last snapshot begun.
    zxid: i64,
}

impl Snapshots {
    /// `logged` and `size` are what the start has read of the log and the snapshot, which ends at `zxid`.
    pub(crate) fn new(
        folder: Arc<Folder>,
        core: mpsc::WeakSender<Input>,
        logged: u64,
        size: u64,
        zxid: i64,
    ) -> Self {
        Self { folder, core, logged, size, running: None, zxid }
    }

    pub(super) fn logged(&mut self, bytes: usize) {
        self.logged += bytes as u64;
    }

    pub(super) fn is_due(&self) -> bool {
        self.running.is_none() && self.logged >= LEAST_LOG.max(2 * self.size)
    }

    /// Begins to write a snapshot in a thread of its own. False if there is no thread for it.
    pub(super) fn start(&mut self, cut: StateCut) -> bool {
        let (folder, core) = (Arc::clone(&self.folder), self.core.clone());
        let zxid = cut.last.zxid;
        let work = move || {
            let result = snapshot::write(&folder, &cut);
            if let Some(core) = core.upgrade() {
                // Nobody counts on it when the core is gone.
                let _ = core.blocking_send(Input::SnapshotDone(result));
            }
        };
        // Tried again only after as much log again, successful or not.
        self.logged = 0;
        match task::spawn_thread("zk-snapshot", work) {
            Ok(thread) => {
                self.running = Some(thread);
                self.zxid = zxid;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "no snapshot was written; the log keeps everything");
                false
            }
        }
    }

    pub(super) fn finished(&mut self, result: Result<u64, Error>) {
        self.running = None;
        match result {
            Ok(size) => self.size = size,
            Err(error) => tracing::warn!(%error, "no snapshot was written; the log keeps everything"),
        }
    }

    /// Waits for the running snapshot, and writes a last one if there is something new.
    pub(super) fn close(self, last: Option<StateCut>) -> Result<(), Error> {
        if let Some(thread) = self.running
            && thread.join().is_err()
        {
            return Err(Error::Thread("snapshot"));
        }
        match last.filter(|cut| cut.last.zxid > self.zxid) {
            Some(cut) => snapshot::write(&self.folder, &cut).map(|_| ()),
            None => Ok(()),
        }
    }
}
