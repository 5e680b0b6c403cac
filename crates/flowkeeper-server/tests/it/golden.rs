//! Replays what a real SCDF 2.11.5 answered against a server alone; nothing runs apps here. The binary's own tests replay the
//! same traces with apps that run.
//!
//! `tests/data/golden-differences.txt` lists what differs on purpose or is not there yet, `golden-without-apps.txt` what needs
//! apps that run. `FLOWKEEPER_GOLDEN` names another folder of traces.

use flowkeeper_testkit::golden::{Differences, Subject, apps, replay};

use crate::support::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_documents_are_those_of_scdf() {
    check("root").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_registry_answers_as_scdf() {
    check("apps").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_answer_as_scdf() {
    check("streams").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_are_answered_as_by_scdf() {
    check("wire").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_completed_as_by_scdf() {
    check("completions").await;
}

async fn check(trace: &'static str) {
    let differences = Differences::parse(&[
        include_str!("../data/golden-differences.txt"),
        include_str!("../data/golden-without-apps.txt"),
    ]);
    let root = tempfile::tempdir().unwrap();
    apps::write_all(&root.path().join("apps"), &[]);
    let running = Running::start().await;
    let api = running.server.local_addr().to_string();
    let replayed = tokio::task::spawn_blocking(move || {
        replay(&Subject { api: &api, root: root.path() }, trace, &differences)
    });
    let tally = replayed.await.unwrap();
    report(&tally.summary(trace));
    running.stop().await;
    assert!(tally.failures.is_empty(), "\n{}", tally.failures.join("\n"));
}

#[expect(clippy::print_stdout, reason = "the figures are what one runs this test for")]
fn report(line: &str) {
    println!("{line}");
}
