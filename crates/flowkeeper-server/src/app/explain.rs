//! Why a stream is in its state.

use std::path::PathBuf;

use flowkeeper_api::cluster::{AppExplanation, Event, InstanceExplanation, StreamExplanation};
use flowkeeper_deploy::record::StatusState;
use flowkeeper_engine::model::InstanceId;
use flowkeeper_engine::phase::Phase;

use super::Error;
use super::logs::read_tail;
use super::placement;
use super::runtime::{Instance, deployment_id, running_stream};
use crate::meta::Model;
use crate::meta::record::WantState;
use crate::state::AppState;

/// Of how many files the last lines are read, how much of the end of each, and how many lines of it are told.
const MAX_FILES: usize = 20;
const MAX_TAIL: u64 = 4096;
const MAX_LINES: usize = 10;

/// The state of a stream as [`stream`] tells it, with what happened to it and to its instances, and the last lines of instances
/// that are not as wanted.
///
/// # Errors
/// [`Error::NoStream`].
pub async fn story(state: &AppState, name: &str) -> Result<StreamExplanation, Error> {
    let (mut explanation, files) = {
        let model = state.meta.model();
        let mut explanation = stream(&model, name)?;
        explanation.events = events(&model, name);
        for instance in explanation.apps.iter_mut().flat_map(|app| &mut app.instances) {
            let placed = placement::explain(&model, &instance.id);
            instance.placement = placed.ok().map(|placed| placed.summary);
        }
        let is_fine = |instance: &Instance| instance.phase == Phase::Deployed;
        let running = running_stream(&model, name).map(|running| running.apps).unwrap_or_default();
        let uneasy = running.into_iter().flat_map(|app| app.instances).filter(|instance| !is_fine(instance));
        let files: Vec<_> = uneasy
            .flat_map(|instance| {
                let path =
                    |name: &str| Some((instance.id.clone(), PathBuf::from(instance.attributes.get(name)?)));
                ["stdout", "stderr"].map(path).into_iter().flatten()
            })
            .collect();
        (explanation, files)
    };
    for (id, path) in files.iter().take(MAX_FILES) {
        let Ok(text) = read_tail(path, MAX_TAIL).await else { continue };
        let lines = text.lines().rev().take(MAX_LINES).map(str::to_owned);
        let lines: Vec<String> = lines.collect();
        let all = explanation.apps.iter_mut().flat_map(|app| &mut app.instances);
        for instance in all.filter(|instance| instance.id == *id) {
            instance.last_lines.extend(lines.iter().rev().cloned());
        }
    }
    Ok(explanation)
}

/// What happened to a stream: releases, places, and what nodes report, oldest first.
fn events(model: &Model, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |at: &str, instance: Option<String>, what: String| {
        events.push(Event { at: at.to_owned(), instance, what });
    };
    for release in model.releases(name) {
        let beside = release.replaces.map(|old| format!(", to replace release {old}")).unwrap_or_default();
        let failure =
            model.failure(name, release.n).map(|reason| format!("; it failed: {reason}")).unwrap_or_default();
        add(
            &release.at,
            None,
            format!("release {} was asked for ({}){beside}{failure}", release.n, release.from),
        );
    }
    let Some(state) = model.states.get(name) else { return events };
    for (label, slots) in &state.record.apps {
        for slot in slots.iter().filter(|slot| slot.node.is_some()) {
            let id = format!("{}-{}", deployment_id(name, label, slot.rel), slot.i);
            let node = slot.node.as_deref().unwrap_or_default();
            if let Some(at) = &slot.at {
                add(at, Some(id.clone()), format!("placed on node {node} under term {}", slot.t));
            }
            let instance = InstanceId::new(name, label.clone(), slot.rel, slot.i);
            for event in model.status(&instance).into_iter().flat_map(|status| &status.events) {
                add(&event.at, Some(id.clone()), event.what.clone());
            }
        }
    }
    events.sort_by(|a, b| a.at.cmp(&b.at));
    events
}

