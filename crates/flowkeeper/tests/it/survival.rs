//! Nothing acknowledged is lost, and nothing stops because the control plane stops.

use std::sync::atomic::{AtomicBool, Ordering};

use flowkeeper_testkit::dev::{Dev, until_gone};
use flowkeeper_testkit::http::{free_port, post};
use flowkeeper_testkit::wait::{until, until_value};

use crate::{PROGRAM, System};

fn status(dev: &Dev, stream: &str) -> String {
    let listed = dev.run(["stream", "list"]).stdout;
    let line = listed.lines().find(|line| line.starts_with(&format!("{stream}\t"))).unwrap_or_default();
    line.rsplit('\t').next().unwrap_or_default().to_owned()
}

#[test]
fn a_killed_dev_leaves_its_apps_and_the_next_adopts_them() {
    let system = System::start();
    let (port, out) = (free_port(), system.path().join("out"));
    system.deploy(
        "s",
        &format!("http --server.port={port} | out: file --directory={} --name=f", out.display()),
    );
    let before = system.dev.app_pids();
    assert_eq!(before.len(), 2);
    let told = |dev: &Dev| dev.run(["runtime", "apps", "-o", "yaml"]).ok().replace(&dev.api, "API");
    let told_before = told(&system.dev);
    let data = system.path().join("data");
    let System { dev, folder } = system;
    dev.kill();
    let dev = Dev::start(PROGRAM, &data);
    until_value("the stream is deployed again", || status(&dev, "s"), |status| status == "deployed");
    assert_eq!(dev.app_pids(), before, "the same processes");
    assert_eq!(told(&dev), told_before, "and the same is told of them");
    until("the adopted source is heard again", || post(port, "x") == Some(202));
    until("its message arrives", || out.join("f").exists());
    drop((dev, folder));
}

#[test]
fn everything_killed_in_traffic_comes_back_and_no_acknowledged_message_is_lost() {
    let system = System::start();
    let (port, out) = (free_port(), system.path().join("out"));
    system.deploy(
        "s",
        &format!(
            "http --server.port={port} | transform --expression=payload | file --directory={} --name=f",
            out.display()
        ),
    );
    let is_over = AtomicBool::new(false);
    let data = system.path().join("data");
    let System { dev, folder } = system;
    let (dev, mut acknowledged) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let (mut acknowledged, mut n) = (Vec::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                n += 1;
                if post(port, &format!("message {n}")) == Some(202) {
                    acknowledged.push(format!("message {n}"));
                }
            }
            acknowledged
        });
        until("traffic flows", || out.join("f").exists());
        dev.kill_everything();
        let dev = Dev::start(PROGRAM, &data);
        until_value("the stream is back", || status(&dev, "s"), |status| status == "deployed");
        until("the source takes messages again", || post(port, "message 0") == Some(202));
        is_over.store(true, Ordering::Relaxed);
        (dev, sender.join().expect("sent"))
    });
    acknowledged.push("message 0".to_owned());
    until_value(
        "every acknowledged message is in the file",
        || {
            let text = std::fs::read_to_string(out.join("f")).unwrap_or_default();
            let found: std::collections::HashSet<_> = text.lines().collect();
            acknowledged
                .iter()
                .filter(|message| !found.contains(message.as_str()))
                .cloned()
                .collect::<Vec<_>>()
        },
        Vec::is_empty,
    );
    assert_eq!(dev.run(["app", "list", "-o", "name"]).ok().lines().count(), 9, "registrations are back");
    drop((dev, folder));
}

#[test]
fn ctrl_c_leaves_nothing_behind_and_the_next_start_runs_everything_again() {
    let system = System::start();
    system.deploy("ticktock", "time | log");
    let apps = system.dev.app_pids();
    let data = system.path().join("data");
    let System { dev, folder } = system;
    assert!(dev.interrupt().success());
    until_gone(apps.values().copied());
    let dev = Dev::start(PROGRAM, &data);
    until_value("the stream is deployed again", || status(&dev, "ticktock"), |status| status == "deployed");
    assert!(dev.app_pids().values().all(|pid| !apps.values().any(|old| old == pid)), "new processes");
    drop((dev, folder));
}
