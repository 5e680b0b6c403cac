//! A program with everything it started: frozen, thawed, killed and waited for as one.
//!
//! With a control group the kernel does it. Without one, a shim is the reaper of its orphans, so that all processes of the
//! program, also those that forked twice and fled into a session of their own, are descendants of the shim.

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::cgroup::Group;
use crate::process::ProcessId;

/// Looks after which processes that fork faster than they are stopped are left to the next attempt.
const ROUNDS: u32 = 50;

/// A running program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The shim, this process.
    pub(super) shim: u32,
    /// Leader of the program's process group; `None` when it ended before it could be looked at.
    pub(super) app: Option<ProcessId>,
    pub(super) group: Option<Group>,
}

/// A process in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    pid: u32,
    parent: u32,
    state: u8,
    start: u64,
}

impl Program {
    /// Stops all of it in its tracks; true when nothing of it moves any more.
    pub(super) fn freeze(&self) -> bool {
        if let Some(group) = &self.group
            && group.freeze(true).is_ok()
        {
            for _ in 0..ROUNDS {
                if group.is_frozen() || group.is_empty() {
                    return true;
                }
                // It takes some ms; the deadline has room for that.
                nap(2_000_000);
            }
        }
        // Better stopped twice than not at all.
        self.signal_all(Signal::STOP, |state| matches!(state, b'T' | b't'))
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal_all(Signal::CONT, |state| !matches!(state, b'T' | b't'));
        if let Some(group) = &self.group {
            // It fails only when the group is gone, and the program with it.
            let _ = group.freeze(false);
        }
    }

    /// Kills all of it, frozen or not. It is gone when [`Program::is_gone`] says so.
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group {
            let _ = group.kill();
        }
        if let Some(app) = &self.app {
            let _ = app.signal_group(Signal::KILL);
        }
        self.signal_all(Signal::KILL, |_| false);
    }

    /// Whether no process of it is left; asked when the program itself was waited for. A look at `/proc` could miss one that forks
    /// and ends meanwhile, but as long as anything of it lives the shim has a child, and the kernel knows that for sure.
    pub(super) fn is_gone(&self) -> bool {
        let has_children = loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        !has_children && self.group.as_ref().is_none_or(Group::is_empty)
    }

    /// Takes away orphans that ended; the program's own end is waited for elsewhere.
    pub(super) fn reap(&self) {
        let orphans =
            processes().into_iter().filter(|entry| entry.parent == self.shim && is_over(entry.state));
        for orphan in orphans.filter(|entry| Some(entry.pid) != self.app.as_ref().map(|app| app.pid)) {
            if let Some(pid) = i32::try_from(orphan.pid).ok().and_then(Pid::from_raw) {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }

    /// Sends `signal` to every process until each is in a state that `is_done`; true when they are.
    fn signal_all(&self, signal: Signal, is_done: impl Fn(u8) -> bool) -> bool {
        let mut sent = BTreeSet::new();
        for _ in 0..ROUNDS {
            let left: Vec<_> = descendants(&processes(), self.shim)
                .into_iter()
                .filter(|entry| !is_done(entry.state))
                .collect();
            if left.is_empty() {
                return true;
            }
            let mut is_news = false;
            for entry in left {
                if sent.insert((entry.pid, entry.start)) {
                    is_news = true;
                    send(entry, signal);
                }
            }
            if !is_news {
                nap(1_000_000);
            }
        }
        false
    }
}

/// Sends a signal to exactly this process.
fn send(entry: Entry, signal: Signal) {
    let Some(pid) = i32::try_from(entry.pid).ok().and_then(Pid::from_raw) else { return };
    // The descriptor is bound to whatever runs under the pid now; only then it is compared.
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if parse_of(entry.pid).is_some_and(|now| now.start == entry.start) {
        let _ = pidfd_send_signal(&fd, signal);
    }
}

/// A short pause between two looks at the kernel; the thread that enforces a deadline has no runtime to wait on.
pub(super) fn nap(nanos: i64) {
    let pause = rustix::thread::Timespec { tv_sec: 0, tv_nsec: nanos };
    // A signal only makes it shorter.
    let _ = rustix::thread::nanosleep(&pause);
}

fn processes() -> Vec<Entry> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| parse_of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn parse_of(pid: u32) -> Option<Entry> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/<pid>/stat`, whose second field may hold anything.
fn parse(pid: u32, stat: &str) -> Option<Entry> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Entry { pid, parent, state, start: fields.nth(17)?.parse().ok()? })
}

fn is_over(state: u8) -> bool {
    matches!(state, b'Z' | b'X')
}

/// Everything that descends from `ancestor` and has not ended.
fn descendants(processes: &[Entry], ancestor: u32) -> Vec<Entry> {
    let mut children: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
    for entry in processes {
        children.entry(entry.parent).or_default().push(*entry);
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([ancestor]);
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            // A table that is read while it changes may hold circles.
            if seen.insert(child.pid) {
                parents.push(child.pid);
                found.push(*child);
            }
        }
    }
    found.retain(|entry| !is_over(entry.state));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn descendants_are_found_at_any_depth_and_the_dead_are_not_counted() {
        let entry = |pid, parent, state| Entry { pid, parent, state, start: 0 };
        let table = [
            entry(2, 1, b'S'),
            entry(3, 2, b'R'),
            entry(4, 3, b'Z'),
            entry(5, 4, b'S'),
            entry(9, 1, b'S'),
            entry(7, 8, b'S'),
            entry(8, 7, b'S'),
        ];
        let of = |ancestor| -> BTreeSet<u32> {
            descendants(&table, ancestor).into_iter().map(|entry| entry.pid).collect()
        };
        assert_eq!(of(2), BTreeSet::from([3, 5]));
        assert_eq!(of(7), BTreeSet::from([8]));
        assert!(of(9).is_empty());
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "42 (a) R (b)) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 1\n";
        assert_eq!(parse(42, stat), Some(Entry { pid: 42, parent: 7, state: b'S', start: 12345 }));
        let me = parse_of(std::process::id()).expect("I run");
        assert_eq!(Some(me.start), ProcessId::of(me.pid).map(|id| id.start));
    }

    proptest! {
        #[test]
        fn any_text_is_a_process_or_none(text in any::<String>()) {
            parse(1, &text);
        }
    }
}
