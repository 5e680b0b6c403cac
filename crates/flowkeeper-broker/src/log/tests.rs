//! The log on disk: reads, restarts, torn and damaged files, idempotence, retention.

use proptest::prelude::*;

use super::batch::sample;
use super::*;

const BIG: usize = 1 << 20;

fn plain(count: i32, body: &[u8]) -> BytesMut {
    BytesMut::from(&sample(count, (-1, -1, -1), 0, body)[..])
}

fn open(folder: &Path) -> Log {
    Log::open(folder.to_owned(), 1 << 20).expect("opened")
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
    let mut log = Log::open(folder.path().to_owned(), 200).expect("opened");
    for n in 0..10_u8 {
        log.append(plain(1, &[n; 50]), BIG).expect("appended");
    }
    drop(log);
    let mut log = Log::open(folder.path().to_owned(), 200).expect("opened");
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
    let error = Log::open(folder.path().to_owned(), 1 << 20).expect_err("damaged");
    assert!(matches!(&error, Error::Corrupt { offset, .. } if *offset == at as u64), "{error}");
    assert!(error.to_string().contains("restore the folder from a backup"), "{error}");
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
    let mut log = Log::open(folder.path().to_owned(), 100).expect("opened");
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
    assert_eq!(Log::open(folder.path().to_owned(), 100).expect("opened").start(), 3);
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
        let mut log = Log::open(folder.path().to_owned(), segment).expect("opened");
        let mut expected = Vec::new();
        for (count, body) in &bodies {
            let base = log.append(plain(*count, body), BIG).expect("appended");
            expected.push((base, body.clone()));
        }
        if reopen {
            drop(log);
            log = Log::open(folder.path().to_owned(), segment).expect("opened");
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
