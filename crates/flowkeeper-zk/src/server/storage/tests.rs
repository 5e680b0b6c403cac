//! The data folder: torn and damaged files, and recovery compared with the state in memory.

use std::sync::Arc;

use proptest::prelude::*;

use super::log;
use super::recovery::{Recovery, recover};
use super::*;
use crate::proto::op::create_flags;
use crate::proto::{Acl, AclVector, Create, Request, op};
use crate::server::ops::tests::{Ledger, acl, create};
use crate::server::state::State;

mod crashes;
mod faults;
mod reach;
mod serving;

/// All that must survive, in an order that does not depend on places in memory.
pub(crate) fn picture(state: &State) -> Vec<String> {
    let mut lines: Vec<String> = state
        .tree
        .cut()
        .slab
        .ids()
        .map(|id| {
            let node = state.tree.node(id);
            let acl: Vec<Acl> =
                state.tree.acl_of(id).map_or(vec![Acl::open()], |list| list.entries().to_vec());
            let path = state.tree.path_of(id);
            format!("{path} {:?} {:?} {:?} {} {acl:?}", node.stat(), node.data, node.owner(), node.cversion())
        })
        .collect();
    lines.extend(state.sessions.timeouts().map(|(id, timeout)| format!("session {id} {timeout}")));
    lines.sort();
    lines.push(format!("last {:?} bytes {}", state.last, state.tree.bytes()));
    lines
}

fn restart(path: &Path) -> Result<(State, Recovery), Error> {
    recover(&Folder::open(path)?, 1000, 0)
}

/// A writer for a folder whose next transaction is `next`.
fn log_writer(folder: &Arc<Folder>, next: i64) -> log::LogWriter {
    log::LogWriter::new(Arc::clone(folder), Arc::default(), next)
}

/// Appends a ledger's journal as one synced group.
fn commit(writer: &mut log::LogWriter, ledger: &mut Ledger, first: i64) {
    let records = ledger.journal.take();
    if !records.is_empty() {
        writer.append(first, &[records]).unwrap();
        writer.sync().unwrap();
    }
}

