//! The two servers that are compared, as processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flowkeeper_testkit::http::free_port;
use flowkeeper_testkit::workspace_root;
use flowkeeper_testkit::zookeeper::raw::Connection;
use flowkeeper_zk::proto::op;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowkeeper");

/// A server under measurement.
pub(crate) trait Server {
    fn addr(&self) -> &str;
    fn pid(&self) -> u32;
    /// From the start of its process to the first answer.
    fn started_ms(&self) -> f64;

    fn resident_mb(&self) -> f64 {
        kibibytes(&format!("/proc/{}/status", self.pid()), "VmRSS:") / 1024.0
    }
}

/// `flowkeeper zookeeper`.
pub(crate) struct Own {
    addr: String,
    folder: tempfile::TempDir,
    child: Child,
    started: Duration,
}

impl Own {
    pub(crate) fn fresh() -> Own {
        let folder = tempfile::tempdir().expect("folder");
        let addr = format!("127.0.0.1:{}", free_port());
        let (child, started) = Own::spawn(&addr, folder.path());
        Own { addr, folder, child, started }
    }

    fn spawn(addr: &str, folder: &Path) -> (Child, Duration) {
        let began = Instant::now();
        let child = Command::new(PROGRAM)
            .args(["zookeeper", "--zookeeper-listen", addr, "--data"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        until_answered(addr);
        (child, began.elapsed())
    }

    /// Bytes that are the process's own: nothing of it can be given back.
    pub(crate) fn live_bytes(&self) -> f64 {
        kibibytes(&format!("/proc/{}/smaps_rollup", self.pid()), "Private_Dirty:") * 1024.0
    }

    pub(crate) fn restart_ms(&mut self) -> f64 {
        // Without a farewell: the log is read again.
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        let (child, took) = Own::spawn(&self.addr, self.folder.path());
        self.child = child;
        took.as_secs_f64() * 1e3
    }
}

impl Server for Own {
    fn addr(&self) -> &str {
        &self.addr
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn started_ms(&self) -> f64 {
        self.started.as_secs_f64() * 1e3
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Apache ZooKeeper, standalone, by `peers/zookeeper`.
pub(crate) struct Peer {
    addr: String,
    folder: tempfile::TempDir,
    port: u16,
    started: Duration,
}

impl Peer {
    /// `None`: it cannot be had here.
    pub(crate) fn fresh() -> Option<Peer> {
        let port = free_port();
        let folder = tempfile::tempdir().expect("folder");
        let mut peer = Peer { addr: format!("127.0.0.1:{port}"), folder, port, started: Duration::default() };
        // Its jars are found before the clock starts.
        peer.script(&["classpath"])?;
        peer.started = peer.launch(&["start", "1"])?;
        Some(peer)
    }

    /// Runs the script that starts it; the clock is that of the process.
    fn launch(&self, verb: &[&str]) -> Option<Duration> {
        let mut script = self.command(verb).spawn().ok()?;
        until_answered(&self.addr);
        let uptime = uptime_of(self.pid());
        script.wait().ok()?.success().then_some(uptime)
    }

    fn script(&self, verb: &[&str]) -> Option<()> {
        self.command(verb).status().ok()?.success().then_some(())
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(workspace_root().join("peers/zookeeper"));
        command.args(verb).args(["--port", &self.port.to_string(), "--data"]).arg(self.folder.path());
        // The heap that its own script gives it.
        command.args(["--jvm", "-Xmx1000m"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Bytes that live on the heap after it was cleaned.
    pub(crate) fn live_bytes(&self) -> f64 {
        let output = Command::new("jcmd").args([&self.pid().to_string(), "GC.class_histogram"]).output();
        let output = output.expect("the JDK has jcmd");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let total = text.lines().rev().find(|line| line.trim_start().starts_with("Total"));
        let bytes = total.and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        bytes.expect("a histogram")
    }

    pub(crate) fn restart_ms(&mut self) -> f64 {
        self.script(&["kill", "1"]).expect("killed");
        self.launch(&["up", "1"]).expect("started").as_secs_f64() * 1e3
    }
}

impl Server for Peer {
    fn addr(&self) -> &str {
        &self.addr
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.path().join("1/pid")).expect("it runs");
        text.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a pid")
    }

    fn started_ms(&self) -> f64 {
        self.started.as_secs_f64() * 1e3
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.script(&["stop"]);
    }
}

/// How long a process has been running.
fn uptime_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let began = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)?.parse::<f64>().ok());
    let up = std::fs::read_to_string("/proc/uptime").expect("uptime");
    let up: f64 = up.split_whitespace().next().and_then(|up| up.parse().ok()).expect("a number");
    // In hundredths of a second.
    Duration::from_secs_f64((up - began.expect("a start") / 100.0).max(0.0))
}

/// Waits until a new session is answered.
fn until_answered(addr: &str) {
    loop {
        let answered = Connection::open(addr, 10_000, None).and_then(|mut connection| {
            connection.call(op::EXISTS, |e| {
                e.string("/");
                e.bool(false);
            })
        });
        if answered.is_ok() {
            return;
        }
        rest(Duration::from_millis(1));
    }
}

fn kibibytes(file: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(file).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// Lets the server come to rest.
#[expect(clippy::disallowed_methods, reason = "what is measured is the state of rest")]
pub(crate) fn rest(time: Duration) {
    std::thread::sleep(time);
}
