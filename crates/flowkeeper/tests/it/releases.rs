//! Updates, rollbacks and scaling of streams that run: real processes, real messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use flowkeeper_testkit::dev::Dev;
use flowkeeper_testkit::http::{exchange, free_port, post};
use flowkeeper_testkit::wait::{pause, until, until_value};

use crate::{PROGRAM, System};

/// Numbers posted to a port until it is stopped; each is posted until it is accepted.
struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Traffic {
    fn start(port: u16) -> Traffic {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counter) = (stop.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let number = counter.load(Ordering::SeqCst);
                if post(port, &format!("n{number}")) == Some(202) {
                    counter.store(number + 1, Ordering::SeqCst);
                }
                pause();
            }
        });
        Traffic { stop, sent, thread }
    }

    /// Waits until some more was sent.
    fn flow(&self) {
        let enough = self.sent.load(Ordering::SeqCst) + 5;
        until("messages flow", || self.sent.load(Ordering::SeqCst) >= enough);
    }

    fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("sent to the end");
        self.sent.load(Ordering::SeqCst)
    }
}

/// `http | transform | file`, deployed; and the port of the source.
fn words(system: &System) -> u16 {
    let port = free_port();
    let out = system.path().join("out");
    system.deploy(
        "words",
        &format!(
            "http --server.port={port} | transform --expression=payload+'-1' | file --directory={} --name=out.txt",
            out.display()
        ),
    );
    port
}

fn lines(system: &System) -> Vec<String> {
    let text = std::fs::read_to_string(system.path().join("out/out.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn history(dev: &Dev, name: &str) -> Vec<String> {
    let text = dev.run(["stream", "history", name]).ok();
    text.lines()
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            format!("{} {} {}", cells[0], cells[2], cells[5])
        })
        .collect()
}

#[test]
fn an_update_replaces_only_what_differs_and_loses_no_message() {
    let system = System::start();
    let dev = &system.dev;
    let traffic = Traffic::start(words(&system));
    let before = dev.app_pids();
    traffic.flow();
    let update =
        ["stream", "update", "words", "--properties", "app.transform.expression=payload+'-2'", "--wait"];
    dev.run(update).ok();
    traffic.flow();
    let after = dev.app_pids();
    for kept in ["words~http~v1~0", "words~file~v1~0"] {
        assert_eq!(before[kept], after[kept], "{kept} was not to be touched");
    }
    assert!(
        after.contains_key("words~transform~v2~0") && !after.contains_key("words~transform~v1~0"),
        "{after:?}"
    );
    assert_eq!(history(dev, "words"), ["2 DEPLOYED Upgrade complete", "1 DELETED Delete complete"]);

    dev.run(["stream", "rollback", "words", "--wait"]).ok();
    traffic.flow();
    assert_eq!(history(dev, "words")[0], "3 DEPLOYED Rollback complete");
    let manifest = dev.run(["stream", "manifest", "words"]).ok();
    assert!(manifest.contains("payload+'-1'") && !manifest.contains("payload+'-2'"), "{manifest}");
    let dsl = dev.run(["stream", "list", "-o", "json"]).ok();
    assert!(!dsl.contains("payload+'-2'"), "the definition is that of the first release: {dsl}");

    let sent = traffic.stop();
    let has_all = |lines: &Vec<String>| {
        let arrived: std::collections::BTreeSet<&str> =
            lines.iter().filter_map(|line| line.split('-').next()).collect();
        (0..sent).all(|number| arrived.contains(format!("n{number}").as_str()))
    };
    let found = until_value("every message arrives", || lines(&system), has_all);
    for suffix in ["-1", "-2"] {
        assert!(found.iter().any(|line| line.ends_with(suffix)), "some went through each release");
    }
    assert!(
        found.last().is_some_and(|line| line.ends_with("-1")),
        "the last through the one that was rolled back to"
    );
    let nothing =
        dev.run(["stream", "update", "words", "--properties", "app.transform.expression=payload+'-1'"]);
    assert_eq!(nothing.code, 1, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("no difference"), "{}", nothing.stderr);
}

