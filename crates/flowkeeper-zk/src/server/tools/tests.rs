//! The tools, over folders that a storage of ours has written.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::proto::op::create_flags;
use crate::server::apache;
use crate::server::ops::tests::{Ledger, create};
use crate::server::storage::log::LogWriter;
use crate::server::storage::snapshot;
use crate::server::storage::space::RESERVE;
use crate::server::storage::tests::picture;

/// A folder with a session, its ephemeral node, sequential nodes, a refused write, a snapshot and some log.
fn folder(path: &Path) -> Ledger {
    let folder = Arc::new(Folder::open(path).unwrap());
    let mut writer = LogWriter::new(Arc::clone(&folder), Arc::default(), 1);
    let mut ledger = Ledger::new();
    ledger.open_session(0x1_0000);
    ledger.write(0x1_0000, &create("/e", create_flags::EPHEMERAL)).unwrap();
    for _ in 0..3 {
        ledger.write(5, &create("/s-", create_flags::PERSISTENT_SEQUENTIAL)).unwrap();
    }
    writer.append(1, &[ledger.journal.take()]).unwrap();
    writer.sync().unwrap();
    writer.end_segment();
    snapshot::write(&folder, &ledger.state.cut()).unwrap();
    let first = ledger.state.last.zxid + 1;
    ledger.write(5, &create("/e", 0)).unwrap_err();
    ledger.write(5, &create("/e/child", 0)).unwrap_err();
    ledger.write(5, &create("/late", 0)).unwrap();
    writer.append(first, &[ledger.journal.take()]).unwrap();
    writer.sync().unwrap();
    writer.finish_segment().unwrap();
    ledger
}

fn text(run: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    run(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_dump_shows_sessions_and_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = folder(dir.path());
    let shown = text(|out| dump(dir.path(), Format::Text, out).unwrap());
    assert!(shown.contains("session 0x10000 timeout 5000 ms, 1 ephemeral nodes"), "{shown}");
    assert!(shown.contains("\n/e ephemeral:0x10000 czxid=0x2 "), "{shown}");
    assert!(
        shown.contains("/zookeeper/config persistent") && shown.contains("acl=world:anyone:r data(0)="),
        "{shown}"
    );
    assert_eq!(shown.lines().count(), 1 + 1 + ledger.state.tree.len());
    let json = text(|out| dump(dir.path(), Format::Json, out).unwrap());
    assert!(json.contains("{\"path\":\"/late\",\"kind\":\"persistent\",\"data\":"), "{json}");
    assert_eq!(json.matches("\"path\":").count(), ledger.state.tree.len());
    assert_eq!(json.matches('{').count(), json.matches('}').count());
}

#[test]
fn text_is_quoted_as_json_has_it() {
    assert_eq!(quoted("a\"b\\c\nd\u{1}é"), "\"a\\\"b\\\\c\\nd\\u0001é\"");
}

#[test]
fn a_log_tells_who_wrote_what_and_can_be_narrowed() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let show = |range: LogRange| text(|out| log(dir.path(), &range, out).unwrap());
    let all = show(LogRange::default());
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 8, "{all}");
    assert!(
        lines[0].starts_with("0x1 1970-01-01T00:00:00")
            && lines[0].ends_with("session=0x10000 cxid=0 createSession timeout=5000ms"),
        "{all}"
    );
    assert!(lines[1].contains("createEphemeral /e "), "{all}");
    assert!(lines[5].ends_with("refused code=-110"), "{all}");
    assert_eq!(show(LogRange { from: Some(3), to: Some(4), path: None }).lines().count(), 2);
    let late = show(LogRange { path: Some("/late".into()), ..LogRange::default() });
    assert!(late.starts_with("0x8 ") && late.lines().count() == 1, "{late}");
    assert_eq!(show(LogRange { path: Some("/".into()), ..LogRange::default() }).lines().count(), 5);
    // A server that runs does not mind.
    let _running = Folder::open(dir.path()).unwrap();
    assert_eq!(show(LogRange::default()), all);
}

#[test]
fn tools_that_need_the_folder_for_themselves_say_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let _running = Folder::open(dir.path()).unwrap();
    let to = tempfile::tempdir().unwrap();
    let errors = [
        dump(dir.path(), Format::Text, &mut Vec::new()).unwrap_err(),
        fsck(dir.path(), &mut Vec::new()).unwrap_err(),
        export(dir.path(), to.path()).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    }
}

