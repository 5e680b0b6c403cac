//! One change of a stream application: decided completely, then written in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flowkeeper_api::applications::{ApplicationChanges, StreamChange};
use flowkeeper_deploy::record::Group;
use flowkeeper_dsl::StreamDefinition;
use flowkeeper_engine::phase::Phase;

use super::super::streams::operation;
use super::super::{Error, Failed};
use super::check::{Wrongs, check_stream};
use super::look::{current, failures};
use super::member::{Present, Target, owned};
use super::order::places;
use crate::clock;
use crate::meta::record::{ApplicationRecord, ApplicationReleaseRecord, MemberRecord};
use crate::meta::{Model, Versioned, Write, Written};
use crate::state::AppState;

/// So many releases of an application are kept.
const KEPT_RELEASES: usize = 20;

/// What a stream application is to become.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) streams: Vec<Target>,
    /// What asks for it: `apply`, `deploy`, `rollback`.
    pub(super) from: &'static str,
    /// Start streams that do not run; they are anyway when another stream of the application runs.
    pub(super) deploy: bool,
    /// Leave alone what runs well.
    pub(super) spare_running: bool,
    /// Take in streams that exist and belong to no application.
    pub(super) adopt: bool,
    /// Write nothing.
    pub(super) dry_run: bool,
}

/// What a change did, or would do.
#[derive(Clone, Debug)]
pub struct Applied {
    pub changes: ApplicationChanges,
    /// The application did not exist before.
    pub is_new: bool,
    pub written: Option<Written>,
}

/// What stands of an application before it is changed.
pub(super) struct Before {
    read: Option<Versioned<ApplicationRecord>>,
    newest: Option<Arc<ApplicationReleaseRecord>>,
    /// Number of the newest release that did not fail; 0 when there is none.
    present: u32,
    /// Releases that failed.
    failed: BTreeMap<u32, String>,
    /// Old releases that the next one makes superfluous.
    outdated: Vec<u32>,
    /// By name, those of its streams that exist, and those of the goal.
    pub(super) streams: BTreeMap<String, Present>,
    /// Streams that run, but not well.
    pub(super) ailing: BTreeSet<String>,
    pub(super) is_running: bool,
}

/// One try of a change.
pub(super) async fn attempt(state: &AppState, goal: &Goal, mut wrongs: Wrongs) -> Result<Applied, Failed> {
    let before = Before::of(&state.meta.model(), goal, &mut wrongs)?;
    let checked: Vec<Option<StreamDefinition>> =
        goal.streams.iter().map(|target| check_stream(state, target, &mut wrongs)).collect();
    let known: Vec<StreamDefinition> = checked.iter().flatten().cloned().collect();
    let mut places = places(&known).into_iter();
    let release = before.release();
    let mut decided = Vec::with_capacity(goal.streams.len());
    for (target, definition) in goal.streams.iter().zip(checked) {
        let Some(definition) = definition else { continue };
        let order = places.next().unwrap_or_default();
        let group = Group { application: goal.name.clone(), release: release + 1, order };
        let result = before.decide(state, goal, target, &definition, group).await;
        decided.extend(wrongs.of_stream(&target.name, result));
    }
    wrongs.into_result()?;
    decided.extend(before.removed(goal));
    let members: Vec<MemberRecord> = decided.iter().filter_map(|decided| decided.member.clone()).collect();
    let is_other = !goal.spare_running && before.differs(goal, &members);
    let has_changed = is_other || decided.iter().any(|decided| decided.step.is_some());
    let changes: Vec<StreamChange> = decided.iter().map(|decided| decided.change.clone()).collect();
    let is_new = before.read.is_none();
    if goal.dry_run || !has_changed {
        let release = before.present;
        let changes = ApplicationChanges { name: goal.name.clone(), release, changes, applied: false };
        return Ok(Applied { changes, is_new: false, written: None });
    }
    let apps: Vec<_> = decided.iter().flat_map(|decided| decided.apps.iter().cloned()).collect();
    let write = Write::new().needing(&state.meta.model(), apps);
    let write = decided.into_iter().fold(write, |write, decided| decided.add_to(write, goal));
    let written = state.meta.write(before.add_to(write, goal, members)).await?;
    let changes =
        ApplicationChanges { name: goal.name.clone(), release: release + 1, changes, applied: true };
    Ok(Applied { changes, is_new, written: Some(written) })
}

