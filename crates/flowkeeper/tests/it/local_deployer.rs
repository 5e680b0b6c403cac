//! The properties of SCDF's local deployer, as a deployed app sees them. A script plays the part of Java.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flowkeeper_testkit::http::free_port;
use flowkeeper_testkit::wait::{until, until_value};

use crate::System;

/// Says where it is and what it was given, and stays.
const JAVA: &str = r#"#!/bin/sh
echo "I am in $PWD"
echo "to standard error" >&2
for arg in "$@"; do echo "arg:$arg"; done
env | while read -r line; do echo "env:$line"; done
echo "that is all"
exec sleep 1000
"#;

/// A system with an app `fake`, a jar that is run by [`JAVA`]: it listens on no port, so it counts as healthy once it lives.
struct Fake {
    system: System,
    java: PathBuf,
}

impl Fake {
    fn start() -> Fake {
        let system = System::start();
        let (java, jar) = (system.path().join("java"), system.path().join("fake-1.0.0.jar"));
        fs::write(&java, JAVA).expect("written");
        fs::set_permissions(&java, PermissionsExt::from_mode(0o755)).expect("permissions");
        fs::write(&jar, "").expect("written");
        let uri = format!("file:{}", jar.display());
        system.dev.run(["app", "register", "fake", "--type", "source", "--uri", &uri]).ok();
        Fake { system, java }
    }

    /// Deploys `fake > :nowhere` as `name`, with these keys below `deployer.fake.`, and waits until it runs.
    #[track_caller]
    fn deploy(&self, name: &str, properties: &[(&str, &str)]) {
        self.create(name);
        let file = self.properties(properties);
        self.system.dev.run(["stream", "deploy", name, "--properties-file", &file, "--wait"]).ok();
        until("it said all", || self.log(name).contains("that is all"));
    }

    fn create(&self, name: &str) {
        self.system.dev.run(["stream", "create", name, "--definition", "fake > :nowhere"]).ok();
    }

    fn properties(&self, properties: &[(&str, &str)]) -> String {
        let java = self.java.to_str().expect("text");
        let all = [("local.java-cmd", java), ("health.alive-seconds", "0")]
            .into_iter()
            .chain(properties.iter().copied());
        let text: String = all.map(|(key, value)| format!("deployer.fake.{key}={value}\n")).collect();
        let file = self.system.path().join("deployment.properties");
        fs::write(&file, text).expect("written");
        file.to_str().expect("text").to_owned()
    }

    fn log(&self, name: &str) -> String {
        self.system.dev.run(["stream", "logs", name]).stdout
    }

    /// The arguments that Java got.
    fn args(&self, name: &str) -> Vec<String> {
        self.log(name).lines().filter_map(|line| line.strip_prefix("arg:")).map(str::to_owned).collect()
    }