#[test]
fn a_folder_that_is_none_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let error = fsck(dir.path(), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("no data of this server"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // Roles have a file of that name, too.
    fs::write(dir.path().join("format"), "1\n").unwrap();
    let to = tempfile::tempdir().unwrap();
    for error in [
        fsck(dir.path(), &mut Vec::new()).unwrap_err(),
        dump(dir.path(), Format::Text, &mut Vec::new()).unwrap_err(),
        log(dir.path(), &LogRange::default(), &mut Vec::new()).unwrap_err(),
        export(dir.path(), to.path()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("no data of this server"), "{error}");
    }
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    let error = fsck(&dir.path().join("none"), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("check the name") && !error.contains("start the server"), "{error}");
}

#[test]
fn data_is_found_in_the_folder_of_the_role_also_without_the_number_of_its_format() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "1\n").unwrap();
    let inner = dir.path().join("zookeeper");
    let ledger = folder(&inner);
    fs::remove_file(inner.join("format")).unwrap();
    assert_eq!(data_folder(dir.path()), inner);
    assert_eq!(data_folder(&inner), inner);
    let mut problems = 1;
    let found = text(|out| problems = fsck(&inner, out).unwrap());
    let expected = format!("zxid 0x8, {} nodes", ledger.state.tree.len());
    assert!(problems == 0 && found.contains(&expected) && found.contains("no file named format"), "{found}");
    assert!(!inner.join("format").exists(), "looking changes nothing");
}

#[test]
fn who_may_only_read_may_look() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let mode = |mode| fs::set_permissions(dir.path().join("lock"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o444);
    // The super user may write all the same, which is no harm to what is checked.
    assert_eq!(fsck(dir.path(), &mut Vec::new()).unwrap(), 0);
    mode(0o644);
    let _running = Folder::open(dir.path()).unwrap();
    mode(0o444);
    let error = fsck(dir.path(), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("in use by process"), "{error}");
}

/// Another transaction, a second snapshot and one more transaction: log files 1, 6 and 9.
fn older_and_newer(path: &Path) {
    let mut ledger = folder(path);
    let folder = Arc::new(Folder::open(path).unwrap());
    snapshot::write(&folder, &ledger.state.cut()).unwrap();
    let mut writer = LogWriter::new(Arc::clone(&folder), Arc::default(), 9);
    ledger.write(5, &create("/last", 0)).unwrap();
    writer.append(9, &[ledger.journal.take()]).unwrap();
    writer.sync().unwrap();
    writer.finish_segment().unwrap();
}

#[test]
fn a_log_that_lacks_transactions_is_told_by_what_covers_them() {
    type Harm = fn(&Folder);
    let harms: [(Harm, bool, &[&str], &[&str]); 5] = [
        (|_| (), false, &[" 0 problems"], &["note:"]),
        // The log behind the older snapshot is gone, the snapshots are whole.
        (
            |f| {
                fs::remove_file(f.segment_path(6)).unwrap();
                fs::remove_file(f.segment_path(9)).unwrap();
            },
            false,
            &["before the newest snapshot", "lead only to transaction 0x5", "no reserve"],
            &["bug"],
        ),
        (
            |f| {
                fs::remove_file(f.segment_path(6)).unwrap();
            },
            false,
            &["end before transaction 0x6", "no reserve"],
            &["bug"],
        ),
        (
            |f| {
                for first in f.segments().unwrap() {
                    fs::remove_file(f.segment_path(first)).unwrap();
                }
            },
            false,
            &["there is no log", "lead only to transaction 0x5"],
            &["bug"],
        ),
        // And then the newest snapshot is damaged.
        (
            |f| {
                fs::remove_file(f.segment_path(6)).unwrap();
                fs::remove_file(f.segment_path(9)).unwrap();
                fs::write(f.snapshot_path(8), "rubbish, longer than a header").unwrap();
            },
            true,
            &["a server would not start", "transactions 0x6 to 0x8 are missing", "are lost"],
            &["nothing is lost", "loses nothing"],
        ),
    ];
    for (n, (harm, is_problem, told, not_told)) in harms.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        older_and_newer(dir.path());
        harm(&Folder::peek(dir.path()).unwrap());
        let mut problems = 0;
        let found = text(|out| problems = fsck(dir.path(), out).unwrap());
        assert_eq!(problems > 0, is_problem, "harm {n}: {found}");
        assert!(told.iter().all(|told| found.contains(told)), "harm {n}: {found}");
        assert!(!not_told.iter().any(|told| found.contains(told)), "harm {n}: {found}");
    }
}

