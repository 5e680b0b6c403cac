//! Operations on files that fail: nothing is acknowledged that is not there, and a full disk is waited for.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::*;
use crate::server::storage::disk::script::{Op, Script};
use crate::server::storage::log::{Batch, Durability};
use crate::server::storage::space::Space;

/// Batches of one transaction each; every second one ends its file.
fn batches(ledger: &mut Ledger, n: usize) -> Vec<Batch> {
    let batch = |n: usize| {
        let first = ledger.state.last.zxid + 1;
        ledger.write(1, &create("/n-", create_flags::PERSISTENT_SEQUENTIAL)).unwrap();
        let records = ledger.journal.take();
        Batch { first, records, deliveries: Vec::new(), ends_segment: n % 2 == 1 }
    };
    (0..n).map(batch).collect()
}

/// Runs the log over some batches and returns how many it acknowledged.
fn run_log(folder: &Arc<Folder>, batches: Vec<Batch>) -> (u64, Result<(), Error>) {
    let (sender, receiver) = sync_channel(batches.len());
    for batch in batches {
        sender.send(batch).unwrap();
    }
    drop(sender);
    let done = AtomicU64::new(0);
    let mut writer = log_writer(folder, 1);
    let result = writer.prepare().and_then(|()| log::run(writer, &receiver, Durability::Sync, &done));
    (done.into_inner(), result)
}

pub(super) fn disk_error() -> io::Error {
    // EIO.
    io::Error::from_raw_os_error(5)
}

pub(super) fn full_disk() -> io::Error {
    // ENOSPC.
    io::Error::from_raw_os_error(28)
}

#[test]
fn whichever_operation_fails_nothing_is_acknowledged_that_is_not_there() {
    let n_ops = {
        let dir = tempfile::tempdir().unwrap();
        let script = Script::on(dir.path());
        let folder = Arc::new(Folder::open(dir.path()).unwrap());
        let (done, result) = run_log(&folder, batches(&mut Ledger::new(), 6));
        result.unwrap();
        assert_eq!(done, 6);
        script.len()
    };
    for error in [disk_error, full_disk] {
        for bad in 0..n_ops {
            let dir = tempfile::tempdir().unwrap();
            let script = Script::on(dir.path());
            let count = AtomicUsize::new(0);
            // The disk is broken, or full, from some operation on. Shrinking and deleting need no space.
            script.fail(move |op| {
                let is_bad = count.fetch_add(1, Ordering::Relaxed) >= bad;
                let needs_space = matches!(op, Op::Create { .. } | Op::Write { .. } | Op::Reserve { .. });
                (is_bad && (needs_space || error().raw_os_error() == Some(5))).then(error)
            });
            let Ok(folder) = Folder::open(dir.path()) else { continue };
            let (done, result) = run_log(&Arc::new(folder), batches(&mut Ledger::new(), 6));
            assert!(done == 6 || result.is_err(), "operation {bad} fails and nobody says so");
            script.heal();
            let (state, recovery) = restart(dir.path()).unwrap_or_else(|e| panic!("operation {bad}: {e}"));
            assert!(recovery.zxid >= done as i64, "operation {bad}: {done} acknowledged, {recovery:?}");
            assert_eq!(state.tree.len(), 4 + recovery.zxid as usize);
        }
    }
}

#[test]
fn a_sync_that_failed_is_never_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::on(dir.path());
    let folder = Arc::new(Folder::open(dir.path()).unwrap());
    let syncs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&syncs);
    // The first sync is that of the header.
    script.fail(move |op| match op {
        Op::Sync { .. } if seen.fetch_add(1, Ordering::Relaxed) == 1 => Some(disk_error()),
        _ => None,
    });
    let (done, result) = run_log(&folder, batches(&mut Ledger::new(), 6));
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Disk { what: "sync log", .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    assert_eq!((done, syncs.load(Ordering::Relaxed)), (0, 2));
}

