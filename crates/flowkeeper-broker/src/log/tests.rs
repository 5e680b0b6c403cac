//! The log on disk: reads, restarts, torn and damaged files, idempotence, retention.

use std::fs::OpenOptions;

use proptest::prelude::*;

use super::batch::sample;
use super::*;
use crate::error::Error;
use crate::loss::Losses;

const BIG: usize = 1 << 20;

fn plain(count: i32, body: &[u8]) -> BytesMut {
    BytesMut::from(&sample(count, (-1, -1, -1), 0, body)[..])
}

fn options(segment_bytes: u64) -> Options {
    Options { name: "topic t partition 0".into(), segment_bytes, signal: Arc::default() }
}

/// Opens the log in `folder`, made if the folder is empty.
fn open_with(folder: &Path, segment_bytes: u64) -> Log {
    if fs::read_dir(folder).expect("folder").next().is_none() {
        return Log::create(folder.to_owned(), options(segment_bytes)).expect("created");
    }
    reopen(folder, segment_bytes, 0).expect("all there")
}

fn open(folder: &Path) -> Log {
    open_with(folder, 1 << 20)
}

/// Opens the log in `folder`, which is its own data folder, too: the place of a person's word.
fn reopen(folder: &Path, segment_bytes: u64, least: i64) -> Result<Log, Error> {
    let mut losses = Losses::new(folder);
    let log = Log::open(folder.to_owned(), options(segment_bytes), least, &mut losses)?;
    losses.settle()?;
    Ok(log.expect("no loss"))
}

fn sync(log: &mut Log) {
    let unsynced = log.take_dirty().expect("something to sync");
    unsynced.file.sync_data().expect("synced");
    unsynced.mark();
}

fn last_file(folder: &Path) -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("folder").flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    files.pop().expect("a segment")
}

#[test]
fn numbers_and_returns_batches() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    assert_eq!(log.append(plain(3, b"a"), BIG).expect("appended"), 0);
    assert_eq!(log.append(plain(2, b"b"), BIG).expect("appended"), 3);
    assert_eq!((log.start(), log.end()), (0, 5));
    let bytes = log.read(4, BIG).expect("inside").expect("read");
    let header = batch::check(&bytes).expect("sound");
    assert_eq!((header.base_offset, header.size), (3, bytes.len()));
    assert!(log.read(5, BIG).expect("at the end").expect("read").is_empty());
    assert!(log.read(6, BIG).is_none());
    assert_eq!(log.read(0, 1).expect("inside").expect("read").len(), HEADER_PLUS_ONE, "at least one batch");
}

const HEADER_PLUS_ONE: usize = batch::HEADER + 1;

#[test]
fn a_restart_finds_everything() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open_with(folder.path(), 200);
    for n in 0..10_u8 {
        log.append(plain(1, &[n; 50]), BIG).expect("appended");
    }
    drop(log);
    let mut log = open_with(folder.path(), 200);
    assert_eq!(log.end(), 10);
    for n in 0..10 {
        let bytes = log.read(n, 1).expect("inside").expect("read");
        assert_eq!(batch::check(&bytes).expect("sound").base_offset, n);
        assert_eq!(bytes[batch::HEADER], u8::try_from(n).expect("small"));
    }
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    log.append(plain(1, b"kept"), BIG).expect("appended");
    let kept = fs::metadata(last_file(folder.path())).expect("file").len();
    log.append(plain(1, b"torn"), BIG).expect("appended");
    drop(log);
    let whole = fs::read(last_file(folder.path())).expect("file");
    for length in kept as usize..whole.len() {
        fs::write(last_file(folder.path()), &whole[..length]).expect("torn");
        let mut log = open(folder.path());
        assert_eq!(log.end(), 1, "torn at {length}");
        assert_eq!(log.append(plain(1, b"next"), BIG).expect("appended"), 1);
        assert_eq!(log.read(1, BIG).expect("inside").expect("read").len(), whole.len() - kept as usize);
    }
}

#[test]
fn a_damaged_middle_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    for body in [b"one", b"two", b"six"] {
        log.append(plain(1, body), BIG).expect("appended");
    }
    drop(log);
    let file = last_file(folder.path());
    let mut bytes = fs::read(&file).expect("file");
    let at = bytes.len() / 3;
    bytes[at + batch::HEADER] ^= 1;
    fs::write(&file, bytes).expect("damaged");
    let error = reopen(folder.path(), 1 << 20, 0).expect_err("damaged").to_string();
    let place = format!("{} has a damaged record batch at byte {at}, ", file.display());
    assert!(error.contains(&place), "{error}");
    assert!(error.contains("restore the folder"), "{error}");
    assert_eq!(fs::read(&file).expect("file").len(), at * 3, "nothing was changed");
    // As the advice says.
    fs::write(folder.path().join("accept-loss"), "").expect("written");
    let mut log = reopen(folder.path(), 1 << 20, 3).expect("accepted");
    assert_eq!(log.append(plain(1, b"next"), BIG).expect("appended"), 3, "no offset is given twice");
    assert_eq!(offsets(&mut log), [0, 3]);
    assert_eq!(fs::read(file.with_extension("log.damaged")).expect("kept").len(), at * 3);
}

