//! Nodes, placement, and what would happen if nodes went: what operators ask and decide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A node that is or was there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeInfo {
    pub id: String,
    /// Its agent is connected.
    pub live: bool,
    /// `open`, `cordoned`, `draining`, `drained`, `quarantined`, `unfit`, `settling` or `lost`.
    #[serde(default)]
    pub state: String,
    /// Why nothing new is placed there, or what is known of a node that is not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// App instances it may hold.
    pub slots: Option<u32>,
    /// App instances it holds.
    pub used: u32,
    /// What it has and what is set aside, where that is known.
    #[serde(default)]
    pub resources: NodeResources,
    /// Percent of its processors and memory in use, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<NodeLoad>,
    /// The times by which it fences its instances; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<NodeLease>,
    /// Milliseconds since the server asked saw it go; absent while it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<u64>,
    pub version: Option<String>,
}

/// Thousandths of processors and MiB of memory; a capacity of 0 is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeResources {
    pub cpu_millis: u32,
    pub memory_mib: u32,
    pub reserved_cpu_millis: u32,
    pub reserved_memory_mib: u32,
}

/// How busy a node is, in percent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeLoad {
    pub cpu: u8,
    pub memory: u8,
    /// RFC 3339.
    pub at: String,
}

/// The times of a node's leases, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeLease {
    /// Session timeout: how long the node may be silent before it counts as lost.
    pub session_ms: u64,
    /// Between two heartbeats.
    pub heartbeat_ms: u64,
    /// After the last acknowledged heartbeat, until strictly exclusive instances are frozen.
    pub deadline_ms: u64,
    /// What freezing may take.
    pub stop_ms: u64,
}

/// Answer of `GET /api/v1/nodes/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeDetail {
    #[serde(flatten)]
    pub node: NodeInfo,
    pub instances: Vec<NodeInstance>,
}

/// An app instance on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeInstance {
    /// As in the runtime documents: `<stream>.<label>-v<release>-<index>`.
    pub id: String,
    pub stream: String,
    pub app: String,
    /// Fencing term of this copy.
    pub term: u64,
    /// `strict`, `best-effort` or `shared`.
    pub exclusive: String,
    /// `run` or `stop`.
    pub order: String,
    /// What the node does with it; absent while it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A newer copy of it is being started elsewhere.
    #[serde(default)]
    pub leaving: bool,
}

/// Answer of `GET /api/v1/what-if` and of a dry run of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhatIf {
    /// The nodes that would go.
    pub nodes: Vec<String>,
    pub moves: Vec<Relocation>,
    /// Instances that would run nowhere, or could not leave.
    pub stranded: Vec<Stranded>,
    /// App instances on each node that stays, before and after.
    pub load: BTreeMap<String, BeforeAndAfter>,
    /// Why none of that would happen before the brake is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brake: Option<String>,
}

/// An instance that would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Relocation {
    pub instance: String,
    pub from: String,
    pub to: String,
}

/// An instance that no node could take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stranded {
    pub instance: String,
    pub reason: String,
}

/// A number before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BeforeAndAfter {
    pub before: u32,
    pub after: u32,
}

/// Answer of `GET /api/v1/runtime/placement/{id}/explain`: why an instance is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlacementExplanation {
    pub instance: String,
    /// Where it is; absent while it is nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub term: u64,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    pub exclusive: String,
    /// One sentence.
    pub summary: String,
    /// Why nothing is moved at present, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brake: Option<String>,
    /// All nodes as they would be judged now, best first.
    pub candidates: Vec<NodeVerdict>,
}

/// How a node is judged for an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeVerdict {
    pub node: String,
    /// Absent when it cannot take the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i32>,
    /// What the score is made of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, i32>,
    /// Why it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Whether instances are moved off lost nodes: answer of `GET`, body of `POST /api/v1/cluster/brake`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Brake {
    /// `auto`: the leader decides; `hold`: nothing is moved; `release`: everything is.
    pub mode: String,
    /// Why nothing is moved at present, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// Answer of `GET /api/v1/cluster/fsck`: what does not fit together in the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fsck {
    /// Documents that were looked at.
    pub checked: usize,
    pub problems: Vec<Problem>,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Kind of it, one word for machines: `unreadable`, `order-without-state`, …
    pub kind: String,
    /// Where in the metadata.
    pub path: String,
    /// What is wrong, and what becomes of it.
    pub what: String,
}
