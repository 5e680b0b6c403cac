//! What applications are, and what became of their releases.

use std::collections::BTreeMap;

use flowkeeper_api::applications::{
    Application, ApplicationRelease, ApplicationStream, ApplicationSummary, DocumentStream, ReleasedStream,
};
use flowkeeper_api::cluster::InstanceExplanation;
use flowkeeper_engine::phase::{Phase, aggregate_apps};
use flowkeeper_engine::rollout;

use super::super::{Error, explain};
use super::export;
use super::member::{Target, owned};
use crate::meta::record::{ApplicationRecord, ApplicationReleaseRecord};
use crate::meta::{Model, Versioned};

/// All applications, by name.
pub fn list(model: &Model) -> Vec<ApplicationSummary> {
    let summary = |(name, found): (&String, &Versioned<ApplicationRecord>)| {
        let phases = found.record.streams.iter().map(|stream| phase(model, name, stream));
        ApplicationSummary {
            name: name.clone(),
            description: found.record.desc.clone(),
            release: current(model, name).map_or(found.record.rel, |release| release.n),
            status: aggregate_apps(phases).key().to_owned(),
            streams: found.record.streams.len(),
        }
    };
    model.applications.iter().map(summary).collect()
}

/// One application with what its streams are, secrets masked.
///
/// # Errors
/// [`Error::NoApplication`].
pub fn get(model: &Model, name: &str) -> Result<Application, Error> {
    let document = export::document(model, name, false)?;
    let found = model.applications.get(name).ok_or_else(|| Error::NoApplication(name.to_owned()))?;
    let streams: Vec<ApplicationStream> =
        document.streams.into_iter().map(|stream| described(model, name, stream)).collect();
    let phases = found.record.streams.iter().map(|stream| phase(model, name, stream));
    Ok(Application {
        name: name.to_owned(),
        description: document.description,
        release: current(model, name)?.n,
        status: aggregate_apps(phases).key().to_owned(),
        streams,
    })
}

/// The releases of an application, newest first.
///
/// # Errors
/// [`Error::NoApplication`].
pub fn history(model: &Model, name: &str) -> Result<Vec<ApplicationRelease>, Error> {
    model.applications.get(name).ok_or_else(|| Error::NoApplication(name.to_owned()))?;
    let mut has_current = false;
    let releases = model.application_releases(name).rev().map(|release| {
        let reason = failure(model, name, release);
        let is_updating = made_by(model, name, release)
            .any(|(stream, number)| model.replacing(stream).is_some_and(|(to, _)| to == number));
        let status = match (&reason, is_updating) {
            (Some(_), _) => "failed",
            (None, true) => "updating",
            (None, false) if has_current => "replaced",
            (None, false) => "current",
        };
        has_current |= status == "current";
        ApplicationRelease {
            release: release.n,
            from: release.from.clone(),
            at: release.at.clone(),
            status: status.to_owned(),
            reason,
            streams: release
                .streams
                .iter()
                .map(|member| ReleasedStream { name: member.name.clone(), release: member.rel })
                .collect(),
        }
    });
    Ok(releases.collect())
}

/// What an application is: its newest release that did not fail.
pub(super) fn current<'a>(model: &'a Model, name: &str) -> Result<&'a ApplicationReleaseRecord, Error> {
    let releases =
        || model.applications.get(name).into_iter().flat_map(|_| model.application_releases(name).rev());
    let good = releases().find(|release| failure(model, name, release).is_none());
    good.or_else(|| releases().next()).map(AsRef::as_ref).ok_or_else(|| Error::NoApplication(name.to_owned()))
}

