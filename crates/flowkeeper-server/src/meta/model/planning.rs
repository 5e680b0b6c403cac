//! What the planner is told of a stream: what is desired, where it is placed, what is observed, and what its peers say.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowkeeper_deploy::record::{
    AssignmentRecord, Group, Manifest, ManifestApp, Order, StatusEntry, StatusState,
};
use flowkeeper_deploy::rollout;
use flowkeeper_engine::model::{
    Assignment, Desired, InstanceState, Leaving, NodeId, NodeView, Observed, Peers, Placement, Release,
    ReleaseApp, Report, Term, Uid, Want,
};
use flowkeeper_engine::phase::{StreamPhase, phase};
use flowkeeper_engine::rollout::{Rollout, Verdict, peers, standing};

use super::Model;
use super::orders::Placed;
use crate::clock;
use crate::meta::record::{WantRecord, WantState};

impl Model {
    /// The release that the stream is judged by, or ran last: the newest one, unless that failed to replace another.
    pub fn current_release(&self, stream: &str) -> Option<&Arc<Manifest>> {
        self.release(stream, self.current_number(stream)?)
    }

    fn current_number(&self, stream: &str) -> Option<u32> {
        let found = self.streams.get(stream)?;
        let newest = found.record.want.rel;
        let state = self.states.get(stream).map(|state| &state.record).filter(|state| state.uid == found.uid);
        // One that was given up never ran alone, even when the stream was stopped before that was noted.
        let is_given_up = |rel: u32| rel != 0 && rel != newest && found.record.want.cancelled == Some(newest);
        let has_failed = state.filter(|state| state.failed.contains_key(&newest) || is_given_up(state.rel));
        Some(has_failed.map_or(newest, |state| state.rel))
    }

    /// Copies of an app of a release that are to run.
    pub fn count(&self, stream: &str, release: &Manifest, app: &ManifestApp) -> u32 {
        let want = self.streams.get(stream).map(|found| &found.record.want);
        want.map_or(app.count, |want| want.count(release.n, &app.label, app.count))
    }

    /// The release that replaces another at this moment, and that other one.
    pub fn replacing(&self, stream: &str) -> Option<(u32, u32)> {
        // Most streams are answered here.
        self.release(stream, self.streams.get(stream)?.record.want.rel)?.replaces?;
        let desired = self.desired_alone(stream)?;
        match Rollout::of(&desired, self.placement(stream).as_ref()) {
            Rollout::Replacing { from, to } => Some((to.number, from.number)),
            _ => None,
        }
    }

    /// Why a release failed to replace another, if it did.
    pub fn failure(&self, stream: &str, release: u32) -> Option<&str> {
        let found = self.streams.get(stream)?;
        let state = self.states.get(stream).filter(|state| state.record.uid == found.uid)?;
        state.record.failed.get(&release).map(String::as_str)
    }

    /// What is desired of `stream`, as the planner wants it. `None`: there is no such stream.
    pub fn desired(&self, stream: &str) -> Option<Desired> {
        let desired = self.desired_alone(stream)?;
        let peers = self.peers(stream, &desired);
        Some(Desired { peers, ..desired })
    }

    /// What is desired of `stream` for itself, whatever its peers say.
    fn desired_alone(&self, stream: &str) -> Option<Desired> {
        let found = self.streams.get(stream)?;
        let want = &found.record.want;
        let release = self.release(stream, want.rel);
        let replaces = release.and_then(|release| release.replaces);
        Some(Desired {
            uid: Uid(found.uid.clone()),
            generation: want.r#gen,
            want: Want::from(want.state),
            elapsed_ms: if replaces.is_some() {
                // While nobody led, nothing could be seen of it: its time begins anew with this server.
                release.map_or(0, |it| clock::elapsed_ms(&it.at)).min(self.watched_ms())
            } else {
                0
            },
            base: replaces.and_then(|base| self.release(stream, base)).map(|base| planned(base, want)),
            release: release.map(|release| planned(release, want)),
            cancelled: want.cancelled,
            peers: Peers::default(),
        })
    }

    /// The place of a stream among those that were changed with it; 0 when it was changed alone.
    pub fn order(&self, stream: &str) -> u32 {
        self.newest_group(stream).map_or(0, |group| group.order)
    }

    /// The streams whose newest releases replace others at this moment and were made together with that of `stream`, in order;
    /// itself too, if its does.
    pub fn replacing_together(&self, stream: &str) -> Vec<&str> {
        let Some(group) = self.newest_group(stream) else { return Vec::new() };
        let mut members: Vec<&str> =
            self.members(group).filter(|member| self.replacing(member).is_some()).collect();
        members.sort_by_key(|member| (self.order(member), *member));
        members
    }

    fn newest_group(&self, stream: &str) -> Option<&Group> {
        let newest = self.streams.get(stream)?.record.want.rel;
        self.release(stream, newest)?.group.as_ref()
    }

