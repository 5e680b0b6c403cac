//! When to snapshot, and the thread that does.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

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
    /// When the last one was begun.
    pub(super) begun: Instant,
    /// Zxid of the last snapshot begun.
    zxid: i64,
    /// Transactions after which another one is due, however short the log.
    after: Option<u64>,
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
        Self { folder, core, logged, size, running: None, begun: Instant::now(), zxid, after: None }
    }

    /// Counts transactions, too.
    pub(crate) fn after(mut self, transactions: Option<u64>) -> Self {
        self.after = transactions;
        self
    }

    pub(super) fn logged(&mut self, bytes: usize) {
        self.logged += bytes as u64;
    }

    /// Whether a snapshot of the state after `zxid` should be begun.
    pub(super) fn is_due(&self, zxid: i64) -> bool {
        let by_number = self.after.is_some_and(|after| zxid.abs_diff(self.zxid) >= after);
        self.running.is_none() && (by_number || self.logged >= LEAST_LOG.max(2 * self.size))
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
        self.begun = Instant::now();
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

    /// Writes the snapshot of a state that takes the place of the one so far.
    ///
    /// # Errors
    /// A sentence; then the state so far is still the one on the disk.
    pub(super) fn replace(&mut self, cut: &StateCut) -> Result<(), String> {
        // Its thread wants to tell the core of its end, so the core cannot wait for it.
        if self.running.is_some() {
            return Err("a snapshot is being written just now; try again in a moment".into());
        }
        self.size = snapshot::write(&self.folder, cut).map_err(|error| error.to_string())?;
        (self.logged, self.zxid) = (0, cut.last.zxid);
        Ok(())
    }

    /// Waits for the running snapshot, and writes a last one if there is something new.
    pub(super) fn close(self, last: Option<StateCut>) -> Result<(), Error> {
        if let Some(thread) = self.running
            && thread.join().is_err()
        {
            return Err(Error::Thread("snapshot"));
        }
        match last.filter(|cut| cut.last.zxid > self.zxid) {
            Some(cut) => match snapshot::write(&self.folder, &cut) {
                Err(error) if error.is_no_space() => {
                    tracing::warn!(%error, "no snapshot was left; the next start reads the log");
                    Ok(())
                }
                result => result.map(drop),
            },
            None => Ok(()),
        }
    }
}