/// The state of a stream with a reason for everything that is not as wanted.
///
/// # Errors
/// [`Error::NoStream`].
pub fn stream(model: &Model, name: &str) -> Result<StreamExplanation, Error> {
    let no_stream = || Error::NoStream(name.to_owned());
    let stream = model.stream(name).ok_or_else(no_stream)?;
    let phase = model.phase(name).ok_or_else(no_stream)?;
    let want = &stream.record.want;
    let release = model.current_release(name).filter(|_| want.state == WantState::Deployed);
    let apps = release.into_iter().flat_map(|release| release.apps.iter().map(move |app| (release, app)));
    let apps = apps.map(|(release, app)| {
        let since = release.since(app);
        let id = deployment_id(name, &app.label, since);
        let instances = (0..model.count(name, release, app)).map(|index| {
            let instance = InstanceId::new(name, app.label.clone(), since, index);
            let (phase, reason) = phase.instances.get(&instance).cloned().unwrap_or((Phase::Unknown, None));
            let order = model.assignment(&instance);
            let reason = match order {
                None if phase != Phase::Deployed => no_place(model, &format!("{id}-{index}")).or(reason),
                _ => reason,
            };
            // What was reported under an earlier order says nothing about this one.
            let term = order.map(|(_, order)| order.record.t);
            let status = model.status(&instance).filter(|status| Some(status.t) == term);
            InstanceExplanation {
                id: format!("{id}-{index}"),
                index,
                phase: phase.key().to_owned(),
                state: status.map(|status| state_name(status.st).to_owned()),
                reason,
                node: order.map(|(node, _)| node.0.clone()),
                placement: None,
                restarts: status.map_or(0, |status| status.restarts),
                exit: status.and_then(|status| status.exit.clone()),
                since: status.map(|status| status.since.clone()),
                last_lines: Vec::new(),
            }
        });
        AppExplanation {
            label: app.label.clone(),
            phase: phase.apps.get(&app.label).copied().unwrap_or(Phase::Unknown).key().to_owned(),
            instances: instances.collect(),
        }
    });
    let apps: Vec<AppExplanation> = apps.collect();
    let orders = model.assignments_of(name).count() + model.leaving_of(name).count();
    let active = u32::try_from(orders).unwrap_or(u32::MAX);
    let instances = || apps.iter().flat_map(|app| &app.instances);
    let is_late = want.state != WantState::Deployed && active > 0;
    let awaits = match (&phase.rollout, model.replacing(name)) {
        (Some(rollout), Some(_)) => Some(rollout.clone()),
        _ if is_late && active == 1 => Some("1 instance is being stopped".to_owned()),
        _ if is_late => Some(format!("{active} instances are being stopped")),
        _ => awaited(instances()),
    };
    Ok(StreamExplanation {
        name: name.to_owned(),
        phase: phase.phase.key().to_owned(),
        want: want_name(want.state).to_owned(),
        generation: want.r#gen,
        release: release.map_or(want.rel, |release| release.n),
        replaces: model.replacing(name).map(|(_, from)| from),
        rollout: phase.rollout.clone(),
        active,
        awaits,
        apps,
        events: Vec::new(),
    })
}

/// Why an instance has no place, when no node could take it.
fn no_place(model: &Model, id: &str) -> Option<String> {
    let placed = placement::explain(model, id).ok()?;
    let has_choice = placed.candidates.iter().any(|candidate| candidate.score.is_some());
    (placed.node.is_none() && !placed.candidates.is_empty() && !has_choice).then_some(placed.summary)
}

/// Which instance is waited for. Of one that failed for good it is said that nothing will happen by itself, unless another one
/// may still become healthy.
fn awaited<'a>(instances: impl Iterator<Item = &'a InstanceExplanation>) -> Option<String> {
    let uneasy = instances.filter(|instance| instance.phase != Phase::Deployed.key());
    let (failed, hopeful): (Vec<_>, Vec<_>) = uneasy.partition(|instance| instance.has_failed_for_good());
    if let Some(hopeful) = hopeful.first() {
        let reason = hopeful.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return Some(format!("{} to be healthy{reason}", hopeful.id));
    }
    let failed = failed.first()?;
    // The output that a reason may announce is told separately.
    let reason = failed.reason.as_deref().and_then(|reason| reason.lines().next());
    let reason = reason.map(|reason| reason.trim_end_matches("; last output:"));
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(format!("nothing is awaited: {} failed for good{reason}; deploy or update the stream", failed.id))
}

pub(super) fn state_name(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending => "pending",
        StatusState::Fetching => "fetching",
        StatusState::Starting => "starting",
        StatusState::Running => "running",
        StatusState::Frozen => "frozen",
        StatusState::Backoff => "backoff",
        StatusState::Failed => "failed",
        StatusState::Stopping => "stopping",
        StatusState::Stopped => "stopped",
    }
}

fn want_name(want: WantState) -> &'static str {
    match want {
        WantState::None => "none",
        WantState::Deployed => "deployed",
        WantState::Undeployed => "undeployed",
        WantState::Destroyed => "destroyed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, phase: Phase, state: StatusState, reason: Option<&str>) -> InstanceExplanation {
        InstanceExplanation {
            id: id.to_owned(),
            index: 0,
            phase: phase.key().to_owned(),
            state: Some(state_name(state).to_owned()),
            reason: reason.map(str::to_owned),
            node: None,
            placement: None,
            restarts: 0,
            exit: None,
            since: None,
            last_lines: Vec::new(),
        }
    }

    #[test]
    fn what_failed_for_good_is_not_awaited() {
        let fine = instance("s.a-v1-0", Phase::Deployed, StatusState::Running, None);
        let starting = instance("s.b-v1-0", Phase::Deploying, StatusState::Starting, None);
        let again =
            instance("s.c-v1-0", Phase::Failed, StatusState::Backoff, Some("exit code 1; restart 1 in 1 s"));
        let failed =
            instance("s.d-v1-0", Phase::Failed, StatusState::Failed, Some("exit code 1; last output:\nboom"));
        let text = |instances: &[&InstanceExplanation]| awaited(instances.iter().copied());
        assert_eq!(text(&[&fine]), None);
        assert_eq!(text(&[&fine, &starting]).as_deref(), Some("s.b-v1-0 to be healthy"));
        assert_eq!(
            text(&[&failed, &again]).as_deref(),
            Some("s.c-v1-0 to be healthy: exit code 1; restart 1 in 1 s")
        );
        assert_eq!(
            text(&[&fine, &failed]).as_deref(),
            Some("nothing is awaited: s.d-v1-0 failed for good (exit code 1); deploy or update the stream")
        );
    }
}
