//! Nodes as far as placement needs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::NodeId;

/// What a node has, or what is taken of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// App instances.
    pub slots: u32,
    /// Thousandths of a processor. As a capacity, 0 means that it is not known and not limited.
    pub cpu_m: u32,
    /// Memory in MiB. As a capacity, 0 means that it is not known and not limited.
    pub mem_mib: u32,
}

/// Whether a node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Live,
    /// Its agent's session is gone.
    Lost {
        /// Milliseconds since the leader saw it go.
        for_ms: u64,
        /// Milliseconds from then on until nothing strictly exclusive can run there any more.
        guard_ms: u64,
    },
}

/// Why nothing new is placed on a node that is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Somebody closed it; what runs there stays.
    Cordoned,
    /// Somebody wants it empty: what runs there moves elsewhere.
    Draining,
    /// It came and went too often; until when and why, for people.
    Quarantined(String),
    /// It says of itself that it cannot take more, for example because its disk is full.
    Unfit(String),
    /// It arrived a moment ago; others may be arriving.
    Settling,
}

/// Where a node is and what it is called: what criteria and spreading look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTraits {
    pub host: String,
    pub ip: String,
    pub zone: String,
    pub rack: String,
    pub groups: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// A node as far as placement needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub id: NodeId,
    pub presence: Presence,
    /// Milliseconds by which the ends of the sessions of nodes that went at one moment lie apart.
    pub spread_ms: u64,
    /// Why nothing new arrives there; `None`: it is open.
    pub closed: Option<Closed>,
    pub traits: Arc<NodeTraits>,
    pub capacity: Resources,
    /// What the orders of all streams take of it.
    pub used: Resources,
    /// How busy it says it is, in percent of its processors or its memory, whichever is more.
    pub busy: u8,
    /// What its restlessness takes off its score, 0 to 50.
    pub penalty: u8,
}

impl Resources {
    /// These and `more`.
    #[must_use]
    pub fn with(self, more: Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_add(more.slots),
            cpu_m: self.cpu_m.saturating_add(more.cpu_m),
            mem_mib: self.mem_mib.saturating_add(more.mem_mib),
        }
    }

    /// These but for `less`.
    #[must_use]
    pub fn without(self, less: Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_sub(less.slots),
            cpu_m: self.cpu_m.saturating_sub(less.cpu_m),
            mem_mib: self.mem_mib.saturating_sub(less.mem_mib),
        }
    }
}

impl NodeView {
    /// A live and open node on a host of its own that limits nothing but the number of its instances.
    pub fn open(id: impl Into<String>, slots: u32) -> NodeView {
        let id = NodeId(id.into());
        NodeView {
            presence: Presence::Live,
            spread_ms: 0,
            closed: None,
            traits: Arc::new(NodeTraits { host: id.0.clone(), ..NodeTraits::default() }),
            capacity: Resources { slots, ..Resources::default() },
            used: Resources::default(),
            busy: 0,
            penalty: 0,
            id,
        }
    }

    pub fn is_live(&self) -> bool {
        self.presence == Presence::Live
    }
}
