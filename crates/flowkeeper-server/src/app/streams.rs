//! Stream definitions: create, list, find, destroy.

use std::collections::BTreeSet;
use std::sync::Arc;

use flowkeeper_dsl::{AppDefinition, AppType, StreamDefinition, parse};
use flowkeeper_engine::binding::Properties;
use flowkeeper_engine::phase::Phase;
use indexmap::IndexMap;

use super::audit::{self, Action};
use super::deploy::{self, Prepared};
use super::properties::check_bundled;
use super::{DESTROY_WAIT, Error, Failed, applications, catch_up, in_turn, with_retry};
use crate::clock;
use crate::meta::record::{AuditRecord, StreamRecord, WantRecord, WantState};
use crate::meta::{AppKey, AppKind, Model, Shown, Versioned, Write, WriteError, Written};
use crate::state::AppState;

/// Longest name and longest description, in characters.
pub(super) const MAX_NAME: usize = 255;

/// A definition to create.
#[derive(Clone, Debug, Default)]
pub struct Create {
    pub name: String,
    pub definition: String,
    pub description: String,
    /// Deploy it in the same transaction, with these properties.
    pub deploy: Option<Properties>,
}

/// A stream as people see it.
#[derive(Clone, Debug)]
pub struct Stream {
    pub shown: Arc<Shown>,
    pub phase: Phase,
}

/// Creates a stream definition; waits while one of this name is being destroyed.
///
/// # Errors
/// What is wrong with the definition, or [`Error::StreamExists`].
pub async fn create(state: &AppState, request: &Create) -> Result<Option<Written>, Error> {
    let Create { name, definition: text, description, deploy } = request;
    with_retry(&state.meta, &format!("stream '{name}'"), || async {
        let definition = check(state, name, text, description)?;
        // Also when it is decided again: only then may this copy show that one of this name is being destroyed.
        wait_destroyed(state, &[name.as_str()]).await;
        {
            let model = state.meta.model();
            check_registered(&model, &definition)?;
            if model.streams.contains_key(name) {
                return Err(Error::StreamExists(name.clone()).into());
            }
        }
        let prepared = match deploy {
            Some(properties) => Some(deploy::prepare(state, &definition, properties, 1).await?),
            None => None,
        };
        let record = StreamRecord {
            v: 1,
            name: name.clone(),
            original: text.clone(),
            desc: description.clone(),
            want: first_want(prepared.as_ref()),
            op: operation(),
            at: clock::now(),
            ..StreamRecord::default()
        };
        let created = audit::stream(Action::Create, name, text);
        let write = Write::new().create_stream(&record);
        let write = match (&prepared, deploy) {
            // SCDF deploys first and writes down the creation last.
            (Some(prepared), Some(properties)) => write
                .needing(&state.meta.model(), prepared.apps.clone())
                .create_release(name, &prepared.release)
                .audit(prepared.audit(state, properties)),
            _ => {
                let model = state.meta.model();
                let used = used_apps(&model, &definition);
                write.needing(&model, used)
            }
        };
        match state.meta.write(write.audit([created])).await {
            Ok(written) => Ok(Some(written)),
            Err(WriteError::Exists { .. }) => Err(Error::StreamExists(name.clone()).into()),
            Err(error) => Err(Failed::from(error)),
        }
    })
    .await
}

/// Checks what a stream is created from, and parses it.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(
    state: &AppState,
    name: &str,
    text: &str,
    description: &str,
) -> Result<StreamDefinition, Error> {
    let definition = check_definition(name, text)?;
    if name.chars().count() > MAX_NAME || description.chars().count() > MAX_NAME {
        return Err(Error::InvalidStream(format!(
            "the name and the description of a stream may have {MAX_NAME} characters each: make them shorter"
        )));
    }
    check_registered(&state.meta.model(), &definition)?;
    check_written_options(state, &definition)?;
    Ok(definition)
}