    /// The environment that Java got.
    fn env(&self, name: &str) -> BTreeMap<String, String> {
        let log = self.log(name);
        let pairs = log.lines().filter_map(|line| line.strip_prefix("env:")?.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// Paths of all files below `folder`, from there.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("below").display().to_string());
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn java_is_started_as_the_properties_say() {
    let fake = Fake::start();
    let debug_port = free_port();
    let address = format!("127.0.0.1:{debug_port}");
    fake.deploy(
        "j",
        &[
            ("memory", "1g"),
            ("local.javaOpts", "-Dgreeting='hello world' -XX:+UseSerialGC"),
            ("local.debug-address", &address),
            ("local.debug_suspend", "n"),
            ("local.envVarsToInherit", "PATH"),
        ],
    );
    let args = fake.args("j");
    let jdwp = format!("-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address={address}");
    assert_eq!(args[..4], [&jdwp, "-Xmx1024m", "-Dgreeting=hello world", "-XX:+UseSerialGC"], "{args:?}");
    assert_eq!(args[4], "-jar");
    let env = fake.env("j");
    assert!(env.contains_key("PATH") && !env.contains_key("LC_ALL"), "{env:?}");
    let json: serde_json::Value = serde_json::from_str(&env["SPRING_APPLICATION_JSON"]).expect("json");
    assert_eq!(json["spring.cloud.application.guid"], "j.fake-v1-0");
    assert_eq!(json["spring.cloud.stream.bindings.output.destination"], "nowhere");
}

#[test]
fn properties_may_come_as_variables_and_ports_from_a_range() {
    let fake = Fake::start();
    let port = free_port();
    let (low, high) = (port.to_string(), (port + 1).to_string());
    fake.deploy(
        "e",
        &[
            ("local.use-spring-application-json", "false"),
            ("local.portRange.low", &low),
            ("local.portRange.high", &high),
        ],
    );
    let env = fake.env("e");
    // A shell drops variables whose names it could not have made, so only the plain ones are seen here.
    assert!(!env.contains_key("SPRING_APPLICATION_JSON"), "{env:?}");
    assert_eq!(env["INSTANCE_INDEX"], "0");
    assert_eq!(env["SPRING_CLOUD_APPLICATION_GUID"], "e.fake-v1-0");
    let spec = fs::read_dir(fake.system.path().join("data/node/instances")).expect("folder").flatten();
    let spec = spec.map(|entry| entry.path().join("spec.json")).next().expect("an instance");
    let spec: serde_json::Value = serde_json::from_slice(&fs::read(spec).expect("read")).expect("json");
    assert_eq!(spec["env"]["server.port"], low);
    assert_eq!(spec["env"]["spring.cloud.stream.bindings.output.destination"], "nowhere");
}

#[test]
fn output_is_repeated_and_still_kept() {
    let fake = Fake::start();
    fake.deploy("i", &[("local.inheritLogging", "true")]);
    let printed = || fake.system.dev.printed();
    until("the output is repeated", || printed().contains(&"that is all".to_owned()));
    let told = printed().iter().filter(|line| line.starts_with("I am in ")).count();
    assert_eq!(told, 1, "{:?}", printed());
    assert!(fake.log("i").contains("to standard error"));
}

#[test]
fn working_directories_lie_where_they_are_wanted_and_go_or_stay() {
    let fake = Fake::start();
    let root = fake.system.path().join("root");
    let text = root.to_str().expect("text").to_owned();
    fake.deploy("w", &[("local.workingDirectoriesRoot", &text), ("count", "2")]);
    let found = files(&root);
    assert_eq!(found.len(), 4, "{found:?}");
    for (path, name) in found.iter().zip(["stderr_0.log", "stderr_1.log", "stdout_0.log", "stdout_1.log"]) {
        let parts: Vec<_> = path.split('/').collect();
        assert!(parts[0].parse::<u64>().is_ok_and(|millis| millis > 1_600_000_000_000), "{path}");
        assert_eq!(parts[1..], ["w.fake-v1", name]);
    }
    assert!(fake.log("w").contains(&format!("I am in {text}/")));
    let destroy = |name: &str| drop(fake.system.dev.run(["stream", "destroy", name]).ok());
    destroy("w");
    until("the files are gone", || {
        files(&root).is_empty() && fs::read_dir(&root).is_ok_and(|mut left| left.next().is_none())
    });

    fake.deploy("k", &[("local.workingDirectoriesRoot", &text), ("local.deleteFilesOnExit", "false")]);
    fake.deploy("l", &[("local.delete-files-on-exit", "no")]);
    let own = fake.system.path().join("data/node/instances/l~fake~v1~0");
    destroy("k");
    destroy("l");
    until("nothing runs any more", || fake.system.dev.app_pids().is_empty());
    let kept = || files(&own);
    until_value("the secrets are gone and the output is kept", kept, |found| {
        !found.contains(&"spec.json".to_owned()) && found.contains(&"stdout.log".to_owned())
    });
    assert_eq!(files(&root).len(), 2);
}

#[test]
fn one_port_for_two_instances_is_told_with_the_way_out() {
    let system = System::start();
    let port = free_port();
    let definition = format!("http --server.port={port} | log");
    system.dev.run(["stream", "create", "two", "--definition", &definition]).ok();
    system.dev.run(["stream", "deploy", "two", "--properties", "deployer.http.count=2"]).ok();
    let expected = format!("port {port} is in use by process ");
    let info = until_value(
        "the reason is told",
        || system.dev.run(["stream", "info", "two"]).stdout,
        |info| info.contains(&expected),
    );
    assert!(info.contains("its 2 instances are given one port"), "{info}");
}

#[test]
fn a_node_without_the_java_that_is_asked_for_says_so() {
    let fake = Fake::start();
    fake.create("n");
    let file = fake.properties(&[("local.javaCmd", "no-such-java")]);
    fake.system.dev.run(["stream", "deploy", "n", "--properties-file", &file]).ok();
    let info = || fake.system.dev.run(["stream", "info", "n"]).stdout;
    until_value("the reason is told", info, |info| {
        info.contains("there is no program no-such-java on this node; correct deployer.fake.local.javaCmd")
    });
}
