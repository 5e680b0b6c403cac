//! Making and ending deployments.
//!
//! A deployment is decided here completely and written once: the release with every property resolved, the definition
//! rewritten as SCDF rewrites it, and the wish that it runs. What follows is the leader's work.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use flowkeeper_deploy::properties::check_deployer_properties;
use flowkeeper_deploy::record::{Manifest, ManifestApp};
use flowkeeper_dsl::properties::validate_stream_keys;
use flowkeeper_dsl::{AppDefinition, MAX_TEXT_BYTES, PrintStyle, StreamDefinition, keys, parse, print_apps};
use flowkeeper_engine::binding::{self, AppRequest, Context, Properties, deploy_requests};
use flowkeeper_engine::phase::Phase;

use super::apps::{self, Listed};
use super::audit::{self, Action};
use super::properties::{check_bundled, resource_defaults};
use super::streams::{change_want, changed, key_of};
use super::{Error, catch_up, in_turn};
use crate::clock;
use crate::meta::record::{AuditRecord, StreamRecord, WantState};
use crate::meta::{AppKey, Model, Versioned, Write, Written};
use crate::state::AppState;

/// Release option that names the platform.
const PLATFORM: &str = "spring.cloud.dataflow.skipper.platformName";
pub(super) const COUNT: &str = "spring.cloud.deployer.count";
/// Most copies of one app: more are a slip of the finger.
pub(super) const MAX_COUNT: u32 = 1000;
/// So many releases of a stream are kept, and those whose apps still run.
const KEPT_RELEASES: usize = 20;
/// Longest name SCDF gives to a deployment, with room for its number.
const MAX_DEPLOYMENT_NAME: usize = 58;

/// A stream of which the next release is made.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) read: Versioned<StreamRecord>,
    /// Number of that release: none that was given before comes back.
    pub(super) number: u32,
    /// Old releases that it makes superfluous.
    outdated: Vec<u32>,
}

/// A deployment that is decided and not yet written.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) stream: String,
    pub(super) release: Manifest,
    /// Registered versions it uses.
    pub(super) apps: Vec<(AppKey, String)>,
}

/// Deploys a stream with these properties.
///
/// # Errors
/// [`Error::NoStream`], [`Error::AlreadyDeployed`], [`Error::AlreadyDeploying`], or what is wrong with the properties.
pub async fn deploy(state: &AppState, name: &str, properties: &Properties) -> Result<Option<Written>, Error> {
    in_turn(&state.meta, name, "deploy", || async {
        let (next, definition, original) = {
            let model = state.meta.model();
            let next = Next::of(&model, name)?;
            if let Some((release, _)) = model.replacing(name) {
                return Err(Error::BeingUpdated { stream: name.to_owned(), release }.into());
            }
            match model.phase(name).map(|phase| phase.phase) {
                Some(Phase::Deployed) => return Err(Error::AlreadyDeployed(name.to_owned()).into()),
                Some(Phase::Deploying) => return Err(Error::AlreadyDeploying(name.to_owned()).into()),
                _ => {}
            }
            let shown = model.shown(name);
            let dsl = shown.map(|shown| shown.dsl().to_owned()).unwrap_or_default();
            let definition =
                parse(Some(name), &dsl).map_err(|error| Error::InvalidStream(error.scdf_message()))?;
            (next, definition, shown.and_then(|shown| shown.retyped().cloned()))
        };
        let mut prepared = prepare(state, &definition, properties, next.number).await?;
        prepared.release.original = original;
        let write = Write::new().needing(&state.meta.model(), prepared.apps.clone());
        let write = next.add_to(write, next.changed(), &prepared.release);
        Ok(Some(state.meta.write(write.audit(prepared.audit(state, properties))).await?))
    })
    .await
}

impl Next {
    /// A visible stream.
    pub(super) fn of(model: &Model, name: &str) -> Result<Next, Error> {
        let read = model.stream(name).cloned().ok_or_else(|| Error::NoStream(name.to_owned()))?;
        let newest = model.releases(name).map(|release| release.n).max().unwrap_or(0);
        let number = newest.max(read.record.want.rel) + 1;
        let current = model.current_release(name);
        let outdated = current.map(|current| outdated(model, name, current)).unwrap_or_default();
        Ok(Next { read, number, outdated })
    }

    /// Its record, saying that something else is wanted.
    pub(super) fn changed(&self) -> StreamRecord {
        changed(&self.read)
    }

