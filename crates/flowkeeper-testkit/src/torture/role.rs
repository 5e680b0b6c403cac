//! One process of a cluster under test: its folder, its lines to ZooKeeper, and what may be done to it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::namespace::Namespace;
use super::proxy::Proxy;
use crate::dev::{is_alive, signal};

/// A process of ours with its folder, and its own lines to ZooKeeper.
#[derive(Debug)]
pub struct Role {
    pub name: String,
    pub(super) folder: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) child: Option<Child>,
    /// One per server of ZooKeeper.
    pub lines: Vec<Proxy>,
    /// The network it lives in, if not the machine's.
    pub namespace: Option<Namespace>,
    /// Where it listens, as it said last.
    pub addr: Option<String>,
}

impl Role {
    pub fn is_running(&self) -> bool {
        self.child.as_ref().is_some_and(|child| is_alive(child.id()))
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it wrote on standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills the process alone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to end and waits for it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), Signal::TERM);
            let _ = child.wait();
        }
    }

    pub fn signal(&self, how: Signal) {
        if let Some(child) = &self.child {
            signal(child.id(), how);
        }
    }

    /// Holds back everything between the process and ZooKeeper, or lets it pass again.
    pub fn cut_off(&self, is_cut: bool) {
        self.lines.iter().for_each(|line| line.hold(is_cut));
    }

    /// Pids of shims and apps, as their folders tell.
    pub fn instance_pids(&self) -> Vec<u32> {
        self.instances().into_values().flatten().collect()
    }

    /// Pids of shim and app of each instance, by the name of its folder (`<stream>~<app>~v<release>~<index>`).
    pub fn instances(&self) -> BTreeMap<String, Vec<u32>> {
        let folders = fs::read_dir(self.instances_folder()).into_iter().flatten().flatten();
        let instances = folders.filter_map(|entry| {
            let text = fs::read(entry.path().join("state.json")).ok()?;
            let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
            let pids = ["shim", "app"].map(|part| state[part]["pid"].as_u64());
            let pids = pids.into_iter().flatten().filter_map(|pid| u32::try_from(pid).ok());
            Some((entry.file_name().to_string_lossy().into_owned(), pids.collect()))
        });
        instances.collect()
    }

    /// Where a node keeps what belongs to its instances.
    pub fn instances_folder(&self) -> PathBuf {
        self.folder.join("node/instances")
    }
}

/// The binary in an environment of its own.
pub(super) fn clean(mut command: Command, home: &Path, env: &BTreeMap<String, String>) -> Command {
    command.env_clear().env("HOME", home).env("LC_ALL", "C").envs(env);
    #[expect(clippy::disallowed_methods, reason = "programs under test need the path of the machine")]
    let path = std::env::var_os("PATH");
    command.envs(path.map(|path| ("PATH", path)));
    command
}

/// Starts a role and returns when it is ready.
pub(super) fn start(program: &Path, env: &BTreeMap<String, String>, role: &mut Role) {
    let log = fs::File::options().create(true).append(true).open(role.folder.join("log")).expect("a log");
    let command = role.namespace.as_ref().map_or_else(|| Command::new(program), |own| own.command(program));
    let mut child = clean(command, &role.folder, env)
        .envs(&role.env)
        .args(&role.args)
        .arg("--data")
        .arg(&role.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    loop {
        let Some(Ok(line)) = lines.next() else {
            let _ = child.wait();
            panic!("{} ended before it was ready: {}", role.name, role.log());
        };
        if let Some((_, addr)) = line.split_once(" listening on ") {
            role.addr = Some(addr.to_owned());
        }
        if line == "flowkeeper: ready" {
            break;
        }
    }
    // Read on, so that the process never blocks on a full pipe.
    drop(std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop)));
    role.child = Some(child);
}
