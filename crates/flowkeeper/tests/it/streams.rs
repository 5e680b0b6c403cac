//! Streams from end to end: real processes, real broker, real files.

use flowkeeper_testkit::http::{free_port, get, post};
use flowkeeper_testkit::wait::{until, until_value};

use crate::System;

fn lines(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn words_flow_from_http_to_a_file_and_a_tap_sees_them() {
    let system = System::start();
    let (port, out) = (free_port(), system.path().join("out"));
    system.deploy(
        "words",
        &format!(
            "http --server.port={port} | splitter --expression=payload.split(' ') | \
             filter --expression=payload.length()>3 | \
             file --file.consumer.directory={} --file.consumer.name=out.txt",
            out.display()
        ),
    );
    system.deploy("tap", ":words.http > log");
    assert_eq!(post(port, "some words that flow"), Some(202));
    assert_eq!(post(port, "as a river in long bends"), Some(202));
    let expected = ["some", "words", "that", "flow", "river", "long", "bends"];
    until_value(
        "the file has all lines in order",
        || lines(&out.join("out.txt")),
        |found| found == &expected,
    );
    let logs = || system.dev.run(["stream", "logs", "tap"]).stdout;
    until_value("the tap sees the messages", logs, |logs| logs.contains("some words that flow"));
    system.dev.run(["stream", "destroy", "tap"]).ok();
    assert_eq!(post(port, "without tappers nothing changes"), Some(202));
    until("the stream goes on without its tap", || lines(&out.join("out.txt")).len() == 11);
}

#[test]
fn named_destinations_labels_counts_and_properties() {
    let system = System::start();
    let (port, out) = (free_port(), system.path().join("out"));
    let dev = &system.dev;
    let intake = format!("http --server.port={port} > :intake");
    dev.run(["stream", "create", "intake", "--definition", &intake, "--deploy", "--wait"]).ok();
    let definition = format!(
        ":intake > first: transform --expression=payload+'-1' | second: transform --expression=payload+'-2' | \
         file --directory={} --name=x",
        out.display()
    );
    dev.run(["stream", "create", "work", "--definition", &definition]).ok();
    let properties =
        "app.file.file.consumer.name=renamed.txt,deployer.second.count=2,deployer.*.local.shutdown-timeout=3";
    dev.run(["stream", "deploy", "work", "--properties", properties, "--wait"]).ok();
    assert_eq!(post(port, "a"), Some(202));
    until_value("both transforms worked", || lines(&out.join("renamed.txt")), |found| found == &["a-1-2"]);
    let apps = dev.run(["runtime", "apps", "--summary"]).ok();
    let mut counts: Vec<_> =
        apps.lines().filter(|line| line.starts_with("work.")).map(str::to_owned).collect();
    counts.sort_unstable();
    assert_eq!(
        counts,
        ["work.file-v1\tdeployed\t1", "work.first-v1\tdeployed\t1", "work.second-v1\tdeployed\t2"],
        "{apps}"
    );
}

#[test]
fn an_app_serves_what_boot_apps_serve() {
    let system = System::start();
    let port = free_port();
    system.deploy("web", &format!("http --server.port={port} | log"));
    let (status, health) = get(port, "/actuator/health").expect("answers");
    assert_eq!(status, 200);
    assert!(health.contains(r#""status":"UP""#), "{health}");
    assert_eq!(get(port, "/actuator/info").map(|(status, _)| status), Some(200));
    assert_eq!(get(port, "/actuator/metrics").map(|(status, _)| status), Some(200));
}

#[test]
fn undeploy_stops_deploy_starts_destroy_forgets() {
    let system = System::start();
    let dev = &system.dev;
    system.deploy("ticktock", "time | log");
    assert_eq!(dev.app_pids().len(), 2);
    dev.run(["stream", "undeploy", "ticktock", "--wait"]).ok();
    until("its apps are gone", || dev.app_pids().is_empty());
    assert!(dev.run(["stream", "list"]).ok().contains("undeployed"));
    dev.run(["stream", "deploy", "ticktock", "--wait"]).ok();
    assert_eq!(dev.app_pids().len(), 2);
    dev.run(["stream", "destroy", "ticktock"]).ok();
    assert_eq!(dev.run(["stream", "list", "-o", "name"]).ok(), "");
    until("its apps are gone", || dev.app_pids().is_empty());
    system.deploy("ticktock", "time | log");
}

#[test]
fn twenty_streams_come_and_go_and_leave_nothing() {
    let system = System::start();
    let dev = &system.dev;
    for n in 0..20 {
        dev.run(["stream", "create", &format!("s{n}"), "--definition", "time | log", "--deploy"]).ok();
    }
    until("all run", || dev.app_pids().len() == 40);
    dev.run(["stream", "all", "destroy", "--force"]).ok();
    until("all are gone", || dev.app_pids().is_empty());
    let instances = system.path().join("data/node/instances");
    let left = || {
        std::fs::read_dir(&instances)
            .expect("folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect::<Vec<_>>()
    };
    until_value("their folders are gone", left, Vec::is_empty);
}
