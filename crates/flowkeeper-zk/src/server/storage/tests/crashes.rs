//! A crash between any two operations on files, with whatever a disk may lose then.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::server::storage::disk::script::{self, Loss, Op, Script};

/// A folder in memory where there is one: what a disk loses is played, and hundreds of syncs take their time.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A run of a server's storage: what it did to its files, and what it promised when.
struct Run {
    ops: Vec<Op>,
    /// Number of operations after which everything up to a zxid is acknowledged.
    acknowledged: Vec<(usize, i64)>,
    /// The state after each transaction.
    pictures: BTreeMap<i64, Vec<String>>,
}

impl Run {
    fn acknowledged_after(&self, n: usize) -> i64 {
        self.acknowledged.iter().filter(|(at, _)| *at <= n).map(|(_, zxid)| *zxid).max().unwrap_or(0)
    }
}

/// The parts of a running server that know files.
struct Storage {
    script: Arc<Script>,
    folder: Arc<Folder>,
    writer: log::LogWriter,
    ledger: Ledger,
    run: Run,
    n_nodes: usize,
}

impl Storage {
    fn start(path: &Path) -> Self {
        let script = Script::on(path);
        let folder = Arc::new(Folder::open(path).unwrap());
        let mut writer = log_writer(&folder, 1);
        writer.prepare().unwrap();
        let ledger = Ledger::new();
        let pictures = BTreeMap::from([(0, picture(&ledger.state))]);
        let run = Run { ops: Vec::new(), acknowledged: Vec::new(), pictures };
        Self { script, folder, writer, ledger, run, n_nodes: 0 }
    }

    /// Makes some transactions, a group, and says when they are acknowledged.
    fn commit(&mut self, n: usize) {
        let first = self.ledger.state.last.zxid + 1;
        for _ in 0..n {
            self.n_nodes += 1;
            match self.n_nodes % 4 {
                0 => self.ledger.open_session(self.n_nodes as i64),
                1 => drop(self.ledger.write(1, &create("/s-", create_flags::PERSISTENT_SEQUENTIAL)).unwrap()),
                2 => drop(self.ledger.write(2, &request(3, "/zookeeper", self.n_nodes as u8)).unwrap()),
                _ => drop(self.ledger.write(3, &request(2, "/nothing", 1)).unwrap_err()),
            }
            self.run.pictures.insert(self.ledger.state.last.zxid, picture(&self.ledger.state));
        }
        self.writer.append(first, &[self.ledger.journal.take()]).unwrap();
        self.writer.sync().unwrap();
        self.run.acknowledged.push((self.script.len(), self.ledger.state.last.zxid));
    }

    /// Two groups that one sync makes durable.
    fn commit_two_groups(&mut self) {
        for _ in 0..2 {
            let first = self.ledger.state.last.zxid + 1;
            drop(self.ledger.write(1, &create("/g-", create_flags::PERSISTENT_SEQUENTIAL)).unwrap());
            self.run.pictures.insert(first, picture(&self.ledger.state));
            self.writer.append(first, &[self.ledger.journal.take()]).unwrap();
        }
        self.writer.sync().unwrap();
        self.run.acknowledged.push((self.script.len(), self.ledger.state.last.zxid));
    }

    fn restart(&mut self, path: &Path) {
        let (state, _) = recover(&self.folder, 1000, 0).unwrap();
        assert_eq!(picture(&state), picture(&self.ledger.state));
        self.ledger.state = state;
        assert_eq!(self.folder.path(), path);
        self.writer = log_writer(&self.folder, self.ledger.state.last.zxid + 1);
        self.writer.prepare().unwrap();
    }

    fn end(mut self) -> Run {
        self.run.ops = self.script.ops();
        self.run
    }
}

/// A life with several snapshots, purges, restarts after clean and unclean ends.
fn a_life(path: &Path) -> Run {
    let mut storage = Storage::start(path);
    storage.commit(3);
    storage.commit_two_groups();
    for round in 0..3 {
        let cut = storage.ledger.state.cut();
        storage.writer.end_segment();
        // The snapshot is finished before, between and after the next groups.
        for _ in 0..round {
            storage.commit(2);
        }
        snapshot::write(&storage.folder, &cut).unwrap();
        storage.commit(1);
    }
    // An unclean end, and a clean one.
    storage.restart(path);
    storage.commit(2);
    storage.writer.finish_segment().unwrap();
    snapshot::write(&storage.folder, &storage.ledger.state.cut()).unwrap();
    storage.restart(path);
    storage.commit_two_groups();
    storage.writer.finish_segment().unwrap();
    storage.restart(path);
    storage.commit(1);
    storage.end()
}

