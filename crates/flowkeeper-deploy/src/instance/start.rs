//! Starts an instance: gathers what it needs, writes it down for the shim, and starts that.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::known::Known;
use super::watch::Echo;
use super::{Job, Life, StartError, passing};
use crate::artifact::Program;
use crate::environment::Launch;
use crate::health::Probe;
use crate::port;
use crate::process::Process;
use crate::properties::{DeployerProperties, Port};
use crate::record::{ManifestApp, StatusState};
use crate::shim::{Fence, Place, Spec};
use crate::znode;

/// How long a shim may take to start its program.
const SHIM_START: Duration = Duration::from_secs(10);
/// Size at which an output file is rotated.
const LOG_BYTES: u64 = 10 << 20;

impl Life {
    pub(super) async fn start(&mut self) -> Result<Process, StartError> {
        self.may_start().await?;
        let reason = self.failing.as_ref().map(|reason| format!("{reason}; restart {}", self.restarts));
        self.report(StatusState::Fetching, false, reason.clone()).await;
        let stop = self.stop.clone();
        let prepared = tokio::select! {
            prepared = self.prepare() => prepared?,
            () = stop.cancelled() => return Err(StartError::Stopped),
        };
        self.folder.prepare(&prepared).map_err(|error| {
            let place = prepared.place.as_ref().map_or(self.folder.path(), |place| &place.directory);
            passing(format!("its folder {} cannot be written: {error}", place.display()))
        })?;
        self.echo = Echo::of(&prepared, &self.folder);
        self.take_start_share().await?;
        self.report(StatusState::Starting, false, reason).await;
        self.pass_gate().await?;
        self.spawn_shim().await
    }

    /// Waits for its turn while as many as this node can bear are starting.
    async fn take_start_share(&mut self) -> Result<(), StartError> {
        let starting = Arc::clone(&self.node.starting);
        if let Ok(share) = Arc::clone(&starting).try_acquire_owned() {
            self.start_share = Some(share);
            return Ok(());
        }
        let reason = "waits until others on its node have started".to_owned();
        self.report(StatusState::Starting, false, Some(reason)).await;
        tokio::select! {
            // Nobody closes it.
            share = starting.acquire_owned() => self.start_share = share.ok(),
            () = self.stop.cancelled() => return Err(StartError::Stopped),
        }
        Ok(())
    }

    /// Gathers everything a start needs: the release, the program, a port.
    async fn prepare(&mut self) -> Result<Spec, StartError> {
        let Job { instance, uid, term, .. } = self.job.clone();
        let Known { made, app, defaults } = self.know().await?;
        let asked = DeployerProperties::read(&app).map_err(|error| StartError::Final(error.to_string()))?;
        for remark in &asked.remarks {
            tracing::warn!(app.instance = %instance, "{remark}");
        }
        let program = self.node.artifacts.resolve(&app.uri).await.map_err(|error| match error {
            crate::artifact::ArtifactError::Fetch { .. } | crate::artifact::ArtifactError::Write { .. } => {
                passing(error.to_string())
            }
            error => StartError::Final(error.to_string()),
        })?;
        let port = self.choose_port(&app, &asked)?;
        let launch = Launch {
            instance: &instance,
            app: &app,
            asked: &asked,
            uid: &uid,
            term,
            port,
            defaults: &defaults,
            inherited: &self.node.env,
        };
        let (command, args) = launch.command(&program, &self.node.program).map_err(StartError::Final)?;
        let id = launch.deployment_id();
        let place = asked.root.as_ref().map(|root| Place::new(root, made, &id, instance.index));
        let is_java = matches!(program, Program::Jar(_));
        let debug = asked.java.debug.as_ref().filter(|debug| is_java && debug.suspend);
        // Without a host Java listens on the loopback address.
        let debugger = debug.map(|debug| match (&debug.address.host, debug.address_of(instance.index)) {
            (Some(_), address) => address,
            (None, port) => format!("127.0.0.1:{port}"),
        });
        let env = launch.environment();
        let fence = self.fence(&asked);
        let attributes = self.attributes(&launch, place.as_ref());
        self.port = port;
        self.attrs = attributes.clone();
        Ok(Spec {
            env,
            uid,
            term,
            program: command,
            args,
            grace_ms: asked.grace_ms,
            log_bytes: LOG_BYTES,
            port,
            restarts: self.restarts,
            attributes,
            place,
            probe: Probe { debugger, ..asked.probe },
            inherits_output: asked.inherits_output,
            keeps_files: asked.keeps_files,
            launcher: Some(self.node.program.clone()),
            group: self
                .node
                .groups
                .as_ref()
                .map(|groups| groups.group(&znode::instance_segment(&instance)).path().to_owned()),
            fence,
        })
    }

    /// How a strict instance is kept from outliving its lease.
    fn fence(&self, asked: &DeployerProperties) -> Option<Fence> {
        let leases = self.node.leases.as_ref().filter(|_| self.job.is_strict)?;
        Some(Fence { lease_ms: leases.lease.profile.deadline_ms, freeze_max_ms: asked.fence.freeze_max_ms() })
    }

    fn choose_port(&self, app: &ManifestApp, asked: &DeployerProperties) -> Result<Option<u16>, StartError> {
        match &asked.port {
            Port::Nothing => Ok(None),
            Port::Free(range) => self.node.ports.allocate_in(range).map(Some).ok_or_else(|| {
                passing(format!(
                    "no port from {} to {} is free; free some, or choose others with deployer.{}.local.portRange.low and \
                     .high",
                    range.start(),
                    range.end(),
                    app.label
                ))
            }),
            Port::Fixed(port) if port::is_free(*port) => Ok(Some(*port)),
            Port::Fixed(port) => {
                let holder = port::holder(*port).unwrap_or_else(|| "another process".to_owned());
                let way_out = if app.count > 1 {
                    format!(
                        "its {} instances are given one port, so no two of them can run on one node; leave \
                         server.port out, or run one instance",
                        app.count
                    )
                } else {
                    "free it or give this app another --server.port".to_owned()
                };
                Err(passing(format!("port {port} is in use by {holder}; {way_out}")))
            }
        }
    }

    /// What SCDF's local deployer tells about an instance.
    fn attributes(&self, launch: &Launch<'_>, place: Option<&Place>) -> BTreeMap<String, String> {
        let own = self.folder.place();
        let place = place.unwrap_or(&own);
        let text = |path: &Path| path.display().to_string();
        let mut attributes = vec![
            ("guid", launch.guid()),
            ("working.dir", text(&place.directory)),
            ("stdout", text(&place.stdout)),
            ("stderr", text(&place.stderr)),
            ("skipper.application.name", launch.app.app.clone()),
            ("skipper.release.name", launch.instance.stream.clone()),
            ("skipper.release.version", self.job.release.to_string()),
        ];
        if let Some(port) = launch.port {
            let address = launch.asked.probe.address.map(|address| address.to_string());
            let host = launch.asked.hostname.clone().or(address).unwrap_or_else(|| "127.0.0.1".to_owned());
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            attributes.extend([("port", port.to_string()), ("url", format!("http://{host}:{port}"))]);
        }
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
                return Err(StartError::Passing(self.explain_end().await));
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
}
