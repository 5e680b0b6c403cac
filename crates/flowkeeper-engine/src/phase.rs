//! What a stream instance *is*, derived from what is wanted, placed and reported. Never stored as truth: it is computed
//! again from the same inputs by every server and every leader.
//!
//! The words are SCDF's (`deploying`, `deployed`, `partial`, `failed`, …), aggregated by its rules: instances to apps, apps
//! to the stream. An instance whose process ended is `failed`, as SCDF's users expect, until a new one is ready: whether it is
//! started again by itself is told by its [`InstanceState`] and by the reason.

use std::collections::BTreeMap;

use crate::model::{Desired, InstanceId, InstanceState, NodeId, Observed, Placement, ReleaseApp, Slot};
use crate::planner::explain_loss;
use crate::rollout::{Rollout, Verdict, verdict};

/// State of an instance, an app or a stream, in SCDF's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Deploying,
    Deployed,
    Undeployed,
    Partial,
    Failed,
    Error,
    Unknown,
}

/// Phases of a stream and its parts, each deviation with a reason a person can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPhase {
    pub phase: Phase,
    /// By label, of the release that is to run in the end.
    pub apps: BTreeMap<String, Phase>,
    /// By instance: phase and, when it is not as wanted, why. Instances of a release that is being replaced are among them.
    pub instances: BTreeMap<InstanceId, (Phase, Option<String>)>,
    /// What there is to say of a release that replaces another, or failed to.
    pub rollout: Option<String>,
}

impl Phase {
    /// The key SCDF uses in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Phase::Deploying => "deploying",
            Phase::Deployed => "deployed",
            Phase::Undeployed => "undeployed",
            Phase::Partial => "partial",
            Phase::Failed => "failed",
            Phase::Error => "error",
            Phase::Unknown => "unknown",
        }
    }

    /// One sentence for people, in our own words.
    pub fn description(self) -> &'static str {
        match self {
            Phase::Deploying => "Apps of the stream are being started.",
            Phase::Deployed => "All apps of the stream run and are healthy.",
            Phase::Undeployed => "The stream is defined and does not run.",
            Phase::Partial => "Some apps of the stream run, others do not.",
            Phase::Failed => {
                "Apps of the stream ended or could not be started; the reasons tell whether they are tried again."
            }
            Phase::Error => "The state of the stream could not be found out.",
            Phase::Unknown => "Nothing is known of this stream's apps.",
        }
    }
}

/// Derives the phase of stream `name`.
pub fn phase(
    name: &str,
    desired: &Desired,
    placement: Option<&Placement>,
    observed: &Observed,
) -> StreamPhase {
    let placement = placement.filter(|placement| placement.uid == desired.uid);
    let mut result = StreamPhase {
        phase: Phase::Undeployed,
        apps: BTreeMap::new(),
        instances: BTreeMap::new(),
        rollout: None,
    };
    let rollout = Rollout::of(desired, placement);
    let Some(judged) = rollout.judged() else { return result };
    for app in rollout.running() {
        for instance in app.instances(name) {
            let found = instance_phase(app, &instance, placement, observed);
            result.instances.insert(instance, found);
        }
    }
    for app in &judged.apps {
        let phases: Vec<_> = app.instances(name).map(|instance| result.instances[&instance].0).collect();
        result.apps.insert(app.label.clone(), aggregate_instances(&phases));
    }
    result.phase = aggregate_apps(result.apps.values().copied());
    // SCDF's rule has no word for a stream whose nodes are all lost; that it does not run would be a guess.
    if result.phase == Phase::Undeployed && result.apps.values().any(|phase| *phase == Phase::Unknown) {
        result.phase = Phase::Partial;
    }
    result.rollout = match (rollout, placement) {
        (Rollout::Replacing { from, to }, Some(placement)) => {
            let what = match verdict(name, to, desired, placement, observed) {
                Verdict::Waiting(what) => what,
                Verdict::Healthy => "all its apps are healthy".to_owned(),
                Verdict::Failed(reason) => reason,
            };
            // Apps that cannot run twice leave a gap, which must not be told away.
            let gap = match rollout.stopped_first().as_slice() {
                [] => String::new(),
                labels => format!(" but for {}, which had to make room", labels.join(", ")),
            };
            Some(format!(
                "release {} is to replace release {}, which runs until then{gap}: {what}",
                to.number, from.number
            ))
        }
        (Rollout::Kept { from, to }, Some(placement)) => {
            let reason = placement.failed.get(&to.number).map(String::as_str).unwrap_or_default();
            Some(format!("release {} failed and release {} runs on: {reason}", to.number, from.number))
        }
        _ => None,
    };
    result
}

fn instance_phase(
    app: &ReleaseApp,
    id: &InstanceId,
    placement: Option<&Placement>,
    observed: &Observed,
) -> (Phase, Option<String>) {
    let slot = placement.and_then(|placement| placement.slot(id));
    let Some((slot, node)) = slot.and_then(|slot| Some((slot, slot.node.as_ref()?))) else {
        let reason =
            if !observed.has_live_node() { "no node is alive" } else { "waiting for a place on a node" };
        return (Phase::Deploying, Some(reason.to_owned()));
    };
    let (phase, reason) = newest_phase(app, id, slot, node, observed);
    let from = placement.and_then(|placement| observed.moving_from(id, placement));
    match from.filter(|_| phase != Phase::Deployed) {
        // Its old copy does the work until the new one can.
        Some(from) => {
            let why = reason.map_or(String::new(), |reason| format!(": {reason}"));
            (Phase::Deployed, Some(format!("runs on node {from} while it moves to node {node}{why}")))
        }
        None => (phase, reason),
    }
}

