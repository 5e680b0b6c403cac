//! Processes named safely: by pid, start time and boot, so that a pid that was used again is never taken for ours.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Identity of a process, valid for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub start: u64,
    /// `/proc/sys/kernel/random/boot_id`: after a reboot nothing of an earlier boot can be alive.
    pub boot: String,
}

/// A live process, held so that signals and waits cannot hit another one.
#[derive(Debug)]
pub struct Process {
    fd: AsyncFd<OwnedFd>,
}

/// The boot id of this machine; empty where the kernel does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Start time of a process, if it exists and has not ended (a zombie counts as ended).
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, parentheses included.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl ProcessId {
    /// The identity of the running process `pid`.
    pub fn of(pid: u32) -> Option<ProcessId> {
        Some(ProcessId { pid, start: start_time(pid)?, boot: boot_id() })
    }

    /// True while this very process runs.
    pub fn is_alive(&self) -> bool {
        self.boot == boot_id() && start_time(self.pid) == Some(self.start)
    }

    /// True when the machine was not started anew since.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        self.boot == boot_id()
    }

    /// Sends `signal` to the process group that this process leads, if it is still this process.
    ///
    /// # Errors
    /// The system's error; a group that is gone is not one.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = self.raw().filter(|_| self.is_alive()) else { return Ok(()) };
        match kill_process_group(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn raw(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

impl Process {
    /// Takes hold of the process `id`. `None`: it runs no more.
    ///
    /// # Errors
    /// When the kernel refuses (file descriptors exhausted).
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn open(id: &ProcessId) -> io::Result<Option<Process>> {
        let Some(pid) = id.raw() else { return Ok(None) };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The descriptor is bound to whatever runs under the pid now; only then its identity is compared.
        if !id.is_alive() {
            return Ok(None);
        }
        #[expect(
            deprecated,
            reason = "the safe constructor; an OwnedFd is I/O safe, which is what its successor asks for"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Some(Process { fd }))
    }

    /// Waits until the process has ended. Cancel safe.
    pub async fn ended(&self) {
        // A pidfd becomes readable when its process ends and stays so; an error of the reactor means shutdown.
        drop(self.fd.readable().await);
    }

    /// Sends `signal` to exactly this process.
    ///
    /// # Errors
    /// The system's error; a process that is gone is not one.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.fd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_not_its_namesake() {
        let me = ProcessId::of(std::process::id()).expect("I run");
        assert!(me.is_alive());
        assert!(!ProcessId { start: me.start + 1, ..me.clone() }.is_alive());
        assert!(!ProcessId { boot: "another".into(), ..me }.is_alive());
    }

    #[tokio::test]
    async fn waits_for_a_process_that_is_not_ours_to_reap() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let id = ProcessId::of(child.id()).expect("runs");
        let process = Process::open(&id).expect("pidfd").expect("alive");
        process.signal(Signal::KILL).expect("signal");
        process.ended().await;
        child.wait().expect("reaped");
        assert!(Process::open(&id).expect("no fault").is_none());
    }
}
