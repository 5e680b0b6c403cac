//! What runs, as SCDF tells it: deployments with their instances.

use std::collections::BTreeMap;
use std::time::Duration;

use flowkeeper_deploy::properties::deployer_property;
use flowkeeper_deploy::record::{Manifest, ManifestApp};
use flowkeeper_engine::model::InstanceId;
use flowkeeper_engine::phase::{Phase, StreamPhase, aggregate_instances};

use super::Error;
use crate::meta::Model;
use crate::meta::record::WantState;

/// How long an app may take to answer, and how much it may say.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(30);
const UPSTREAM_BYTES: usize = 8 << 20;

/// One app of a stream that is deployed.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// `<stream>.<label>-v<release>`.
    pub id: String,
    /// Registered name.
    pub app: String,
    pub phase: Phase,
    pub instances: Vec<Instance>,
}

/// One copy of an app.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `<deployment id>-<index>`.
    pub id: String,
    pub phase: Phase,
    /// What its node tells about it; a few are known before it does.
    pub attributes: BTreeMap<String, String>,
    /// Account that its actuator asks for: name and password, from `deployer.<app>.local.app-admin`.
    admin: Option<(String, String)>,
}

/// A stream that is deployed, with its apps, sink first.
#[derive(Clone, Debug)]
pub struct Running {
    pub stream: String,
    pub release: u32,
    pub apps: Vec<Deployment>,
}

/// All streams that are deployed, oldest first.
pub fn running(model: &Model) -> Vec<Running> {
    model.streams_by_age().filter_map(|(name, _)| running_stream(model, name)).collect()
}

/// One stream with the apps that are to run, and those that are being replaced; `None` when it is not deployed.
pub fn running_stream(model: &Model, name: &str) -> Option<Running> {
    let (release, phase) = deployed(model, name)?;
    let mut apps: Vec<Deployment> =
        release.apps.iter().rev().map(|app| deployment(model, name, release, app, &phase)).collect();
    if let Some(old) = model.replacing(name).and_then(|(_, from)| model.release(name, from)) {
        let replaced = old.apps.iter().rev().map(|app| deployment(model, name, old, app, &phase));
        let replaced: Vec<_> = replaced.filter(|app| apps.iter().all(|known| known.id != app.id)).collect();
        apps.extend(replaced);
    }
    Some(Running { stream: name.to_owned(), release: release.n, apps })
}

/// One app that is deployed.
///
/// # Errors
/// [`Error::NoDeployment`].
pub fn app(model: &Model, id: &str) -> Result<Deployment, Error> {
    let find = || {
        let (stream, _) = id.split_once('.')?;
        running_stream(model, stream)?.apps.into_iter().find(|app| app.id == id)
    };
    find().ok_or_else(|| Error::NoDeployment(id.to_owned()))
}

/// One instance of an app.
///
/// # Errors
/// [`Error::NoDeployment`], [`Error::NoInstance`].
pub fn instance(model: &Model, app_id: &str, id: &str) -> Result<Instance, Error> {
    let found = app(model, app_id)?.instances.into_iter().find(|instance| instance.id == id);
    found.ok_or_else(|| Error::NoInstance(id.to_owned()))
}

/// Sends a request to an instance and gives back its status and text. `path` is below the instance's own address.
///
/// # Errors
/// [`Error::Upstream`] when it has no address yet, or does not answer.
pub async fn ask(
    client: &reqwest::Client,
    instance: &Instance,
    path: &str,
    body: Option<(&str, Vec<u8>)>,
) -> Result<(u16, String), Error> {
    let upstream = |reason: &dyn std::fmt::Display| {
        Error::Upstream(format!("app instance {} does not answer: {reason}", instance.id))
    };
    let url = instance.attributes.get("url").ok_or_else(|| upstream(&"it has no address yet"))?;
    let url = format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'));
    let request = match body {
        Some((content_type, body)) => client.post(&url).header("Content-Type", content_type).body(body),
        None => client.get(&url),
    };
    let request = match instance.admin.as_ref().filter(|_| path.starts_with("/actuator/")) {
        Some((user, password)) => request.basic_auth(user, Some(password)),
        None => request,
    };
    let mut response = request.timeout(UPSTREAM_TIMEOUT).send().await.map_err(|error| upstream(&error))?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| upstream(&error))? {
        text.extend_from_slice(&chunk);
        if text.len() > UPSTREAM_BYTES {
            return Err(upstream(&format_args!("it says more than {UPSTREAM_BYTES} bytes")));
        }
    }
    Ok((response.status().as_u16(), String::from_utf8_lossy(&text).into_owned()))
}

/// The id SCDF gives to an app of a release.
pub fn deployment_id(stream: &str, label: &str, release: u32) -> String {
    format!("{stream}.{label}-v{release}")
}

fn deployed<'a>(model: &'a Model, name: &str) -> Option<(&'a Manifest, StreamPhase)> {
    let stream = model.stream(name)?;
    let release = model.current_release(name).filter(|_| stream.record.want.state == WantState::Deployed)?;
    Some((release, model.phase(name)?))
}

fn deployment(
    model: &Model,
    stream: &str,
    release: &Manifest,
    app: &ManifestApp,
    phase: &StreamPhase,
) -> Deployment {
    let since = release.since(app);
    let account = |name: &str| deployer_property(app, &format!("local.app-admin.{name}")).map(str::to_owned);
    let admin = account("user").zip(account("password"));
    let id = deployment_id(stream, &app.label, since);
    let count = model.count(stream, release, app);
    let phases: Vec<(InstanceId, Phase)> = (0..count)
        .map(|index| {
            let instance = InstanceId::new(stream, app.label.clone(), since, index);
            let phase = phase.instances.get(&instance).map_or(Phase::Unknown, |(phase, _)| *phase);
            (instance, phase)
        })
        .collect();
    let aggregated: Vec<Phase> = phases.iter().map(|(_, phase)| *phase).collect();
    let instances = phases.into_iter().map(|(instance, phase)| {
        let id = format!("{id}-{}", instance.index);
        let known = [
            ("guid", id.clone()),
            ("skipper.application.name", app.app.clone()),
            ("skipper.release.name", stream.to_owned()),
        ];
        let mut attributes: BTreeMap<String, String> =
            known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some(status) = model.status(&instance) {
            attributes.extend(status.attrs.clone());
        }
        // Apps that were carried over belong to the present release too.
        attributes.insert("skipper.release.version".to_owned(), release.n.to_string());
        Instance { id, phase, attributes, admin: admin.clone() }
    });
    Deployment {
        app: app.app.clone(),
        instances: instances.collect(),
        phase: aggregate_instances(&aggregated),
        id,
    }
}
