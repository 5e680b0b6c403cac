//! Replacing what runs: update, rollback, scale, and giving up a replacement.
//!
//! Each makes a new release from the one that runs and says which one it replaces; only apps that differ get new instances,
//! the others are carried over. The leader starts the new instances beside the old ones, waits until all are healthy, and
//! only then stops the old ones; when that does not come about the old release runs on (`flowkeeper_engine::rollout`).

use std::collections::BTreeSet;
use std::sync::Arc;

use flowkeeper_deploy::record::{Manifest, ManifestApp};
use flowkeeper_dsl::properties::validate_stream_keys;
use flowkeeper_dsl::{StreamDefinition, keys, parse};
use flowkeeper_engine::binding::{AppRequest, Properties, Spread, spread, update_requests};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::apps::{self, Listed};
use super::audit::{self, Action};
use super::deploy::{
    COUNT, MAX_COUNT, Next, check_bundled_app, check_count, check_deployer, check_labels, context,
    registrations, rewrite,
};
use super::streams::{changed, key_of};
use super::yaml::{Quotes, Yaml};
use super::{Error, in_turn, with_retry};
use crate::clock;
use crate::meta::record::{ScaledRecord, WantState};
use crate::meta::{AppKey, AppKind, Model, Write, Written};
use crate::state::AppState;

/// Set on apps that read partitions.
const PARTITIONED: &str = "spring.cloud.stream.bindings.input.consumer.partitioned";

/// What is to be different in the next release.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Deployment properties to set; without a value: to remove.
    pub properties: IndexMap<String, Option<String>>,
    /// Replace apps even where nothing differs.
    pub force: bool,
    /// Which apps `force` is about; none means all.
    pub apps: Vec<String>,
    /// How the request named its package, for the audit record.
    pub package: Value,
}

/// A deployed stream that may be changed.
pub(super) struct Current {
    pub(super) next: Next,
    pub(super) release: Arc<Manifest>,
    definition: StreamDefinition,
}

/// Changes properties or versions of a deployed stream's apps.
///
/// # Errors
/// [`Error::NoStream`], [`Error::NoRelease`], [`Error::BeingUpdated`], [`Error::NoDifference`], or what is wrong with the
/// properties.
pub async fn update(state: &AppState, name: &str, request: &Update) -> Result<Option<Written>, Error> {
    in_turn(&state.meta, name, "update", || async {
        let current = {
            let model = state.meta.model();
            model.stream(name).ok_or_else(|| Error::NoStream(name.to_owned()))?;
            Current::of(&model, name)?
        };
        let given: Properties = request
            .properties
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
            .filter(|(key, _)| !key.starts_with(keys::RELEASE_PREFIX))
            .collect();
        let removed: Properties = request
            .properties
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(key, _)| (key.clone(), String::new()))
            .collect();
        for properties in [&given, &removed] {
            validate_stream_keys(properties.keys().map(String::as_str))
                .map_err(|error| Error::InvalidArgument(error.to_string()))?;
            check_labels(&current.definition.app_definitions(), properties)?;
        }
        if let Some(unknown) = request.apps.iter().find(|app| current.release.app(app).is_none()) {
            return Err(Error::NoDeployment(format!("{name}.{unknown}")).into());
        }
        let registered = current.registered(state, &given, &removed)?;
        let registrations = registrations(state, &current.definition, &registered).await;
        let context = context(&registrations);
        let changes = |properties: &Properties| {
            update_requests(&current.definition, properties, &context)
                .map_err(|error| Error::InvalidArgument(error.to_string()))
        };
        let (changes, removals) = (changes(&given)?, changes(&removed)?);
        let mut apps = current.apps();
        for (app, found) in apps.iter_mut().zip(&registered) {
            apply(app, found, &changes, &removals)?;
        }
        respread(&mut apps);
        let forced = |app: &ManifestApp| {
            request.force && (request.apps.is_empty() || request.apps.contains(&app.label))
        };
        let mut properties = current.release.properties.clone();
        properties.retain(|key, _| !removed.contains_key(key));
        properties.extend(given.iter().map(|(key, value)| (key.clone(), value.clone())));
        let release = current.next_release(apps, "update", forced, properties)?.ok_or(Error::NoDifference)?;
        for app in &release.apps {
            check_deployer(app)?;
            check_bundled_app(state, app, |key| given.contains_key(&format!("app.*.{key}")))?;
        }
        let data = json!({
            "releaseName": name, "packageIdentifier": request.package, "updateYaml": update_yaml(&changes),
        });
        let records = [
            audit::stream(Action::Update, name, &release.dsl),
            audit::deployment(Action::Update, name, data.to_string(), &state.settings.platform),
        ];
        let versions = current.new_versions(&release);
        let write = current.write(&release).needing(&state.meta.model(), versions).audit(records);
        Ok(Some(state.meta.write(write).await?))
    })
    .await
}

