//! An app that dies is started again, told about, given up in the end, and disturbs nobody.

use std::os::unix::fs::PermissionsExt;

use flowkeeper_testkit::dev::{is_alive, signal};
use flowkeeper_testkit::wait::{until, until_value};
use rustix::process::Signal;

use crate::{PROGRAM, System};

fn script(path: &std::path::Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

#[test]
fn a_killed_app_is_started_again_and_its_neighbours_go_on() {
    let system = System::start();
    let dev = &system.dev;
    system.deploy("a", "time | log");
    system.deploy("b", "time | log");
    let before = dev.app_pids();
    let victim = before["a~time~v1~0"];
    signal(victim, Signal::KILL);
    let info = || dev.run(["stream", "info", "a"]).stdout;
    until_value("the reason is told", info, |info| {
        info.contains("signal 9; restart 1 in 1 s") || info.contains("signal 9")
    });
    until("it runs again", || dev.app_pids().get("a~time~v1~0").is_some_and(|pid| *pid != victim));
    until_value(
        "the stream is whole",
        || dev.run(["stream", "list"]).stdout,
        |list| list.matches("\tdeployed").count() == 2,
    );
    let after = dev.app_pids();
    for neighbour in ["a~log~v1~0", "b~time~v1~0", "b~log~v1~0"] {
        assert_eq!(after[neighbour], before[neighbour], "{neighbour}");
    }
}

#[test]
fn a_killed_shim_takes_its_app_along_and_both_come_back() {
    let system = System::start();
    let dev = &system.dev;
    system.deploy("a", "time | log");
    let app = dev.app_pids()["a~time~v1~0"];
    let state =
        std::fs::read(system.path().join("data/node/instances/a~time~v1~0/state.json")).expect("state");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("json");
    let shim = u32::try_from(state["shim"]["pid"].as_u64().expect("pid")).expect("pid");
    signal(shim, Signal::KILL);
    until("the app went with its shim", || !is_alive(app));
    until("it runs again", || dev.app_pids().contains_key("a~time~v1~0"));
}

#[test]
fn an_app_that_cannot_run_says_why() {
    let system = System::start();
    let dev = &system.dev;
    let bad = system.path().join("bad-1.0.sh");
    script(&bad, "echo the disk is purple >&2; exit 3");
    let uri = format!("file://{}", bad.display());
    dev.run(["app", "register", "bad", "--type", "sink", "--uri", &uri]).ok();
    dev.run(["stream", "create", "s", "--definition", "time | bad", "--deploy"]).ok();
    let info = || dev.run(["stream", "info", "s"]).stdout;
    let found = until_value("the first exit is told", info, |info| info.contains("restart"));
    assert!(
        found.contains("exit code 3; restart") && found.contains("last output:\nthe disk is purple"),
        "{found}"
    );
    dev.run(["stream", "create", "t", "--definition", "time | log", "--deploy", "--wait"]).ok();
}

#[test]
fn an_app_that_fails_once_is_waited_for() {
    let system = System::start();
    let dev = &system.dev;
    let (flaky, mark) = (system.path().join("flaky-1.0.sh"), system.path().join("tried"));
    let mark = mark.display();
    script(&flaky, &format!("[ -e {mark} ] || {{ touch {mark}; exit 7; }}\nexec {PROGRAM} run-app sink log"));
    let uri = format!("file://{}", flaky.display());
    dev.run(["app", "register", "flaky", "--type", "sink", "--uri", &uri]).ok();
    dev.run(["stream", "create", "s", "--definition", "time | flaky", "--deploy", "--wait"]).ok();
    let attributes = dev.run(["runtime", "apps"]).ok();
    assert!(attributes.contains("exit code 7"), "{attributes}");
}

#[test]
fn a_program_that_is_not_there_fails_at_once_with_the_way_out() {
    let system = System::start();
    let dev = &system.dev;
    dev.run(["app", "register", "gone", "--type", "sink", "--uri", "file:///no/such/gone-1.0.sh"]).ok();
    let waited = dev.run(["stream", "create", "s", "--definition", "time | gone", "--deploy", "--wait"]);
    assert_eq!(waited.code, 1);
    assert!(
        waited.stderr.contains(
            "stream 's' failed: s.gone-v1-0: /no/such/gone-1.0.sh does not exist on this node; copy it there or register \
             the app from a maven:, http: or https: address"
        ),
        "{}",
        waited.stderr
    );
}

#[test]
fn a_stop_waits_for_the_grace_time_and_then_kills() {
    let system = System::start();
    let dev = &system.dev;
    let stubborn = system.path().join("stubborn-1.0.sh");
    script(&stubborn, "trap '' TERM; while true; do sleep 1; done");
    let uri = format!("file://{}", stubborn.display());
    dev.run(["app", "register", "stubborn", "--type", "sink", "--uri", &uri]).ok();
    dev.run(["stream", "create", "s", "--definition", "time | stubborn"]).ok();
    dev.run(["stream", "deploy", "s", "--properties", "deployer.stubborn.local.shutdown-timeout=1"]).ok();
    until("it runs", || dev.app_pids().contains_key("s~stubborn~v1~0"));
    let pid = dev.app_pids()["s~stubborn~v1~0"];
    dev.run(["stream", "undeploy", "s", "--wait"]).ok();
    assert!(!is_alive(pid));
}
