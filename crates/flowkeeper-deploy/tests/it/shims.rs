//! Shims and their programs, without any agent.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flowkeeper_deploy::process::ProcessId;
use flowkeeper_deploy::shim::{Fence, Folder, Spec, State};
use rustix::process::{Pid, Signal, kill_process};

use crate::roles::program;
use crate::wait::{pause, until};

/// Longest time of a lease in these tests, in ms.
const LEASE_MS: u64 = 60_000;
const SECOND: u64 = 1_000_000_000;

/// How a program is held together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    ByGroup,
    BySignals,
}

/// A shim with the folder of its instance.
struct Shim {
    _home: tempfile::TempDir,
    folder: Folder,
    child: Child,
}

/// A directory for control groups, where this machine lets us make them.
#[expect(clippy::print_stderr, reason = "a test that leaves something out says so")]
fn groups() -> Option<PathBuf> {
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let root = roots.iter().map(Path::new).find(|root| root.join("cgroup.controllers").exists())?;
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let path = root.join(own).join("flowkeeper-tests");
    match std::fs::create_dir_all(&path) {
        Ok(()) => Some(path),
        Err(error) => {
            eprintln!("skipped: no control groups here: {error}");
            None
        }
    }
}

/// Both ways, or one where there are no control groups.
fn ways() -> Vec<Held> {
    if groups().is_some() { vec![Held::ByGroup, Held::BySignals] } else { vec![Held::BySignals] }
}

fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * SECOND + u64::try_from(now.tv_nsec).unwrap()
}

impl Shim {
    /// Starts a shim whose program runs `script`; when `fence` is given, with a lease of so many ms, after which it stays frozen for
    /// so many ms.
    fn start(script: &str, held: Held, grace_ms: u64, fence: Option<(u64, u64)>) -> Shim {
        let home = tempfile::tempdir().unwrap();
        let launcher = program(home.path());
        let folder = Folder::new(home.path().join("instance"));
        let name = home.path().file_name().unwrap().to_owned();
        let text = serde_json::json!({
            "uid": "u", "term": 1, "program": "/bin/sh", "args": ["-c", script],
            "env": {"PATH": "/usr/bin:/bin"}, "grace_ms": grace_ms, "log_bytes": 1_000_000, "launcher": launcher,
        });
        let mut spec: Spec = serde_json::from_value(text).unwrap();
        spec.group = groups().filter(|_| held == Held::ByGroup).map(|groups| groups.join(name));
        spec.fence = fence.map(|(_, freeze_max_ms)| Fence { lease_ms: LEASE_MS, freeze_max_ms });
        folder.prepare(&spec).unwrap();
        renew(&folder, now_ns() + fence.map_or(0, |(lease_ms, _)| lease_ms) * 1_000_000);
        let child = Command::new(&launcher)
            .arg("shim")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Shim { _home: home, folder, child }
    }

    fn state(&self) -> Option<State> {
        self.folder.state()
    }

    /// Waits until the program runs.
    fn app(&self) -> ProcessId {
        until("the program runs", || self.state()?.app)
    }