/// A folder whose log holds three groups of one create each, and the states after each.
fn three_groups(path: &Path) -> Vec<Vec<String>> {
    let folder = Arc::new(Folder::open(path).unwrap());
    let mut writer = log_writer(&folder, 1);
    let mut ledger = Ledger::new();
    let mut pictures = vec![picture(&ledger.state)];
    for (n, path) in ["/a", "/a/b", "/c"].into_iter().enumerate() {
        ledger.write(1, &create(path, 0)).unwrap();
        commit(&mut writer, &mut ledger, n as i64 + 1);
        pictures.push(picture(&ledger.state));
    }
    writer.finish_segment().unwrap();
    pictures
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write(u8, &'static str, u8),
    Multi(Vec<(u8, &'static str, u8)>),
    OpenSession(i64),
    CloseSession(i64),
    Commit,
    Snapshot,
    Restart,
}

const PATHS: [&str; 9] = ["/a", "/b", "/a/x", "/a/y", "/a/x/1", "/b/s-", "/zookeeper", "/a/x/", "/e"];

pub(crate) fn request(kind: u8, path: &'static str, arg: u8) -> Request<'static> {
    let list: AclVector<'static> = match arg % 3 {
        0 => acl(&[(31, "world", "anyone")]),
        1 => acl(&[(31, "ip", "127.0.0.1"), (1, "world", "anyone")]),
        _ => acl(&[(17, "ip", "127.0.0.1")]),
    };
    let flags = [
        create_flags::PERSISTENT,
        create_flags::EPHEMERAL,
        create_flags::PERSISTENT_SEQUENTIAL,
        create_flags::EPHEMERAL_SEQUENTIAL,
        create_flags::TTL,
    ][arg as usize % 5];
    let version = if arg.is_multiple_of(4) { i32::from(arg % 3) } else { -1 };
    let data: Option<&'static [u8]> =
        if arg.is_multiple_of(7) { None } else { Some(&b"some data"[..arg as usize % 9]) };
    match kind {
        0 | 1 => {
            let (op, ttl) =
                if flags == create_flags::TTL { (op::CREATE_TTL, 1000) } else { (op::CREATE2, -1) };
            let op = if arg.is_multiple_of(11) && ttl < 0 { op::CREATE_CONTAINER } else { op };
            Request::Create(Create { op, path: path.into(), data, acl: list, flags, ttl })
        }
        2 => Request::Delete { path: path.into(), version },
        3 => Request::SetData { path: path.into(), data, version },
        4 => Request::SetAcl { path: path.into(), acl: list, version },
        _ => Request::Check { path: path.into(), version },
    }
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let path = || proptest::sample::select(PATHS.to_vec());
    prop_oneof![
        12 => (0..5u8, path(), any::<u8>()).prop_map(|(k, p, a)| Step::Write(k, p, a)),
        // setACL has no place in a multi.
        4 => proptest::collection::vec((prop_oneof![0..4u8, Just(5)], path(), any::<u8>()), 0..5).prop_map(Step::Multi),
        1 => (1..4i64).prop_map(Step::OpenSession),
        1 => (1..4i64).prop_map(Step::CloseSession),
        2 => Just(Step::Commit),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn what_comes_back_is_what_was_there(steps in proptest::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Arc::new(Folder::open(dir.path()).unwrap());
        let mut writer = log_writer(&folder, 1);
        let mut ledger = Ledger::new();
        let mut first = 1;
        for step in steps.into_iter().chain([Step::Restart]) {
            match step {
                Step::Write(kind, path, arg) => {
                    let _ = ledger.write(1 + i64::from(arg % 3), &request(kind, path, arg));
                }
                Step::Multi(ops) => {
                    let ops = ops.into_iter().map(|(k, p, a)| request(k, p, a)).collect();
                    prop_assert!(ledger.write(1, &Request::Multi(ops)).is_ok());
                }
                Step::OpenSession(id) => ledger.open_session(id),
                Step::CloseSession(id) => ledger.close_session(id),
                Step::Commit => {
                    commit(&mut writer, &mut ledger, first);
                    first = ledger.state.last.zxid + 1;
                }
                Step::Snapshot => {
                    commit(&mut writer, &mut ledger, first);
                    first = ledger.state.last.zxid + 1;
                    writer.end_segment();
                    snapshot::write(&folder, &ledger.state.cut()).unwrap();
                }
                Step::Restart => {
                    commit(&mut writer, &mut ledger, first);
                    first = ledger.state.last.zxid + 1;
                    drop((writer, folder));
                    let (state, recovery) = restart(dir.path()).unwrap();
                    prop_assert_eq!(picture(&state), picture(&ledger.state));
                    prop_assert_eq!(recovery.torn, None);
                    ledger.state = state;
                    folder = Arc::new(Folder::open(dir.path()).unwrap());
                    writer = log_writer(&folder, first);
                }
            }
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_record_comes_back_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = three_groups(dir.path());
    let log = Folder::open(dir.path()).unwrap().segment_path(1);
    let bytes = fs::read(&log).unwrap();
    let ends: Vec<usize> = segment::scan(&bytes, true).unwrap().groups.iter().map(|g| g.end).collect();
    for cut in ends[1]..ends[2] {
        fs::write(&log, &bytes[..cut]).unwrap();
        let (state, recovery) = restart(dir.path()).unwrap();
        assert_eq!(picture(&state), pictures[2], "cut at {cut}");
        let torn = recovery.torn.map_or(0, |torn| torn.bytes);
        assert!(torn <= (cut - ends[1]) as u64 && (torn > 0 || cut == ends[1]), "cut at {cut}, told {torn}");
        assert_eq!(fs::metadata(&log).unwrap().len(), ends[1] as u64, "the tail is removed");
    }
}

#[test]
fn damage_in_the_middle_is_refused_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    three_groups(dir.path());
    let log = Folder::open(dir.path()).unwrap().segment_path(1);
    let mut bytes = fs::read(&log).unwrap();
    let group = segment::scan(&bytes, true).unwrap().groups[1].clone();
    bytes[group.start + 3] ^= 0xff;
    fs::write(&log, &bytes).unwrap();
    let error = restart(dir.path()).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { file, offset, .. } if *file == log && *offset == (group.start - segment::GROUP_HEADER_LEN) as u64),
        "{error}"
    );
    assert_eq!(fs::read(&log).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_missing_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    three_groups(dir.path());
    let folder = Folder::open(dir.path()).unwrap();
    fs::rename(folder.segment_path(1), folder.segment_path(2)).unwrap();
    drop(folder);
    let error = restart(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::MissingLog { found: 2, wanted: 1, .. }), "{error}");
}

/// Moves the files the advice names, and only those, out of the folder.
fn follow(advice: &str, away: &Path) -> usize {
    let (_, rest) = advice.split_once("move ").expect("an advice");
    let (files, _) = rest.split_once(" away").expect("an advice");
    for file in files.split(" and ") {
        let file = Path::new(file);
        fs::rename(file, away.join(file.file_name().unwrap())).unwrap();
    }
    files.split(" and ").count()
}

/// A folder with a log file for each of the transactions 1 to 6, and the states after each.
fn six_files(path: &Path) -> Vec<Vec<String>> {
    let folder = Arc::new(Folder::open(path).unwrap());
    let mut writer = log_writer(&folder, 1);
    let mut ledger = Ledger::new();
    let mut pictures = vec![picture(&ledger.state)];
    for (n, path) in ["/a", "/b", "/c", "/d", "/e", "/f"].into_iter().enumerate() {
        ledger.write(1, &create(path, 0)).unwrap();
        commit(&mut writer, &mut ledger, n as i64 + 1);
        pictures.push(picture(&ledger.state));
        writer.finish_segment().unwrap();
        if n == 1 || n == 3 {
            snapshot::write(&folder, &ledger.state.cut()).unwrap();
        }
    }
    pictures
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0xff;
    fs::write(file, bytes).unwrap();
}

#[test]
fn following_the_advice_for_a_damaged_or_missing_log_works() {
    type Harm = fn(&Folder);
    // What is done to the folder; transactions left; files to move away.
    let harms: [(Harm, usize, usize); 8] = [
        (|folder| flip(&folder.segment_path(5), 40), 4, 2),
        (|folder| flip(&folder.segment_path(5), 3), 4, 2),
        (|folder| fs::remove_file(folder.segment_path(5)).unwrap(), 4, 1),
        (
            |folder| {
                fs::remove_file(folder.segment_path(5)).unwrap();
                fs::write(folder.segment_path(6), "").unwrap();
            },
            4,
            1,
        ),
        (
            |folder| {
                flip(&folder.snapshot_path(4), 20);
                flip(&folder.segment_path(4), 40);
            },
            3,
            4,
        ),
        (
            |folder| {
                flip(&folder.snapshot_path(4), 20);
                fs::remove_file(folder.segment_path(3)).unwrap();
            },
            2,
            4,
        ),
        (
            |folder| {
                flip(&folder.snapshot_path(4), 20);
                flip(&folder.snapshot_path(2), 20);
            },
            0,
            6,
        ),
        (
            |folder| fs::write(folder.segment_path(6), b"no log at all, but as long as a header").unwrap(),
            5,
            1,
        ),
    ];
    for (n, (harm, left, n_files)) in harms.into_iter().enumerate() {
        let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pictures = six_files(dir.path());
        harm(&Folder::open(dir.path()).unwrap());
        let error = restart(dir.path()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(follow(&error, away.path()), n_files, "harm {n}: {error}");
        let lost = if left == 0 {
            "everything is lost".to_owned()
        } else {
            format!("from 0x{:x} on are lost", left + 1)
        };
        assert!(error.contains(&lost), "harm {n}: {error}");
        let (state, recovery) = restart(dir.path()).unwrap();
        assert_eq!(picture(&state), pictures[left], "harm {n}");
        assert_eq!(recovery.unreadable_snapshots, Vec::<PathBuf>::new(), "harm {n}");
        // And it goes on: what is written next is there after the next start.
        let mut ledger = Ledger::new();
        ledger.state = state;
        let mut writer = log_writer(&Arc::new(Folder::open(dir.path()).unwrap()), left as i64 + 1);
        ledger.write(1, &create("/next", 0)).unwrap();
        commit(&mut writer, &mut ledger, left as i64 + 1);
        drop(writer);
        assert_eq!(picture(&restart(dir.path()).unwrap().0), picture(&ledger.state), "harm {n}");
    }
}

#[test]
fn unreadable_snapshots_before_a_complete_log_cost_nothing() {
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pictures = three_groups(dir.path());
    let folder = Folder::open(dir.path()).unwrap();
    fs::write(folder.snapshot_path(2), b"rubbish").unwrap();
    drop(folder);
    let error = restart(dir.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("nothing is lost"), "{error}");
    assert_eq!(follow(&error, away.path()), 1);
    assert_eq!(picture(&restart(dir.path()).unwrap().0), pictures[3]);
}

#[test]
fn a_damaged_snapshot_is_made_up_for_by_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(dir.path()).unwrap());
    let mut writer = log_writer(&folder, 1);
    let mut ledger = Ledger::new();
    for (n, path) in ["/a", "/b", "/c"].into_iter().enumerate() {
        ledger.write(1, &create(path, 0)).unwrap();
        commit(&mut writer, &mut ledger, n as i64 + 1);
        writer.end_segment();
        snapshot::write(&folder, &ledger.state.cut()).unwrap();
    }
    assert_eq!(folder.snapshots().unwrap(), [2, 3], "older ones are purged");
    assert_eq!(folder.segments().unwrap(), [3], "and the log before them");
    let newest = folder.snapshot_path(3);
    let good = fs::read(&newest).unwrap();
    drop((writer, folder));
    for (at, cut) in
        [(20, good.len()), (good.len() - 1, good.len()), (0, good.len()), (0, 5), (20, good.len() - 3)]
    {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad.truncate(cut);
        fs::write(&newest, bad).unwrap();
        let (state, recovery) = restart(dir.path()).unwrap();
        assert_eq!(picture(&state), picture(&ledger.state));
        assert_eq!((recovery.snapshot, recovery.unreadable_snapshots), (Some(2), vec![newest.clone()]));
    }
}

#[test]
fn a_folder_is_used_by_one_server_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let held = Folder::open(dir.path()).unwrap();
    let error = Folder::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    drop(held);
    Folder::open(dir.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Folder::open(dir.path()).unwrap());
    fs::write(dir.path().join("format"), "3\n").unwrap();
    let error = Folder::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 3, known: 2, .. }), "{error}");
    fs::write(dir.path().join("format"), "soup").unwrap();
    let error = Folder::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { .. }) && error.to_string().contains("write 2 into it"),
        "{error}"
    );
    fs::write(dir.path().join("format"), "1").unwrap();
    Folder::open(dir.path()).unwrap();
}