/// The newest release before `present` that differs from it and did not fail.
pub(super) fn earlier<'a>(
    model: &'a Model,
    name: &str,
    present: &ApplicationReleaseRecord,
) -> Option<&'a ApplicationReleaseRecord> {
    let content = |release: &ApplicationReleaseRecord| -> Vec<Target> {
        release.streams.iter().map(Target::from).collect()
    };
    let releases = model.application_releases(name).rev().map(AsRef::as_ref);
    let mut earlier = releases.filter(|release: &&ApplicationReleaseRecord| release.n < present.n);
    earlier.find(|release| content(release) != content(present) && failure(model, name, release).is_none())
}

/// The releases of streams that a release of an application made.
pub(super) fn made_by<'a>(
    model: &'a Model,
    name: &'a str,
    release: &'a ApplicationReleaseRecord,
) -> impl Iterator<Item = (&'a str, u32)> {
    let made = release.streams.iter().filter(move |member| {
        let group = model.release(&member.name, member.rel).and_then(|made| made.group.as_ref());
        group.is_some_and(|group| group.application == name && group.release == release.n)
    });
    made.map(|member| (member.name.as_str(), member.rel))
}

/// The releases of an application that failed, with the reasons, those included that only its record still knows.
pub(super) fn failures(model: &Model, name: &str) -> BTreeMap<u32, String> {
    let failed = model
        .application_releases(name)
        .filter_map(|release| Some((release.n, failure(model, name, release)?)));
    failed.collect()
}

/// Why a release of an application failed, if it did: what was noted, or what the stream says that failed by itself.
fn failure(model: &Model, name: &str, release: &ApplicationReleaseRecord) -> Option<String> {
    let noted = model.applications.get(name).and_then(|found| found.record.failed.get(&release.n));
    if noted.is_some() {
        return noted.cloned();
    }
    // All take over or none: when one did, those that did not were stopped by themselves meanwhile.
    if made_by(model, name, release).any(|(stream, number)| has_taken_over(model, stream, number)) {
        return None;
    }
    let failed = made_by(model, name, release)
        .filter_map(|(stream, number)| Some((stream, model.failure(stream, number)?)));
    let (stream, reason) = failed.min_by_key(|(_, reason)| rollout::is_shared(reason))?;
    Some(format!("stream '{stream}': {reason}"))
}

/// Whether a release of a stream took the place of another one at some time.
fn has_taken_over(model: &Model, stream: &str, number: u32) -> bool {
    let Some((found, state)) = model.streams.get(stream).zip(model.states.get(stream)) else { return false };
    let is_replacement = model.release(stream, number).is_some_and(|release| release.replaces.is_some());
    let state = &state.record;
    is_replacement && state.uid == found.uid && state.rel >= number && !state.failed.contains_key(&number)
}

/// One that was removed by itself does not run, and is one to start again.
fn phase(model: &Model, application: &str, stream: &str) -> Phase {
    let Some(_) = owned(model, application, stream) else { return Phase::Undeployed };
    model.phase(stream).map_or(Phase::Unknown, |phase| phase.phase)
}

/// A stream of an application with its state.
fn described(model: &Model, application: &str, stream: DocumentStream) -> ApplicationStream {
    let DocumentStream { name, definition, description, properties } = stream;
    let base = ApplicationStream {
        name: name.clone(),
        definition,
        description,
        properties,
        status: Phase::Undeployed.key().to_owned(),
        release: 0,
        reason: Some("not there; apply or deploy creates it".to_owned()),
        settled: true,
    };
    let explained = owned(model, application, &name).and_then(|_| explain::stream(model, &name).ok());
    let Some(found) = explained else { return base };
    let instances: Vec<_> = found.apps.iter().flat_map(|app| &app.instances).collect();
    let is_done = |instance: &&InstanceExplanation| {
        instance.phase == Phase::Deployed.key() || instance.has_failed_for_good()
    };
    let settled =
        found.replaces.is_none() && found.active as usize <= instances.len() && instances.iter().all(is_done);
    ApplicationStream {
        settled,
        status: found.phase,
        release: found.release,
        reason: found.rollout.or(found.awaits),
        ..base
    }
}