#[test]
fn a_full_disk_is_waited_for_and_what_is_on_its_way_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::on(dir.path());
    let folder = Arc::new(Folder::open(dir.path()).unwrap());
    let space = Arc::new(Space::default());
    let mut writer = log::LogWriter::new(Arc::clone(&folder), Arc::clone(&space), 1);
    writer.prepare().unwrap();
    assert!(!space.is_full() && space.has_room_for_little());
    script.fail(|op| matches!(op, Op::Create { .. } | Op::Reserve { .. }).then(full_disk));
    let mut ledger = Ledger::new();
    let (sender, receiver) = sync_channel(100);
    let done = Arc::new(AtomicU64::new(0));
    let released = Arc::clone(&done);
    let log = std::thread::spawn(move || log::run(writer, &receiver, Durability::Sync, &released));
    // The first file is at its end, there is no space for the next, and the old one goes on.
    for batch in batches(&mut ledger, 4) {
        space.announce(batch.records.len());
        sender.send(batch).unwrap();
    }
    wait_until(|| done.load(Ordering::Relaxed) == 4);
    assert_eq!(folder.segments().unwrap(), [1]);
    assert!(!space.is_full());
    // It, too, gets no more; what was reserved in it takes all that comes until the core has heard.
    for _ in 0..6 {
        let first = ledger.state.last.zxid + 1;
        ledger
            .write(
                1,
                &Request::SetData { path: "/zookeeper".into(), data: Some(&[7; 60 << 10]), version: -1 },
            )
            .unwrap();
        let records = ledger.journal.take();
        space.announce(records.len());
        sender.send(Batch { first, records, deliveries: Vec::new(), ends_segment: false }).unwrap();
    }
    wait_until(|| done.load(Ordering::Relaxed) == 10);
    assert!(space.is_full() && space.has_room_for_little());
    // Space returns; nobody writes, and yet it is noticed.
    script.heal();
    wait_until(|| !space.is_full());
    for batch in batches(&mut ledger, 2) {
        space.announce(batch.records.len());
        sender.send(batch).unwrap();
    }
    drop(sender);
    log.join().unwrap().unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 12);
    assert_eq!(folder.segments().unwrap(), [1, 11]);
    drop(folder);
    assert_eq!(picture(&restart(dir.path()).unwrap().0), picture(&ledger.state));
}

#[test]
fn groups_without_any_room_wait_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::on(dir.path());
    let folder = Arc::new(Folder::open(dir.path()).unwrap());
    let space = Arc::new(Space::default());
    let mut writer = log::LogWriter::new(Arc::clone(&folder), Arc::clone(&space), 1);
    writer.prepare().unwrap();
    // A file system whose promises are worth nothing.
    script.fail(|op| matches!(op, Op::Create { .. } | Op::Reserve { .. } | Op::Write { .. }).then(full_disk));
    let mut ledger = Ledger::new();
    let (sender, receiver) = sync_channel(100);
    let done = Arc::new(AtomicU64::new(0));
    let released = Arc::clone(&done);
    let log = std::thread::spawn(move || log::run(writer, &receiver, Durability::Sync, &released));
    for batch in batches(&mut ledger, 5) {
        space.announce(batch.records.len());
        sender.send(batch).unwrap();
    }
    wait_until(|| space.is_full());
    assert!(!space.has_room_for_little());
    assert_eq!(done.load(Ordering::Relaxed), 0);
    script.heal();
    wait_until(|| done.load(Ordering::Relaxed) == 5 && !space.is_full());
    drop(sender);
    log.join().unwrap().unwrap();
    drop(folder);
    assert_eq!(picture(&restart(dir.path()).unwrap().0), picture(&ledger.state));
}

#[test]
fn a_snapshot_that_finds_no_space_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::on(dir.path());
    let folder = Folder::open(dir.path()).unwrap();
    let mut ledger = Ledger::new();
    ledger.write(1, &create("/a", 0)).unwrap();
    for bad in ["Write", "Sync {", "Rename"] {
        script.fail(move |op| format!("{op:?}").starts_with(bad).then(full_disk));
        let error = snapshot::write(&folder, &ledger.state.cut()).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        script.heal();
        assert_eq!(folder.leftovers().unwrap(), Vec::<PathBuf>::new(), "{bad} failed");
        assert!(folder.snapshots().unwrap().is_empty());
    }
    snapshot::write(&folder, &ledger.state.cut()).unwrap();
}

#[test]
fn a_core_far_ahead_of_the_disk_waits() {
    let space = Arc::new(Space::default());
    space.announce(9 << 20);
    let ahead = Arc::clone(&space);
    let (told, is_through) = std::sync::mpsc::channel();
    let core = std::thread::spawn(move || {
        ahead.announce(1);
        told.send(()).unwrap();
    });
    assert!(is_through.try_recv().is_err());
    space.written(9 << 20, 0);
    is_through.recv_timeout(Duration::from_secs(20)).unwrap();
    core.join().unwrap();
    space.announce(9 << 20);
    space.close();
    space.announce(1);
}

fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not happen");
        std::thread::yield_now();
    }
}