#[test]
fn folders_of_the_first_format_are_read_and_raised() {
    let dir = tempfile::tempdir().unwrap();
    // One record as the first release wrote it: without a cxid.
    let mut record = Vec::new();
    let mut e = crate::proto::Encoder::new(&mut record);
    for n in [1, 1_700_000_000_000, 77] {
        e.i64(n);
    }
    e.u8(3);
    e.string("/old");
    e.buffer(Some(b"data"));
    e.buffer(None);
    e.i64(0);
    let mut framed = (record.len() as u32).to_be_bytes().to_vec();
    framed.extend(record);
    let mut header = segment::Header::new(1);
    header.version = 1;
    let mut file = header.encode();
    header.put_group(&[framed], file.len() as u64, &mut file);
    fs::write(dir.path().join("format"), "1\n").unwrap();
    fs::write(dir.path().join("log.0000000000000001"), &file).unwrap();
    let (state, recovery) = restart(dir.path()).unwrap();
    assert_eq!((recovery.replayed, recovery.zxid), (1, 1));
    assert!(state.tree.find("/old").is_some());
    assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), "2\n");
    // What comes now is written in the new version, beside the old file.
    let mut ledger = Ledger::new();
    ledger.state = state;
    let mut writer = log_writer(&Arc::new(Folder::open(dir.path()).unwrap()), 2);
    ledger.write(1, &create("/new", 0)).unwrap();
    commit(&mut writer, &mut ledger, 2);
    drop(writer);
    assert_eq!(picture(&restart(dir.path()).unwrap().0), picture(&ledger.state));
}

