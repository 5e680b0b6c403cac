//! The live feed: what changes is told at once, and nothing is missed over a restart.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use flowkeeper_testkit::dev::Dev;
use flowkeeper_testkit::wait::until_value;

use crate::{PROGRAM, System};

/// `stream list --watch` against a server; what it printed so far.
struct Watcher {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watcher {
    fn start(dev: &Dev) -> Watcher {
        let mut child = Command::new(PROGRAM)
            .args(["stream", "list", "--watch", "--server", &format!("http://{}", dev.api)])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let reader = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = lines.clone();
        drop(std::thread::spawn(move || {
            reader.lines().map_while(Result::ok).for_each(|line| into.lock().expect("lock").push(line));
        }));
        Watcher { child, lines }
    }

    #[track_caller]
    fn sees(&self, what: &str) {
        let lines = || self.lines.lock().expect("lock").clone();
        until_value(&format!("'{what}' is told"), lines, |lines| lines.iter().any(|line| line == what));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_follower_sees_each_stream_come_run_and_go() {
    let system = System::start();
    let dev = &system.dev;
    dev.run(["stream", "create", "old", "--definition", "time | log"]).ok();
    let watcher = Watcher::start(dev);
    watcher.sees("old\tundeployed");
    system.deploy("new", "time | log");
    watcher.sees("new\tdeploying");
    watcher.sees("new\tdeployed");
    dev.run(["stream", "destroy", "new"]).ok();
    watcher.sees("new\tdestroyed");
}

#[test]
fn a_follower_goes_on_after_the_server_was_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let dev = Dev::start(PROGRAM, &data);
    let port = dev.api.rsplit(':').next().expect("a port").to_owned();
    dev.run(["stream", "create", "before", "--definition", "time | log"]).ok();
    let watcher = Watcher::start(&dev);
    watcher.sees("before\tundeployed");
    dev.kill_everything();
    let dev = Dev::start_with(PROGRAM, &data, &["--listen", &format!("127.0.0.1:{port}")]);
    dev.run(["stream", "create", "after", "--definition", "time | log"]).ok();
    watcher.sees("after\tundeployed");
    dev.interrupt();
}
