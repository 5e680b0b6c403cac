//! Stream applications: named sets of streams that are created, changed, deployed and removed as one.
//!
//! Whatever is asked for, one [`change`] decides what becomes of every stream, with the same parts that decide about a single one
//! (`deploy`, `releases`), and writes all of it in one transaction. Releases that it makes of running streams form a group: the
//! leader lets all of them take the place of the old ones, or none (`flowkeeper_engine::rollout`).
//!
//! Streams of an application may still be changed one by one; the next change of the application brings them back.

mod change;
mod check;
mod decide;
mod export;
mod look;
mod member;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use flowkeeper_api::applications::{ApplicationChanges, ChangeAction, Document, StreamChange};

use self::change::{Goal, attempt};
use self::check::{Wrongs, check_head};
use self::look::{current, earlier, failures, made_by};
use self::member::{Target, owned};
use super::audit::{self, Action};
use super::streams::{changed, operation, wait_destroyed, wait_gone};
use super::{Error, catch_up, with_retry};
use crate::clock;
use crate::meta::record::{ApplicationRecord, ApplicationReleaseRecord, WantState};
use crate::meta::{Model, Write, Written};
use crate::state::AppState;

pub use change::Applied;
pub use export::export;
pub use look::{get, history, list};

/// A document to apply.
#[derive(Clone, Debug, Default)]
pub struct Apply {
    pub name: String,
    pub document: Document,
    /// Start streams that do not run.
    pub deploy: bool,
    /// Take in streams that exist and belong to no application.
    pub adopt: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// Makes an application what a document says. Writes nothing when nothing differs.
///
/// # Errors
/// [`Error::InvalidApplication`] with everything that is wrong; [`Error::ApplicationConflict`] when streams belong to somebody
/// else; [`Error::BeingUpdated`].
pub async fn apply(state: &AppState, request: &Apply) -> Result<Applied, Error> {
    let Apply { name, document, deploy, adopt, dry_run } = request;
    let mut wrongs = Wrongs::default();
    check_head(name, document, &mut wrongs);
    let goal = Goal {
        name: name.clone(),
        description: document.description.clone(),
        streams: document.streams.iter().map(Target::from).collect(),
        from: "apply",
        deploy: *deploy,
        spare_running: false,
        adopt: *adopt,
        dry_run: *dry_run,
    };
    reach(state, &goal, wrongs).await
}

/// Starts the streams of an application that do not run, or do not run well, as its newest release has them that did not fail.
///
/// # Errors
/// [`Error::NoApplication`]; [`Error::BeingUpdated`]; what is wrong with a stream.
pub async fn deploy(state: &AppState, name: &str) -> Result<Applied, Error> {
    let goal = {
        let model = state.meta.model();
        Goal { deploy: true, spare_running: true, ..Goal::of(name, current(&model, name)?, "deploy") }
    };
    reach(state, &goal, Wrongs::default()).await
}

/// Makes an application what it was in an earlier release; 0 means the one before the present one that differs from it.
///
/// # Errors
/// [`Error::NoApplication`]; [`Error::NoApplicationRelease`]; [`Error::BeingUpdated`]; what is wrong with a stream by now.
pub async fn rollback(state: &AppState, name: &str, number: u32) -> Result<Applied, Error> {
    let goal = {
        let model = state.meta.model();
        let present = current(&model, name)?;
        let none = || Error::NoApplicationRelease { application: name.to_owned(), release: number };
        let target = match number {
            0 => earlier(&model, name, present),
            number => model.application_releases(name).find(|release| release.n == number).map(AsRef::as_ref),
        };
        let target = target.ok_or_else(none)?;
        let ran = target.streams.iter().any(|member| member.rel > 0);
        Goal { deploy: ran, ..Goal::of(name, target, "rollback") }
    };
    reach(state, &goal, Wrongs::default()).await
}

/// Stops all streams of an application, in one transaction. A release that has not taken over by then is given up: what ran is
/// what is started again.
///
/// # Errors
/// [`Error::NoApplication`].
pub async fn undeploy(state: &AppState, name: &str) -> Result<Applied, Error> {
    catch_up(&state.meta).await?;
    with_retry(&state.meta, &subject(name), || async {
        let (write, changes, release) = {
            let model = state.meta.model();
            let found = model.applications.get(name).ok_or_else(|| Error::NoApplication(name.to_owned()))?;
            let (mut write, mut changes) = (Write::new(), Vec::new());
            let mut given_up = BTreeSet::new();
            for stream in &found.record.streams {
                let read = owned(&model, name, stream);
                let read = read.filter(|read| read.record.want.state == WantState::Deployed);
                let action = if read.is_some() { ChangeAction::Undeploy } else { ChangeAction::Unchanged };
                changes.push(StreamChange { stream: stream.clone(), action, details: Vec::new() });
                let Some(read) = read else { continue };
                let mut record = changed(read);
                record.want.state = WantState::Undeployed;
                if let Some((number, _)) = model.replacing(stream) {
                    record.want.cancelled = Some(number);
                    given_up.insert((stream.as_str(), number));
                }
                let dsl = model.shown(stream).map(|shown| shown.original()).unwrap_or_default();
                write = write.set_stream(read, &record).audit([audit::stream(Action::Undeploy, stream, dsl)]);
            }
            let write = note_failures(&model, name, &given_up, write);
            let mut releases = model.application_releases(name).rev().map(|release| release.n);
            let failed = all_failures(&model, name, &given_up);
            let release = releases.find(|number| !failed.contains_key(number)).unwrap_or(found.record.rel);
            (write, changes, release)
        };
        let applied = changes.iter().any(|change| change.action == ChangeAction::Undeploy);
        let written = if applied { Some(state.meta.write(write).await?) } else { None };
        let changes = ApplicationChanges { name: name.to_owned(), release, changes, applied };
        Ok(Applied { changes, is_new: false, written })
    })
    .await
}

/// Stops and removes an application with its streams: decided in one transaction. Returns when they are gone, or after half a
/// minute: it goes on then.
///
/// # Errors
/// [`Error::NoApplication`].
pub async fn destroy(state: &AppState, name: &str) -> Result<Option<Written>, Error> {
    catch_up(&state.meta).await?;
    let (written, streams) = with_retry(&state.meta, &subject(name), || async {
        let (write, streams) = {
            let model = state.meta.model();
            let found = model.applications.get(name).ok_or_else(|| Error::NoApplication(name.to_owned()))?;
            let (mut write, mut streams) = (Write::new(), BTreeSet::new());
            for stream in &found.record.streams {
                let Some(read) = owned(&model, name, stream) else { continue };
                let mut record = changed(read);
                record.want.state = WantState::Destroyed;
                let dsl = model.shown(stream).map(|shown| shown.original()).unwrap_or_default();
                write = write.set_stream(read, &record).audit([audit::stream(Action::Delete, stream, dsl)]);
                streams.insert(stream.clone());
            }
            let releases = model.application_releases(name).map(|release| release.n);
            let write = releases.fold(write, |write, number| write.delete_application_release(name, number));
            (write.delete_application(name, found.version), streams)
        };
        Ok((state.meta.write(write).await?, streams))
    })
    .await?;
    wait_gone(state, &streams).await;
    Ok(Some(written))
}

/// Adds to `write`, which stops or removes streams of an application, what they know of its releases that failed: nobody else
/// does once they are gone. `given_up` are streams with releases that have not taken over and never will.
pub(super) fn note_failures(
    model: &Model,
    name: &str,
    given_up: &BTreeSet<(&str, u32)>,
    write: Write,
) -> Write {
    let Some(found) = model.applications.get(name) else { return write };
    let failed = all_failures(model, name, given_up);
    if failed == found.record.failed {
        return write;
    }
    let record = ApplicationRecord {
        failed,
        op: operation(),
        at: clock::now(),
        ..ApplicationRecord::clone(&found.record)
    };
    write.put_application(Some(found), &record)
}

fn all_failures(model: &Model, name: &str, given_up: &BTreeSet<(&str, u32)>) -> BTreeMap<u32, String> {
    let mut failed = failures(model, name);
    for release in model.application_releases(name) {
        let Some((stream, _)) = made_by(model, name, release).find(|made| given_up.contains(made)) else {
            continue;
        };
        let reason = || format!("stream '{stream}': Stopped before it had taken the place of the one before");
        failed.entry(release.n).or_insert_with(reason);
    }
    failed
}

/// Carries out a change, again when what it was decided on changed meanwhile.
async fn reach(state: &AppState, goal: &Goal, wrongs: Wrongs) -> Result<Applied, Error> {
    if !goal.dry_run {
        // Whether anything is to be changed at all must not be decided on an old copy.
        catch_up(&state.meta).await?;
        let names: Vec<&str> = goal.streams.iter().map(|target| target.name.as_str()).collect();
        wait_destroyed(state, &names).await;
    }
    with_retry(&state.meta, &subject(&goal.name), || attempt(state, goal, wrongs.clone())).await
}

impl Goal {
    /// What an application was in one of its releases.
    fn of(name: &str, release: &ApplicationReleaseRecord, from: &'static str) -> Goal {
        Goal {
            name: name.to_owned(),
            description: release.desc.clone(),
            streams: release.streams.iter().map(Target::from).collect(),
            from,
            deploy: false,
            spare_running: false,
            adopt: false,
            dry_run: false,
        }
    }
}

fn subject(name: &str) -> String {
    format!("stream application '{name}'")
}