/// Starts from what a crash left, checks what is there, and goes on.
fn check(run: &Run, n: usize, path: &Path, context: &str) -> i64 {
    let folder = Arc::new(Folder::open(path).unwrap_or_else(|e| panic!("{context}: {e}")));
    let (state, recovery) = recover(&folder, 1000, 0).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(
        recovery.zxid >= run.acknowledged_after(n),
        "{context}: {recovery:?} lacks what was acknowledged"
    );
    let expected =
        run.pictures.get(&recovery.zxid).unwrap_or_else(|| panic!("{context}: {recovery:?} never was"));
    assert_eq!(&picture(&state), expected, "{context}");
    assert_eq!(recovery.unreadable_snapshots, Vec::<PathBuf>::new(), "{context}");
    // What a crash leaves is not taken for anything else, but for half a header, which no real disk writes.
    let is_short = recovery.torn.as_ref().is_some_and(|torn| torn.is_short && torn.offset > 0);
    assert!(!is_short, "{context}: {recovery:?}");
    recovery.zxid
}

/// Numbers go on where they ended, and what is written now is there after the next crash.
fn go_on(zxid: i64, path: &Path, context: &str) {
    let folder = Arc::new(Folder::open(path).unwrap());
    let mut ledger = Ledger::new();
    ledger.state = recover(&folder, 1000, 0).unwrap().0;
    let mut writer = log_writer(&folder, zxid + 1);
    writer.prepare().unwrap();
    ledger.write(1, &create("/s-", create_flags::PERSISTENT_SEQUENTIAL)).unwrap();
    assert_eq!(ledger.state.last.zxid, zxid + 1, "{context}");
    commit(&mut writer, &mut ledger, zxid + 1);
    drop((writer, folder));
    assert_eq!(picture(&restart(path).unwrap().0), picture(&ledger.state), "{context}");
}

#[test]
fn after_a_crash_between_any_two_operations_everything_acknowledged_is_there() {
    let dir = quick_folder();
    let run = a_life(dir.path());
    assert!(run.ops.len() > 80, "only {} operations", run.ops.len());
    for kind in ["Create", "Open", "Write", "SetLen", "Sync {", "SyncFolder", "Rename", "Remove"] {
        assert!(run.ops.iter().any(|op| format!("{op:?}").starts_with(kind)), "no {kind} among them");
    }
    for n in 0..=run.ops.len() {
        for loss in Loss::ALL {
            let context = format!("crash after {n} of {} operations, {loss:?} lost", run.ops.len());
            let crashed = quick_folder();
            script::play(&BTreeMap::new(), &run.ops[..n], loss, crashed.path());
            let before = script::files(crashed.path());
            let second = Script::on(crashed.path());
            let zxid = check(&run, n, crashed.path(), &context);
            if matches!(loss, Loss::Nothing | Loss::Everything | Loss::Torn) {
                // The start itself crashes, too.
                let ops = second.ops();
                for m in 0..ops.len() {
                    let context =
                        format!("{context}; crash of the start after {m} of {} operations", ops.len());
                    let again = quick_folder();
                    script::play(&before, &ops[..m], loss, again.path());
                    assert_eq!(check(&run, n, again.path(), &context), zxid, "{context}");
                }
                go_on(zxid, crashed.path(), &context);
            }
        }
    }
}

#[test]
fn without_the_sync_before_an_acknowledgement_the_same_check_fails() {
    let dir = quick_folder();
    let mut run = a_life(dir.path());
    // Acknowledged one operation too early: before its sync.
    for (at, _) in &mut run.acknowledged {
        *at -= 1;
    }
    let caught = (0..=run.ops.len()).any(|n| {
        let crashed = quick_folder();
        script::play(&BTreeMap::new(), &run.ops[..n], Loss::Content, crashed.path());
        restart(crashed.path()).is_ok_and(|(_, recovery)| recovery.zxid < run.acknowledged_after(n))
    });
    assert!(caught, "the check would not notice a missing sync");
}

/// The groups of the newest file, and the file's content.
fn newest_file(folder: &Folder) -> (PathBuf, Vec<u8>, Vec<std::ops::Range<usize>>) {
    let path = folder.segment_path(*folder.segments().unwrap().last().unwrap());
    let bytes = fs::read(&path).unwrap();
    let groups = segment::scan(&bytes, true).unwrap().groups;
    (path, bytes, groups)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn a_spoilt_last_write_is_removed_and_nothing_else(kind in 0..4u8, at in any::<proptest::sample::Index>(), len in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let dir = quick_folder();
        let mut storage = Storage::start(dir.path());
        storage.commit(2);
        let kept = storage.ledger.state.last.zxid;
        storage.commit(3);
        let last = storage.ledger.state.last.zxid;
        let (path, mut bytes, groups) = newest_file(&storage.folder);
        let run = storage.end();
        let (from, to) = (groups[0].end, groups[1].end);
        let at = from + at.index(to - from);
        let to = at + 1 + len.index(to - at);
        let good = bytes.clone();
        match kind {
            0 => bytes.truncate(at),
            1 => bytes[at..to].fill(0),
            2 => bytes[at] ^= 1 << bit,
            _ => bytes[at..to].fill(0xff),
        }
        let spoilt = bytes[..] != good[..bytes.len()] || bytes.len() < groups[1].end;
        fs::write(&path, &bytes).unwrap();
        let (state, recovery) = restart(dir.path()).unwrap();
        prop_assert_eq!(recovery.zxid, if spoilt { kept } else { last });
        prop_assert_eq!(&picture(&state), &run.pictures[&recovery.zxid]);
        go_on(recovery.zxid, dir.path(), "spoilt tail");
    }
}
