//! The end of a round: what it wrote goes to the log, what it answered to the clients; and the end of all rounds.

use std::sync::atomic::Ordering;

use super::{Core, LogGone};
use crate::server::conn::Delivery;
use crate::server::error::Error;
use crate::server::storage::log::Batch;

impl Core {
    /// Ends a round: what it wrote goes to the log, what it answered to the clients.
    pub(super) fn hand_on(&mut self) -> Result<(), LogGone> {
        self.round = 0;
        // A connection may find room at once and have stalled requests served, which is more to hand on.
        while !self.dirty.is_empty() {
            let mut deliveries = Vec::with_capacity(self.dirty.len());
            let mut roomy = Vec::new();
            for id in std::mem::take(&mut self.dirty) {
                let Some(conn) = self.conns.get_mut(&id) else { continue };
                conn.is_dirty = false;
                deliveries.extend(conn.take_delivery());
                if conn.is_closing {
                    self.conns.remove(&id);
                } else if !conn.stalled.is_empty() && !conn.out.wait_for_room() {
                    roomy.push(id);
                }
            }
            self.send(deliveries)?;
            for id in roomy {
                self.drained(id);
            }
        }
        // Transactions of the server's own may have nobody to tell.
        if self.journal.is_empty() { Ok(()) } else { self.send(Vec::new()) }
    }

    fn send(&mut self, deliveries: Vec<Delivery>) -> Result<(), LogGone> {
        let Some(log) = &mut self.log else {
            self.journal.clear();
            deliveries.into_iter().for_each(Delivery::release);
            return Ok(());
        };
        if self.journal.is_empty() && log.sent == log.done.load(Ordering::Acquire) {
            deliveries.into_iter().for_each(Delivery::release);
            return Ok(());
        }
        let mut ends_segment = false;
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.logged(self.journal.len());
            if snapshots.is_due(self.state.last.zxid) {
                ends_segment = snapshots.start(self.state.cut());
            }
        }
        let batch =
            Batch { first: self.journal_first, records: self.journal.take(), deliveries, ends_segment };
        log.sent += 1;
        log.space.announce(batch.records.len());
        log.batches.send(batch).map_err(|_| LogGone)
    }

    fn finish_log(&mut self) -> Result<(), Error> {
        let Some(log) = self.log.take() else { return Ok(()) };
        drop(log.batches);
        log.thread.join().unwrap_or(Err(Error::Thread("log")))
    }

    /// Waits for the log, and leaves a snapshot if asked to.
    pub(super) fn finish(mut self, with_snapshot: bool) -> Result<(), Error> {
        self.finish_log()?;
        // The last replies are on their way; now the connections may close.
        self.conns.clear();
        match self.snapshots.take() {
            Some(snapshots) => snapshots.close(with_snapshot.then(|| self.state.cut())),
            None => Ok(()),
        }
    }
}