    /// Waits for what the program has written.
    fn said(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        until("the program has said it", || {
            std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
        })
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the shim has ended, and says how its program did.
    fn end(&mut self) -> Option<String> {
        self.child.wait().unwrap();
        self.state().and_then(|state| state.ended)
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let group = self.state().and_then(|state| state.group);
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(app) = self.state().and_then(|state| state.app) {
            drop(app.signal_group(Signal::KILL));
        }
        // A program that left its session is nobody's child any more: what still works in the folder is ours.
        kill_in(self.folder.path());
        if let Some(group) = group {
            drop(std::fs::write(group.join("cgroup.kill"), "1"));
            until("the group is gone", || {
                (std::fs::remove_dir(&group).is_ok() || !group.exists()).then_some(())
            });
        }
    }
}

/// Kills every process that works in `folder`.
fn kill_in(folder: &Path) {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes
        .filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
    {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn renew(folder: &Folder, deadline_ns: u64) {
    std::fs::write(folder.path().join("lease"), format!("{deadline_ns:020}\n")).unwrap();
}

/// Processor time that a process has used, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let mut fields = stat[stat.rfind(')').unwrap() + 1..].split_ascii_whitespace().skip(11);
    let mut next = || fields.next().unwrap().parse::<u64>().unwrap();
    next() + next()
}

fn is_alive(pid: u32) -> bool {
    ProcessId::of(pid).is_some()
}

#[test]
fn a_deadline_freezes_and_a_renewal_lets_the_same_process_go_on() {
    for held in ways() {
        // A child in a session of its own must stand still, too.
        let script = "setsid sh -c 'echo $$ > inner; while :; do :; done' & while [ ! -s inner ]; do :; done; while :; do :; done";
        let shim = Shim::start(script, held, 0, Some((1_000, 30_000)));
        let app = shim.app();
        let inner: u32 = shim.said("inner").trim().parse().unwrap();
        let begun = (ticks(app.pid), ticks(inner));
        until("both work", || (ticks(app.pid) > begun.0 && ticks(inner) > begun.1).then_some(()));
        until("it is frozen", || shim.state()?.frozen.then_some(()));
        let before = (ticks(app.pid), ticks(inner));
        (0..20).for_each(|_| pause());
        assert_eq!((ticks(app.pid), ticks(inner)), before, "{held:?}: it stands still");
        renew(&shim.folder, now_ns() + 30 * SECOND);
        until("it goes on", || (!shim.state()?.frozen).then_some(()));
        assert_eq!(shim.app(), app, "{held:?}");
        until("both work again", || (ticks(app.pid) > before.0 && ticks(inner) > before.1).then_some(()));
    }
}

#[test]
fn a_program_that_was_frozen_too_long_is_killed() {
    for held in ways() {
        let mut shim = Shim::start("while :; do sleep 1; done", held, 0, Some((200, 300)));
        let app = shim.app();
        until("it is frozen", || {
            let state = shim.state()?;
            (state.frozen || state.fenced).then_some(())
        });
        let ended = shim.end().unwrap();
        assert!(ended.starts_with("fenced: no contact with the control plane for "), "{ended}");
        assert!(ended.ends_with(" s"), "{ended}");
        assert!(shim.state().unwrap().fenced && !is_alive(app.pid), "{held:?}");
    }
}

#[test]
fn a_program_may_be_killed_at_its_deadline_instead() {
    for held in ways() {
        let mut shim = Shim::start("while :; do sleep 1; done", held, 0, Some((200, 0)));
        let ended = shim.end().unwrap();
        assert!(ended.starts_with("fenced: "), "{held:?}: {ended}");
    }
}

#[test]
fn a_lease_that_nobody_grants_counts_for_nothing() {
    let mut shim = Shim::start("while :; do sleep 1; done", Held::BySignals, 0, Some((10 * LEASE_MS, 0)));
    assert!(shim.end().unwrap().starts_with("fenced: "));
}

#[test]
fn a_frozen_program_can_be_stopped() {
    for held in ways() {
        // It would take the polite way, which needs time that it must not have any more.
        let script = "trap 'echo politely > end; exit 0' TERM; echo yes > up; while :; do sleep 0.05; done";
        let mut shim = Shim::start(script, held, 60_000, Some((1_000, 60_000)));
        shim.said("up");
        until("it is frozen", || shim.state()?.frozen.then_some(()));
        shim.signal(Signal::TERM);
        assert_eq!(shim.end().as_deref(), Some("signal 9"), "{held:?}");
        assert!(!shim.folder.path().join("end").exists());
    }
}

#[test]
fn a_polite_stop_is_polite_while_the_lease_runs_and_ends_with_it() {
    for held in ways() {
        let script = "trap 'echo politely > end; exit 0' TERM; echo yes > up; while :; do sleep 0.05; done";
        let mut shim = Shim::start(script, held, 60_000, Some((50_000, 60_000)));
        shim.said("up");
        shim.signal(Signal::TERM);
        assert_eq!(shim.end().as_deref(), Some("exit code 0"), "{held:?}");

        let script = "trap '' TERM; echo yes > up; while :; do sleep 0.05; done";
        let mut shim = Shim::start(script, held, 60_000, Some((2_000, 60_000)));
        shim.said("up");
        shim.signal(Signal::TERM);
        assert_eq!(shim.end().as_deref(), Some("signal 9"), "{held:?}");
    }
}

#[test]
fn a_strict_program_dies_with_its_shim() {
    let shim = Shim::start("while :; do sleep 0.1; done", Held::BySignals, 0, Some((50_000, 60_000)));
    let app = shim.app();
    shim.signal(Signal::KILL);
    until("the kernel has killed it", || (!app.is_alive()).then_some(()));

    let shim = Shim::start("while :; do sleep 0.1; done", Held::BySignals, 0, None);
    let app = shim.app();
    shim.signal(Signal::KILL);
    until("the shim is gone", || (!is_alive(shim.child.id())).then_some(()));
    assert!(app.is_alive(), "another one goes on until an agent looks after it");
}

#[test]
fn nothing_is_left_of_a_program_whatever_it_started() {
    for held in ways() {
        // One that fled twice and does not listen, and a crowd that forks on.
        let script = "trap '' TERM HUP\n\
            (setsid sh -c 'trap \"\" TERM HUP; echo $$ > fled; while :; do sleep 0.05; done' &)\n\
            crowd() { while :; do (sleep 0.2 &); sleep 0.01; done; }\n\
            crowd & crowd &\n\
            echo yes > up; while :; do sleep 0.05; done";
        let mut shim = Shim::start(script, held, 100, None);
        shim.said("up");
        let fled: u32 = shim.said("fled").trim().parse().unwrap();
        assert!(is_alive(fled));
        let group = shim.state().unwrap().group;
        assert_eq!(group.is_some(), held == Held::ByGroup);
        shim.signal(Signal::TERM);
        assert_eq!(shim.end().as_deref(), Some("signal 9"), "{held:?}");
        assert!(!is_alive(fled), "{held:?}");
        assert!(group.is_none_or(|group| !group.exists()));
    }
}

#[test]
fn a_daemon_that_outlives_its_program_does_not_stay() {
    for held in ways() {
        let script = "(setsid sh -c 'echo $$ > fled; exec sleep 1000' &); while [ ! -s fled ]; do sleep 0.01; done; exit 3";
        let mut shim = Shim::start(script, held, 100, None);
        assert_eq!(shim.end().as_deref(), Some("exit code 3"), "{held:?}");
        let fled: u32 = shim.said("fled").trim().parse().unwrap();
        assert!(!is_alive(fled), "{held:?}");
    }
}

#[test]
fn a_program_that_is_none_is_told() {
    let mut shim = Shim::start("", Held::BySignals, 0, Some((1_000, 1_000)));
    shim.end();
    let mut spec = shim.folder.spec().unwrap();
    spec.program = "/no/such/program".into();
    shim.folder.prepare(&spec).unwrap();
    let launcher = spec.launcher.unwrap();
    let ended = Command::new(launcher).arg("shim").arg(shim.folder.path()).stdout(Stdio::null()).status();
    ended.unwrap();
    let state = shim.state().unwrap();
    assert!(state.start_failed);
    assert_eq!(
        state.ended.as_deref(),
        Some("/no/such/program could not be started: No such file or directory (os error 2)")
    );
}