#[test]
fn a_log_that_was_cut_is_a_problem_and_a_damaged_snapshot_may_go_if_the_log_makes_up_for_it() {
    let check = |harm: &dyn Fn(&Folder)| {
        let dir = tempfile::tempdir().unwrap();
        older_and_newer(dir.path());
        harm(&Folder::peek(dir.path()).unwrap());
        let mut problems = 0;
        let found = text(|out| problems = fsck(dir.path(), out).unwrap());
        assert_eq!(problems, 1, "{found}");
        found
    };
    let cut = |file: PathBuf| {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 2]).unwrap();
    };
    let found = check(&|f| cut(f.segment_path(9)));
    assert!(found.contains("shorter than a crash leaves it") && found.contains("are lost"), "{found}");
    let found = check(&|f| {
        fs::remove_file(f.segment_path(9)).unwrap();
        cut(f.segment_path(6));
    });
    assert!(
        found.contains("the newest snapshot covers what lacks") && !found.contains("a crash cut off"),
        "{found}"
    );
    let found = check(&|f| fs::write(f.snapshot_path(8), "rubbish").unwrap());
    assert!(found.contains("moving this file away loses nothing") && found.contains("zxid 0x9"), "{found}");
}

#[test]
fn a_sound_folder_has_no_problems_and_looking_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    fs::write(dir.path().join("snapshot.0000000000000009.0000000000000009.tmp"), "half").unwrap();
    let torn = Folder::peek(dir.path()).unwrap().segment_path(6);
    let mut bytes = fs::read(&torn).unwrap();
    let end = bytes.len();
    bytes[end - 2..].fill(1);
    bytes.resize(end + RESERVE as usize, 0);
    fs::write(&torn, &bytes).unwrap();
    let mut problems = 1;
    let found = text(|out| problems = fsck(dir.path(), out).unwrap());
    assert_eq!(problems, 0, "{found}");
    assert!(
        found.contains("note: ") && found.contains(".tmp was not finished") && found.contains("cut off"),
        "{found}"
    );
    assert_eq!(fs::read(&torn).unwrap(), bytes);
}

#[test]
fn what_is_wrong_is_told_with_a_way_out() {
    type Harm = fn(&Folder);
    let flip = |file: PathBuf, at: usize| {
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
    };
    let harms: [(Harm, &str); 5] = [
        (|f| fs::rename(f.segment_path(6), f.segment_path(7)).unwrap(), "not the one in its name"),
        (
            |f| {
                fs::remove_file(f.segment_path(1)).unwrap();
                fs::remove_file(f.snapshot_path(5)).unwrap();
            },
            "a log file is missing",
        ),
        (|f| fs::copy(f.snapshot_path(5), f.snapshot_path(8)).map(drop).unwrap(), "not the one in its name"),
        (|f| fs::remove_file(f.snapshot_path(5)).unwrap(), ""),
        (|f| fs::write(f.snapshot_path(5), "rubbish").unwrap(), "nothing is lost"),
    ];
    for (harm, expected) in harms {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        harm(&Folder::peek(dir.path()).unwrap());
        let mut problems = 0;
        let found = text(|out| problems = fsck(dir.path(), out).unwrap());
        assert!(
            found.contains(expected) && (problems > 0) != expected.is_empty(),
            "{problems} problems, {found}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    flip(Folder::peek(dir.path()).unwrap().segment_path(1), 60);
    let mut problems = 0;
    let found = text(|out| problems = fsck(dir.path(), out).unwrap());
    assert!(problems > 0 && found.contains("is damaged at byte"), "{found}");
}

#[test]
fn an_ephemeral_node_without_its_session_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = folder(dir.path());
    ledger.state.sessions.close(0x1_0000);
    snapshot::write(&Folder::open(dir.path()).unwrap(), &ledger.state.cut()).unwrap();
    let mut problems = 0;
    let found = text(|out| problems = fsck(dir.path(), out).unwrap());
    assert!(problems == 1 && found.contains("/e is ephemeral, but its session 0x10000 is over"), "{found}");
}

#[test]
fn an_export_holds_the_state_and_never_joins_another_one() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = folder(dir.path());
    let exported = export(dir.path(), to.path()).unwrap();
    assert_eq!(exported.file, to.path().join("version-2/snapshot.8"));
    assert_eq!((exported.zxid, exported.nodes, exported.sessions), (8, ledger.state.tree.len(), 1));
    let bytes = fs::read(&exported.file).unwrap();
    let state = apache::read_snapshot(&bytes[..], 1000, 0).unwrap();
    assert_eq!(picture(&state), picture(&ledger.state));
    let error = export(dir.path(), to.path()).unwrap_err().to_string();
    assert!(error.contains("snapshot.8 is there already"), "{error}");
    // The same through a stream; a cut one is refused and leaves nothing.
    let to = tempfile::tempdir().unwrap();
    let error = export_stream(&bytes[..bytes.len() - 1], to.path()).unwrap_err().to_string();
    assert!(error.contains("no whole snapshot"), "{error}");
    assert_eq!(export_stream(&bytes[..], to.path()).unwrap().zxid, 8);
    assert_eq!(fs::read(to.path().join("version-2/snapshot.8")).unwrap(), bytes);
}