    /// The streams whose newest releases belong to `group`.
    fn members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a str> {
        let release = self.application_releases.get(&(group.application.clone(), group.release));
        let names =
            release.into_iter().flat_map(|release| release.streams.iter().map(|member| member.name.as_str()));
        names.filter(move |name| {
            let newest = self.newest_group(name);
            newest.is_some_and(|newest| {
                (&newest.application, newest.release) == (&group.application, group.release)
            })
        })
    }

    /// What the streams say that were changed together with this one. Looked at only as far as it matters: what is not healthy
    /// itself need not ask whether others are.
    fn peers(&self, stream: &str, desired: &Desired) -> Peers {
        let Some(group) = self.newest_group(stream) else { return Peers::default() };
        let placement = self.placement(stream);
        if !matches!(Rollout::of(desired, placement.as_ref()), Rollout::Replacing { .. }) {
            return Peers::default();
        }
        let nodes = self.views();
        let says = |name: &str, desired: &Desired| {
            let observed = self.observed_on(name, nodes.clone());
            standing(name, desired, self.placement(name).as_ref(), &observed)
        };
        let is_healthy = says(stream, desired) == Some(Verdict::Healthy);
        let mut is_decided = false;
        // Whoever was stopped meanwhile has nothing to say any more.
        let wanted = |name: &str| {
            let found = self.streams.get(name)?;
            (found.record.want.state == WantState::Deployed).then_some(found.record.want.rel)
        };
        let others = self.members(group).filter(|name| *name != stream);
        peers(others.filter_map(|name| Some((name, wanted(name)?))).map(|(name, newest)| {
            if let Some(reason) = self.failure(name, newest) {
                return (name, Some(Verdict::Failed(reason.to_owned())));
            }
            if !is_healthy || is_decided {
                return (name, None);
            }
            let verdict = self.desired_alone(name).and_then(|desired| says(name, &desired));
            is_decided = matches!(verdict, Some(Verdict::Waiting(_)));
            (name, verdict)
        }))
    }

    fn placement(&self, stream: &str) -> Option<Placement> {
        self.states.get(stream).map(|state| state.record.placement())
    }

    /// What is observed of `stream`, as the planner wants it.
    pub fn observed(&self, stream: &str) -> Observed {
        self.observed_on(stream, self.views())
    }

    fn observed_on(&self, stream: &str, nodes: Arc<BTreeMap<NodeId, NodeView>>) -> Observed {
        let brake = self.brake_reason().map(str::to_owned);
        let mut observed = Observed { nodes, brake, ..Observed::default() };
        for (instance, placed) in self.assignments_of(stream) {
            if let Some(status) = self.status(instance) {
                observed.reports.insert(instance.clone(), report(status));
            }
            observed.assignments.insert(instance.clone(), assignment(placed));
        }
        for (instance, placed) in self.leaving_of(stream) {
            let report = self.status_on(&placed.0, instance).map(report);
            let leaving = Leaving { order: assignment(placed), report };
            observed.leaving.entry(instance.clone()).or_default().push(leaving);
        }
        observed
    }

    /// Phase of a stream and its parts. `None`: there is no such stream.
    pub fn phase(&self, stream: &str) -> Option<StreamPhase> {
        let want = Want::from(self.streams.get(stream)?.record.want.state);
        // What does not run is undeployed whatever the nodes say; most streams of a list are answered here.
        if want != Want::Deployed {
            let desired = Desired { want, ..Desired::default() };
            return Some(phase(stream, &desired, None, &Observed::default()));
        }
        let desired = self.desired(stream)?;
        Some(phase(stream, &desired, self.placement(stream).as_ref(), &self.observed(stream)))
    }
}

/// A release as the planner wants it.
fn planned(manifest: &Manifest, want: &WantRecord) -> Release {
    let app = |app: &ManifestApp| {
        let (exclusivity, needs) = rollout::asks(app);
        ReleaseApp {
            label: app.label.clone(),
            since: manifest.since(app),
            count: want.count(manifest.n, &app.label, app.count),
            exclusive: rollout::exclusive(app),
            exclusivity,
            needs,
        }
    };
    Release {
        number: manifest.n,
        replaces: manifest.replaces,
        patience_ms: rollout::patience_ms(manifest),
        apps: manifest.apps.iter().map(app).collect(),
    }
}

fn assignment((node, order): &Placed) -> Assignment {
    let AssignmentRecord { uid, t, want, .. } = &*order.record;
    Assignment { node: node.clone(), uid: Uid(uid.clone()), term: Term(*t), stop: *want == Order::Stop }
}

fn report(status: &StatusEntry) -> Report {
    let state = match status.st {
        StatusState::Pending => InstanceState::Pending,
        StatusState::Fetching => InstanceState::Fetching,
        StatusState::Starting => InstanceState::Starting,
        StatusState::Running => InstanceState::Running,
        StatusState::Frozen => InstanceState::Frozen,
        StatusState::Backoff => InstanceState::Backoff,
        StatusState::Failed => InstanceState::Failed,
        StatusState::Stopping => InstanceState::Stopping,
        StatusState::Stopped => InstanceState::Stopped,
    };
    Report {
        term: Term(status.t),
        state,
        ready: status.ready,
        failing: status.failing,
        reason: status.err.clone(),
    }
}