/// The first offsets of all batches, as a reader finds them.
fn offsets(log: &mut Log) -> Vec<i64> {
    let mut found = Vec::new();
    let mut at = log.start();
    while at < log.end() {
        let bytes = log.read(at, 1).expect("inside").expect("read");
        let header = batch::check(&bytes).expect("sound");
        found.push(header.base_offset);
        at = header.end_offset();
    }
    found
}

#[test]
fn what_was_synced_and_is_gone_is_refused_until_a_person_accepts_it() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str, &[i64]); 5] = [
        (|folder| fs::remove_dir_all(folder).expect("removed"), "is missing", &[3]),
        (|folder| fs::remove_file(last_file(folder)).expect("removed"), "holds no segment file", &[3]),
        (
            |folder| {
                fs::remove_dir_all(folder).expect("removed");
                fs::create_dir(folder).expect("made");
            },
            "holds no segment file",
            &[3],
        ),
        (|folder| fs::write(last_file(folder), "").expect("emptied"), "offsets 0 to 2 are gone from", &[3]),
        (
            |folder| {
                let bytes = fs::read(last_file(folder)).expect("file");
                fs::write(last_file(folder), &bytes[..bytes.len() - 1]).expect("cut");
            },
            "offsets 2 to 2 are gone from",
            &[0, 1, 3],
        ),
    ];
    for (harm, what, left) in harms {
        let data = tempfile::tempdir().expect("folder");
        let folder = data.path().join("t-0");
        let mut log = Log::create(folder.clone(), options(1 << 20)).expect("created");
        for body in [b"one", b"two", b"six"] {
            log.append(plain(1, body), BIG).expect("appended");
        }
        sync(&mut log);
        drop(log);
        harm(&folder);
        let reopen = || {
            let mut losses = Losses::new(data.path());
            let log = Log::open(folder.clone(), options(1 << 20), 3, &mut losses)?;
            losses.settle().map(|()| log.expect("no loss"))
        };
        for _ in 0..2 {
            let error = reopen().expect_err("lost");
            assert!(matches!(&error, Error::Lost { .. }) && error.to_string().contains(what), "{error}");
            let accept = format!("create an empty file {} and", data.path().join("accept-loss").display());
            assert!(error.to_string().contains(&accept), "{error}");
        }
        fs::write(data.path().join("accept-loss"), "").expect("written");
        let mut log = reopen().expect("accepted");
        assert!(!data.path().join("accept-loss").exists(), "it counts once");
        assert_eq!(log.append(plain(1, b"next"), BIG).expect("appended"), 3, "no offset is given twice");
        assert_eq!(offsets(&mut log), left, "{what}");
        sync(&mut log);
        drop(log);
        assert_eq!(offsets(&mut reopen().expect("all there now")), left, "{what}");
    }
}

#[test]
fn what_was_never_synced_may_be_torn() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    log.append(plain(1, b"synced"), BIG).expect("appended");
    sync(&mut log);
    let kept = fs::metadata(last_file(folder.path())).expect("file").len();
    log.append(plain(1, b"not synced"), BIG).expect("appended");
    drop(log);
    let file = OpenOptions::new().write(true).open(last_file(folder.path())).expect("opened");
    file.set_len(kept + 1).expect("torn");
    assert_eq!(reopen(folder.path(), 1 << 20, 0).expect("all there").end(), 1);
}

#[test]
fn a_folder_of_an_earlier_release_has_no_mark_and_gets_one() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    log.append(plain(1, b"x"), BIG).expect("appended");
    drop(log);
    fs::remove_file(folder.path().join("end")).expect("removed");
    let mut log = open(folder.path());
    sync(&mut log);
    drop(log);
    assert_eq!(loss::mark(folder.path()), Some(1));
    fs::write(last_file(folder.path()), "").expect("emptied");
    reopen(folder.path(), 1 << 20, 0).expect_err("lost");
}

#[test]
fn a_sealed_segment_is_marked() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open_with(folder.path(), 100);
    for n in 0..3_u8 {
        log.append(plain(1, &[n; 60]), BIG).expect("appended");
    }
    assert_eq!(loss::mark(folder.path()), Some(2));
    drop(log);
    fs::remove_file(last_file(folder.path())).expect("removed");
    fs::remove_file(last_file(folder.path())).expect("removed");
    let error = reopen(folder.path(), 100, 0).expect_err("lost").to_string();
    assert!(error.contains("offsets 1 to 1 are gone from"), "{error}");
}

