//! The documents about nodes: what an agent says of its node, and what was decided about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Extra, version};

/// The persistent registration of a node. Written by its agent at each start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    #[serde(default = "version")]
    pub v: u32,
    /// Incarnation: differs with each start of the agent.
    pub inc: String,
    /// Machine the node lives on, so that a cloned node id is noticed.
    pub machine: String,
    /// Milliseconds that must pass after its presence vanished until nothing strictly exclusive can run there any more.
    #[serde(default)]
    pub guard: u64,
    /// Milliseconds by which the ends of the sessions of nodes that went at one moment may lie apart: their heartbeats are not in
    /// step, and ZooKeeper looks once in a tick.
    #[serde(default)]
    pub spread: u64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The ephemeral presence of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub inc: String,
    /// Boot id of the machine.
    pub boot: String,
    pub host: String,
    /// App instances it may hold.
    pub slots: u32,
    /// Folder with the instances' logs, readable when the reader is on the same machine.
    pub logs: String,
    /// Version of the program.
    pub sw: String,
    /// Where the node is and what it is called.
    #[serde(default)]
    pub ip: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rack: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Thousandths of processors and MiB of memory it has; 0: not known.
    #[serde(default)]
    pub cpu_m: u32,
    #[serde(default)]
    pub mem_mib: u32,
    /// The times by which it fences its instances; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseRecord>,
    /// Why it takes nothing more, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfit: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The times of a node's leases, in milliseconds: session timeout, time between two heartbeats, time after the last
/// acknowledged heartbeat at which strict instances are frozen, and time that this takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    pub session: u64,
    pub heartbeat: u64,
    pub deadline: u64,
    pub stop: u64,
}

/// What people decided about a node. Written by requests, and by the leader, which puts restless nodes into quarantine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeConfigRecord {
    #[serde(default = "version")]
    pub v: u32,
    /// Nothing new is placed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// What runs there moves elsewhere; nothing new is placed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineRecord>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A node came and went too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRecord {
    /// RFC 3339.
    pub until: String,
    /// How many times in a row; each lasts twice as long as the one before.
    pub times: u32,
    pub reason: String,
}

/// How busy a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadRecord {
    /// Percent of its processors.
    pub cpu: u8,
    /// Percent of its memory.
    pub mem: u8,
    /// RFC 3339.
    pub at: String,
}
