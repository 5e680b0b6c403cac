//! The life of one app instance on this node: fetch, start, watch, restart, stop; or adopt what an earlier agent started.
//!
//! One task owns one instance under one order. It ends only after the instance's processes are gone, so whoever sees its
//! last report (`STOPPED`) may give the instance to another node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_engine::model::InstanceId;
use flowkeeper_engine::restart::{AfterExit, RestartPolicy};
use flowkeeper_zk::recipes::Connection;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::artifact::Artifacts;
use crate::environment::Launch;
use crate::health::{Health, probe};
use crate::port::{self, Ports};
use crate::process::Process;
use crate::record::{ClusterRecord, Manifest, ManifestApp, StatusEntry, StatusState, decode};
use crate::shim::{Folder, Spec, State};
use crate::znode;

/// Pause between two looks at an app that is not ready, and at one that is.
const PROBE_STARTING: Duration = Duration::from_millis(50);
const PROBE_READY: Duration = Duration::from_secs(5);
/// How long a shim may take to start its program.
const SHIM_START: Duration = Duration::from_secs(10);
/// Time on top of the grace time after which a shim that does not obey is killed with its program.
const SHIM_SLACK: Duration = Duration::from_secs(5);
/// Size at which an output file is rotated.
const LOG_BYTES: u64 = 10 << 20;
/// How much of the last output a report carries, in bytes.
const LAST_OUTPUT: usize = 1_500;

/// What instances of one node share.
#[derive(Debug)]
pub(crate) struct Node {
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
}