impl Before {
    /// # Errors
    /// [`Error::BeingUpdated`].
    fn of(model: &Model, goal: &Goal, wrongs: &mut Wrongs) -> Result<Before, Error> {
        let name = &goal.name;
        let read = model.applications.get(name).cloned();
        let newest = model.application_releases(name).next_back().cloned();
        let present = current(model, name).ok();
        let numbers: Vec<u32> = model.application_releases(name).map(|release| release.n).collect();
        let (outdated, _) = numbers.split_at(numbers.len().saturating_sub(KEPT_RELEASES - 1));
        let number = present.map_or(0, |present| present.n);
        // What the application is stays, however often something else has failed since.
        let outdated = outdated.iter().copied().filter(|old| *old != number).collect();
        let old = read.iter().flat_map(|read| read.record.streams.iter().map(String::as_str));
        let old: Vec<&str> = old.filter(|stream| owned(model, name, stream).is_some()).collect();
        let mut streams = BTreeMap::new();
        let all = goal.streams.iter().map(|target| target.name.as_str()).chain(old.iter().copied());
        for stream in all {
            if model.streams.contains_key(stream) && model.stream(stream).is_none() && !goal.dry_run {
                wrongs.conflict(format!("stream '{stream}' is still being destroyed: try again in a moment"));
            }
            let known =
                present.iter().flat_map(|present| &present.streams).find(|member| member.name == stream);
            let Some(found) = model.stream(stream) else { continue };
            match found.record.application.as_deref() {
                Some(owner) if owner == name => {}
                Some(owner) => wrongs.conflict(format!(
                    "stream '{stream}' belongs to stream application '{owner}': rename it, or take it out there first"
                )),
                None if goal.adopt => {}
                None => wrongs.conflict(format!(
                    "stream '{stream}' exists and belongs to no stream application: rename it, or take it in with --adopt \
                     (adopt=true)"
                )),
            }
            let known = known.filter(|_| found.record.application.as_deref() == Some(name));
            streams.insert(stream.to_owned(), Present::of(model, stream, known)?);
        }
        let is_running = streams.values().any(|present: &Present| present.current.is_some());
        let is_well = |stream: &str| {
            matches!(model.phase(stream).map(|phase| phase.phase), Some(Phase::Deployed | Phase::Deploying))
        };
        let ailing = streams.iter().filter(|(stream, present)| present.current.is_some() && !is_well(stream));
        let ailing = ailing.map(|(stream, _)| stream.clone()).collect();
        let failed = failures(model, name);
        Ok(Before { read, newest, present: number, failed, outdated, streams, ailing, is_running })
    }

    /// The newest release; 0 when there is none.
    fn release(&self) -> u32 {
        self.read.as_ref().map_or(0, |read| read.record.rel)
    }

    /// Whether the application itself becomes another: its description, its streams, or what it remembers of them.
    fn differs(&self, goal: &Goal, members: &[MemberRecord]) -> bool {
        let content = |member: &MemberRecord| Target::from(member);
        let Some((read, newest)) = self.read.as_ref().zip(self.newest.as_ref()) else { return true };
        read.record.desc != goal.description
            || !newest.streams.iter().map(content).eq(members.iter().map(content))
            || !read.record.streams.iter().eq(members.iter().map(|member| &member.name))
    }

    /// Adds to `write` the next release of the application.
    fn add_to(&self, write: Write, goal: &Goal, members: Vec<MemberRecord>) -> Write {
        let release = self.release() + 1;
        let record = ApplicationRecord {
            v: 1,
            name: goal.name.clone(),
            desc: goal.description.clone(),
            streams: members.iter().map(|member| member.name.clone()).collect(),
            rel: release,
            failed: self.failed.clone(),
            op: operation(),
            at: clock::now(),
            extra: self.read.as_ref().map(|read| read.record.extra.clone()).unwrap_or_default(),
        };
        let made = ApplicationReleaseRecord {
            v: 1,
            n: release,
            from: goal.from.to_owned(),
            desc: goal.description.clone(),
            at: record.at.clone(),
            streams: members,
            ..ApplicationReleaseRecord::default()
        };
        let write =
            write.put_application(self.read.as_ref(), &record).create_application_release(&goal.name, &made);
        self.outdated
            .iter()
            .fold(write, |write, number| write.delete_application_release(&goal.name, *number))
    }
}
