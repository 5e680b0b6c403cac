//! The life of one app instance on this node: fetch, start, watch, restart, stop; or adopt what an earlier agent started.
//!
//! One task owns one instance under one order. It ends only after the instance's processes are gone, so whoever sees its
//! last report (`STOPPED`) may give the instance to another node. A strict instance is started only through the [`gate`], and
//! runs under a lease that the agent renews ([`crate::lease`]).

mod gate;
mod known;
mod start;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_engine::restart::{AfterExit, RestartPolicy};
use flowkeeper_zk::recipes::Connection;
use rustix::process::Signal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch as channel};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::artifact::Artifacts;
use crate::cgroup::{Group, Groups};
use crate::lease::{Lease, now_ns};
use crate::port::Ports;
use crate::process::Process;
use crate::record::{StatusEntry, StatusState};
use crate::shim::{Folder, State};
use crate::znode;
use known::Known;
use watch::Echo;

/// Time on top of the grace time after which a shim that does not obey is killed with its program.
const SHIM_SLACK: Duration = Duration::from_secs(5);
/// How long taking over an instance waits to learn how it would be started again.
const LEARN: Duration = Duration::from_secs(2);
/// How long a program that does not become ready keeps others from being started.
const START_SHARE: Duration = Duration::from_secs(30);
/// How much of the last output a report carries, in bytes.
const LAST_OUTPUT: usize = 1_500;
/// Pause between two looks at processes that were killed.
const LOOK: Duration = Duration::from_millis(20);

/// What instances of one node share.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) connection: Connection,
    pub(crate) artifacts: Artifacts,
    pub(crate) ports: Ports,
    pub(crate) http: reqwest::Client,
    /// Folder of all instances.
    pub(crate) instances: PathBuf,
    /// This binary: shims and bundled apps are run by it.
    pub(crate) program: PathBuf,
    /// The agent's own environment.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) policy: RestartPolicy,
    /// Where control groups are made, if they can be.
    pub(crate) groups: Option<Groups>,
    /// Until when strict instances may run; `None`: the node fences nothing.
    pub(crate) leases: Option<Leases>,
    /// Why nothing new is started at present.
    pub(crate) unfit: channel::Receiver<Option<String>>,
    /// Room for instances that are starting: programs work hardest then, and a node that takes over those of a lost one
    /// would starve what already runs.
    pub(crate) starting: Arc<Semaphore>,
}

/// What instances know of the node's leases.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    pub(crate) lease: Lease,
    /// The newest deadline on the clock of leases; 0 before the first.
    pub(crate) deadline: channel::Receiver<u64>,
}

impl Leases {
    /// Ns until the newest deadline.
    fn left_ns(&self) -> u64 {
        self.deadline.borrow().saturating_sub(now_ns())
    }
}

/// One order to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) instance: InstanceId,
    pub(crate) uid: String,
    pub(crate) term: u64,
    pub(crate) release: u32,
    /// Whether it runs under a lease.
    pub(crate) is_strict: bool,
}

/// A report about an instance.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) instance: InstanceId,
    pub(crate) entry: StatusEntry,
}

/// Carries out `job` until `stop`, then stops the instance and reports so.
pub(crate) async fn live(
    node: Arc<Node>,
    job: Job,
    stop: CancellationToken,
    reports: mpsc::Sender<Reported>,
) {
    let folder = node.folder(&job.instance);
    let mut life = Life {
        node,
        job,
        folder,
        stop,
        reports,
        restarts: 0,
        failing: None,
        port: None,
        attrs: BTreeMap::new(),
        exit: None,
        echo: None,
        known: None,
        start_share: None,
    };
    if let Ended::Failed(reason) = life.run().await {
        // It may have failed in the middle of its start, and nothing more is started here.
        life.start_share = None;
        life.report(StatusState::Failed, false, Some(reason)).await;
        life.stop.cancelled().await;
    }
    life.report(StatusState::Stopped, false, None).await;
}

