//! The guard of a directory between two processes.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flowkeeper_appkit::fence::Fence;
use flowkeeper_appkit::fence::file::{Error, FenceFile};

const DIRECTORY: &str = "FLOWKEEPER_TEST_FENCE_DIRECTORY";
const WAIT: Duration = Duration::from_secs(60);

fn copy(directory: &Path, term: u64) -> FenceFile {
    let fence = Fence { uid: "u".to_owned(), app: "a".to_owned(), index: 0, term };
    FenceFile::new(directory, &fence)
}

/// Appends a line in two writes, so that a line which another process comes between is torn.
fn append(directory: &Path, writer: &str, n: u64) {
    let mut file =
        OpenOptions::new().append(true).create(true).open(directory.join("lines")).expect("it opens");
    write!(file, "{writer}").expect("it is written");
    std::thread::yield_now();
    writeln!(file, " {n}").expect("it is written");
}

/// The older copy, when the test below starts this program again; alone it has no directory and nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test that started this process says where to write")]
fn older_copy() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let (directory, fence) = (Path::new(&directory), copy(Path::new(&directory), 1));
    fence.claim(WAIT).unwrap();
    for n in 0.. {
        match fence.check(WAIT) {
            Ok(_permit) => append(directory, "older", n),
            Err(Error::Older { term: 1, newer: 2, .. }) => {
                fs::write(directory.join("refused"), n.to_string()).unwrap();
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_stale_process_writes_nothing_after_the_claim_of_a_newer_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut older = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fence_file::older_copy"])
        .env(DIRECTORY, path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(path.join("lines")).unwrap_or_default();
    wait_until("the older copy writes", || lines().lines().count() > 100);
    // Taken over while the older copy is in the middle of its loop.
    let newer = copy(path, 2);
    newer.claim(WAIT).unwrap();
    let at_the_claim = lines();
    for n in 0..100 {
        let _permit = newer.check(WAIT).unwrap();
        append(path, "newer", n);
    }
    assert!(older.wait().unwrap().success());
    let written = lines();
    let after = written.strip_prefix(&at_the_claim).expect("nothing before the claim changed");
    assert!(at_the_claim.ends_with('\n') && at_the_claim.lines().all(|line| line.starts_with("older ")));
    let expected: String = (0..100).map(|n| format!("newer {n}\n")).collect();
    assert_eq!(after, expected);
    let refused_at = fs::read_to_string(path.join("refused")).expect("the older copy was refused");
    assert_eq!(refused_at, at_the_claim.lines().count().to_string());
}
