//! What the agent reports: the newest status of each instance, written in few, coalesced writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_zk::recipes::Txn;
use tokio::time::Instant;

use super::FLUSH_AFTER;
use crate::record::{StatusBucket, StatusEntry, StatusState, VERSION, encode};
use crate::znode;

/// Statuses by instance, and which buckets of them are still to be written.
#[derive(Debug)]
pub(super) struct Board {
    node: NodeId,
    entries: BTreeMap<InstanceId, StatusEntry>,
    dirty: BTreeSet<u8>,
    /// Buckets of the write under way; they become dirty again when it fails.
    writing: BTreeSet<u8>,
    flush_at: Option<Instant>,
}

impl Board {
    pub(super) fn new(node: NodeId) -> Board {
        Board {
            node,
            entries: BTreeMap::new(),
            dirty: BTreeSet::new(),
            writing: BTreeSet::new(),
            flush_at: None,
        }
    }

    /// When the next write is due.
    pub(super) fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Notes a report; one that says nothing new is not written.
    pub(super) fn put(&mut self, instance: InstanceId, mut entry: StatusEntry) {
        let known = self.entries.get(&instance);
        let same_state =
            known.filter(|known| known.st == entry.st && known.t == entry.t && known.ready == entry.ready);
        entry.since = same_state.map_or_else(now, |known| known.since.clone());
        if known != Some(&entry) {
            self.mark(znode::bucket_of(&instance));
            self.entries.insert(instance, entry);
        }
    }

    pub(super) fn remove(&mut self, instance: &InstanceId) {
        if self.entries.remove(instance).is_some() {
            self.mark(znode::bucket_of(instance));
        }
    }

    /// True when it was reported that the instance stopped under `term`.
    pub(super) fn has_stopped(&self, instance: &InstanceId, term: u64) -> bool {
        self.entries.get(instance).is_some_and(|entry| entry.t == term && entry.st == StatusState::Stopped)
    }

    pub(super) fn mark_all_dirty(&mut self) {
        (0..znode::STATUS_BUCKETS).for_each(|bucket| self.mark(bucket));
    }

    fn mark(&mut self, bucket: u8) {
        self.dirty.insert(bucket);
        self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
    }

    /// The writes that are due, under `incarnation`.
    pub(super) fn take(&mut self, incarnation: &str) -> Option<Txn> {
        self.flush_at = None;
        self.writing = std::mem::take(&mut self.dirty);
        let txn = self.writing.iter().fold(Txn::new(), |txn, bucket| {
            let entries = self.entries.iter().filter(|(instance, _)| znode::bucket_of(instance) == *bucket);
            let inst = entries.map(|(instance, entry)| (instance.to_string(), entry.clone())).collect();
            let document =
                StatusBucket { v: VERSION, inc: incarnation.to_owned(), inst, extra: Default::default() };
            txn.set(znode::status_bucket(&self.node, *bucket), encode(&document), None)
        });
        (!txn.is_empty()).then_some(txn)
    }

    /// The write taken last was committed.
    pub(super) fn written(&mut self) {
        self.writing.clear();
    }

    /// The write taken last failed: it is due again after `pause`.
    pub(super) fn failed(&mut self, pause: Duration) {
        self.dirty.append(&mut self.writing);
        self.flush_at = Some(Instant::now() + pause);
    }
}

/// Now, for people, as RFC 3339 in UTC.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(t: u64, st: StatusState, ready: bool) -> StatusEntry {
        StatusEntry {
            t,
            rel: 1,
            st,
            ready,
            pid: None,
            port: None,
            since: String::new(),
            restarts: 0,
            failing: false,
            exit: None,
            err: None,
            attrs: BTreeMap::new(),
            extra: Default::default(),
        }
    }

    fn instance(index: u32) -> InstanceId {
        InstanceId::new("s", "a", index)
    }

    fn board() -> Board {
        Board::new(NodeId("n".into()))
    }

    #[test]
    fn a_burst_becomes_one_write_and_news_that_are_none_become_none() {
        let mut board = board();
        for state in [StatusState::Fetching, StatusState::Starting, StatusState::Running] {
            board.put(instance(0), entry(1, state, false));
        }
        assert_eq!(board.take("inc").map(|txn| txn.len()), Some(1));
        board.written();
        board.put(instance(0), entry(1, StatusState::Running, false));
        assert!(board.flush_at().is_none() && board.take("inc").is_none());
    }

    #[test]
    fn a_failed_write_is_due_again() {
        let mut board = board();
        board.put(instance(0), entry(1, StatusState::Running, true));
        assert!(board.take("inc").is_some());
        board.failed(Duration::from_secs(1));
        assert!(board.flush_at().is_some_and(|at| at > Instant::now()));
        assert!(board.take("inc").is_some());
    }

    #[test]
    fn a_state_keeps_its_time_while_it_lasts() {
        let mut board = board();
        board.put(instance(0), entry(1, StatusState::Running, false));
        let since = board.entries[&instance(0)].since.clone();
        let mut told = entry(1, StatusState::Running, false);
        told.err = Some("not yet".into());
        board.put(instance(0), told);
        assert_eq!(board.entries[&instance(0)].since, since);
    }

    #[test]
    fn a_stop_counts_for_its_term_only() {
        let mut board = board();
        board.put(instance(0), entry(3, StatusState::Stopped, false));
        assert!(board.has_stopped(&instance(0), 3));
        assert!(!board.has_stopped(&instance(0), 4));
        board.remove(&instance(0));
        assert!(!board.has_stopped(&instance(0), 3));
    }
}
