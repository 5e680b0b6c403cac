//! The words the planner thinks in: instances, terms, releases, placements and what nodes report.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Names one app instance: stream, label of the app in it, and index among its copies.
///
/// Its text form, `stream~label~index`, is also the name of its assignment; `~` occurs in no stream name and no label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    pub stream: String,
    pub app: String,
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
    /// The release to run; must be there when `want` is `Deployed`.
    pub release: Option<Release>,
}

/// A numbered release as far as planning needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    pub number: u32,
    /// Apps in flow order.
    pub apps: Vec<ReleaseApp>,
}

/// One app of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseApp {
    pub label: String,
    /// Copies to run, at least one.
    pub count: u32,
}

/// Where one instance is, or was last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub index: u32,
    /// `None` while it is nowhere; the term is kept so that it never goes back.
    pub node: Option<NodeId>,
    pub term: Term,
    /// Release this instance runs or was last given.
    pub release: u32,
}

/// The leader's record of a stream instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    pub uid: Uid,
    pub generation: u64,
    pub release: u32,
    /// Slots by label, ordered by index.
    pub apps: BTreeMap<String, Vec<Slot>>,
}

/// An order to a node as it stands in the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub node: NodeId,
    pub uid: Uid,
    pub term: Term,
    pub release: u32,
    pub stop: bool,
}

/// How far an instance is, as its agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    Pending,
    Fetching,
    Starting,
    Running,
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

/// A node as far as placement needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub id: NodeId,
    /// False when it is cordoned or draining: what runs there stays, nothing new arrives.
    pub schedulable: bool,
    /// App instances it may hold.
    pub slots: u32,
    /// App instances it holds now, of all streams.
    pub used: u32,
}

/// What is observed of one stream, and of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Live nodes only.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// Reports of live nodes (of their present incarnation) about instances of this stream.
    pub reports: BTreeMap<InstanceId, Report>,
    /// Orders that stand, for instances of this stream.
    pub assignments: BTreeMap<InstanceId, Assignment>,
}

impl Placement {
    /// The slot of an instance, if it ever had one.
    pub fn slot(&self, app: &str, index: u32) -> Option<&Slot> {
        self.apps.get(app)?.iter().find(|slot| slot.index == index)
    }

    /// True when nothing of the stream is placed anywhere.
    pub fn is_vacant(&self) -> bool {
        self.apps.values().flatten().all(|slot| slot.node.is_none())
    }
}

impl InstanceId {
    pub fn new(stream: impl Into<String>, app: impl Into<String>, index: u32) -> Self {
        InstanceId { stream: stream.into(), app: app.into(), index }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~{}", self.stream, self.app, self.index)
    }
}

/// The text is not `stream~label~index`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name an app instance: expected stream~label~index")]
pub struct InvalidInstanceId(String);

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidInstanceId(text.to_owned());
        let mut parts = text.split('~');
        let (Some(stream), Some(app), Some(index), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        Ok(InstanceId::new(stream, app, index.parse().map_err(|_| invalid())?))
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
        let id = InstanceId::new("ticktock", "time", 3);
        assert_eq!(id.to_string(), "ticktock~time~3");
        assert_eq!("ticktock~time~3".parse(), Ok(id));
    }

    #[test]
    fn instance_id_refuses_other_text() {
        for text in ["", "a", "a~b", "a~b~c", "a~b~-1", "a~b~1~2"] {
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
    }
}