impl Node {
    pub(crate) fn folder(&self, instance: &InstanceId) -> Folder {
        Folder::new(self.instances.join(znode::instance_segment(instance)))
    }
}

struct Life {
    node: Arc<Node>,
    job: Job,
    folder: Folder,
    stop: CancellationToken,
    reports: mpsc::Sender<Reported>,
    restarts: u32,
    /// Why it ended, without what it printed, until it is ready again.
    failing: Option<String>,
    port: Option<u16>,
    attrs: BTreeMap<String, String>,
    exit: Option<String>,
    /// Repeats its output as the agent's own.
    echo: Option<Echo>,
    known: Option<Known>,
    /// Held from its start until it is ready, or has had [`START_SHARE`].
    start_share: Option<OwnedSemaphorePermit>,
}

/// How a life ended.
enum Ended {
    /// As ordered; nothing of it runs.
    Stopped,
    /// By itself and for good, for this reason; nothing of it runs.
    Failed(String),
}

/// How a process ended by itself, and what it said last.
struct Exit {
    reason: String,
    output: String,
}

/// Why an instance could not be started.
enum StartError {
    /// May pass: counts as a crash.
    Passing(Exit),
    /// Will not pass by itself.
    Final(String),
    /// Told to stop meanwhile.
    Stopped,
}

