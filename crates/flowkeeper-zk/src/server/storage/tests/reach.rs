//! What is recovered goes as far as the name of every snapshot, or the start is refused with what lacks.

use std::sync::Arc;

use super::*;
use crate::server::storage::space::RESERVE;

/// Snapshots after transactions 2 and 4, log files for 1 and 2, 3 and 4, 5; and the states after each transaction.
fn two_snapshots(path: &Path) -> Vec<Vec<String>> {
    let folder = Arc::new(Folder::open(path).unwrap());
    let mut writer = log_writer(&folder, 1);
    let mut ledger = Ledger::new();
    let mut pictures = vec![picture(&ledger.state)];
    for (n, path) in ["/a", "/b", "/c", "/d", "/e"].into_iter().enumerate() {
        ledger.write(1, &create(path, 0)).unwrap();
        commit(&mut writer, &mut ledger, n as i64 + 1);
        pictures.push(picture(&ledger.state));
        if n == 1 || n == 3 {
            writer.finish_segment().unwrap();
            snapshot::write(&folder, &ledger.state.cut()).unwrap();
        }
    }
    writer.finish_segment().unwrap();
    pictures
}

fn cut(file: &Path, by: u64) {
    let file = File::options().write(true).open(file).unwrap();
    let size = file.metadata().unwrap().len();
    file.set_len(size - by).unwrap();
}

fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|file| file.file_name() != "lock")
        .map(|file| (file.path(), fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_state_that_ends_before_a_snapshot_that_cannot_be_read_is_refused() {
    type Harm = fn(&Folder);
    let no_log = |folder: &Folder| {
        for first in folder.segments().unwrap() {
            fs::remove_file(folder.segment_path(first)).unwrap();
        }
    };
    // What is done beside spoiling snapshot 4; the last transaction left; what the refusal says of the log's end.
    let harms: [(Harm, usize, &str); 5] = [
        (no_log, 2, "ends with transaction 0x2: transactions 0x3 to 0x4 are missing"),
        (
            |folder| {
                fs::remove_file(folder.segment_path(5)).unwrap();
                cut(&folder.segment_path(3), 3);
            },
            3,
            "log.0000000000000003 is cut off or damaged at byte",
        ),
        (
            |folder| {
                fs::remove_file(folder.segment_path(5)).unwrap();
                let log = folder.segment_path(3);
                let bytes = fs::read(&log).unwrap();
                let end = segment::scan(&bytes, true).unwrap().groups[0].end;
                fs::write(log, &bytes[..end]).unwrap();
            },
            3,
            "ends with transaction 0x3: transactions 0x4 to 0x4 are missing",
        ),
        (
            |folder| {
                fs::remove_file(folder.segment_path(5)).unwrap();
                fs::write(folder.segment_path(3), [0; 100]).unwrap();
            },
            2,
            "transactions 0x3 to 0x4 are missing",
        ),
        // A name that promises more than there is.
        (
            |folder| fs::copy(folder.snapshot_path(2), folder.snapshot_path(0x99)).map(drop).unwrap(),
            5,
            "transactions 0x6 to 0x99 are missing",
        ),
    ];
    for (n, (harm, left, told)) in harms.into_iter().enumerate() {
        for truncated in [false, true] {
            let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let pictures = two_snapshots(dir.path());
            let folder = Folder::open(dir.path()).unwrap();
            match truncated {
                true => cut(&folder.snapshot_path(4), 30),
                false => flip(&folder.snapshot_path(4), 40),
            }
            harm(&folder);
            drop(folder);
            let before = content(dir.path());
            let error = restart(dir.path()).map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::MissingEnd { .. }), "harm {n}: {error}");
            let error = error.to_string();
            assert!(
                error.contains(told) && error.contains("are lost; restart all clients"),
                "harm {n}: {error}"
            );
            assert!(!error.contains("nothing is lost"), "harm {n}: {error}");
            assert_eq!(content(dir.path()), before, "harm {n}: nothing was changed");
            follow(&error, away.path());
            assert_eq!(picture(&restart(dir.path()).unwrap().0), pictures[left], "harm {n}");
        }
    }
}

