//! Making and ending deployments.
//!
//! A deployment is decided here completely and written once: the release with every property resolved, the definition
//! rewritten as SCDF rewrites it, and the wish that it runs. What follows is the leader's work.

use std::collections::BTreeSet;

use flowkeeper_deploy::record::{Manifest, ManifestApp};
use flowkeeper_dsl::properties::validate_stream_keys;
use flowkeeper_dsl::{AppDefinition, MAX_TEXT_BYTES, PrintStyle, StreamDefinition, keys, parse, print_apps};
use flowkeeper_engine::binding::{self, AppRequest, Context, Properties, deploy_requests};
use flowkeeper_engine::phase::Phase;

use super::apps::{self, Listed};
use super::properties::{check_bundled, resource_defaults};
use super::streams::{change_want, key_of, operation};
use super::{Error, with_retry};
use crate::clock;
use crate::meta::record::{StreamRecord, WantState};
use crate::meta::{AppKey, Written};
use crate::state::AppState;

/// Release option that names the platform.
const PLATFORM: &str = "spring.cloud.dataflow.skipper.platformName";
const COUNT: &str = "spring.cloud.deployer.count";
/// Longest name SCDF gives to a deployment, with room for its number.
const MAX_DEPLOYMENT_NAME: usize = 58;

/// A deployment that is decided and not yet written.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) release: Manifest,
    /// The definition with the properties of this release.
    pub(super) dsl: String,
    /// Registered versions it uses.
    pub(super) apps: Vec<(AppKey, String)>,
}

/// Deploys a stream with these properties.
///
/// # Errors
/// [`Error::NoStream`], [`Error::AlreadyDeployed`], [`Error::AlreadyDeploying`], or what is wrong with the properties.
pub async fn deploy(state: &AppState, name: &str, properties: &Properties) -> Result<Option<Written>, Error> {
    with_retry(&format!("stream '{name}'"), || async {
        let (read, number) = {
            let model = state.meta.model();
            let read = model.stream(name).cloned().ok_or_else(|| Error::NoStream(name.to_owned()))?;
            match model.phase(name).map(|phase| phase.phase) {
                Some(Phase::Deployed) => return Err(Error::AlreadyDeployed(name.to_owned()).into()),
                Some(Phase::Deploying) => return Err(Error::AlreadyDeploying(name.to_owned()).into()),
                _ => {}
            }
            let newest = model.releases(name).map(|release| release.n).max().unwrap_or(0);
            let number = newest.max(read.record.want.rel) + 1;
            (read, number)
        };
        let definition = parse(Some(name), &read.record.dsl)
            .map_err(|error| Error::InvalidStream(error.scdf_message()))?;
        let prepared = prepare(state, &definition, properties, number).await?;
        let mut record = StreamRecord::clone(&read.record);
        record.dsl.clone_from(&prepared.dsl);
        record.want.state = WantState::Deployed;
        record.want.r#gen += 1;
        record.want.rel = number;
        record.op = operation();
        record.at = clock::now();
        let written =
            state.meta.update_stream(&read, &record, &prepared.apps, Some(&prepared.release)).await?;
        Ok(Some(written))
    })
    .await
}

/// Stops a stream; its definition and releases stay. Nothing happens to one that is not deployed.
///
/// # Errors
/// [`Error::NoStream`].
pub async fn undeploy(state: &AppState, name: &str) -> Result<Option<Written>, Error> {
    let decide = |want| Ok((want == WantState::Deployed).then_some(WantState::Undeployed));
    change_want(state, name, decide).await
}