/// Makes the apps of an earlier release run again; 0 means the one before the present one. Copies stay as many as they are.
///
/// # Errors
/// [`Error::NoRelease`] when there is no such release, or it failed; [`Error::BeingUpdated`], [`Error::NoDifference`].
pub async fn rollback(state: &AppState, name: &str, number: u32) -> Result<Option<Written>, Error> {
    in_turn(&state.meta, name, "roll back", || async {
        let (current, target) = {
            let model = state.meta.model();
            model.stream(name).ok_or_else(|| Error::NoRelease(name.to_owned()))?;
            let current = Current::of_any(&model, name)?;
            let target = current.target(&model, name, number)?;
            (current, target)
        };
        let mut apps = target.apps.clone();
        for app in &mut apps {
            app.since = 0;
            if let Some(count) = current.release.app(&app.label).map(|running| current.count(running)) {
                app.count = count;
            }
        }
        respread(&mut apps);
        let properties = target.properties.clone();
        let mut release =
            current.next_release(apps, "rollback", |_| false, properties)?.ok_or(Error::NoDifference)?;
        release.dsl.clone_from(&target.dsl);
        // What was typed for a release from before the definition was written anew is forgotten.
        let is_forgotten = target.n <= current.next.read.record.rewritten;
        release.original = target.original.clone().or_else(|| is_forgotten.then(|| target.dsl.clone()));
        let records = [
            audit::stream(Action::Update, name, &release.dsl),
            audit::deployment(
                Action::Rollback,
                name,
                format!("Rollback to version: {}", target.n),
                &state.settings.platform,
            ),
        ];
        Ok(Some(state.meta.write(current.write(&release).audit(records)).await?))
    })
    .await
}