#[test]
fn an_append_that_fails_half_way_leaves_nothing_even_if_it_cannot_be_undone_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    log.append(plain(1, b"kept"), BIG).expect("appended");
    let size = fs::metadata(last_file(folder.path())).expect("file").len();
    // Takes no byte, and cannot be cut either.
    let full = OpenOptions::new().write(true).open("/dev/full").expect("opened");
    let good = log.segments.back_mut().expect("a segment").replace_file(full);
    for _ in 0..2 {
        let error = log.append(plain(1, b"refused"), BIG).expect_err("full").to_string();
        assert!(error.starts_with("topic t partition 0 cannot be written: "), "{error}");
        assert!(log.retry(), "still full");
        assert_eq!(log.end(), 1);
    }
    // What a disk that filled up half-way would have left: a batch's beginning.
    let half = plain(1, b"refused");
    std::os::unix::fs::FileExt::write_all_at(&*good, &half[..half.len() - 1], size).expect("written");
    log.segments.back_mut().expect("a segment").replace_file(Arc::into_inner(good).expect("one owner"));
    assert!(log.failure().is_some());
    assert!(!log.retry(), "good again: {:?}", log.failure());
    assert_eq!(fs::metadata(last_file(folder.path())).expect("file").len(), size, "nothing is left of it");
    assert_eq!(log.append(plain(1, b"next"), BIG).expect("appended"), 1);
    drop(log);
    assert_eq!(offsets(&mut open(folder.path())), [0, 1]);
}

#[test]
fn a_repeated_batch_is_answered_and_not_written_again() {
    let folder = tempfile::tempdir().expect("folder");
    let idempotent = |sequence| BytesMut::from(&sample(2, (9, 0, sequence), 0, b"x")[..]);
    let mut log = open(folder.path());
    assert_eq!(log.append(idempotent(0), BIG).expect("appended"), 0);
    assert_eq!(log.append(idempotent(2), BIG).expect("appended"), 2);
    assert_eq!(log.append(idempotent(0), BIG).expect("repeated"), 0);
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(log.append(idempotent(2), BIG).expect("repeated after a restart"), 2);
    assert_eq!(log.end(), 4);
    let gap = log.append(idempotent(9), BIG).expect_err("a gap");
    assert!(matches!(gap, AppendError::OutOfOrder { producer: 9, found: 9, last: 3 }), "{gap}");
    assert_eq!(log.end(), 4);
}

#[test]
fn an_older_epoch_is_fenced() {
    let folder = tempfile::tempdir().expect("folder");
    let of_epoch = |epoch| BytesMut::from(&sample(1, (9, epoch, 0), 0, b"x")[..]);
    let mut log = open(folder.path());
    log.append(of_epoch(1), BIG).expect("appended");
    assert!(matches!(log.append(of_epoch(0), BIG), Err(AppendError::OldEpoch { known: 1, .. })));
    log.append(of_epoch(2), BIG).expect("a newer epoch begins again");
}

#[test]
fn refuses_what_it_cannot_keep() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open(folder.path());
    assert!(matches!(
        log.append(plain(1, &[0; 100]), 50),
        Err(AppendError::TooLarge { size: 161, limit: 50 })
    ));
    let mut damaged = plain(1, b"x");
    damaged[batch::HEADER] ^= 1;
    assert!(matches!(log.append(damaged, BIG), Err(AppendError::Batch(BatchError::Checksum))));
    assert_eq!(log.end(), 0);
}

#[test]
fn drops_old_segments_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = open_with(folder.path(), 100);
    for timestamp in [10, 20, 30] {
        log.append(BytesMut::from(&sample(1, (-1, -1, -1), timestamp, &[0; 60])[..]), BIG).expect("appended");
    }
    assert_eq!(log.find_timestamp(15).expect("read"), Some((1, 20)));
    log.retain(Some(15), None);
    assert_eq!((log.start(), log.end()), (1, 3));
    log.retain(None, Some(121));
    assert_eq!(log.start(), 2);
    log.delete_before(3).expect("deleted");
    drop(log);
    assert_eq!(open_with(folder.path(), 100).start(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_history_reads_back_in_order(
        bodies in prop::collection::vec((1i32..5, prop::collection::vec(any::<u8>(), 0..300)), 1..30),
        segment in 100u64..2000,
        reopen in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = open_with(folder.path(), segment);
        let mut expected = Vec::new();
        for (count, body) in &bodies {
            let base = log.append(plain(*count, body), BIG).expect("appended");
            expected.push((base, body.clone()));
        }
        if reopen {
            drop(log);
            log = open_with(folder.path(), segment);
        }
        let mut found = Vec::new();
        let mut offset = 0;
        while offset < log.end() {
            let bytes = log.read(offset, 500).expect("inside").expect("read");
            for (position, header) in batch::check_all(&bytes).expect("sound") {
                found.push((header.base_offset, bytes[position + batch::HEADER..position + header.size].to_vec()));
                offset = header.end_offset();
            }
        }
        prop_assert_eq!(found, expected);
    }
}
