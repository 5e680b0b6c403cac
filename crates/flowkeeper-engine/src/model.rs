//! The words the planner thinks in: instances, terms, releases, placements and what nodes report.

mod node;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use crate::criteria::Criteria;
pub use node::{Closed, NodeTraits, NodeView, Presence, Resources};

/// Names one app instance: stream, label of the app in it, the release that made this copy, and the index among its
/// copies. Copies of two releases can therefore run side by side while one replaces the other.
///
/// Its text form, `stream~label~v<release>~index`, is also the name of its assignment; `~` occurs in no stream name and no
/// label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    pub stream: String,
    pub app: String,
    /// The release in which the app last changed ([`ReleaseApp::since`]), not necessarily the one that runs.
    pub release: u32,
    pub index: u32,
}

/// Fencing token of one instance: grows each time the instance is given to a node or moves to another release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// Identity of one life of a stream name: differs after a destroy and a new create.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub String);

/// Name of a node, persistent on its disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub String);

/// What the user wants of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// Created, never deployed.
    #[default]
    Nothing,
    Deployed,
    Undeployed,
    /// Terminal: nothing else can be wanted of this uid any more.
    Destroyed,
}

/// A stream definition as far as planning needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    pub uid: Uid,
    /// Grows with every request that changes what is wanted.
    pub generation: u64,
    pub want: Want,
    /// The newest release; must be there when `want` is `Deployed`.
    pub release: Option<Release>,
    /// The release that [`Release::replaces`] names.
    pub base: Option<Release>,
    /// Milliseconds since the newest release was asked for.
    pub elapsed_ms: u64,
    /// A release that the user gave up while it was replacing another.
    pub cancelled: Option<u32>,
    /// What the streams say that are changed together with this one.
    pub peers: Peers,
}

/// What is known of the other streams of a group, of which each release takes the place of another or none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// A release that is not healthy yet: the first of them, for people.
    pub waiting: Option<String>,
    /// A release that failed: why the others go back with it.
    pub failed: Option<String>,
}

/// A numbered release as far as planning needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    pub number: u32,
    /// The release whose apps go on until all of this one's are healthy; `None`: it starts at once, and alone.
    pub replaces: Option<u32>,
    /// Milliseconds that its apps may take to become healthy before it has failed.
    pub patience_ms: u64,
    /// Apps in flow order.
    pub apps: Vec<ReleaseApp>,
}

/// One app of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseApp {
    pub label: String,
    /// The release in which it last changed: its instances are carried over from there.
    pub since: u32,
    /// Copies to run, at least one.
    pub count: u32,
    /// What its copies cannot share.
    pub exclusive: Exclusive,
    /// How surely one of its copies must be the only one with its index.
    pub exclusivity: Exclusivity,
    /// What it asks of a node.
    pub needs: Needs,
}

/// What becomes of an instance whose node cannot be reached: whether a second copy with its index may run meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusivity {
    /// It may: the copies share the work, or doing it twice does no harm.
    #[default]
    Shared,
    /// The control plane never orders two, but a copy that lost its contact runs on.
    BestEffort,
    /// Never: a copy that lost its contact is frozen before another one may start.
    Strict,
}

/// What an app asks of the node that runs a copy of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Thousandths of a processor that are set aside for it; 0: none.
    pub cpu_m: u32,
    /// Memory in MiB that is set aside for it; 0: none.
    pub mem_mib: u32,
    /// Which nodes it may run on; `None`: all.
    pub criteria: Option<Arc<Criteria>>,
    /// Whether no two of its copies may be on one host. Otherwise they are only kept apart as far as possible.
    pub apart: bool,
    /// Whether it is to be near the other apps of its stream.
    pub together: bool,
    /// Milliseconds that a copy that may overlap waits for its lost node to return while others do its work; `None`: the
    /// usual time ([`crate::planner::RETURN_MS`]).
    pub return_ms: Option<u64>,
}

/// Whether two copies of an app with one index may run at the same time while one release replaces another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exclusive {
    /// They may.
    #[default]
    No,
    /// Not if both want this port.
    Port(u16),
    /// They may not.
    Always,
}

impl Exclusive {
    /// Whether a copy that wants this and one that wants `other` cannot run at the same time.
    pub fn clashes_with(self, other: Exclusive) -> bool {
        match (self, other) {
            (Exclusive::Always, _) | (_, Exclusive::Always) => true,
            (Exclusive::Port(own), Exclusive::Port(other)) => own == other,
            _ => false,
        }
    }
}

/// Where one instance is, or was last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub index: u32,
    /// `None` while it is nowhere; the term is kept so that it never goes back.
    pub node: Option<NodeId>,
    /// Grows over all releases of this label and index.
    pub term: Term,
    /// Release that made this copy.
    pub release: u32,
}

/// The leader's record of a stream instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    pub uid: Uid,
    pub generation: u64,
    /// The release that runs; while another replaces it, still this one.
    pub release: u32,
    /// Slots by label, ordered by release and index.
    pub apps: BTreeMap<String, Vec<Slot>>,
    /// Releases that were to replace another and did not become healthy, with the reason.
    pub failed: BTreeMap<u32, String>,
}

/// An order to a node as it stands in the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub node: NodeId,
    pub uid: Uid,
    pub term: Term,
    pub stop: bool,
}

/// How far an instance is, as its agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    Pending,
    Fetching,
    Starting,
    Running,
    /// Stopped in its tracks because its node lost its contact; goes on when that returns in time.
    Frozen,
    /// Exited; will be started again after a pause.
    Backoff,
    /// Exited too often, or could not be started at all; nothing will happen without a person.
    Failed,
    Stopping,
    /// Its process is gone, and will not be started again under this term.
    Stopped,
}

