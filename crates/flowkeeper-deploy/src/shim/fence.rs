//! The deadline of a strict instance, enforced by its shim without asking anybody.
//!
//! A thread of its own sleeps until the deadline it knows, looks into the lease file, and freezes the program unless the lease
//! was renewed. Nothing else of the shim, a slow disk under its logs for example, can hold it up. A frozen program goes on when
//! the lease is renewed, and is killed when that takes too long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{ClockId, Timespec, clock_nanosleep_absolute};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::program::{Program, nap};
use crate::lease::{now_ns, read};

/// How often a frozen program's lease is looked at, in ns.
const LOOK_NS: i64 = 50_000_000;
/// Trust in a deadline ends this long after the longest there can be: a write is never that late, in ns.
const SLACK_NS: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// The highest priority there is.
const PRIORITY: i32 = -20;

/// How a strict instance is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Longest time from a heartbeat to the deadline it buys, in ms.
    pub lease_ms: u64,
    /// How long a frozen program waits for its lease to be renewed before it is killed, in ms; 0: it is killed at the deadline.
    pub freeze_max_ms: u64,
}

/// What the thread says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// The lease runs.
    Held,
    /// The program is frozen.
    Lost,
    /// The program was killed, for this reason.
    Fenced(String),
}

/// The running thread.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) says: watch::Receiver<Contact>,
    /// Set when the program has ended: then there is nothing to fence, and its pid may be somebody else's.
    over: Arc<AtomicBool>,
}

impl Keeper {
    /// Starts to enforce the lease in the file at `path`.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start(program: Program, path: PathBuf, fence: Fence) -> std::io::Result<Keeper> {
        let (sender, says) = watch::channel(Contact::Held);
        let over = Arc::new(AtomicBool::new(false));
        let flag = over.clone();
        std::thread::Builder::new().name("fence".to_owned()).spawn(move || {
            // Of this thread alone: the program stays what it is. Not everybody may.
            let _ = rustix::process::setpriority_process(None, PRIORITY);
            enforce(&program, &path, fence, &sender, &flag);
        })?;
        Ok(Keeper { says, over })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn enforce(program: &Program, path: &Path, fence: Fence, says: &watch::Sender<Contact>, over: &AtomicBool) {
    let lease = || read(path, now_ns() + fence.lease_ms * NS_PER_MS + SLACK_NS);
    let is_over = || over.load(Ordering::SeqCst);
    let mut deadline = lease().unwrap_or(0);
    loop {
        sleep_until(deadline);
        if is_over() {
            return;
        }
        if let Some(renewed) = lease().filter(|renewed| *renewed > now_ns()) {
            deadline = renewed;
            continue;
        }
        let began = now_ns();
        let silence = || {
            let since = deadline.saturating_sub(fence.lease_ms * NS_PER_MS);
            let silent = if deadline == 0 { began } else { since };
            now_ns().saturating_sub(silent) / 1_000_000_000
        };
        if fence.freeze_max_ms > 0 {
            program.freeze();
            says.send_replace(Contact::Lost);
        }
        let renewed = loop {
            if is_over() {
                return;
            }
            if let Some(renewed) = lease().filter(|renewed| *renewed > now_ns() && fence.freeze_max_ms > 0) {
                break renewed;
            }
            if now_ns() - began >= fence.freeze_max_ms * NS_PER_MS {
                says.send_replace(Contact::Fenced(format!(
                    "fenced: no contact with the control plane for {} s",
                    silence()
                )));
                while !is_over() {
                    program.kill();
                    nap(LOOK_NS);
                }
                return;
            }
            // What forks fast may have slipped through.
            program.freeze();
            nap(LOOK_NS);
        };
        deadline = renewed;
        program.thaw();
        says.send_replace(Contact::Held);
    }
}

/// Sleeps until a time on the clock of leases, which also passes while the machine sleeps.
fn sleep_until(deadline_ns: u64) {
    let seconds = i64::try_from(deadline_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(deadline_ns % 1_000_000_000).unwrap_or_default();
    let until = Timespec { tv_sec: seconds, tv_nsec: nanos };
    while now_ns() < deadline_ns {
        // A signal wakes it early.
        let _ = clock_nanosleep_absolute(ClockId::Boottime, &until);
    }
}