/// A folder with its log in another one, and two transactions.
fn with_log_elsewhere(data: &Path, log: &Path) -> Ledger {
    let folder = Arc::new(Folder::open_with_log(data, Some(log)).unwrap());
    let mut writer = log_writer(&folder, 1);
    let mut ledger = Ledger::new();
    for (n, path) in ["/a", "/b"].into_iter().enumerate() {
        ledger.write(1, &create(path, 0)).unwrap();
        commit(&mut writer, &mut ledger, n as i64 + 1);
        if n == 0 {
            snapshot::write(&folder, &ledger.state.cut()).unwrap();
        }
    }
    ledger
}

#[test]
fn a_log_may_be_in_another_folder_and_is_not_forgotten_there() {
    let (data, log, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = with_log_elsewhere(data.path(), log.path());
    assert_eq!(
        fs::read_dir(log.path())
            .unwrap()
            .flatten()
            .filter(|f| f.path().ends_with("log.0000000000000001"))
            .count(),
        1
    );
    let (state, _) =
        recover(&Folder::open_with_log(data.path(), Some(log.path())).unwrap(), 1000, 0).unwrap();
    assert_eq!(picture(&state), picture(&ledger.state));
    // Who looks at it finds the log without being told.
    let (state, _) = recover(&Folder::inspect(data.path()).unwrap(), 1000, 0).unwrap();
    assert_eq!(picture(&state), picture(&ledger.state));
    for wrong in [None, Some(other.path())] {
        let error = Folder::open_with_log(data.path(), wrong).unwrap_err().to_string();
        assert!(error.contains(&format!("is in {}; set dataLogDir", log.path().display())), "{error}");
    }
    // Two servers with one log would write over each other.
    let _running = Folder::open_with_log(data.path(), Some(log.path())).unwrap();
    let error = Folder::open_with_log(other.path(), Some(log.path())).unwrap_err();
    assert!(matches!(error, Error::FolderInUse { .. }), "{error}");
}

#[test]
fn a_log_that_stays_behind_in_the_data_folder_is_refused() {
    let (data, log) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_groups(data.path());
    let error = Folder::open_with_log(data.path(), Some(log.path())).unwrap_err().to_string();
    assert!(error.contains("move its log.* files to"), "{error}");
    assert!(restart(data.path()).is_ok());
    // Naming the data folder itself is the same as naming none.
    Folder::open_with_log(data.path(), Some(data.path())).unwrap();
}