    /// Adds to `write` that `release` is to run; `record` is what stands of the stream otherwise.
    pub(super) fn add_to(&self, write: Write, mut record: StreamRecord, release: &Manifest) -> Write {
        let name = record.name.clone();
        record.want.state = WantState::Deployed;
        record.want.rel = release.n;
        let write = write.set_stream(&self.read, &record).create_release(&name, release);
        self.outdated.iter().fold(write, |write, number| write.delete_release(&name, *number))
    }
}

impl Prepared {
    /// The records of this deployment, in SCDF's order: the definition was rewritten, the stream was deployed.
    pub(super) fn audit(&self, state: &AppState, properties: &Properties) -> [AuditRecord; 2] {
        let (name, dsl) = (&self.stream, &self.release.dsl);
        let given = properties.iter().filter(|(key, _)| !key.starts_with(keys::RELEASE_PREFIX));
        [audit::stream(Action::Update, name, dsl), audit::deploy(name, dsl, given, &state.settings.platform)]
    }
}

/// Stops a stream; its definition and releases stay. Nothing happens to one that is not deployed.
///
/// # Errors
/// [`Error::NoStream`].
pub async fn undeploy(state: &AppState, name: &str) -> Result<Option<Written>, Error> {
    let decide = |want| Ok((want == WantState::Deployed).then_some(WantState::Undeployed));
    change_want(state, name, "undeploy", decide, |name, dsl, _| {
        vec![audit::stream(Action::Undeploy, name, dsl)]
    })
    .await
}

/// Stops all streams.
///
/// # Errors
/// When a write fails; streams before it are being stopped then.
pub async fn undeploy_all(state: &AppState) -> Result<Option<Written>, Error> {
    catch_up(&state.meta).await?;
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
    let name = definition.name().unwrap_or_default();
    let properties_of = |label: &str| {
        let found = requests.iter().find(|request| request.label == label);
        found.map(|request| &request.application_properties)
    };
    let dsl = rewrite(name, &apps, properties_of)?;
    let used: BTreeSet<(AppKey, String)> =
        registered.iter().map(|app| (app.key.clone(), app.version.clone())).collect();
    let release = Manifest {
        v: 1,
        n: number,
        from: "deploy".to_owned(),
        replaces: None,
        dsl,
        properties: properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        at: clock::now(),
        apps: apps
            .iter()
            .zip(&registered)
            .filter_map(|(app, found)| manifest_app(app, found, &requests))
            .collect(),
        original: None,
        group: None,
        extra: Default::default(),
    };
    for app in &release.apps {
        check_count(&app.label, app.count)?;
        check_deployer(app)?;
        check_bundled_app(state, app, |key| given.contains_key(&format!("app.*.{key}")))?;
    }
    Ok(Prepared { stream: name.to_owned(), release, apps: used.into_iter().collect() })
}

/// Releases that nobody needs once another one is made of `current`: not among the newest, and none of their instances run.
fn outdated(model: &Model, name: &str, current: &Manifest) -> Vec<u32> {
    let numbers: Vec<u32> = model.releases(name).map(|release| release.n).collect();
    let (old, _) = numbers.split_at(numbers.len().saturating_sub(KEPT_RELEASES - 1));
    let is_needed = |number: u32| current.n == number || current.apps.iter().any(|app| app.since == number);
    old.iter().copied().filter(|number| !is_needed(*number)).collect()
}

/// The registered version of every app: the one asked for, else the default.
fn resolve(state: &AppState, apps: &[AppDefinition], given: &Properties) -> Result<Vec<Listed>, Error> {
    let model = state.meta.model();
    let find = |app: &AppDefinition| {
        let key = key_of(app);
        match given.get(&format!("version.{}", app.label)) {
            Some(version) => registered_version(&model, &key, &app.label, version),
            None => apps::get(&model, &key, None).map_err(|_| {
                Error::InvalidArgument(format!(
                    "no application '{}' of type '{}' exists in the registry",
                    key.name,
                    key.kind.name()
                ))
            }),
        }
    };
    apps.iter().map(find).collect()
}

/// The version of an app that was asked for with `version.<label>`.
pub(super) fn registered_version(
    model: &Model,
    key: &AppKey,
    label: &str,
    version: &str,
) -> Result<Listed, Error> {
    apps::get(model, key, Some(version)).map_err(|_| {
        Error::IllegalState(format!(
            "The {}:{}:{version} app is not registered: register it, or deploy with another version.{label}",
            key.name,
            key.kind.name()
        ))
    })
}

