//! How one release replaces another: the old one runs until every app of the new one is healthy, and goes on running when
//! that does not come about.
//!
//! Nothing here is remembered between two looks. Which release runs stands in the placement ([`Placement::release`]), which
//! ones failed stands beside it, and everything else follows from what the nodes report: a leader that takes over in the
//! middle comes to the same verdict.
//!
//! Streams that are changed as one are a group. None of its releases takes the place of another before all are healthy, and
//! one that fails takes all with it: each stream is judged with what its [`Peers`] say ([`peers`]). Whoever carries out a
//! verdict of [`Verdict::Healthy`] must do so for the whole group in one transaction, because the next look at a peer might
//! find it ill again.

use crate::model::{
    Desired, InstanceId, InstanceState, Observed, Peers, Placement, Release, ReleaseApp, Want,
};
use crate::planner::explain_loss;

/// How the reason begins of a release that failed because one of its group did.
const TOGETHER: &str = "Went back together with stream ";

/// What is to run of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout<'a> {
    /// Nothing.
    Off,
    /// One release, to which nothing is compared.
    Only(&'a Release),
    /// `from` runs; `to` is started beside it and takes its place once it is healthy.
    Replacing { from: &'a Release, to: &'a Release },
    /// `to` was to replace `from` and did not become healthy.
    Kept { from: &'a Release, to: &'a Release },
}

/// What is known of a release that is to replace another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of its apps are healthy.
    Healthy,
    /// Something is not healthy yet: the first of it, for people.
    Waiting(String),
    /// It will not be healthy, or was given up: why.
    Failed(String),
}

impl<'a> Rollout<'a> {
    /// What is to run of a stream that is placed like this. A placement of another life of the name counts for nothing.
    pub fn of(desired: &'a Desired, placement: Option<&Placement>) -> Rollout<'a> {
        let (Want::Deployed, Some(to)) = (desired.want, &desired.release) else { return Rollout::Off };
        let placement = placement.filter(|placement| placement.uid == desired.uid);
        let from = desired.base.as_ref().filter(|base| to.replaces == Some(base.number));
        match (from, placement) {
            (Some(from), Some(placement)) if placement.release == from.number => {
                if placement.failed.contains_key(&to.number) {
                    Rollout::Kept { from, to }
                } else {
                    Rollout::Replacing { from, to }
                }
            }
            _ => Rollout::Only(to),
        }
    }

    /// The apps whose instances are to run, in flow order: of both releases while one replaces the other, except that an
    /// exclusive app makes room for its successor.
    pub fn running(self) -> Vec<&'a ReleaseApp> {
        match self {
            Rollout::Off => Vec::new(),
            Rollout::Only(release) | Rollout::Kept { from: release, .. } => release.apps.iter().collect(),
            Rollout::Replacing { from, to } => {
                let old = from.apps.iter().filter(|old| !makes_room(old, to));
                old.chain(&to.apps).collect()
            }
        }
    }

    /// Labels of apps that were stopped before their successors are healthy, because both cannot run.
    pub fn stopped_first(self) -> Vec<&'a str> {
        let Rollout::Replacing { from, to } = self else { return Vec::new() };
        from.apps.iter().filter(|old| makes_room(old, to)).map(|old| old.label.as_str()).collect()
    }

    /// The release by which the stream is judged: the one that is to run in the end.
    pub fn judged(self) -> Option<&'a Release> {
        match self {
            Rollout::Off => None,
            Rollout::Only(release)
            | Rollout::Kept { from: release, .. }
            | Rollout::Replacing { to: release, .. } => Some(release),
        }
    }
}

fn makes_room(old: &ReleaseApp, to: &Release) -> bool {
    let successor = to.apps.iter().find(|app| app.label == old.label);
    successor.is_some_and(|app| app.since != old.since && app.exclusive.clashes_with(old.exclusive))
}

/// Judges release `to` of stream `name`, apps carried over from the old release and the peers of the stream included.
pub fn verdict(
    name: &str,
    to: &Release,
    desired: &Desired,
    placement: &Placement,
    observed: &Observed,
) -> Verdict {
    match (own_verdict(name, to, desired, placement, observed), &desired.peers) {
        (failed @ Verdict::Failed(_), _) => failed,
        (_, Peers { failed: Some(reason), .. }) => Verdict::Failed(reason.clone()),
        (Verdict::Healthy, Peers { waiting: Some(what), .. }) => Verdict::Waiting(what.clone()),
        (own, _) => own,
    }
}

