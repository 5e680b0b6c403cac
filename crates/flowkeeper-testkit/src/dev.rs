//! A whole system as a user runs it: `flowkeeper dev` as a process, commands against it, and ways to make it die.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// A running `flowkeeper dev`. Dropping it kills it with everything it started.
#[derive(Debug)]
pub struct Dev {
    child: Child,
    program: PathBuf,
    data: PathBuf,
    /// Address of the API, as printed.
    pub api: String,
    printed: Arc<Mutex<Vec<String>>>,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The standard output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl Dev {
    /// Starts `program dev` on `data`, all listeners on free ports, and returns when it is ready.
    #[track_caller]
    pub fn start(program: impl Into<PathBuf>, data: &Path) -> Dev {
        Dev::start_with(program, data, &[])
    }

    /// As [`Dev::start`], with more flags.
    #[track_caller]
    pub fn start_with(program: impl Into<PathBuf>, data: &Path, flags: &[&str]) -> Dev {
        Dev::start_logging(program, data, flags, Stdio::inherit())
    }

    /// As [`Dev::start_with`], with its log in `log`.
    #[track_caller]
    pub fn start_logging(program: impl Into<PathBuf>, data: &Path, flags: &[&str], log: Stdio) -> Dev {
        let program = program.into();
        let listeners = ["--listen", "--zookeeper-listen", "--broker-listen"];
        let listeners = listeners.into_iter().filter(|listener| !flags.contains(listener));
        let mut child = clean(&program, data)
            .arg("dev")
            .args(listeners.flat_map(|flag| [flag, "127.0.0.1:0"]))
            .arg("--data")
            .arg(data)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut api = None;
        loop {
            let line = lines.next().expect("dev ended before it was ready").expect("text");
            if let Some(addr) = line.strip_prefix("flowkeeper: api listening on ") {
                api = Some(addr.to_owned());
            }
            if line == "flowkeeper: ready" {
                break;
            }
        }
        // Read on, so that the process never blocks on a full pipe.
        let printed = Arc::new(Mutex::new(Vec::new()));
        let into = printed.clone();
        drop(std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| into.lock().expect("lock").push(line));
        }));
        let api = api.expect("the API said where it listens");
        Dev { child, program, data: data.to_owned(), api, printed }
    }

    /// What the process printed on its standard output after it was ready.
    pub fn printed(&self) -> Vec<String> {
        self.printed.lock().expect("lock").clone()
    }

    /// Runs a command against this system.
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        let mut command = clean(&self.program, &self.data);
        command.env("FLOWKEEPER_SERVER", format!("http://{}", self.api)).args(args);
        finish(&mut command)
    }

    /// Pid of the process itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Pids of all app instances that run, by instance.
    pub fn app_pids(&self) -> BTreeMap<String, u32> {
        let states = instance_states(&self.data);
        let alive = states.into_iter().filter_map(|(instance, state)| {
            let pid = state["app"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())?;
            is_alive(pid).then_some((instance, pid))
        });
        alive.collect()
    }

    /// Kills the process alone; its apps go on.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
        std::mem::forget(self);
    }

    /// Kills the process and everything it started, at once.
    pub fn kill_everything(mut self) {
        self.kill_all();
        std::mem::forget(self);
    }

    /// Ends it as Ctrl-C does and waits for its end.
    pub fn interrupt(mut self) -> ExitStatus {
        signal(self.pid(), Signal::INT);
        let status = self.child.wait().expect("ended");
        std::mem::forget(self);
        status
    }

    fn kill_all(&mut self) {
        let _ = self.child.kill();
        for (_, state) in instance_states(&self.data) {
            for role in ["shim", "app"] {
                let pid = state[role]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                if let Some(pid) = pid.filter(|pid| is_ours(*pid, &self.program)) {
                    signal(pid, Signal::KILL);
                }
            }
        }
        let _ = self.child.wait();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Runs the binary without a system.
pub fn run(program: &str, home: &Path, args: &[&str]) -> Ran {
    finish(clean(Path::new(program), home).args(args))
}

/// Runs the binary with text on its standard input.
pub fn run_with_input(program: &str, home: &Path, args: &[&str], input: &str) -> Ran {
    use std::io::Write;
    let mut command = clean(Path::new(program), home);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    collect(child)
}

fn finish(command: &mut Command) -> Ran {
    collect(
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts"),
    )
}

fn collect(child: Child) -> Ran {
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The binary in an environment of its own: nothing of the machine's reaches it but the path.
fn clean(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("LC_ALL", "C");
    #[expect(clippy::disallowed_methods, reason = "programs under test need the path of the machine")]
    let path = std::env::var_os("PATH");
    command.envs(path.map(|path| ("PATH", path)));
    command
}

fn instance_states(data: &Path) -> Vec<(String, serde_json::Value)> {
    let entries = std::fs::read_dir(data.join("node/instances")).into_iter().flatten().flatten();
    let read = |entry: std::fs::DirEntry| {
        let state = std::fs::read(entry.path().join("state.json")).ok()?;
        Some((entry.file_name().into_string().ok()?, serde_json::from_slice(&state).ok()?))
    };
    entries.filter_map(read).collect()
}

/// True while a process with this pid runs (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next())
        .is_some_and(|state| !"ZX".contains(state))
}

/// True when the pid still belongs to a process of this binary, or of a program that it started.
fn is_ours(pid: u32, program: &Path) -> bool {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let parent_is_shim = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        status.contains("FLOWKEEPER_FENCE_TERM=")
    };
    exe == program || parent_is_shim()
}

/// Sends a signal; a process that is gone is no fault.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Waits until none of `pids` runs.
#[track_caller]
pub fn until_gone(pids: impl IntoIterator<Item = u32> + Clone) {
    until("all processes are gone", || pids.clone().into_iter().all(|pid| !is_alive(pid)));
}