/// A log of Apache's with some entries of the kind `error`, which change nothing.
fn apache_log(zxids: &[i64]) -> Vec<u8> {
    let mut log = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    for zxid in zxids {
        let mut entry = Vec::new();
        let mut e = crate::proto::Encoder::new(&mut entry);
        e.i64(1);
        e.i32(1);
        e.i64(*zxid);
        e.i64(1);
        e.i32(-1);
        e.i32(-101);
        let (mut a, mut b) = (1u32, 0u32);
        for byte in &entry {
            a = (a + u32::from(*byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        let mut e = crate::proto::Encoder::new(&mut log);
        e.i64(i64::from(b << 16 | a));
        e.buffer(Some(&entry));
        e.u8(b'B');
    }
    log
}

#[test]
fn an_import_takes_snapshot_and_log_and_needs_a_fresh_folder() {
    let (dir, apache, fresh) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = folder(dir.path());
    export(dir.path(), apache.path()).unwrap();
    let into = fresh.path().join("new");
    let error = import(apache.path(), LogSource::Beside, &into).unwrap_err().to_string();
    assert!(error.contains("holds no log.* file") && error.contains("--without-log"), "{error}");
    let alone = import(apache.path(), LogSource::Nowhere, &fresh.path().join("alone")).unwrap();
    assert_eq!((alone.zxid, alone.replayed), (8, 0));
    let error = import(dir.path(), LogSource::Beside, &into).unwrap_err().to_string();
    assert!(error.contains("of a Flowkeeper server, not of Apache"), "{error}");
    let logs = apache.path().join("version-2");
    fs::write(logs.join("log.7"), apache_log(&[7, 8, 9, 10])).unwrap();
    // A new leader, and a torn end.
    let torn = apache_log(&[(1 << 32) + 1, (1 << 32) + 2]);
    fs::write(logs.join("log.100000001"), &torn[..torn.len() - 1]).unwrap();
    fs::write(logs.join("snapshot.9"), b"rubbish\0\0\0\x01/").unwrap();
    let imported = import(apache.path(), LogSource::Beside, &into).unwrap();
    assert_eq!((imported.zxid, imported.replayed, imported.sessions), ((1 << 32) + 1, 3, 1), "{imported:?}");
    assert_eq!((imported.unreadable.len(), imported.warnings.len()), (1, 1), "{imported:?}");
    let (_, state) = read_state(&into).unwrap();
    let nodes = |state: &State| {
        picture(state).into_iter().filter(|line| !line.starts_with("last")).collect::<Vec<_>>()
    };
    assert_eq!(nodes(&state), nodes(&ledger.state));
    let error = import(apache.path(), LogSource::Beside, &into).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    // A log that does not begin where the snapshot ends.
    fs::remove_file(logs.join("log.7")).unwrap();
    fs::write(logs.join("log.b"), apache_log(&[11])).unwrap();
    let error =
        import(apache.path(), LogSource::Beside, &fresh.path().join("other")).unwrap_err().to_string();
    assert!(error.contains("a log file is missing"), "{error}");
}
