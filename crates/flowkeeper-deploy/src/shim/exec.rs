//! The step between a shim and its program: a process that arranges itself and then becomes the program.
//!
//! What a process must do about itself, joining its control group and asking the kernel to die with its shim, it can do only
//! before the program runs. It tells the shim through its standard input, a socket, why the program could not be started; the
//! socket closes by itself when the program runs.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::Folder;
use crate::cgroup::Group;

/// Exit code when the program could not be started.
const NOT_STARTED: i32 = 127;

/// Becomes the program of the instance in `folder`, whose shim is the process `shim`. Returns only when that cannot be done: the
/// exit code of the process.
pub fn exec_main(folder: &Path, shim: &str) -> i32 {
    // Closes when the program runs; without it nobody can be told.
    let told = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3);
    let error = become_program(&Folder::new(folder), shim);
    if let Ok(told) = told {
        // A shim that went away needs no answer.
        let _ = std::fs::File::from(told).write_all(error.to_string().as_bytes());
    }
    NOT_STARTED
}

fn become_program(folder: &Folder, shim: &str) -> io::Error {
    let Some(spec) = folder.spec() else { return io::Error::other("its spec cannot be read") };
    if let Some(group) = spec.group.clone() {
        // The shim looks whether it worked, and does without it if not.
        let _ = Group::at(group).enter();
    }
    if spec.fence.is_some() {
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            return error.into();
        }
        // It may have died before the kernel was asked.
        let parent = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().to_string());
        if parent.as_deref() != Some(shim) {
            return io::Error::other("its shim is gone");
        }
    }
    Command::new(&spec.program).args(&spec.args).stdin(Stdio::null()).exec()
}