/// Waits while streams of these names are being destroyed, for half a minute at most.
pub(super) async fn wait_destroyed(state: &AppState, names: &[&str]) {
    let is_being_destroyed =
        |model: &Model, name: &str| model.streams.contains_key(name) && model.stream(name).is_none();
    let are_gone = |model: &Model| !names.iter().any(|name| is_being_destroyed(model, name));
    state.meta.wait_until(DESTROY_WAIT, are_gone).await;
}

/// A visible stream.
///
/// # Errors
/// [`Error::NoStream`].
pub fn get(model: &Model, name: &str) -> Result<Stream, Error> {
    model.stream(name).ok_or_else(|| Error::NoStream(name.to_owned()))?;
    let shown = model.shown(name).ok_or_else(|| Error::NoStream(name.to_owned()))?.clone();
    let phase = model.phase(name).map_or(Phase::Unknown, |phase| phase.phase);
    Ok(Stream { shown, phase })
}

/// Stops and removes a stream. Returns when it is gone, or after half a minute: it goes on then.
///
/// # Errors
/// [`Error::NoStream`].
pub async fn destroy(state: &AppState, name: &str) -> Result<Option<Written>, Error> {
    let written = mark_destroyed(state, name).await?;
    wait_gone(state, &BTreeSet::from([name.to_owned()])).await;
    Ok(written)
}

/// Stops and removes all streams.
///
/// # Errors
/// When a write fails; streams before it are being destroyed then.
pub async fn destroy_all(state: &AppState) -> Result<Option<Written>, Error> {
    catch_up(&state.meta).await?;
    let names: BTreeSet<String> =
        state.meta.model().streams_by_age().map(|(name, _)| name.to_owned()).collect();
    let mut last = None;
    for name in &names {
        match mark_destroyed(state, name).await {
            Ok(written) => last = written.or(last),
            // Somebody else was faster, which is as good.
            Err(Error::NoStream(_)) => {}
            Err(error) => return Err(error),
        }
    }
    wait_gone(state, &names).await;
    Ok(last)
}

async fn mark_destroyed(state: &AppState, name: &str) -> Result<Option<Written>, Error> {
    let records = |name: &str, dsl: &str, record: &StreamRecord| {
        let undeployed = (record.want.rel > 0).then(|| audit::stream(Action::Undeploy, name, dsl));
        undeployed.into_iter().chain([audit::stream(Action::Delete, name, dsl)]).collect()
    };
    change_want(state, name, "destroy", |_| Ok(Some(WantState::Destroyed)), records).await
}

pub(super) async fn wait_gone(state: &AppState, names: &BTreeSet<String>) {
    // A name that was created again meanwhile is visible, and no longer the stream that was destroyed.
    let is_gone = |model: &Model| {
        names.iter().all(|name| !model.streams.contains_key(name) || model.stream(name).is_some())
    };
    if !state.meta.wait_until(DESTROY_WAIT, is_gone).await {
        tracing::warn!(streams = ?names, "streams are still being destroyed");
    }
}

/// Changes what is wanted of a stream, which `what` says as a verb; `decide` sees the present want, and `None` leaves it. `records` notes what was done, from
/// name, definition and record of the stream.
///
/// # Errors
/// [`Error::NoStream`], or what `decide` says.
pub(super) async fn change_want(
    state: &AppState,
    name: &str,
    what: &str,
    decide: impl Fn(WantState) -> Result<Option<WantState>, Error>,
    records: impl Fn(&str, &str, &StreamRecord) -> Vec<AuditRecord>,
) -> Result<Option<Written>, Error> {
    in_turn(&state.meta, name, what, || async {
        let (read, shown) = {
            let model = state.meta.model();
            let read = model.stream(name).cloned().ok_or_else(|| Error::NoStream(name.to_owned()))?;
            (read, model.shown(name).cloned())
        };
        let dsl = shown.as_ref().map_or(read.record.original.as_str(), |shown| shown.dsl());
        let Some(want) = decide(read.record.want.state)? else { return Ok(None) };
        let mut record = changed(&read);
        record.want.state = want;
        let write = Write::new().set_stream(&read, &record).audit(records(name, dsl, &read.record));
        let write = match &read.record.application {
            Some(application) if want == WantState::Destroyed => {
                applications::note_failures(&state.meta.model(), application, &BTreeSet::new(), write)
            }
            _ => write,
        };
        Ok(Some(state.meta.write(write).await?))
    })
    .await
}