#[test]
fn without_a_readable_snapshot_the_advice_tells_how_far_the_log_really_goes() {
    for (harmed, left) in [(false, 3), (true, 2)] {
        let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pictures = three_groups(dir.path());
        let folder = Folder::open(dir.path()).unwrap();
        fs::write(folder.snapshot_path(3), b"rubbish").unwrap();
        if harmed {
            cut(&folder.segment_path(1), 3);
        }
        drop(folder);
        let error = restart(dir.path()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error.contains("nothing is lost"), !harmed, "{error}");
        assert_eq!(error.contains("transactions 0x3 to 0x3 are lost"), harmed, "{error}");
        follow(&error, away.path());
        assert_eq!(picture(&restart(dir.path()).unwrap().0), pictures[left]);
    }
    // A log that begins with the first transaction and is damaged itself: one advice for both.
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pictures = six_files(dir.path());
    let folder = Folder::open(dir.path()).unwrap();
    for zxid in [2, 4] {
        flip(&folder.snapshot_path(zxid), 20);
    }
    for (first, path) in [(1, "/a"), (2, "/b")] {
        let mut ledger = Ledger::new();
        ledger.state.last.zxid = first - 1;
        ledger.write(1, &create(path, 0)).unwrap();
        let header = segment::Header::new(first);
        let mut bytes = header.encode();
        header.put_group(&[ledger.journal.take()], bytes.len() as u64, &mut bytes);
        fs::write(folder.segment_path(first), bytes).unwrap();
    }
    flip(&folder.segment_path(2), 40);
    drop(folder);
    let error = restart(dir.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("from 0x2 on are lost") && error.contains("checksum"), "{error}");
    assert_eq!(follow(&error, away.path()), 7, "{error}");
    let (state, recovery) = restart(dir.path()).unwrap();
    assert_eq!((picture(&state).len(), recovery.zxid), (pictures[1].len(), 1));
}

#[test]
fn damage_that_the_newest_snapshot_covers_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = two_snapshots(dir.path());
    let folder = Folder::open(dir.path()).unwrap();
    fs::remove_file(folder.segment_path(5)).unwrap();
    cut(&folder.segment_path(3), 3);
    drop(folder);
    let (state, recovery) = restart(dir.path()).unwrap();
    assert_eq!((picture(&state), recovery.log_zxid), (pictures[4].clone(), Some(3)));
    assert!(recovery.torn.is_some_and(|torn| torn.is_covered), "the snapshot covers it");
}

#[test]
fn a_torn_log_without_its_reserve_is_told_from_a_crash() {
    for (reserved, is_short) in [(true, false), (false, true)] {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(dir.path()).unwrap());
        let mut writer = log_writer(&folder, 1);
        writer.prepare().unwrap();
        let mut ledger = Ledger::new();
        for (n, path) in ["/a", "/b"].into_iter().enumerate() {
            ledger.write(1, &create(path, 0)).unwrap();
            commit(&mut writer, &mut ledger, n as i64 + 1);
        }
        let log = folder.segment_path(1);
        drop((writer, folder));
        assert!(fs::metadata(&log).unwrap().len() > RESERVE, "a crash leaves the reserve");
        let groups = segment::scan(&fs::read(&log).unwrap(), true).unwrap().groups;
        match reserved {
            true => flip(&log, groups[1].start + 3),
            false => {
                File::options().write(true).open(&log).unwrap().set_len(groups[1].end as u64 - 2).unwrap()
            }
        }
        let torn = restart(dir.path()).unwrap().1.torn.unwrap();
        assert_eq!((torn.is_short, torn.is_covered), (is_short, false));
    }
}

#[test]
fn folders_that_cannot_be_are_told_with_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let told = |data: &Path, log: Option<&Path>| Folder::open_with_log(data, log).unwrap_err().to_string();
    let error = told(&file, None);
    assert!(error.contains("file is not a folder; name a folder in dataDir"), "{error}");
    for log in [&file.join("log"), Path::new("/proc/x")] {
        let error = told(&dir.path().join("data"), Some(log));
        assert!(
            error.contains("check its name in dataLogDir") && !error.contains("start the server again"),
            "{error}"
        );
    }
}
