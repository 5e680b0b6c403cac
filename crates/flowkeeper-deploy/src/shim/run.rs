//! The shim's own life, from its start to its program's end.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::logs::RotatingFile;
use super::{Folder, Place, Spec, State};
use crate::process::ProcessId;

/// How long processes that left the program's group may keep its output open after it ended.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs as the shim of the instance in `folder`; returns the exit code of the shim process.
pub fn main(folder: &Path) -> i32 {
    // A session of its own: no terminal can signal it. It fails only for a group leader, which is as well protected.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(run(&Folder::new(folder))));
    i32::from(ended.is_err())
}

async fn run(folder: &Folder) -> io::Result<()> {
    let spec = folder.spec().ok_or_else(|| io::Error::other("no readable spec"))?;
    let myself = ProcessId::of(std::process::id()).ok_or_else(|| io::Error::other("no /proc"))?;
    let place = spec.place.clone().unwrap_or_else(|| folder.place());
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let began = [length(&place.stdout), length(&place.stderr)];
    let mut state = State { shim: myself, app: None, ended: None, start_failed: false, began };
    let mut terminate = signal(SignalKind::terminate())?;
    match start(&place, &spec) {
        Ok(mut child) => {
            state.app = child.id().and_then(ProcessId::of);
            folder.write_state(&state)?;
            let mut output = std::pin::pin!(copy_output(place, &spec, &mut child));
            let supervise = async {
                tokio::select! {
                    status = child.wait() => return status,
                    _ = terminate.recv() => {}
                }
                stop(&mut child, state.app.as_ref(), Duration::from_millis(spec.grace_ms)).await
            };
            let mut supervise = std::pin::pin!(supervise);
            let mut is_drained = false;
            let status = loop {
                tokio::select! {
                    status = &mut supervise => break status,
                    () = &mut output, if !is_drained => is_drained = true,
                }
            };
            // Whatever the program left behind in its group goes with it.
            if let Some(app) = &state.app {
                kill_leftovers(app);
            }
            if !is_drained {
                drop(tokio::time::timeout(DRAIN, output).await);
            }
            state.ended = Some(describe(&status?));
        }
        Err(error) => {
            state.ended = Some(format!("{} could not be started: {error}", spec.program.display()));
            state.start_failed = true;
        }
    }
    folder.write_state(&state)
}

fn start(place: &Place, spec: &Spec) -> io::Result<Child> {
    Command::new(&spec.program)
        .args(&spec.args)
        .env_clear()
        .envs(&spec.env)
        .current_dir(&place.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Asks the program's group to end, waits for the grace time, then kills it.
async fn stop(child: &mut Child, app: Option<&ProcessId>, grace: Duration) -> io::Result<ExitStatus> {
    if let Some(app) = app.filter(|_| !grace.is_zero()) {
        app.signal_group(Signal::TERM)?;
        if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
            return status;
        }
    }
    if let Some(app) = app {
        app.signal_group(Signal::KILL)?;
    }
    child.kill().await?;
    child.wait().await
}

/// The group's leader is gone, so its number cannot be compared by start time any more; but while any member lives the kernel
/// does not give the number to a new process, and a group without members answers an error.
fn kill_leftovers(app: &ProcessId) {
    let group = i32::try_from(app.pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Copies both outputs until the program ended and they are drained.
fn copy_output(place: Place, spec: &Spec, child: &mut Child) -> impl Future<Output = ()> + use<> {
    let open = |path: std::path::PathBuf| RotatingFile::open(&path, spec.log_bytes).ok();
    let out = (child.stdout.take(), open(place.stdout));
    let err = (child.stderr.take(), open(place.stderr));
    async move {
        tokio::join!(copy(out.0, out.1), copy(err.0, err.1));
    }
}

async fn copy(from: Option<impl AsyncRead + Unpin>, mut to: Option<RotatingFile>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if let Some(to) = &mut to {
            to.append(&buffer[..n]);
        }
    }
}

fn describe(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    }
}