#[test]
fn an_update_that_does_not_become_healthy_is_withdrawn() {
    let system = System::start();
    let dev = &system.dev;
    words(&system);
    let before = dev.app_pids();
    // A directory below a file cannot be made: the sink says so on its health page for ever.
    let file = system.path().join("in-the-way");
    std::fs::write(&file, "").expect("written");
    let properties =
        format!("app.file.directory={}/below,deployer.file.health.timeout-seconds=2", file.display());
    let failed = dev.run(["stream", "update", "words", "--properties", &properties, "--wait"]);
    assert_eq!(failed.code, 1, "{}{}", failed.stdout, failed.stderr);
    assert!(failed.stderr.contains("release 2 failed and release 1 runs on"), "{}", failed.stderr);
    assert_eq!(dev.app_pids(), before);
    let releases = history(dev, "words");
    assert!(releases[0].starts_with("2 FAILED Did not detect apps"), "{releases:?}");
    assert_eq!(releases[1], "1 DEPLOYED Install complete");
    assert!(dev.run(["stream", "list"]).ok().contains("deployed"));
    assert!(!dev.run(["stream", "manifest", "words"]).ok().contains("/below"));

    // One that would take long is given up by hand, and meanwhile nothing else may be changed.
    let slow = format!("app.file.directory={}/below", file.display());
    dev.run(["stream", "update", "words", "--properties", &slow]).ok();
    let busy = dev.run(["stream", "rollback", "words"]);
    assert_eq!(busy.code, 4, "{}", busy.stderr);
    assert!(busy.stderr.contains("is being updated to release 3"), "{}", busy.stderr);
    dev.run(["stream", "cancel", "words"]).ok();
    let newest = || history(dev, "words").remove(0);
    until_value("it is given up", newest, |line| line.starts_with("3 FAILED Cancelled after"));
    until("only the old ones run", || dev.app_pids() == before);
    // Everything works as before, and what failed earlier is not held against what is asked for now.
    dev.run(["stream", "scale", "words", "--app", "transform", "--count", "2", "--wait"]).ok();
    dev.run(["stream", "update", "words", "--properties", "app.file.name=other.txt", "--wait"]).ok();
    dev.run(["stream", "undeploy", "words", "--wait"]).ok();
    until("nothing runs", || dev.app_pids().is_empty());
}

#[test]
fn copies_are_added_and_removed_and_survive_an_update() {
    let system = System::start();
    let dev = &system.dev;
    system.deploy("s", "time | transform | log");
    let scaled = [
        "stream",
        "scale",
        "app",
        "instances",
        "s",
        "--applicationName",
        "transform",
        "--count",
        "3",
        "--wait",
    ];
    dev.run(scaled).ok();
    let copies = |label: &str| dev.app_pids().keys().filter(|name| name.contains(label)).count();
    assert_eq!((copies("transform"), copies("log")), (3, 1));
    assert_eq!(history(dev, "s"), ["1 DEPLOYED Install complete"], "a scale is no release");
    dev.run(["stream", "update", "s", "--properties", "app.transform.expression=payload+'!'", "--wait"]).ok();
    assert_eq!((copies("transform~v2"), copies("transform~v1")), (3, 0));
    dev.run(["stream", "scale", "s", "--app", "transform", "--count", "1", "--wait"]).ok();
    until("two copies are gone", || copies("transform") == 1);
    for (app, count, code) in [("nobody", "2", 3), ("log", "0", 2), ("log", "100000", 2)] {
        let refused = dev.run(["stream", "scale", "s", "--app", app, "--count", count]);
        assert_eq!(refused.code, code, "{}", refused.stderr);
    }
}

#[test]
fn an_update_goes_on_after_everything_was_killed_in_the_middle() {
    let system = System::start();
    words(&system);
    let folder = &system.folder;
    let update = ["stream", "update", "words", "--properties", "app.transform.expression=payload+'-2'"];
    system.dev.run(update).ok();
    system.dev.kill_everything();
    let dev = Dev::start(PROGRAM, &folder.path().join("data"));
    let explain = || exchange(&dev.api, "GET", "/api/v1/streams/words", &[], None).expect("answers").body;
    until_value("the update is done", explain, |answer| {
        answer.contains(r#""phase":"deployed""#) && answer.contains(r#""release":2,"replaces":null"#)
    });
    until("only the new copy runs", || {
        let pids = dev.app_pids();
        pids.len() == 3 && pids.contains_key("words~transform~v2~0")
    });
}