/// A report of an agent about one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub term: Term,
    pub state: InstanceState,
    /// Running and answering its health check.
    pub ready: bool,
    /// It ended by itself, or could not be started, and has not been ready since.
    pub failing: bool,
    /// Why it is not as wanted, for a person to read.
    pub reason: Option<String>,
}

/// An order that stands beside a newer one for the same instance on another node: the instance is moving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    pub order: Assignment,
    /// What its node reports about it.
    pub report: Option<Report>,
}

/// What is observed of one stream, and of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// All nodes that are known, live and lost ones.
    pub nodes: Arc<BTreeMap<NodeId, NodeView>>,
    /// Reports of live nodes (of their present incarnation) about instances of this stream, under the newest order of each.
    pub reports: BTreeMap<InstanceId, Report>,
    /// Of each instance of this stream that has any, the order with the highest term.
    pub assignments: BTreeMap<InstanceId, Assignment>,
    /// Orders with lower terms.
    pub leaving: BTreeMap<InstanceId, Vec<Leaving>>,
    /// Why nothing is moved off lost nodes at present, if so: too many of them are lost at once.
    pub brake: Option<String>,
}

impl Report {
    /// It runs and answers its health check.
    pub fn is_ready(&self) -> bool {
        self.ready && self.state == InstanceState::Running
    }
}

impl Observed {
    /// The node, if it is live.
    pub fn live(&self, node: &NodeId) -> Option<&NodeView> {
        self.nodes.get(node).filter(|node| node.presence == Presence::Live)
    }

    /// Whether a copy of the instance's app is ready somewhere else than under its newest order: a copy with another index or
    /// of another release, or its own that is leaving.
    pub fn is_ready_elsewhere(&self, instance: &InstanceId) -> bool {
        let mut others = self.assignments.iter().filter(|(it, _)| *it != instance && it.app == instance.app);
        let mut leaving =
            self.leaving.iter().filter(|(it, _)| it.app == instance.app).flat_map(|(_, all)| all);
        others
            .any(|(it, order)| self.reports.get(it).is_some_and(|report| self.is_ready_under(order, report)))
            || leaving
                .any(|it| it.report.as_ref().is_some_and(|report| self.is_ready_under(&it.order, report)))
    }

    /// The node on which a copy of a moving instance is ready under an order older than the instance's slot.
    pub fn moving_from(&self, instance: &InstanceId, placement: &Placement) -> Option<&NodeId> {
        let slot = placement.slot(instance)?;
        let newest = self.assignments.get(instance).map(|order| (order, self.reports.get(instance)));
        let older = self.leaving.get(instance).into_iter().flatten();
        let mut orders =
            newest.into_iter().chain(older.map(|leaving| (&leaving.order, leaving.report.as_ref())));
        let found = orders.find(|(order, report)| {
            order.uid == placement.uid
                && order.term < slot.term
                && report.is_some_and(|report| self.is_ready_under(order, report))
        });
        found.map(|(order, _)| &order.node)
    }

    fn is_ready_under(&self, order: &Assignment, report: &Report) -> bool {
        report.term == order.term && report.is_ready() && self.live(&order.node).is_some()
    }

    /// Whether any node is live.
    pub fn has_live_node(&self) -> bool {
        self.nodes.values().any(|node| node.presence == Presence::Live)
    }
}

impl Placement {
    /// The slot of an instance, if it ever had one.
    pub fn slot(&self, instance: &InstanceId) -> Option<&Slot> {
        let is_this = |slot: &&Slot| (slot.release, slot.index) == (instance.release, instance.index);
        self.apps.get(&instance.app)?.iter().find(is_this)
    }

    /// The highest term ever given to a copy of `app` with this index, of any release.
    pub fn term(&self, app: &str, index: u32) -> Term {
        let slots = self.apps.get(app).into_iter().flatten();
        slots.filter(|slot| slot.index == index).map(|slot| slot.term).max().unwrap_or_default()
    }

    /// True when nothing of the stream is placed anywhere.
    pub fn is_vacant(&self) -> bool {
        self.apps.values().flatten().all(|slot| slot.node.is_none())
    }
}

impl Release {
    /// The instances it consists of, in flow order.
    pub fn instances<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = InstanceId> + 'a {
        self.apps.iter().flat_map(move |app| app.instances(stream))
    }
}

impl ReleaseApp {
    /// Its copies in `stream`.
    pub fn instances<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = InstanceId> + 'a {
        (0..self.count.max(1)).map(move |index| InstanceId::new(stream, &*self.label, self.since, index))
    }
}

impl InstanceId {
    pub fn new(stream: impl Into<String>, app: impl Into<String>, release: u32, index: u32) -> Self {
        InstanceId { stream: stream.into(), app: app.into(), release, index }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~v{}~{}", self.stream, self.app, self.release, self.index)
    }
}

/// The text is not `stream~label~v<release>~index`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name an app instance: expected stream~label~v<release>~index")]
pub struct InvalidInstanceId(String);

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidInstanceId(text.to_owned());
        let mut parts = text.split('~');
        let (Some(stream), Some(app), Some(release), Some(index), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let release = release.strip_prefix('v').and_then(|number| number.parse().ok()).ok_or_else(invalid)?;
        Ok(InstanceId::new(stream, app, release, index.parse().map_err(|_| invalid())?))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_id_reads_what_it_prints() {
        let id = InstanceId::new("ticktock", "time", 2, 3);
        assert_eq!(id.to_string(), "ticktock~time~v2~3");
        assert_eq!("ticktock~time~v2~3".parse(), Ok(id));
    }

    #[test]
    fn instance_id_refuses_other_text() {
        for text in ["", "a", "a~b", "a~b~1", "a~b~1~2", "a~b~vx~2", "a~b~v1~-1", "a~b~v1~2~3"] {
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
    }
}
