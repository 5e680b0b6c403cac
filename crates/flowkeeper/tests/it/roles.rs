//! Roles as processes of their own, for tests of clusters.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flowkeeper_testkit::dev::{Ran, is_alive, run, signal};
use rustix::process::Signal;

use crate::PROGRAM;

/// A running role. Dropping it kills it and the app instances of its folder.
#[derive(Debug)]
pub(crate) struct Role {
    child: Child,
    data: PathBuf,
    /// Address it listens on, if it does.
    pub(crate) addr: String,
}

impl Role {
    /// Starts `role` on `folder`/`name` and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(folder: &Path, name: &str, role: &str, flags: &[&str]) -> Role {
        let data = folder.join(name);
        let mut child = Command::new(PROGRAM)
            .env_clear()
            .env("HOME", folder)
            .args([role, "--data"])
            .arg(&data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut addr = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        loop {
            let line =
                lines.next().unwrap_or_else(|| panic!("{role} ended before it was ready")).expect("text");
            if let Some((_, found)) = line.split_once(" listening on ") {
                found.clone_into(&mut addr);
            }
            if line == "flowkeeper: ready" {
                break;
            }
        }
        drop(std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop)));
        Role { child, data, addr }
    }

    /// Kills the process alone; what it started goes on.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
        std::mem::forget(self);
    }

    /// Stops it politely and waits; apps of an agent go on.
    pub(crate) fn stop(mut self) {
        signal(self.child.id(), Signal::TERM);
        self.child.wait().expect("ended");
        std::mem::forget(self);
    }

    /// Pids of the apps of an agent's folder that run.
    pub(crate) fn app_pids(&self) -> Vec<u32> {
        let mut pids = self.pids("app");
        pids.sort_unstable();
        pids
    }

    fn pids(&self, of: &str) -> Vec<u32> {
        let entries = std::fs::read_dir(self.data.join("node/instances")).into_iter().flatten().flatten();
        let states = entries.filter_map(|entry| std::fs::read(entry.path().join("state.json")).ok());
        let states = states.filter_map(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let pids = states.filter_map(|state| u32::try_from(state[of]["pid"].as_u64()?).ok());
        pids.filter(|pid| is_alive(*pid)).collect()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.pids("shim").into_iter().chain(self.pids("app")) {
            let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            if exe == Path::new(PROGRAM) {
                signal(pid, Signal::KILL);
            }
        }
    }
}

/// Starts a role that must not come up, and gives how it ended.
pub(crate) fn refused(folder: &Path, name: &str, role: &str, flags: &[&str]) -> Ran {
    let data = folder.join(name).display().to_string();
    run(PROGRAM, folder, &[&[role, "--data", &data], flags].concat())
}
