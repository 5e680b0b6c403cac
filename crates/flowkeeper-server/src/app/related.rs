//! Questions about a definition: who reads from it, which programs it uses, whether they can be had, how it is deployed.

use std::time::Duration;

use flowkeeper_api::apps::{AppOption, Hints};
use flowkeeper_dsl::properties::Sanitizer;
use flowkeeper_dsl::{StreamDefinition, related_streams};
use flowkeeper_engine::phase::Phase;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::apps::{self, Listed};
use super::streams::{self, Stream, key_of};
use super::{Error, uri};
use crate::catalog::BUILTIN;
use crate::meta::Model;
use crate::meta::record::WantState;
use crate::state::AppState;

/// How long the server of a program may take to say that it has it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// An app of a stream with the registration it uses.
#[derive(Clone, Debug)]
pub struct UsedApp {
    pub label: String,
    pub app: Listed,
}

/// The stream itself, then those that read from it; `nested` also those that read from these.
///
/// # Errors
/// [`Error::NoStream`].
pub fn related(model: &Model, name: &str, nested: bool) -> Result<Vec<Stream>, Error> {
    streams::get(model, name)?;
    let definitions: Vec<StreamDefinition> =
        model.streams_by_age().filter_map(|(name, _)| model.shown(name)?.definition()).collect();
    let related = related_streams(name, &definitions, nested);
    Ok(related.iter().filter_map(|found| streams::get(model, found.name()?).ok()).collect())
}

/// The registrations of a stream's apps in flow order: of the versions that run, else of the defaults. An app that is no
/// longer registered is left out.
///
/// # Errors
/// [`Error::NoStream`].
pub fn applications(model: &Model, name: &str) -> Result<Vec<UsedApp>, Error> {
    let stream = streams::get(model, name)?;
    let is_deployed = stream.shown.record().want.state == WantState::Deployed;
    let release = model.current_release(name).filter(|_| is_deployed);
    let apps = stream.shown.definition().map(|definition| definition.app_definitions()).unwrap_or_default();
    let used = apps.iter().filter_map(|app| {
        let running = release.and_then(|release| release.apps.iter().find(|it| it.label == app.label));
        let found = apps::get(model, &key_of(app), running.map(|running| running.ver.as_str())).ok()?;
        Some(UsedApp { label: app.label.clone(), app: found })
    });
    Ok(used.collect())
}

/// Whether the programs of a stream's apps can be had, by `<type>:<label>`.
///
/// # Errors
/// [`Error::NoStream`].
pub async fn validate(state: &AppState, name: &str) -> Result<IndexMap<String, bool>, Error> {
    let apps: Vec<(String, Option<String>)> = {
        let model = state.meta.model();
        let stream = streams::get(&model, name)?;
        let apps =
            stream.shown.definition().map(|definition| definition.app_definitions()).unwrap_or_default();
        let uri = |app| apps::get(&model, &key_of(app), None).ok().map(|found| found.uri);
        apps.iter().map(|app| (format!("{}:{}", app.app_type, app.label), uri(app))).collect()
    };
    let mut statuses = IndexMap::with_capacity(apps.len());
    for (key, uri) in apps {
        let can_be_had = match uri {
            Some(uri) => can_be_had(state, &uri).await,
            None => false,
        };
        statuses.insert(key, can_be_had);
    }
    Ok(statuses)
}