/// What stream `name` says for itself of its release that replaces another, or failed to. `None`: nothing is replaced.
pub fn standing(
    name: &str,
    desired: &Desired,
    placement: Option<&Placement>,
    observed: &Observed,
) -> Option<Verdict> {
    let placement = placement?;
    match Rollout::of(desired, Some(placement)) {
        Rollout::Replacing { to, .. } => Some(own_verdict(name, to, desired, placement, observed)),
        Rollout::Kept { to, .. } => placement.failed.get(&to.number).cloned().map(Verdict::Failed),
        Rollout::Off | Rollout::Only(_) => None,
    }
}

/// What the other streams of a group say together, from the name and the standing of each. One that failed by itself is named
/// before one that went back with it.
pub fn peers<'a>(others: impl IntoIterator<Item = (&'a str, Option<Verdict>)>) -> Peers {
    let mut peers = Peers::default();
    let mut is_followed = true;
    for (name, verdict) in others {
        match verdict {
            Some(Verdict::Failed(reason)) if is_followed => {
                is_followed = is_shared(&reason);
                let told = if is_followed { reason } else { format!("{TOGETHER}'{name}': {reason}") };
                peers.failed = Some(told);
            }
            Some(Verdict::Waiting(what)) if peers.waiting.is_none() => {
                peers.waiting = Some(format!("stream '{name}' of the same application is not ready: {what}"));
            }
            _ => {}
        }
    }
    peers
}

/// Whether this reason of a failed release is that another one of its group failed.
pub fn is_shared(reason: &str) -> bool {
    reason.starts_with(TOGETHER)
}

fn own_verdict(
    name: &str,
    to: &Release,
    desired: &Desired,
    placement: &Placement,
    observed: &Observed,
) -> Verdict {
    if desired.cancelled == Some(to.number) {
        return Verdict::Failed(format!("Cancelled after {} ms.", desired.elapsed_ms));
    }
    let mut waiting = None;
    let instances = to.apps.iter().flat_map(|app| app.instances(name).map(move |instance| (app, instance)));
    for (app, instance) in instances {
        match judge(app, &instance, placement, observed) {
            Verdict::Healthy => {}
            Verdict::Waiting(what) => waiting = waiting.or(Some(what)),
            failed @ Verdict::Failed(_) => return failed,
        }
    }
    match waiting {
        None => Verdict::Healthy,
        Some(what) if desired.elapsed_ms >= to.patience_ms => {
            Verdict::Failed(format!("Did not detect apps to be healthy within {} ms: {what}", to.patience_ms))
        }
        Some(what) => Verdict::Waiting(what),
    }
}

fn judge(app: &ReleaseApp, instance: &InstanceId, placement: &Placement, observed: &Observed) -> Verdict {
    let who = format!("{}-{}", instance.app, instance.index);
    let Some((slot, node)) = placement.slot(instance).and_then(|slot| Some((slot, slot.node.as_ref()?)))
    else {
        return Verdict::Waiting(format!("{who} waits for a place on a node"));
    };
    // While it moves, its old copy does the work.
    if observed.moving_from(instance, placement).is_some() {
        return Verdict::Healthy;
    }
    if let Some(lost) = explain_loss(app, instance, node, observed) {
        return Verdict::Waiting(format!("{who} is out of reach: {lost}"));
    }
    let report = observed.reports.get(instance).filter(|report| report.term == slot.term);
    let Some(report) = report else {
        return Verdict::Waiting(format!("node {node} has not reported {who}"));
    };
    let because = |what: &str| match &report.reason {
        Some(reason) => format!("{who} on node {node} {what}: {reason}"),
        None => format!("{who} on node {node} {what}"),
    };
    match report.state {
        InstanceState::Running if report.ready => Verdict::Healthy,
        InstanceState::Failed => Verdict::Failed(because("failed")),
        InstanceState::Backoff => Verdict::Waiting(because("ended and is started again")),
        InstanceState::Frozen => Verdict::Waiting(because("is frozen")),
        _ => Verdict::Waiting(because("is not healthy yet")),
    }
}