async fn requests(
    state: &AppState,
    definition: &StreamDefinition,
    given: &Properties,
    registered: &[Listed],
) -> Result<Vec<AppRequest>, Error> {
    let registrations = registrations(state, definition, registered).await;
    deploy_requests(definition, given, &context(&registrations))
        .map_err(|error| Error::InvalidArgument(error.to_string()))
}

/// What the registry says of the apps of a definition; `registered` are their registrations in flow order.
pub(super) async fn registrations(
    state: &AppState,
    definition: &StreamDefinition,
    registered: &[Listed],
) -> Vec<binding::Registration> {
    let mut registrations = Vec::with_capacity(registered.len());
    for (app, found) in definition.app_definitions().iter().zip(registered) {
        registrations.push(binding::Registration {
            name: app.name.clone(),
            app_type: app.app_type,
            boot_version: found.boot.clone(),
            properties: state.options.of(found).await.known_properties(),
        });
    }
    registrations
}

/// What properties are computed with on the one platform there is.
pub(super) fn context(registrations: &[binding::Registration]) -> Context<'_> {
    static NONE: LazyLock<Properties> = LazyLock::new(Properties::new);
    Context {
        platform_type: "local",
        stream_properties: &NONE,
        resource_defaults: resource_defaults(),
        server_properties: &NONE,
        registrations,
    }
}

/// Refuses options that a bundled app does not have, or values that mean nothing to it.
pub(super) fn check_bundled_app(
    state: &AppState,
    app: &ManifestApp,
    is_for_all: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    match state.catalog.by_uri(&app.uri) {
        Some(bundled) => check_bundled(bundled, &app.label, &app.props, is_for_all),
        None => Ok(()),
    }
}

/// Refuses deployer properties that no agent could carry out.
pub(super) fn check_deployer(app: &ManifestApp) -> Result<(), Error> {
    check_deployer_properties(app).map_err(|error| Error::InvalidArgument(error.to_string()))
}

/// Refuses more copies than anybody can mean.
pub(super) fn check_count(label: &str, count: u32) -> Result<(), Error> {
    if count <= MAX_COUNT {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "the number of instances of app '{label}' is {count} and may be {MAX_COUNT}: set deployer.{label}.count to less"
    )))
}

/// The definition with the properties of the release, as SCDF stores it after a deployment: in its own style where that
/// reads back unchanged, else quoted properly.
pub(super) fn rewrite<'a>(
    name: &str,
    apps: &[AppDefinition],
    properties_of: impl Fn(&str) -> Option<&'a Properties>,
) -> Result<String, Error> {
    let mut apps = apps.to_vec();
    for app in &mut apps {
        if let Some(properties) = properties_of(&app.label) {
            app.properties.clone_from(properties);
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
        since: 0,
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
pub(super) fn check_labels(apps: &[AppDefinition], given: &Properties) -> Result<(), Error> {
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
    use super::*;

    fn rewritten(text: &str, more: &[(&str, &str)]) -> Result<String, Error> {
        let apps = parse(Some("s"), text).unwrap().app_definitions();
        let all: Vec<Properties> = apps
            .iter()
            .map(|app| {
                let more = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
                app.properties.clone().into_iter().chain(more).collect()
            })
            .collect();
        rewrite("s", &apps, |label| all.get(apps.iter().position(|app| app.label == label)?))
    }

    #[test]
    fn the_definition_takes_up_what_was_deployed() {
        let more = [(keys::STREAM_NAME, "s"), ("a.b", "x y")];
        assert_eq!(rewritten("time | log", &more).unwrap(), "time --a.b='x y' | log --a.b='x y'");
    }

    #[test]
    fn what_scdf_would_lose_is_quoted() {
        assert_eq!(rewritten("time | log", &[("a", "x|'y")]).unwrap(), "time --a='x|''y' | log --a='x|''y'");
        assert_eq!(rewritten(":in --group=g > l: log", &[]).unwrap(), ":in --group=g > l: log");
    }

    #[test]
    fn a_definition_that_becomes_too_long_is_refused() {
        let value = "x".repeat(MAX_TEXT_BYTES);
        let error = rewritten("time | log", &[("a", &value)]).unwrap_err();
        assert!(error.to_string().contains("fewer or shorter properties"), "{error}");
    }
}