/// Runs `count` copies of an app. Where partitions depend on that number it is a new release; else copies are just added or
/// the last ones removed.
///
/// # Errors
/// [`Error::NoRelease`], [`Error::NoDeployment`] when the stream has no such app, [`Error::BeingUpdated`].
pub async fn scale(state: &AppState, name: &str, label: &str, count: u32) -> Result<Option<Written>, Error> {
    if count == 0 || count > MAX_COUNT {
        return Err(Error::InvalidArgument(format!(
            "the number of instances of app '{label}' is {count}: it may be 1 to {MAX_COUNT}; undeploy the stream to run none"
        )));
    }
    in_turn(&state.meta, name, "scale", || async {
        let current = {
            let model = state.meta.model();
            model.stream(name).ok_or_else(|| Error::NoRelease(name.to_owned()))?;
            Current::of(&model, name)?
        };
        let app = current.release.app(label).ok_or_else(|| Error::NoDeployment(format!("{name}.{label}")))?;
        if current.count(app) == count {
            return Ok(None);
        }
        let what = json!({"scale": {label: count}}).to_string();
        let record = audit::deployment(Action::Update, name, what, &state.settings.platform);
        let is_partitioned =
            app.props.get(PARTITIONED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if !is_partitioned {
            let mut changed = current.next.changed();
            let scaled = changed.want.scaled.take().filter(|scaled| scaled.rel == current.release.n);
            let mut scaled =
                scaled.unwrap_or(ScaledRecord { rel: current.release.n, ..ScaledRecord::default() });
            scaled.counts.insert(label.to_owned(), count);
            changed.want.scaled = Some(scaled);
            let write = Write::new().set_stream(&current.next.read, &changed).audit([record]);
            return Ok(Some(state.meta.write(write).await?));
        }
        let mut apps = current.apps();
        apps.iter_mut().filter(|app| app.label == label).for_each(|app| app.count = count);
        respread(&mut apps);
        let properties = current.release.properties.clone();
        let release =
            current.next_release(apps, "scale", |_| false, properties)?.ok_or(Error::NoDifference)?;
        Ok(Some(state.meta.write(current.write(&release).audit([record])).await?))
    })
    .await
}

/// Gives up the release that replaces another at this moment; the other one runs on.
///
/// # Errors
/// [`Error::NoStream`]; [`Error::IllegalState`] when nothing is being replaced.
pub async fn cancel(state: &AppState, name: &str) -> Result<Option<Written>, Error> {
    with_retry(&state.meta, &format!("stream '{name}'"), || async {
        let (read, release) = {
            let model = state.meta.model();
            let read = model.stream(name).cloned().ok_or_else(|| Error::NoStream(name.to_owned()))?;
            let nothing = || Error::NothingReplaced(name.to_owned());
            (read, model.replacing(name).ok_or_else(nothing)?.0)
        };
        let mut record = changed(&read);
        record.want.cancelled = Some(release);
        let what = format!("Cancel of version: {release}");
        let audit = audit::deployment(Action::Update, name, what, &state.settings.platform);
        Ok(Some(state.meta.write(Write::new().set_stream(&read, &record).audit([audit])).await?))
    })
    .await
}

impl Current {
    /// A stream that is deployed and not being updated.
    pub(super) fn of(model: &Model, name: &str) -> Result<Current, Error> {
        let current = Current::of_any(model, name)?;
        if !current.is_deployed() {
            return Err(Error::IllegalState(format!("Stream '{name}' is not deployed: deploy it first")));
        }
        Ok(current)
    }

    /// A stream that was deployed at some time and is not being updated.
    fn of_any(model: &Model, name: &str) -> Result<Current, Error> {
        let no_release = || Error::NoRelease(name.to_owned());
        let next = Next::of(model, name).map_err(|_| no_release())?;
        let release = model.current_release(name).cloned().ok_or_else(no_release)?;
        if let Some((release, _)) = model.replacing(name) {
            return Err(Error::BeingUpdated { stream: name.to_owned(), release });
        }
        let definition =
            parse(Some(name), &release.dsl).map_err(|error| Error::InvalidStream(error.scdf_message()))?;
        Ok(Current { next, release, definition })
    }

    fn is_deployed(&self) -> bool {
        self.next.read.record.want.state == WantState::Deployed
    }

    fn name(&self) -> &str {
        &self.next.read.record.name
    }

    /// Copies of an app that run.
    pub(super) fn count(&self, app: &ManifestApp) -> u32 {
        self.next.read.record.want.count(self.release.n, &app.label, app.count)
    }

    /// The apps that run, in flow order, with as many copies as run.
    fn apps(&self) -> Vec<ManifestApp> {
        let app = |app: &ManifestApp| ManifestApp {
            count: self.count(app),
            since: self.release.since(app),
            ..app.clone()
        };
        self.release.apps.iter().map(app).collect()
    }

    /// The release that a rollback to `number` means.
    fn target(&self, model: &Model, name: &str, number: u32) -> Result<Arc<Manifest>, Error> {
        let has_run = |release: &&Arc<Manifest>| model.failure(name, release.n).is_none();
        let found = match number {
            0 => model.releases(name).filter(has_run).filter(|release| release.n < self.release.n).last(),
            number => model.release(name, number).filter(has_run),
        };
        found.cloned().ok_or_else(|| Error::NoRelease(name.to_owned()))
    }

    /// The registrations of the apps: of the version asked for, of the default where the version is to be removed, else of the
    /// version that runs, whether it is still registered or not.
    fn registered(
        &self,
        state: &AppState,
        given: &Properties,
        removed: &Properties,
    ) -> Result<Vec<Listed>, Error> {
        let model = state.meta.model();
        let find = |(definition, app): (flowkeeper_dsl::AppDefinition, &ManifestApp)| {
            let key = key_of(&definition);
            let property = format!("version.{}", app.label);
            if let Some(version) = given.get(&property) {
                return super::deploy::registered_version(&model, &key, &app.label, version);
            }
            if removed.contains_key(&property) {
                return apps::get(&model, &key, None);
            }
            let found = apps::get(&model, &key, Some(&app.ver)).ok();
            Ok(found.filter(|found| found.uri == app.uri).unwrap_or_else(|| unregistered(key, app)))
        };
        self.definition.app_definitions().into_iter().zip(&self.release.apps).map(find).collect()
    }

    /// The next release, made of these apps; `None` when it would be the same as the present one. Apps that do not differ from
    /// what runs, and that nobody `forced`, are carried over.
    fn next_release(
        &self,
        mut apps: Vec<ManifestApp>,
        from: &str,
        forced: impl Fn(&ManifestApp) -> bool,
        properties: std::collections::BTreeMap<String, String>,
    ) -> Result<Option<Manifest>, Error> {
        let is_deployed = self.is_deployed();
        let differs = self.carry_over(&mut apps, forced)? || !is_deployed;
        if !differs {
            return Ok(None);
        }
        let definitions = self.definition.app_definitions();
        let properties_of = |label: &str| apps.iter().find(|app| app.label == label).map(|app| &app.props);
        let dsl = rewrite(self.name(), &definitions, properties_of)?;
        Ok(Some(Manifest {
            v: 1,
            n: self.next.number,
            from: from.to_owned(),
            replaces: is_deployed.then_some(self.release.n),
            dsl,
            properties,
            at: clock::now(),
            apps,
            original: self.release.original.clone(),
            group: None,
            extra: Map::new(),
        }))
    }

    /// Notes of apps that do not differ from what runs, and that nobody `forced`, that they are carried over; tells whether any
    /// differs, or its number of copies.
    pub(super) fn carry_over(
        &self,
        apps: &mut [ManifestApp],
        forced: impl Fn(&ManifestApp) -> bool,
    ) -> Result<bool, Error> {
        let mut differs = false;
        for app in apps {
            check_count(&app.label, app.count)?;
            let running = self.release.app(&app.label).filter(|_| self.is_deployed());
            let is_carried_over = running.is_some_and(|running| is_same(running, app)) && !forced(app);
            app.since = running.filter(|_| is_carried_over).map_or(0, |running| self.release.since(running));
            differs |= !is_carried_over || running.is_some_and(|running| self.count(running) != app.count);
        }
        Ok(differs)
    }

    /// Registered versions that only the new release uses: they must still be there when it is written.
    fn new_versions(&self, release: &Manifest) -> BTreeSet<(AppKey, String)> {
        let is_new = |app: &&ManifestApp| self.release.app(&app.label).is_none_or(|old| old.ver != app.ver);
        let version = |app: &ManifestApp| {
            Some((AppKey::new(AppKind::parse(&app.kind)?, app.app.clone()), app.ver.clone()))
        };
        release.apps.iter().filter(is_new).filter_map(version).collect()
    }

    /// The write that asks for `release`.
    fn write(&self, release: &Manifest) -> Write {
        self.next.add_to(Write::new(), self.next.changed(), release)
    }
}

/// An app that runs and is no longer registered.
fn unregistered(key: AppKey, app: &ManifestApp) -> Listed {
    Listed {
        key,
        version: app.ver.clone(),
        uri: app.uri.clone(),
        is_default: false,
        boot: app
            .deployer
            .get("spring.cloud.deployer.bootVersion")
            .cloned()
            .unwrap_or_else(|| "2".to_owned()),
        metadata_uri: None,
        age: 0,
    }
}

/// Takes over what an update says of one app.
fn apply(
    app: &mut ManifestApp,
    found: &Listed,
    changes: &[AppRequest],
    removals: &[AppRequest],
) -> Result<(), Error> {
    let of = |requests: &[AppRequest]| requests.iter().find(|request| request.label == app.label).cloned();
    if let Some(removal) = of(removals) {
        let is_ours = |key: &str| [keys::APP_TYPE, "spring.cloud.deployer.bootVersion"].contains(&key);
        app.props.retain(|key, _| is_ours(key) || !removal.application_properties.contains_key(key));
        app.deployer.retain(|key, _| is_ours(key) || !removal.deployment_properties.contains_key(key));
        if removal.deployment_properties.contains_key(COUNT) {
            app.count = 1;
        }
    }
    if let Some(change) = of(changes) {
        if let Some(count) = change.deployment_properties.get(COUNT) {
            let number = count.parse().map_err(|_| {
                Error::InvalidArgument(format!(
                    "the number of instances of app '{}' is '{count}': set deployer.{}.count to a whole number from 1 on",
                    app.label, app.label
                ))
            });
            app.count = u32::max(number?, 1);
        }
        app.props.extend(change.application_properties);
        app.deployer.extend(change.deployment_properties);
    }
    app.ver.clone_from(&found.version);
    app.uri.clone_from(&found.uri);
    Ok(())
}

/// Whether an app that runs need not be replaced. How many copies there are does not matter, as in SCDF.
fn is_same(running: &ManifestApp, app: &ManifestApp) -> bool {
    let deployer = |app: &ManifestApp| -> Properties {
        let others = app.deployer.iter().filter(|(key, _)| *key != COUNT);
        others.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    (&running.kind, &running.app, &running.ver, &running.uri, &running.props, &running.args)
        == (&app.kind, &app.app, &app.ver, &app.uri, &app.props, &app.args)
        && deployer(running) == deployer(app)
}

/// Makes neighbours agree on partitions again.
fn respread(apps: &mut [ManifestApp]) {
    let is_plain = |app: &ManifestApp| app.kind == AppKind::App.name();
    if apps.iter().any(is_plain) {
        return;
    }
    let mut spreads: Vec<Spread<'_>> = apps
        .iter_mut()
        .map(|app| Spread { application: &mut app.props, deployer: &mut app.deployer, count: app.count })
        .collect();
    spread(&mut spreads);
}

/// What an update changes, as SCDF hands it to Skipper, secrets masked.
pub(super) fn update_yaml(changes: &[AppRequest]) -> String {
    let texts = |properties: &Properties| {
        let masked = audit::masked(properties.iter());
        Yaml::map(
            masked.into_iter().map(|(key, value)| (key, Yaml::text(value.as_str().unwrap_or_default()))),
        )
    };
    let app = |change: &AppRequest| {
        let mut spec = vec![("applicationProperties", texts(&change.application_properties))];
        spec.extend(change.version.as_ref().map(|version| ("version", Yaml::text(version))));
        spec.push(("deploymentProperties", texts(&change.deployment_properties)));
        (change.label.clone(), Yaml::map([("spec", Yaml::map(spec))]))
    };
    Yaml::map(changes.iter().map(app)).print(Quotes::Needed)
}