/// One order to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) instance: InstanceId,
    pub(crate) uid: String,
    pub(crate) term: u64,
    pub(crate) release: u32,
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
    };
    if let Ended::Failed(reason) = life.run().await {
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
            tracing::warn!(app.instance = %self.job.instance, reason, output, "an app instance ended by itself");
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
        let is_mine = spec.uid == self.job.uid && spec.term == self.job.term;
        match shim {
            Some(shim) if is_mine && state.ended.is_none() => {
                tracing::info!(app.instance = %self.job.instance, pid = state.app.as_ref().map(|app| app.pid), "adopted");
                self.restarts = spec.restarts;
                self.port = spec.port;
                self.attrs = spec.attributes;
                self.describe(&state);
                Some(shim)
            }
            Some(shim) => {
                self.end(&shim).await;
                None
            }
            None => {
                end_orphan(&state);
                None
            }
        }
    }

    async fn start(&mut self) -> Result<Process, StartError> {
        let reason = self.failing.as_ref().map(|reason| format!("{reason}; restart {}", self.restarts));
        self.report(StatusState::Fetching, false, reason.clone()).await;
        let stop = self.stop.clone();
        let prepared = tokio::select! {
            prepared = self.prepare() => prepared?,
            () = stop.cancelled() => return Err(StartError::Stopped),
        };
        self.folder.prepare(&prepared).map_err(|error| {
            passing(format!("its folder {} cannot be written: {error}", self.folder.path().display()))
        })?;
        self.report(StatusState::Starting, false, reason).await;
        self.spawn_shim().await
    }

    /// Gathers everything a start needs: the release, the program, a port.
    async fn prepare(&mut self) -> Result<Spec, StartError> {
        let Job { instance, uid, term, release } = self.job.clone();
        let app = self.manifest_app().await?;
        let defaults = self.cluster_defaults().await;
        let program = self.node.artifacts.resolve(&app.uri).await.map_err(|error| match error {
            crate::artifact::ArtifactError::Fetch { .. } | crate::artifact::ArtifactError::Write { .. } => {
                passing(error.to_string())
            }
            error => StartError::Final(error.to_string()),
        })?;
        let port = self.choose_port(&app)?;
        let launch =
            Launch { instance: &instance, app: &app, uid: &uid, term, release, port, defaults: &defaults };
        let (program, args) = launch.command(&program, &self.node.program);
        self.port = Some(port);
        self.attrs = self.attributes(&launch);
        Ok(Spec {
            env: launch.environment(&self.node.env),
            uid,
            term,
            program,
            args,
            grace_ms: Launch::grace_ms(&app),
            log_bytes: LOG_BYTES,
            port: Some(port),
            restarts: self.restarts,
            attributes: self.attrs.clone(),
        })
    }

    async fn manifest_app(&self) -> Result<ManifestApp, StartError> {
        let path = znode::release(&self.job.instance.stream, self.job.release);
        let data = loop {
            match self.node.connection.client().get_data(&path).await {
                Ok((data, _)) => break data,
                Err(zookeeper_client::Error::NoNode) => {
                    return Err(StartError::Final(format!(
                        "release {} is gone; deploy again",
                        self.job.release
                    )));
                }
                // The connection reconnects by itself; the order stands until then.
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        };
        let manifest: Manifest =
            decode(&path, &data).map_err(|error| StartError::Final(error.to_string()))?;
        let found = manifest.apps.into_iter().find(|app| app.label == self.job.instance.app);
        found.ok_or_else(|| {
            StartError::Final(format!("release {} has no app {}", self.job.release, self.job.instance.app))
        })
    }

    /// Defaults of the cluster; none while nobody wrote any.
    async fn cluster_defaults(&self) -> BTreeMap<String, String> {
        let data = self.node.connection.client().get_data(znode::CLUSTER).await;
        data.ok()
            .and_then(|(data, _)| decode::<ClusterRecord>(znode::CLUSTER, &data).ok())
            .unwrap_or_default()
            .defaults
    }

    fn choose_port(&self, app: &ManifestApp) -> Result<u16, StartError> {
        match Launch::fixed_port(app) {
            Some(port) if port::is_free(port) => Ok(port),
            Some(port) => {
                let holder = port::holder(port).unwrap_or_else(|| "another process".to_owned());
                Err(passing(format!(
                    "port {port} is in use by {holder}; free it or give this app another --server.port"
                )))
            }
            None => self.node.ports.allocate().ok_or_else(|| passing("no port is free".to_owned())),
        }
    }

    /// What SCDF's local deployer tells about an instance.
    fn attributes(&self, launch: &Launch<'_>) -> BTreeMap<String, String> {
        let text = |path: PathBuf| path.display().to_string();
        let attributes = [
            ("guid", launch.guid()),
            ("port", launch.port.to_string()),
            ("url", format!("http://127.0.0.1:{}", launch.port)),
            ("working.dir", text(self.folder.path().to_owned())),
            ("stdout", text(self.folder.stdout())),
            ("stderr", text(self.folder.stderr())),
            ("skipper.application.name", launch.app.app.clone()),
            ("skipper.release.name", launch.instance.stream.clone()),
            ("skipper.release.version", launch.release.to_string()),
        ];
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn spawn_shim(&mut self) -> Result<Process, StartError> {
        let log = std::fs::File::create(self.folder.path().join("shim.log"));
        let log = log.map_or_else(|_| Stdio::null(), Stdio::from);
        let spawned = tokio::process::Command::new(&self.node.program)
            .arg("shim")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        // Dropping the handle does not kill it; the runtime reaps it when it ends.
        let mut shim = spawned.map_err(|error| {
            passing(format!("{} could not be started: {error}", self.node.program.display()))
        })?;
        let deadline = Instant::now() + SHIM_START;
        loop {
            if let Some(state) = self.folder.state() {
                if state.start_failed {
                    let reason = state.ended.unwrap_or_default();
                    return Err(StartError::Final(format!("{reason}; check the registered program")));
                }
                self.describe(&state);
                if let Ok(Some(process)) = Process::open(&state.shim) {
                    return Ok(process);
                }
                return Err(StartError::Passing(self.explain_end()));
            }
            if let Ok(Some(status)) = shim.try_wait() {
                return Err(passing(format!(
                    "its shim ended early with {status}; see shim.log in its folder"
                )));
            }
            if Instant::now() > deadline {
                drop(shim.start_kill());
                return Err(passing(format!("its shim did not start within {} s", SHIM_START.as_secs())));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Watches a running instance. `None`: it was stopped as ordered. `Some`: it ended by itself, for this reason.
    async fn watch(&mut self, shim: &Process) -> Option<Exit> {
        let mut said = None;
        loop {
            let health = match self.port {
                Some(port) => probe(&self.node.http, port).await,
                None => Health::Ready,
            };
            let pause = if health == Health::Ready { PROBE_READY } else { PROBE_STARTING };
            if said.as_ref() != Some(&health) {
                let reason = match &health {
                    Health::Ready => {
                        self.failing = None;
                        None
                    }
                    Health::NotReady(reason) => Some(reason.clone()),
                };
                self.report(StatusState::Running, reason.is_none(), reason).await;
                said = Some(health);
            }
            tokio::select! {
                () = shim.ended() => return Some(self.explain_end()),
                () = self.stop.cancelled() => {
                    self.report(StatusState::Stopping, false, None).await;
                    self.end(shim).await;
                    return None;
                }
                () = sleep(pause) => {}
            }
        }
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
            end_orphan(&state);
        }
    }

    fn explain_end(&mut self) -> Exit {
        let state = self.folder.state();
        if let Some(state) = &state {
            end_orphan(state);
        }
        let ended = state.and_then(|state| state.ended).unwrap_or_else(|| "its shim was killed".to_owned());
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

/// Kills a program whose shim is gone.
fn end_orphan(state: &State) {
    if let Some(app) = state.app.as_ref().filter(|app| app.is_alive()) {
        tracing::warn!(pid = app.pid, "a program without its shim is killed");
        drop(app.signal_group(Signal::KILL));
    }
}
