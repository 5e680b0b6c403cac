//! Putting another state in the place of the one that is served.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Core;
use crate::server::quota::Quotas;
use crate::server::state::State;
use crate::server::storage::log::Batch;
use crate::server::watches::Watches;

/// How long to wait between two looks at the log.
const LOOK: Duration = Duration::from_millis(1);

impl Core {
    /// Serves `state` from now on, and returns its zxid. All clients are cut off; those whose sessions the state holds
    /// may re-attach.
    ///
    /// The zxid goes beyond all that were ever given out, so that no client has seen a newer state than the server.
    /// The state is on the disk before anything changes, as the newest snapshot, and a crash at any point leaves
    /// either the one state or the other.
    ///
    /// # Errors
    /// A sentence; then everything is as before.
    pub(crate) fn restore(&mut self, mut state: State) -> Result<i64, String> {
        if self.is_full() {
            return Err("the disk has no space for another state; free some and try again".into());
        }
        let mine = &self.state;
        state.last.zxid = state.last.zxid.max(mine.last.zxid) + 1;
        state.last.time = state.last.time.max(mine.last.time);
        state.sessions.skip_ids(mine.sessions.last_id());
        let sessions: Vec<_> = state.sessions.timeouts().collect();
        for (id, timeout) in sessions {
            state.sessions.renew(id, timeout, self.clock.now());
        }
        self.end_segment()?;
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.replace(&state.cut())?;
        }
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for id in conns {
            self.close_conn(id);
        }
        self.watches = Watches::default();
        self.quotas = Quotas::load(&mut state.tree);
        self.state = state;
        self.publish();
        tracing::warn!(
            zxid = %format_args!("0x{:x}", self.state.last.zxid),
            nodes = self.state.tree.len(),
            "another state was put in place of the one before, and all clients were cut off"
        );
        Ok(self.state.last.zxid)
    }

    /// Waits until the log is on the disk, and has the next transaction begin a new file.
    fn end_segment(&mut self) -> Result<(), String> {
        let gone = || "the server is ending, because its log failed; see its log for the reason".to_owned();
        self.hand_on().map_err(|_| gone())?;
        let Some(log) = &mut self.log else { return Ok(()) };
        let batch = Batch { first: 0, records: Vec::new(), deliveries: Vec::new(), ends_segment: true };
        log.sent += 1;
        log.space.announce(0);
        log.batches.send(batch).map_err(|_| gone())?;
        while log.done.load(Ordering::Acquire) != log.sent {
            if log.thread.is_finished() {
                return Err(gone());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }
}