/// A record that says that something else is wanted.
pub(super) fn changed(read: &Versioned<StreamRecord>) -> StreamRecord {
    let mut record = StreamRecord::clone(&read.record);
    record.want.r#gen += 1;
    record.op = operation();
    record.at = clock::now();
    record
}

/// Id of one operation: by it a write is recognised whose answer was lost.
pub(super) fn operation() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Parses a definition as SCDF does.
fn check_definition(name: &str, text: &str) -> Result<StreamDefinition, Error> {
    if name.trim().is_empty() {
        return Err(Error::InvalidArgument("name is required".to_owned()));
    }
    if text.trim().is_empty() {
        return Err(Error::InvalidArgument("dslText is required".to_owned()));
    }
    parse(Some(name), text).map_err(|error| Error::InvalidStream(error.scdf_message()))
}

/// Every app must be registered, with a default version; all that are not are told at once.
fn check_registered(model: &Model, definition: &StreamDefinition) -> Result<(), Error> {
    let is_missing =
        |app: &&AppDefinition| model.apps.get(&key_of(app)).is_none_or(|entry| entry.default.is_none());
    let apps = definition.app_definitions();
    let missing: Vec<String> = apps
        .iter()
        .filter(is_missing)
        .map(|app| {
            format!(
                "Application name '{}' with type '{}' does not exist in the app registry.",
                app.name, app.app_type
            )
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::InvalidStream(missing.join("\n"))) }
}

/// What was written about bundled apps must mean something to them.
fn check_written_options(state: &AppState, definition: &StreamDefinition) -> Result<(), Error> {
    for (app, node) in definition.app_definitions().iter().zip(definition.apps()) {
        let uri = {
            let model = state.meta.model();
            let found = super::apps::get(&model, &key_of(app), None).ok();
            found.map(|found| found.uri)
        };
        let Some(bundled) = uri.as_deref().and_then(|uri| state.catalog.by_uri(uri)) else { continue };
        let is_type =
            |name: &str| name.eq_ignore_ascii_case("inputType") || name.eq_ignore_ascii_case("outputType");
        let written: IndexMap<String, String> = node
            .args()
            .iter()
            .filter(|arg| !is_type(&arg.name))
            .map(|arg| (arg.name.clone(), arg.value.clone()))
            .collect();
        check_bundled(bundled, &app.label, &written, |_| false)?;
    }
    Ok(())
}

/// The registered versions that a definition uses, as far as they are registered.
fn used_apps(model: &Model, definition: &StreamDefinition) -> Vec<(AppKey, String)> {
    let used: BTreeSet<(AppKey, String)> = definition
        .app_definitions()
        .iter()
        .filter_map(|app| {
            let key = key_of(app);
            let version = model.apps.get(&key)?.default.clone()?;
            Some((key, version))
        })
        .collect();
    used.into_iter().collect()
}

/// What the registry calls an app of a stream.
pub(super) fn key_of(app: &AppDefinition) -> AppKey {
    let kind = match app.app_type {
        AppType::App => AppKind::App,
        AppType::Source => AppKind::Source,
        AppType::Processor => AppKind::Processor,
        AppType::Sink => AppKind::Sink,
    };
    AppKey::new(kind, app.name.clone())
}

fn first_want(prepared: Option<&Prepared>) -> WantRecord {
    match prepared {
        Some(_) => WantRecord { state: WantState::Deployed, r#gen: 1, rel: 1, ..WantRecord::default() },
        None => WantRecord::default(),
    }
}
