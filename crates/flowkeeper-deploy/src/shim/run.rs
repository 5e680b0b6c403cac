//! The shim's own life, from its start to its program's end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Signal, getpid, set_child_subreaper, setsid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::watch;

use super::fence::{Contact, Keeper};
use super::logs::RotatingFile;
use super::program::Program;
use super::{Folder, Place, Spec, State};
use crate::cgroup::Group;
use crate::process::ProcessId;

/// How long processes that are none of the program's any more may keep its output open after it ended.
const DRAIN: Duration = Duration::from_secs(1);
/// Pause between two looks at processes that were killed.
const LOOK: Duration = Duration::from_millis(10);

/// Runs as the shim of the instance in `folder`; returns the exit code of the shim process.
pub fn main(folder: &Path) -> i32 {
    // A session of its own: no terminal can signal it. It fails only for a group leader, which is as well protected.
    let _ = setsid();
    // What the program leaves behind comes to us. A kernel that cannot do this has control groups neither.
    let _ = set_child_subreaper(Some(getpid()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(run(&Folder::new(folder))));
    if let Err(error) = &ended {
        use std::io::Write;
        // Goes to the log of the shim.
        let _ = writeln!(io::stderr(), "{error}");
    }
    i32::from(ended.is_err())
}

async fn run(folder: &Folder) -> io::Result<()> {
    let spec = folder.spec().ok_or_else(|| io::Error::other("no readable spec"))?;
    let myself = ProcessId::of(std::process::id()).ok_or_else(|| io::Error::other("no /proc"))?;
    let place = spec.place.clone().unwrap_or_else(|| folder.place());
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut state = State {
        shim: myself,
        app: None,
        ended: None,
        start_failed: false,
        began: [length(&place.stdout), length(&place.stderr)],
        group: None,
        frozen: false,
        fenced: false,
    };
    let terminate = signal(SignalKind::terminate())?;
    match start(folder, &place, &spec).await {
        Ok((child, program)) => {
            state.app = program.app.clone();
            state.group = program.group.as_ref().map(|group| group.path().to_owned());
            let lived = live(folder, &spec, place, &mut state, child, &program, terminate).await;
            // Whatever the program left behind goes with it, and also the program when it could not be looked after.
            end(&program).await;
            state.ended = Some(lived?);
        }
        Err(error) => {
            state.ended = Some(format!("{} could not be started: {error}", spec.program.display()));
            state.start_failed = true;
        }
    }
    state.frozen = false;
    folder.write_state(&state)
}

/// What a running program's shim waits for.
enum Event {
    Ended(io::Result<ExitStatus>),
    Drained,
    Contact,
    Orphan,
}

/// Looks after the program until it has ended; says how.
async fn live(
    folder: &Folder,
    spec: &Spec,
    place: Place,
    state: &mut State,
    mut child: Child,
    program: &Program,
    mut terminate: Signals,
) -> io::Result<String> {
    let keeper = spec.fence.map(|fence| Keeper::start(program.clone(), folder.lease(), fence)).transpose()?;
    let mut says = keeper.as_ref().map(|keeper| keeper.says.clone());
    let mut orphans = signal(SignalKind::child())?;
    folder.write_state(state)?;
    let mut output = std::pin::pin!(copy_output(place, spec, &mut child));
    let grace = Duration::from_millis(spec.grace_ms);
    let lost = says.clone();
    let supervise = async {
        tokio::select! {
            status = child.wait() => return status,
            _ = terminate.recv() => {}
        }
        stop(&mut child, program, grace, lost).await
    };
    let mut supervise = std::pin::pin!(supervise);
    let mut is_drained = false;
    let status = loop {
        let event = tokio::select! {
            status = &mut supervise => Event::Ended(status),
            () = &mut output, if !is_drained => Event::Drained,
            () = changed(&mut says) => Event::Contact,
            _ = orphans.recv() => Event::Orphan,
        };
        match event {
            Event::Ended(status) => break status,
            Event::Drained => is_drained = true,
            Event::Contact => {
                let contact = says.as_mut().map(|says| says.borrow_and_update().clone());
                state.frozen = contact == Some(Contact::Lost);
                // On a full disk nobody learns that it is frozen; it is all the same.
                let _ = folder.write_state(state);
            }
            Event::Orphan => program.reap(),
        }
    };
    let fenced = says.as_ref().map(|says| says.borrow().clone());
    drop(keeper);
    if !is_drained {
        kill_group(program);
        drop(tokio::time::timeout(DRAIN, output).await);
    }
    if let Some(Contact::Fenced(reason)) = fenced {
        state.fenced = true;
        return Ok(reason);
    }
    Ok(describe(&status?))
}

/// Waits until there is news; for ever when there is nobody to tell any.
async fn changed(says: &mut Option<watch::Receiver<Contact>>) {
    let is_open = match says {
        Some(says) => says.changed().await.is_ok(),
        None => false,
    };
    if !is_open {
        std::future::pending::<()>().await;
    }
}

/// Starts the program, directly or by way of [`super::exec_main`].
async fn start(folder: &Folder, place: &Place, spec: &Spec) -> io::Result<(Child, Program)> {
    let group = spec.group.clone().map(Group::at).filter(|group| group.make().is_ok());
    let launcher = spec.launcher.as_ref().filter(|_| group.is_some() || spec.fence.is_some());
    let mut command = Command::new(launcher.unwrap_or(&spec.program));
    let (answer, told) = UnixStream::pair()?;
    match launcher {
        Some(_) => {
            let shim = std::process::id().to_string();
            command.arg("exec-app").arg(folder.path()).arg(shim).stdin(Stdio::from(OwnedFd::from(told)));
        }
        None => {
            drop(told);
            command.args(&spec.args).stdin(Stdio::null());
        }
    }
    let mut child = command
        .env_clear()
        .envs(&spec.env)
        .current_dir(&place.directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    // It holds the other end.
    drop(command);
    let app = child.id().and_then(ProcessId::of);
    answer.set_nonblocking(true)?;
    let mut error = String::new();
    tokio::net::UnixStream::from_std(answer)?.read_to_string(&mut error).await?;
    if !error.is_empty() {
        child.wait().await?;
        return Err(io::Error::other(error));
    }
    let group = group.filter(|group| app.as_ref().is_some_and(|app| group.holds(app.pid)));
    Ok((child, Program { shim: std::process::id(), app, group }))
}

/// Asks the program's group to end, waits for the grace time, then kills it. A program whose lease ended is killed at once: it
/// must not run, not even to end politely.
async fn stop(
    child: &mut Child,
    program: &Program,
    grace: Duration,
    mut contact: Option<watch::Receiver<Contact>>,
) -> io::Result<ExitStatus> {
    if let Some(app) = program.app.as_ref().filter(|_| !grace.is_zero()) {
        let lost = async {
            let lost = match &mut contact {
                Some(contact) => contact.wait_for(|contact| *contact != Contact::Held).await.is_ok(),
                None => false,
            };
            if !lost {
                std::future::pending::<()>().await;
            }
        };
        app.signal_group(Signal::TERM)?;
        tokio::select! {
            status = child.wait() => return status,
            () = tokio::time::sleep(grace) => {}
            () = lost => {}
        }
    }
    program.kill();
    child.kill().await?;
    child.wait().await
}

/// Kills what is left until nothing is.
async fn end(program: &Program) {
    loop {
        kill_group(program);
        program.kill();
        if program.is_gone() {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    if let Some(group) = &program.group {
        group.remove();
    }
}

/// The group's leader is gone, so its number cannot be compared by start time any more; but while any member lives the kernel
/// does not give the number to a new process, and a group without members answers an error.
fn kill_group(program: &Program) {
    let group = program.app.as_ref().and_then(|app| i32::try_from(app.pid).ok());
    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
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
    let mut buffer = vec![0; 8192];
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