async fn can_be_had(state: &AppState, location: &str) -> bool {
    if location.starts_with(BUILTIN) {
        return state.catalog.by_uri(location).is_some();
    }
    if let Some(path) = uri::file_path(location) {
        return tokio::fs::metadata(path).await.is_ok_and(|found| found.is_file());
    }
    // Other schemes cannot be run here either; the client refuses them.
    let answer = state.client.head(location).timeout(PROBE_TIMEOUT).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// How a stream is or was deployed: label → properties of its deployer (secrets masked), the artifact and its version, as JSON. Empty while
/// it is not deployed, unless `reuse` asks for the last deployment.
///
/// # Errors
/// [`Error::NoStream`].
pub fn deployment_properties(model: &Model, name: &str, reuse: bool) -> Result<String, Error> {
    let stream = streams::get(model, name)?;
    let is_shown = reuse || matches!(stream.phase, Phase::Deployed | Phase::Deploying);
    let Some(release) = model.current_release(name).filter(|_| is_shown) else { return Ok(String::new()) };
    // Sink first, in the order of deployment.
    let apps = release.apps.iter().rev().map(|app| {
        let masked = |key: &str, value: &str| Value::String(Sanitizer::Skipper.sanitize(key, value));
        let deployer = app.deployer.iter().map(|(key, value)| (key.clone(), masked(key, value)));
        let mut properties: Map<String, Value> = deployer.collect();
        properties.insert("resource".to_owned(), json!(uri::without_version(&app.uri, &app.ver)));
        properties.insert("version".to_owned(), json!(app.ver));
        (app.label.clone(), Value::Object(properties))
    });
    Ok(Value::Object(apps.collect()).to_string())
}

/// Full name, Java type and default of every property that SCDF's local deployer documents. Those that need Docker or a
/// debugger are accepted and mean nothing here.
const DEPLOYER_OPTIONS: [(&str, &str, Option<&str>, &str); 25] = [
    ("docker.network", "java.lang.String", Some("\"bridge\""), "Network of the container."),
    ("docker.volume-mounts", "java.lang.String", None, "Volumes of the container."),
    ("docker.port-mappings", "java.lang.String", None, "Ports of the container."),
    ("docker.additional-hosts", "java.lang.String", None, "Host names the container knows."),
    (
        "docker.delete-container-on-exit",
        "java.lang.Boolean",
        Some("true"),
        "Remove the container when it ends.",
    ),
    ("docker.port-range.low", "java.lang.Integer", Some("20000"), "Lowest port a container is given."),
    ("docker.port-range.high", "java.lang.Integer", Some("61000"), "Highest port a container is given."),
    ("port-range.high", "java.lang.Integer", Some("61000"), "Highest port an app is given."),
    ("port-range.low", "java.lang.Integer", Some("20000"), "Lowest port an app is given."),
    ("health-probe.path", "java.lang.String", None, "Path that tells whether the app is healthy."),
    ("working-directories-root", "java.nio.file.Path", None, "Folder below which instances have theirs."),
    (
        "use-spring-application-json",
        "java.lang.Boolean",
        Some("true"),
        "Hand properties over as one JSON variable.",
    ),
    (
        "env-vars-to-inherit",
        "java.lang.String[]",
        None,
        "Patterns of variables an app inherits from the agent.",
    ),
    ("shutdown-timeout", "java.lang.Integer", Some("30"), "Seconds an app has to end before it is killed."),
    ("debug-suspend", DEBUG_SUSPEND, None, "Wait for a debugger before the app starts."),
    ("java-opts", "java.lang.String", None, "Options of the Java machine."),
    (
        "java-home-path",
        "java.util.Map<java.lang.String,java.lang.String>",
        None,
        "Folder of Java by Spring Boot generation.",
    ),
    ("inherit-logging", "java.lang.Boolean", Some("false"), "Let apps write to the agent's own output."),
    (
        "app-admin",
        "org.springframework.cloud.deployer.spi.app.AppAdmin",
        None,
        "Account for an app's actuator.",
    ),
    ("debug-port", "java.lang.Integer", None, "Port for a debugger."),
    (
        "delete-files-on-exit",
        "java.lang.Boolean",
        Some("true"),
        "Remove an instance's files when it is withdrawn.",
    ),
    ("hostname", "java.lang.String", None, "Host name in the addresses of apps."),
    ("java-cmd", "java.lang.String", None, "Program that runs Java apps."),
    ("debug-address", "java.lang.String", None, "Address for a debugger."),
    ("startup-probe.path", "java.lang.String", None, "Path that tells whether the app has started."),
];
const DEBUG_SUSPEND: &str =
    "org.springframework.cloud.deployer.spi.local.LocalDeployerProperties$DebugSuspendType";

/// The options of the platform's deployer.
pub fn deployer_options() -> Vec<AppOption> {
    let option = |(name, java_type, default, description): &(&str, &str, Option<&str>, &str)| AppOption {
        id: format!("spring.cloud.deployer.local.{name}"),
        name: name.rsplit('.').next().unwrap_or(name).to_owned(),
        java_type: Some((*java_type).to_owned()),
        description: Some((*description).to_owned()),
        short_description: Some((*description).to_owned()),
        default_value: default.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null),
        hints: Hints::default(),
        deprecation: None,
        deprecated: false,
    };
    DEPLOYER_OPTIONS.iter().map(option).collect()
}
