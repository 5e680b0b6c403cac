//! Stream applications as users have them: files, real processes, real messages, and what is left after everything was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flowkeeper_testkit::dev::{Dev, Ran, run_with_input};
use flowkeeper_testkit::http::{free_port, post};
use flowkeeper_testkit::wait::{pause, until, until_value};

use crate::{PROGRAM, System};

/// A file with an application `orders` that brings posted texts into a file; what differs between tests is given.
struct File<'a> {
    port: u16,
    folder: &'a Path,
    /// What is put before each text.
    mark: &'a str,
    /// Where the texts go.
    directory: String,
}

impl<'a> File<'a> {
    fn new(system: &'a System, port: u16, mark: &'a str) -> File<'a> {
        let directory = system.path().join("out").display().to_string();
        File { port, folder: system.path(), mark, directory }
    }

    /// Writes it and gives its path.
    fn write(&self) -> String {
        let File { port, mark, directory, .. } = self;
        let text = format!(
            "name: orders\ndescription: from the web to a file\nstreams:\n\
             - name: intake\n  definition: >-\n    http --server.port={port}\n    | transform --expression='''{mark}''+payload'\n    > :orders\n\
             - name: books\n  definition: ':orders > file --directory={directory} --name=out.txt'\n  properties:\n    \
             deployer.file.health.timeout-seconds: 3\n"
        );
        let path = self.folder.join("orders.yaml");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

fn apply(dev: &Dev, file: &str, more: &[&str]) -> Ran {
    dev.run(["application", "apply", "-f", file].iter().chain(more))
}

fn lines(system: &System) -> Vec<String> {
    let text = std::fs::read_to_string(system.path().join("out/out.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Posts a text until it is accepted and waits until it arrives.
fn send(system: &System, port: u16, text: &str, expected: &str) {
    until("the text is accepted", || post(port, text) == Some(202));
    until_value("the text arrives", || lines(system), |lines| lines.iter().any(|line| line == expected));
}

/// Status by release, newest first.
fn history(dev: &Dev) -> Vec<String> {
    let text = dev.run(["application", "history", "orders"]).ok();
    let told = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        format!("{} {} {}", cells[0], cells[1], cells[3])
    };
    text.lines().map(told).collect()
}

#[test]
fn two_connected_streams_are_applied_changed_rolled_back_stopped_and_destroyed_as_one() {
    let system = System::start();
    let dev = &system.dev;
    let port = free_port();
    let file = File::new(&system, port, "a-").write();
    let told = dev.run(["application", "diff", "-f", &file]).ok();
    assert!(told.starts_with("orders would be new: 2 streams\n  + intake  create\n"), "{told}");
    apply(dev, &file, &["--deploy", "--wait"]).ok();
    send(&system, port, "one", "a-one");
    let listed = dev.run(["application", "list"]).ok();
    assert_eq!(listed, "orders\tfrom the web to a file\t2\t1\tdeployed\n");
    let info = dev.run(["application", "info", "orders"]).ok();
    assert!(
        info.starts_with(
            "orders (from the web to a file) is deployed, release 1\nintake\thttp --server.port="
        ),
        "{info}"
    );
    assert!(info.ends_with("books is deployed with\n  deployer.file.health.timeout-seconds: 3\n"), "{info}");
    let before = dev.app_pids();
    assert_eq!(
        apply(dev, &file, &["--wait"]).ok(),
        "orders is as it should be (release 1): nothing was changed\nStream application 'orders' is deployed\n"
    );

    let file = File::new(&system, port, "b-").write();
    apply(dev, &file, &["--wait"]).ok();
    send(&system, port, "two", "b-two");
    let after = dev.app_pids();
    for kept in ["intake~http~v1~0", "books~file~v1~0"] {
        assert_eq!(before[kept], after[kept], "{kept} was not to be touched");
    }
    dev.run(["application", "rollback", "orders", "--wait"]).ok();
    send(&system, port, "three", "a-three");
    assert_eq!(history(dev), ["3 rollback current", "2 apply replaced", "1 apply replaced"]);

    let export = dev.run(["application", "export", "orders"]).ok();
    assert!(
        export.contains("'a-'") && export.contains("deployer.file.health.timeout-seconds: '3'"),
        "{export}"
    );
    dev.run(["application", "undeploy", "orders", "--wait"]).ok();
    assert!(dev.app_pids().is_empty());
    dev.run(["application", "deploy", "orders", "--wait"]).ok();
    send(&system, port, "four", "a-four");
    dev.run(["application", "destroy", "orders"]).ok();
    until("nothing runs", || dev.app_pids().is_empty());
    assert_eq!(dev.run(["stream", "list"]).ok(), "");
    assert_eq!(dev.run(["application", "info", "orders"]).code, 3);
    // What was exported makes it again.
    let path = system.path().join("again.yaml");
    std::fs::write(&path, export).expect("written");
    apply(dev, &path.display().to_string(), &["--deploy", "--wait"]).ok();
    send(&system, port, "five", "a-five");
}

#[test]
fn a_change_that_breaks_one_stream_leaves_all_running_as_they_were() {
    let system = System::start();
    let dev = &system.dev;
    let port = free_port();
    apply(dev, &File::new(&system, port, "a-").write(), &["--deploy", "--wait"]).ok();
    send(&system, port, "one", "a-one");
    let before = dev.app_pids();
    // A directory below a file cannot be made, so the second stream never becomes healthy; the first one would.
    let in_the_way = system.path().join("in-the-way");
    std::fs::write(&in_the_way, "").expect("written");
    let broken =
        File { directory: format!("{}/below", in_the_way.display()), ..File::new(&system, port, "b-") };
    let failed = apply(dev, &broken.write(), &["--wait"]);
    assert_eq!(failed.code, 1, "{}{}", failed.stdout, failed.stderr);
    for part in [
        "stream application 'orders' is not as wanted:",
        "intake: release 2 failed and release 1 runs on: Went back together with stream 'books'\n",
        "books: release 2 failed and release 1 runs on: Did not detect apps to be healthy within 3000 ms",
    ] {
        assert!(failed.stderr.contains(part), "{part} in {}", failed.stderr);
    }
    assert_eq!(dev.app_pids(), before);
    assert_eq!(history(dev), ["2 apply failed", "1 apply current"]);
    send(&system, port, "two", "a-two");
    let texts = dev.run(["application", "export", "orders"]).ok();
    assert!(texts.contains("'a-'") && !texts.contains("'b-'") && !texts.contains("/below"), "{texts}");

    // One stream that is wrong in a file of two: nothing of it is done.
    let wrong = File { directory: "/x --nonsense=1".to_owned(), ..File::new(&system, port, "c-") };
    let refused = apply(dev, &wrong.write(), &[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("stream 'books': app 'file': ") && refused.stderr.contains("nonsense"),
        "{}",
        refused.stderr
    );
    assert_eq!(history(dev).len(), 2);
    let malformed = system.path().join("bad.yaml");
    std::fs::write(&malformed, "name: orders\nstreams:\n- name: a\n  defintion: time | log\n")
        .expect("written");
    let refused = apply(dev, &malformed.display().to_string(), &[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains(
            "bad.yaml, line 4, column 3: there is no key 'defintion' here: did you mean 'definition'?"
        ),
        "{}",
        refused.stderr
    );
}

#[test]
fn everything_is_exported_and_applied_on_an_empty_server() {
    let (system, other) = (System::start(), System::start());
    let dev = &system.dev;
    let jar = format!("file:{}/mine-1.0.jar", system.path().display());
    dev.run(["app", "register", "--name", "mine", "--type", "sink", "--uri", &jar]).ok();
    let text = "name: web\nstreams:\n- name: s\n  definition: |\n    http --server.port=0\n    | log --level=WARN\n\
                ---\nstreams:\n- name: loose\n  definition: time | mine --password=hush\n";
    let server = format!("http://{}", dev.api);
    let from_input = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["--server", &server]).collect();
        run_with_input(PROGRAM, system.path(), &args, text)
    };
    let told = from_input(&["application", "apply", "-f", "-", "--dry-run"]).ok();
    assert!(told.contains("web would be new: 1 stream") && told.contains("+ loose  create"), "{told}");
    assert_eq!(dev.run(["stream", "list"]).ok(), "");
    from_input(&["application", "apply", "-f", "-"]).ok();
    let again = from_input(&["application", "apply", "-f", "-"]).ok();
    assert!(again.contains("nothing was changed") && !again.contains("create"), "{again}");

    let file = system.path().join("all.yaml").display().to_string();
    assert!(!dev.run(["export"]).ok().contains("hush"));
    dev.run(["export", "-f", &file]).ok();
    let refused = apply(&other.dev, &file, &[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("all.yaml, line 12: stream 'loose': the value of 'password' is masked"),
        "{}",
        refused.stderr
    );
    assert_eq!(other.dev.run(["export"]).ok(), "", "nothing of it was done");
    dev.run(["export", "-f", &file, "--secrets"]).ok();
    let mode = std::fs::metadata(&file).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "secrets are for the owner alone");
    let told = apply(&other.dev, &file, &[]).ok();
    assert!(told.starts_with("apps\n  + sink:mine:1.0  register\nweb is release 1 now"), "{told}");
    assert_eq!(other.dev.run(["export", "--secrets"]).ok(), dev.run(["export", "--secrets"]).ok());
    let again = apply(&other.dev, &file, &[]).ok();
    assert!(again.contains("= sink:mine:1.0  unchanged"), "{again}");
    std::fs::write(&file, "streams:\n- name: loose\n  definition: time | log\n").expect("written");
    let refused = apply(&other.dev, &file, &[]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("stream 'loose' exists with another definition"), "{}", refused.stderr);

    // What belongs to no application has properties only when it is deployed.
    let text = "apps:\n- type: sink\n  name: new\n  version: '1'\n  uri: file:/none/new.jar\n---\n\
                streams:\n- name: tuned\n  definition: time | log\n  properties: {app.log.level: WARN}\n";
    std::fs::write(&file, text).expect("written");
    let refused = apply(&other.dev, &file, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("properties of 'tuned'"), "{}", refused.stderr);
    assert!(!other.dev.run(["export"]).ok().contains("new.jar"), "nothing of it was done");
    apply(&other.dev, &file, &["--deploy"]).ok();
    assert!(other.dev.run(["export"]).ok().contains("app.log.level: WARN"));

    // Streams that somebody removed are no reason to fail.
    other.dev.run(["stream", "all", "destroy", "--force"]).ok();
    let told = other.dev.run(["application", "undeploy", "web", "--wait"]).ok();
    assert!(told.contains("Stream application 'web' is undeployed"), "{told}");
    let told = other.dev.run(["application", "info", "web"]).ok();
    assert!(told.contains("undeployed"), "{told}");
}

/// `count` streams of an application `many`, in one of their forms.
fn many(folder: &Path, count: usize, form: usize) -> String {
    let stream = |number: usize| {
        format!("- name: s{number}\n  definition: time | transform --expression=payload+'-{form}' | log\n")
    };
    let path = folder.join("many.yaml");
    let text = format!("name: many\nstreams:\n{}", (0..count).map(stream).collect::<String>());
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// A stream of an application: its release, its definition, and whether nothing happens to it any more.
type Told = (u64, String, bool);

/// The streams of `many` by name; none when there is no such application.
fn streams(dev: &Dev) -> BTreeMap<String, Told> {
    let text = dev.run(["application", "info", "many", "-o", "json"]);
    let Ok(found) = serde_json::from_str::<serde_json::Value>(&text.stdout) else { return BTreeMap::new() };
    let stream = |it: &serde_json::Value| {
        let text = |key: &str| it[key].as_str().expect("a text").to_owned();
        let told = (it["release"].as_u64().expect("a number"), text("definition"), it["settled"] == true);
        (text("name"), told)
    };
    found["streams"].as_array().expect("a list").iter().map(stream).collect()
}

#[test]
fn after_everything_was_killed_in_the_middle_there_is_all_of_a_change_or_nothing() {
    const COUNT: usize = 4;
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let mut dev = Dev::start(PROGRAM, &data);
    apply(&dev, &many(folder.path(), COUNT, 0), &["--deploy", "--wait"]).ok();
    // Killed as soon as it is acknowledged, and ever later, until it is done before the kill.
    for pauses in [0, 5, 15, 40] {
        let before = streams(&dev);
        let form = pauses + 1;
        apply(&dev, &many(folder.path(), COUNT, form), &[]).ok();
        (0..pauses).for_each(|_| pause());
        dev.kill_everything();
        dev = Dev::start(PROGRAM, &data);
        // What was acknowledged stands, and everything comes to its end.
        let is_done = |found: &BTreeMap<String, Told>| {
            found.len() == COUNT && found.values().all(|(.., settled)| *settled)
        };
        let found = until_value("all streams are settled", || streams(&dev), is_done);
        for (name, (release, definition, _)) in &found {
            assert_eq!(*release, before[name].0 + 1, "{found:?}");
            assert!(definition.contains(&format!("'-{form}'")), "{found:?}");
        }
        until_value("only the new copies run", || dev.app_pids(), |pids| pids.len() == 3 * COUNT);
        apply(&dev, &many(folder.path(), COUNT, form), &["--wait"]).ok();
    }
    // Killed while it is being asked for: there is all of it or nothing.
    dev.run(["application", "destroy", "many"]).ok();
    for pauses in [0, 1, 2, 3] {
        let file = many(folder.path(), COUNT, 9);
        std::thread::scope(|scope| {
            let asking = &dev;
            let asked = scope.spawn(move || apply(asking, &file, &["--deploy"]));
            (0..pauses).for_each(|_| pause());
            flowkeeper_testkit::dev::signal(dev.pid(), rustix::process::Signal::KILL);
            drop(asked.join());
        });
        dev.kill_everything();
        dev = Dev::start(PROGRAM, &data);
        let names: BTreeSet<String> =
            dev.run(["stream", "list", "-o", "name"]).ok().lines().map(str::to_owned).collect();
        let found = streams(&dev);
        assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), names);
        assert!(found.is_empty() || found.len() == COUNT, "{found:?}");
        if !found.is_empty() {
            apply(&dev, &many(folder.path(), COUNT, 9), &["--wait"]).ok();
            dev.run(["application", "destroy", "many"]).ok();
        }
    }
}