impl Life {
    async fn run(&mut self) -> Ended {
        let mut shim = self.adopt().await;
        if shim.is_some() && !self.stop.is_cancelled() {
            // While there is contact: it may be gone when the instance has to be started again.
            drop(timeout(LEARN, self.learn()).await);
        }
        loop {
            if self.stop.is_cancelled() {
                if let Some(shim) = shim {
                    self.end(&shim).await;
                }
                return Ended::Stopped;
            }
            let started = Instant::now();
            let Exit { reason, output } = match shim.take() {
                Some(running) => match self.watch(&running).await {
                    None => return Ended::Stopped,
                    Some(exit) => exit,
                },
                None => match self.start().await {
                    Ok(running) => {
                        shim = Some(running);
                        continue;
                    }
                    Err(StartError::Stopped) => return Ended::Stopped,
                    Err(StartError::Final(reason)) => return Ended::Failed(reason),
                    Err(StartError::Passing(exit)) => exit,
                },
            };
            self.start_share = None;
            tracing::warn!(app.instance = %self.job.instance, reason, output, "an app instance ended by itself");
            if self.was_fenced() {
                // No fault of the program: it is started again as soon as there is contact.
                self.report(StatusState::Backoff, false, Some(reason)).await;
                continue;
            }
            self.failing = Some(reason.clone());
            match self.node.policy.after_exit(self.restarts, started.elapsed()) {
                AfterExit::Fail { restarts } => {
                    return Ended::Failed(with_output(
                        format!("{reason}; given up after {restarts} restarts"),
                        &output,
                    ));
                }
                AfterExit::Restart { pause, restarts } => {
                    self.restarts = restarts;
                    let reason = format!("{reason}; restart {restarts} in {} s", pause.as_secs());
                    self.report(StatusState::Backoff, false, Some(with_output(reason, &output))).await;
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Takes over what an earlier agent left in the folder: a live shim of this very order is kept, anything else is ended.
    async fn adopt(&mut self) -> Option<Process> {
        let state = self.folder.state()?;
        let spec = self.folder.spec()?;
        let shim = Process::open(&state.shim).ok().flatten();
        // One that is fenced differently from what the order says would be frozen for ever, or never.
        let is_mine = spec.uid == self.job.uid
            && spec.term == self.job.term
            && spec.fence.is_some() == self.job.is_strict;
        match shim {
            Some(shim) if is_mine && state.ended.is_none() => {
                tracing::info!(app.instance = %self.job.instance, pid = state.app.as_ref().map(|app| app.pid), "adopted");
                self.restarts = spec.restarts;
                self.port = spec.port;
                self.echo = Echo::of(&spec, &self.folder);
                self.attrs = spec.attributes;
                self.describe(&state);
                Some(shim)
            }
            Some(shim) => {
                self.end(&shim).await;
                None
            }
            None => {
                end_orphan(&state).await;
                None
            }
        }
    }

    fn was_fenced(&self) -> bool {
        self.folder.state().is_some_and(|state| state.fenced)
    }

    /// Stops a shim and its program and returns when both are gone.
    async fn end(&self, shim: &Process) {
        let grace = Duration::from_millis(self.folder.spec().map_or(0, |spec| spec.grace_ms));
        if let Err(error) = shim.signal(Signal::TERM) {
            tracing::warn!(app.instance = %self.job.instance, %error, "a shim could not be told to stop");
        }
        if timeout(grace + SHIM_SLACK, shim.ended()).await.is_err() {
            tracing::warn!(app.instance = %self.job.instance, "a shim does not stop and is killed");
            drop(shim.signal(Signal::KILL));
            shim.ended().await;
        }
        if let Some(state) = self.folder.state() {
            end_orphan(&state).await;
        }
    }

    async fn explain_end(&mut self) -> Exit {
        let state = self.folder.state();
        if let Some(state) = &state {
            end_orphan(state).await;
        }
        let ended = state.and_then(|state| state.ended);
        let ended =
            ended.unwrap_or_else(|| "its shim was killed, or could not write down how it ended".to_owned());
        self.exit = Some(ended.clone());
        Exit { reason: ended, output: self.folder.last_output(LAST_OUTPUT) }
    }

    fn describe(&mut self, state: &State) {
        if let Some(app) = &state.app {
            self.attrs.insert("pid".to_owned(), app.pid.to_string());
        }
    }

    async fn report(&self, st: StatusState, ready: bool, err: Option<String>) {
        let mut entry = StatusEntry {
            t: self.job.term,
            rel: self.job.release,
            st,
            ready,
            pid: self.attrs.get("pid").and_then(|pid| pid.parse().ok()),
            port: self.port,
            since: String::new(),
            restarts: self.restarts,
            failing: self.failing.is_some(),
            exit: self.exit.clone(),
            err: err.map(|err| err.chars().take(2_000).collect()),
            events: Vec::new(),
            attrs: self.attrs.clone(),
            extra: Default::default(),
        };
        let told = [
            ("restarts", (self.restarts > 0).then(|| self.restarts.to_string())),
            ("last.exit", self.exit.clone()),
            ("reason", entry.err.clone()),
        ];
        entry.attrs.extend(told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        // The receiver is gone only when the agent ends; then nobody wants to know.
        drop(self.reports.send(Reported { instance: self.job.instance.clone(), entry }).await);
    }
}

fn passing(reason: String) -> StartError {
    StartError::Passing(Exit { reason, output: String::new() })
}

/// A reason on its first line, then what the program said.
fn with_output(reason: String, output: &str) -> String {
    if output.is_empty() { reason } else { format!("{reason}; last output:\n{output}") }
}

/// Kills a program whose shim is gone, and waits until nothing of it is left.
async fn end_orphan(state: &State) {
    if let Some(app) = state.app.as_ref().filter(|app| app.is_alive()) {
        tracing::warn!(pid = app.pid, "a program without its shim is killed");
        drop(app.signal_group(Signal::KILL));
    }
    while state.app.as_ref().is_some_and(|app| app.is_alive()) {
        sleep(LOOK).await;
    }
    // After a reboot there is no such group, or it is another agent's.
    let Some(group) = state.group.clone().filter(|_| state.shim.is_of_this_boot()).map(Group::at) else {
        return;
    };
    while !group.is_empty() {
        if let Err(error) = group.kill() {
            tracing::warn!(group = %group.path().display(), %error, "what is left of an instance cannot be killed");
        }
        sleep(LOOK).await;
    }
    group.remove();
}