/// Stops all streams.
///
/// # Errors
/// When a write fails; streams before it are being stopped then.
pub async fn undeploy_all(state: &AppState) -> Result<Option<Written>, Error> {
    let names: Vec<String> = state.meta.model().streams_by_age().map(|(name, _)| name.to_owned()).collect();
    let mut last = None;
    for name in names {
        match undeploy(state, &name).await {
            Ok(written) => last = written.or(last),
            Err(Error::NoStream(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last)
}

/// Decides release `number` of a stream.
///
/// # Errors
/// What is wrong with the properties, or an app that is not registered.
pub(super) async fn prepare(
    state: &AppState,
    definition: &StreamDefinition,
    properties: &Properties,
    number: u32,
) -> Result<Prepared, Error> {
    validate_stream_keys(properties.keys().map(String::as_str))
        .map_err(|error| Error::InvalidArgument(error.to_string()))?;
    if let Some(platform) = properties.get(PLATFORM).filter(|name| **name != state.settings.platform) {
        return Err(Error::InvalidArgument(format!("No platform named '{platform}'")));
    }
    let given: Properties = properties
        .iter()
        .filter(|(key, _)| !key.starts_with(keys::RELEASE_PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let apps = definition.app_definitions();
    check_names(&apps)?;
    check_labels(&apps, &given)?;
    let registered = resolve(state, &apps, &given)?;
    let requests = requests(state, definition, &given, &registered).await?;
    for request in &requests {
        check_options(state, request, &registered, &given)?;
    }
    let dsl = rewrite(definition.name().unwrap_or_default(), &apps, &requests)?;
    let used: BTreeSet<(AppKey, String)> =
        registered.iter().map(|app| (app.key.clone(), app.version.clone())).collect();
    let release = Manifest {
        v: 1,
        n: number,
        from: "deploy".to_owned(),
        dsl: dsl.clone(),
        properties: properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        at: clock::now(),
        apps: apps
            .iter()
            .zip(&registered)
            .filter_map(|(app, found)| manifest_app(app, found, &requests))
            .collect(),
        extra: Default::default(),
    };
    Ok(Prepared { release, dsl, apps: used.into_iter().collect() })
}

/// The registered version of every app: the one asked for, else the default.
fn resolve(state: &AppState, apps: &[AppDefinition], given: &Properties) -> Result<Vec<Listed>, Error> {
    let model = state.meta.model();
    let find = |app: &AppDefinition| {
        let key = key_of(app);
        let asked = given.get(&format!("version.{}", app.label));
        apps::get(&model, &key, asked.map(String::as_str)).map_err(|_| match asked {
            Some(version) => Error::IllegalState(format!(
                "The {}:{}:{version} app is not registered: register it, or deploy with another version.{}",
                key.name,
                key.kind.name(),
                app.label
            )),
            None => Error::InvalidArgument(format!(
                "no application '{}' of type '{}' exists in the registry",
                key.name,
                key.kind.name()
            )),
        })
    };
    apps.iter().map(find).collect()
}

async fn requests(
    state: &AppState,
    definition: &StreamDefinition,
    given: &Properties,
    registered: &[Listed],
) -> Result<Vec<AppRequest>, Error> {
    let mut registrations = Vec::with_capacity(registered.len());
    for (app, found) in definition.app_definitions().iter().zip(registered) {
        registrations.push(binding::Registration {
            name: app.name.clone(),
            app_type: app.app_type,
            boot_version: found.boot.clone(),
            properties: state.options.of(found).await.known_properties(),
        });
    }
    let none = Properties::new();
    let context = Context {
        platform_type: "local",
        stream_properties: &none,
        resource_defaults: resource_defaults(),
        server_properties: &none,
        registrations: &registrations,
    };
    deploy_requests(definition, given, &context).map_err(|error| Error::InvalidArgument(error.to_string()))
}

fn check_options(
    state: &AppState,
    request: &AppRequest,
    registered: &[Listed],
    given: &Properties,
) -> Result<(), Error> {
    let is_this =
        |app: &&Listed| app.key.name == request.name && app.key.kind.name() == request.app_type.as_str();
    let found = registered.iter().find(is_this);
    let Some(bundled) = found.and_then(|found| state.catalog.by_uri(&found.uri)) else { return Ok(()) };
    let is_for_all = |key: &str| given.contains_key(&format!("app.*.{key}"));
    check_bundled(bundled, &request.label, &request.application_properties, is_for_all)
}

/// The definition with the properties of the release, as SCDF stores it after a deployment: in its own style where that
/// reads back unchanged, else quoted properly.
fn rewrite(name: &str, apps: &[AppDefinition], requests: &[AppRequest]) -> Result<String, Error> {
    let mut apps = apps.to_vec();
    for app in &mut apps {
        if let Some(request) = requests.iter().find(|request| request.label == app.label) {
            app.properties.clone_from(&request.application_properties);
        }
    }
    let scdf = print_apps(&apps, PrintStyle::Scdf);
    let dsl = if says(name, &scdf, &apps) { scdf } else { print_apps(&apps, PrintStyle::Faithful) };
    if dsl.len() > MAX_TEXT_BYTES {
        return Err(Error::InvalidStream(format!(
            "with its deployment properties the definition of '{name}' has {} bytes and may have {MAX_TEXT_BYTES}: deploy \
             with fewer or shorter properties",
            dsl.len()
        )));
    }
    Ok(dsl)
}

/// Whether `text` reads back as `apps`. Framework properties are implied by the text and need not come back.
fn says(name: &str, text: &str, apps: &[AppDefinition]) -> bool {
    let is_framework = |key: &str| [keys::STREAM_NAME, keys::APP_LABEL, keys::APP_TYPE].contains(&key);
    let read = parse(Some(name), text).map(|definition| definition.app_definitions()).unwrap_or_default();
    read.len() == apps.len()
        && read.iter().zip(apps).all(|(read, app)| {
            let expected = app.properties.iter().filter(|(key, _)| !is_framework(key));
            let found =
                expected.clone().filter(|(key, value)| read.properties.get(*key) == Some(value)).count();
            (&read.name, &read.label, read.app_type) == (&app.name, &app.label, app.app_type)
                && found == expected.count()
                && found == read.properties.len()
        })
}

fn manifest_app(app: &AppDefinition, found: &Listed, requests: &[AppRequest]) -> Option<ManifestApp> {
    let request = requests.iter().find(|request| request.label == app.label)?;
    // The engine has checked that it is a number; an app without copies cannot be expressed, so one runs.
    let count = request.deployment_properties.get(COUNT).and_then(|count| count.parse().ok()).unwrap_or(1);
    Some(ManifestApp {
        label: app.label.clone(),
        kind: app.app_type.to_string(),
        app: app.name.clone(),
        ver: found.version.clone(),
        uri: found.uri.clone(),
        count: u32::max(count, 1),
        props: request.application_properties.clone(),
        deployer: request.deployment_properties.clone(),
        args: Vec::new(),
        extra: Default::default(),
    })
}

/// Refuses properties of an app that the stream does not have: SCDF takes them without a word, and nothing happens.
fn check_labels(apps: &[AppDefinition], given: &Properties) -> Result<(), Error> {
    for key in given.keys() {
        let mut parts = key.split('.');
        let (Some("app" | "deployer" | "version"), Some(label)) = (parts.next(), parts.next()) else {
            continue;
        };
        if label != "*" && !apps.iter().any(|app| app.label == label) {
            let known: Vec<_> = apps.iter().map(|app| app.label.as_str()).collect();
            return Err(Error::InvalidArgument(format!(
                "the deployment property '{key}' is for no app of the stream: its apps are {}; '*' means all of them",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

fn check_names(apps: &[AppDefinition]) -> Result<(), Error> {
    for app in apps.iter().rev() {
        let name = format!("{}-{}-v", app.stream, app.name);
        if name.chars().count() > MAX_DEPLOYMENT_NAME {
            return Err(Error::InvalidStream(format!(
                "The runtime application name for the app {} in the stream {} should not exceed {MAX_DEPLOYMENT_NAME} in length. \
                 The runtime application name is: {name}",
                app.name, app.stream
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn request(app: &AppDefinition, more: &[(&str, &str)]) -> AppRequest {
        let mut properties = app.properties.clone();
        properties.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        AppRequest {
            label: app.label.clone(),
            name: app.name.clone(),
            app_type: app.app_type,
            application_properties: properties,
            deployment_properties: IndexMap::new(),
            version: None,
        }
    }

    fn rewritten(text: &str, more: &[(&str, &str)]) -> String {
        let apps = parse(Some("s"), text).unwrap().app_definitions();
        let requests: Vec<_> = apps.iter().map(|app| request(app, more)).collect();
        rewrite("s", &apps, &requests).unwrap()
    }

    #[test]
    fn the_definition_takes_up_what_was_deployed() {
        let more = [(keys::STREAM_NAME, "s"), ("a.b", "x y")];
        assert_eq!(rewritten("time | log", &more), "time --a.b='x y' | log --a.b='x y'");
    }

    #[test]
    fn what_scdf_would_lose_is_quoted() {
        assert_eq!(rewritten("time | log", &[("a", "x|'y")]), "time --a='x|''y' | log --a='x|''y'");
        assert_eq!(rewritten(":in --group=g > l: log", &[]), ":in --group=g > l: log");
    }

    #[test]
    fn a_definition_that_becomes_too_long_is_refused() {
        let apps = parse(Some("s"), "time | log").unwrap().app_definitions();
        let value = "x".repeat(MAX_TEXT_BYTES);
        let requests: Vec<_> = apps.iter().map(|app| request(app, &[("a", &value)])).collect();
        let error = rewrite("s", &apps, &requests).unwrap_err();
        assert!(error.to_string().contains("fewer or shorter properties"), "{error}");
    }
}
