//! What a real SCDF 2.11.5 answered, replayed against the whole product: apps run in Java through the agent, and answer.
//!
//! The traces and the list of what differs are those of the server's own tests, which replay them without apps. Needs a JDK.

use std::path::Path;
use std::process::{Command, Stdio};

use flowkeeper_testkit::dev::Dev;
use flowkeeper_testkit::golden::apps::{Class, write_all};
use flowkeeper_testkit::golden::{Differences, Subject, replay};

use crate::PROGRAM;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/apps/TrivialApp.java");
const DIFFERENCES: &str = include_str!("../../../flowkeeper-server/tests/data/golden-differences.txt");

#[test]
fn streams_of_java_apps_are_told_of_as_by_scdf() {
    check("streams");
}

#[test]
fn changes_are_recorded_as_by_scdf() {
    check("audit");
}

#[test]
fn the_product_answers_everything_else_as_scdf() {
    for trace in ["root", "apps", "completions", "wire"] {
        check(trace);
    }
}

#[track_caller]
fn check(trace: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let Some(classes) = compile(&folder.path().join("classes")) else {
        return report("skipped: no JDK");
    };
    let root = folder.path().join("machine");
    write_all(&root.join("apps"), &classes);
    let dev = Dev::start_with(PROGRAM, &folder.path().join("data"), &["--bundled-apps", "none"]);
    let tally = replay(&Subject { api: &dev.api, root: &root }, trace, &Differences::parse(&[DIFFERENCES]));
    report(&tally.summary(trace));
    assert!(tally.failures.is_empty(), "\n{}", tally.failures.join("\n"));
}

/// The classes of the app that stands for all; `None` when there is no compiler.
fn compile(folder: &Path) -> Option<Vec<Class>> {
    let mut command = Command::new("javac");
    command.args(["-nowarn", "--release", "8", "-d"]).arg(folder).arg(SOURCE);
    let output = command.stdin(Stdio::null()).output();
    let output = output.inspect_err(|error| assert_eq!(error.kind(), std::io::ErrorKind::NotFound)).ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(folder).expect("classes").flatten();
    let class = |file: std::fs::DirEntry| {
        let bytes = std::fs::read(file.path()).expect("a class");
        (file.file_name().into_string().expect("a name in ASCII"), bytes)
    };
    Some(files.map(class).collect())
}

#[expect(clippy::print_stdout, reason = "the figures are what one runs this test for")]
fn report(line: &str) {
    println!("{line}");
}