/// What the copy under the newest order is.
fn newest_phase(
    app: &ReleaseApp,
    id: &InstanceId,
    slot: &Slot,
    node: &NodeId,
    observed: &Observed,
) -> (Phase, Option<String>) {
    if let Some(lost) = explain_loss(app, id, node, observed) {
        return (Phase::Unknown, Some(lost));
    }
    let report = observed.reports.get(id).filter(|report| report.term == slot.term);
    let Some(report) = report else {
        let older = observed.leaving.get(id).and_then(|leaving| leaving.first());
        let reason = match older.map(|leaving| &leaving.order.node) {
            Some(from) => format!("moves from node {from} to node {node}, which has not reported yet"),
            None => format!("node {node} has not reported yet"),
        };
        return (Phase::Deploying, Some(reason));
    };
    let phase = match report.state {
        InstanceState::Running if report.ready => Phase::Deployed,
        InstanceState::Failed | InstanceState::Backoff => Phase::Failed,
        InstanceState::Stopped | InstanceState::Stopping => Phase::Undeployed,
        InstanceState::Frozen => {
            let why = report.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            return (
                Phase::Unknown,
                Some(format!("frozen on node {node}, whose contact to ZooKeeper is broken{why}")),
            );
        }
        _ if report.failing => Phase::Failed,
        InstanceState::Pending
        | InstanceState::Fetching
        | InstanceState::Starting
        | InstanceState::Running => Phase::Deploying,
    };
    (phase, report.reason.clone().filter(|_| phase != Phase::Deployed))
}

/// SCDF's rule from instances to an app (`AppStatus`).
pub fn aggregate_instances(phases: &[Phase]) -> Phase {
    let has = |phase| phases.contains(&phase);
    match phases {
        [] => Phase::Unknown,
        [first, rest @ ..] if rest.iter().all(|phase| phase == first) => *first,
        _ if has(Phase::Error) => Phase::Error,
        _ if has(Phase::Deploying) => Phase::Deploying,
        _ if has(Phase::Deployed) || has(Phase::Partial) => Phase::Partial,
        _ if has(Phase::Failed) => Phase::Failed,
        _ => Phase::Partial,
    }
}

/// SCDF's rule from apps to a stream (`StreamDeployerUtil`).
pub fn aggregate_apps(phases: impl Iterator<Item = Phase>) -> Phase {
    let phases: Vec<_> = phases.collect();
    let has = |phase| phases.contains(&phase);
    match phases.as_slice() {
        [] => Phase::Error,
        _ if has(Phase::Error) => Phase::Error,
        [first, rest @ ..] if rest.iter().all(|phase| phase == first) => match first {
            Phase::Unknown => Phase::Undeployed,
            phase => *phase,
        },
        _ if has(Phase::Deployed) && has(Phase::Failed) => Phase::Partial,
        _ if has(Phase::Failed) => Phase::Failed,
        _ if has(Phase::Deploying) => Phase::Deploying,
        _ => Phase::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeView, Report, Term};
    use Phase::{Deployed, Deploying, Error, Failed, Partial, Undeployed, Unknown};

    #[test]
    fn a_stream_is_what_its_apps_are() {
        let cases: &[(&[Phase], Phase)] = &[
            (&[], Error),
            (&[Deployed, Deployed], Deployed),
            (&[Unknown, Unknown], Undeployed),
            (&[Deployed, Failed], Partial),
            (&[Deployed, Failed, Deploying], Partial),
            (&[Failed, Deploying], Failed),
            (&[Deployed, Deploying], Deploying),
            (&[Deployed, Unknown], Partial),
            (&[Deployed, Error], Error),
            (&[Deployed, Partial], Partial),
        ];
        for (apps, expected) in cases {
            assert_eq!(aggregate_apps(apps.iter().copied()), *expected, "{apps:?}");
        }
    }

    #[test]
    fn an_instance_that_ended_is_failed_until_it_is_ready_again() {
        use InstanceState::{Backoff, Running, Starting, Stopping};
        let id = InstanceId::new("s", "log", 1, 0);
        let node = NodeId("n".to_owned());
        let slot = Slot { index: 0, node: Some(node.clone()), term: Term(1), release: 1 };
        let placement =
            Placement { apps: BTreeMap::from([("log".to_owned(), vec![slot])]), ..Placement::default() };
        let of = |state, ready, failing| {
            let report = Report { term: Term(1), state, ready, failing, reason: None };
            let observed = Observed {
                nodes: BTreeMap::from([(node.clone(), NodeView::open("n", 1))]).into(),
                reports: BTreeMap::from([(id.clone(), report)]),
                ..Observed::default()
            };
            instance_phase(&ReleaseApp::default(), &id, Some(&placement), &observed).0
        };
        assert_eq!(of(Starting, false, false), Deploying);
        assert_eq!(of(Running, false, false), Deploying);
        assert_eq!(of(Running, true, false), Deployed);
        assert_eq!(of(Backoff, false, true), Failed);
        assert_eq!(of(Starting, false, true), Failed);
        assert_eq!(of(Running, false, true), Failed);
        assert_eq!(of(Stopping, false, true), Undeployed);
        assert_eq!(of(InstanceState::Frozen, false, false), Unknown);
    }

    #[test]
    fn an_app_is_what_its_instances_are() {
        let cases: &[(&[Phase], Phase)] = &[
            (&[], Unknown),
            (&[Deployed, Deployed], Deployed),
            (&[Deployed, Failed], Partial),
            (&[Deployed, Deploying], Deploying),
            (&[Failed, Undeployed], Failed),
            (&[Unknown, Undeployed], Partial),
        ];
        for (instances, expected) in cases {
            assert_eq!(aggregate_instances(instances), *expected, "{instances:?}");
        }
    }
}
