//! What the agent reports: the newest status of each instance, written in few, coalesced writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_zk::recipes::Txn;
use tokio::time::Instant;

use super::FLUSH_AFTER;
use crate::record::{EventEntry, LoadRecord, StatusBucket, StatusEntry, StatusState, VERSION, encode};
use crate::znode;

/// Events of one instance that are kept, and the length of what is told of one.
const MAX_EVENTS: usize = 12;
const MAX_STORY: usize = 160;

/// Statuses by instance, and which buckets of them are still to be written.
#[derive(Debug)]
pub(super) struct Board {
    node: NodeId,
    entries: BTreeMap<InstanceId, StatusEntry>,
    dirty: BTreeSet<u8>,
    /// Buckets of the write under way; they become dirty again when it fails.
    writing: BTreeSet<u8>,
    flush_at: Option<Instant>,
    load: Option<LoadRecord>,
    /// When the load was put here last.
    load_at: Option<Instant>,
}

/// A load is told when it moved by more points than this,
const LOAD_POINTS: u8 = 10;
/// and not sooner after the last one.
const LOAD_PAUSE: Duration = Duration::from_secs(60);
/// The bucket that tells it.
const LOAD_BUCKET: u8 = 0;

impl Board {
    pub(super) fn new(node: NodeId) -> Board {
        Board {
            node,
            entries: BTreeMap::new(),
            dirty: BTreeSet::new(),
            writing: BTreeSet::new(),
            flush_at: None,
            load: None,
            load_at: None,
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
        entry.events =
            known.filter(|known| known.t == entry.t).map(|known| known.events.clone()).unwrap_or_default();
        if same_state.is_none() {
            let what = story(&entry);
            entry.events.push(EventEntry { at: entry.since.clone(), what });
            let surplus = entry.events.len().saturating_sub(MAX_EVENTS);
            entry.events.drain(..surplus);
        }
        if known != Some(&entry) {
            self.mark(znode::bucket_of(&instance));
            self.entries.insert(instance, entry);
        }
    }

    /// Notes how busy the node is, in percent; little changes are not told, and none often.
    pub(super) fn put_load(&mut self, cpu: u8, mem: u8, at: Instant) {
        let has_moved = self
            .load
            .as_ref()
            .is_none_or(|last| last.cpu.abs_diff(cpu) > LOAD_POINTS || last.mem.abs_diff(mem) > LOAD_POINTS);
        if has_moved && self.load_at.is_none_or(|last| at.duration_since(last) >= LOAD_PAUSE) {
            self.load = Some(LoadRecord { cpu, mem, at: now() });
            self.load_at = Some(at);
            self.mark(LOAD_BUCKET);
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
            let load = self.load.clone().filter(|_| *bucket == LOAD_BUCKET);
            let inc = incarnation.to_owned();
            let document = StatusBucket { v: VERSION, inc, inst, load, ..StatusBucket::default() };
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

/// What a report says, in one line.
fn story(entry: &StatusEntry) -> String {
    let state = match entry.st {
        StatusState::Pending => "accepted by its node",
        StatusState::Fetching => "fetching its program",
        StatusState::Starting => "starting",
        StatusState::Running if entry.ready => "running and healthy",
        StatusState::Running => "running, not healthy yet",
        StatusState::Frozen => "frozen: its node lost contact",
        StatusState::Backoff => "ended, to be started again",
        StatusState::Failed => "failed",
        StatusState::Stopping => "stopping",
        StatusState::Stopped => "stopped",
    };
    let pid = entry.pid.filter(|_| entry.st == StatusState::Running && !entry.ready);
    let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    // Until its process runs, an error can only be one of an earlier try.
    let is_new = matches!(entry.st, StatusState::Pending | StatusState::Fetching | StatusState::Starting);
    let reason = entry.err.as_deref().filter(|_| !entry.ready && !is_new);
    let reason = reason.and_then(|reason| reason.lines().next());
    let reason = reason.map(|reason| format!(": {}", shortened(reason, MAX_STORY))).unwrap_or_default();
    format!("{state}{pid}{reason}")
}

/// At most `most` characters of a line, cut where a word ends; only a word that is longer than all of it is cut itself.
fn shortened(line: &str, most: usize) -> String {
    let Some((end, _)) = line.char_indices().nth(most) else { return line.to_owned() };
    // The last place is for the sign of the cut.
    let last = line[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    let cut = line[..end].rfind(char::is_whitespace).filter(|at| *at > 0).unwrap_or(last);
    format!("{}…", line[..cut].trim_end())
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
            events: Vec::new(),
            attrs: BTreeMap::new(),
            extra: Default::default(),
        }
    }

    fn instance(index: u32) -> InstanceId {
        InstanceId::new("s", "a", 1, index)
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
    fn load_is_told_when_it_moved_and_not_often() {
        let mut board = board();
        let begin = Instant::now();
        let mut is_told = |cpu, mem, after| {
            board.put_load(cpu, mem, begin + after);
            let is_told = board.take("inc").is_some();
            board.written();
            is_told
        };
        assert!(is_told(5, 50, Duration::ZERO));
        assert!(!is_told(40, 50, LOAD_PAUSE / 2), "too soon");
        assert!(!is_told(15, 60, LOAD_PAUSE), "ten points are nothing");
        assert!(is_told(16, 60, LOAD_PAUSE));
        assert!(is_told(16, 71, LOAD_PAUSE * 2));
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
    fn what_happened_last_is_told_in_order() {
        let mut board = board();
        let told = |board: &Board| -> Vec<String> {
            board.entries[&instance(0)].events.iter().map(|event| event.what.clone()).collect()
        };
        board.put(instance(0), entry(1, StatusState::Starting, false));
        board.put(instance(0), StatusEntry { pid: Some(7), ..entry(1, StatusState::Running, false) });
        board.put(instance(0), StatusEntry { pid: Some(7), ..entry(1, StatusState::Running, true) });
        let failed = StatusEntry {
            err: Some("exit code 1; last output:\nx".into()),
            ..entry(1, StatusState::Backoff, false)
        };
        board.put(instance(0), failed);
        assert_eq!(
            told(&board),
            [
                "starting",
                "running, not healthy yet (pid 7)",
                "running and healthy",
                "ended, to be started again: exit code 1; last output:"
            ]
        );
        for _ in 0..20 {
            board.put(instance(0), entry(1, StatusState::Starting, false));
            board.put(instance(0), entry(1, StatusState::Backoff, false));
        }
        assert_eq!(told(&board).len(), MAX_EVENTS);
        board.put(instance(0), entry(2, StatusState::Pending, false));
        assert_eq!(told(&board), ["accepted by its node"], "another term is another story");
    }

    #[test]
    fn a_long_reason_is_cut_where_a_word_ends() {
        assert_eq!(shortened("exit code 1", 11), "exit code 1");
        assert_eq!(shortened("exit code 12", 11), "exit code…");
        assert_eq!(shortened("exit code  12", 11), "exit code…");
        assert_eq!(shortened("äöüäöüäöü", 4), "äöü…");
        let long = "the program cannot be found ".repeat(20);
        let told = shortened(&long, MAX_STORY);
        assert!(told.chars().count() <= MAX_STORY);
        let kept = told.strip_suffix('…').expect("the sign of a cut");
        assert!(long.starts_with(&format!("{kept} ")), "{told}");
    }

    #[test]
    fn an_error_of_an_earlier_try_is_not_told_of_a_new_one() {
        let with_error = |st| story(&StatusEntry { err: Some("exit code 1".into()), ..entry(1, st, false) });
        assert_eq!(with_error(StatusState::Pending), "accepted by its node");
        assert_eq!(with_error(StatusState::Fetching), "fetching its program");
        assert_eq!(with_error(StatusState::Starting), "starting");
        assert_eq!(with_error(StatusState::Failed), "failed: exit code 1");
        assert_eq!(with_error(StatusState::Running), "running, not healthy yet: exit code 1");
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
