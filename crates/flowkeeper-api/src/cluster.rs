//! What Flowkeeper has and SCDF never had: the cluster, and why a stream is in the state it is in.

use serde::{Deserialize, Serialize};

pub use crate::nodes::NodeInfo;

/// Answer of `GET /api/v1/cluster`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cluster {
    /// `None` while no server leads.
    pub leader: Option<Leader>,
    pub servers: Vec<ServerInfo>,
    pub nodes: Vec<NodeInfo>,
    pub ensemble: Ensemble,
    /// Whether instances are moved off lost nodes.
    #[serde(default)]
    pub brake: crate::nodes::Brake,
    pub update_seconds: UpdateSeconds,
}

/// The server whose reconcilers act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Leader {
    pub id: String,
    /// Where its API listens.
    pub api: String,
    /// Number of this leadership; grows with each election.
    pub epoch: u64,
}

/// Answer of `POST /api/v1/cluster/reseal`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resealed {
    /// Id of the key in use.
    pub key: String,
    /// Documents that were rewritten.
    pub rewritten: u64,
    /// Documents that are still in clear or sealed by another key: changed at the same time, or unreadable. Ask again.
    pub left: u64,
}

/// A live server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    pub id: String,
    pub api: String,
    /// Version of the program.
    pub version: String,
    /// It leads.
    #[serde(default)]
    pub leads: bool,
}

/// This server's view of ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ensemble {
    /// `connected`, `suspended` or `closed`.
    pub state: String,
    /// Session id, in hex.
    pub session: String,
    /// Newest transaction this server's copy contains.
    pub zxid: i64,
    /// Documents in the metadata that cannot be read; see the server's log.
    pub unreadable: usize,
    /// Seconds since this server lost its connection, when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_seconds: Option<u64>,
    /// ZooKeeper's servers, as they answer now.
    #[serde(default)]
    pub members: Vec<EnsembleMember>,
}

/// A server of ZooKeeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnsembleMember {
    /// `host:port` as configured.
    pub address: String,
    /// `leader`, `follower`, `observer`, `standalone`; absent when it does not answer or does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Milliseconds: smallest, mean and largest latency of its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outstanding: Option<u32>,
    /// Why nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How long changes take, as measured by this server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateSeconds {
    /// From sending a change until it is committed.
    pub znode: Measured,
    /// From the commit until this server shows it.
    pub watcher: Measured,
}

/// A sum of seconds over a number of measurements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Measured {
    pub count: u64,
    pub sum: f64,
}

/// Answer of `GET /api/v1/streams/{name}`: the state of a stream, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamExplanation {
    pub name: String,
    /// As in `status` of a stream definition.
    pub phase: String,
    /// What the user wants: `none`, `deployed`, `undeployed` or `destroyed`.
    pub want: String,
    /// Grows with every request about the stream.
    pub generation: u64,
    /// The release that runs or is to run, 0 when there is none.
    pub release: u32,
    /// The release that it replaces at this moment, and which runs until then.
    #[serde(default)]
    pub replaces: Option<u32>,
    /// What there is to say of a release that replaces another, or failed to.
    #[serde(default)]
    pub rollout: Option<String>,
    /// Instances that nodes still have orders about: wanted ones, and those that are being stopped.
    pub active: u32,
    /// What is waited for at this moment; absent when everything is as wanted.
    #[serde(default)]
    pub awaits: Option<String>,
    pub apps: Vec<AppExplanation>,
    /// What happened, oldest first; only where explanations are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// Something that happened to a stream or to one of its instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The instance it is about; absent when it is about the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What, in one line.
    pub what: String,
}

/// One app of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppExplanation {
    pub label: String,
    pub phase: String,
    pub instances: Vec<InstanceExplanation>,
}

/// One instance of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceExplanation {
    /// As in the runtime documents: `<stream>.<label>-v<release>-<index>`.
    pub id: String,
    pub index: u32,
    /// In SCDF's words: one that ended is `failed` until a new process of it is ready.
    pub phase: String,
    /// What its node does with it: `pending`, `fetching`, `starting`, `running`, `backoff` (it ended and is started again after
    /// a pause), `failed` (for good), `stopping`, `stopped`. Absent while no node has reported it.
    #[serde(default)]
    pub state: Option<String>,
    /// Why it is not as wanted.
    pub reason: Option<String>,
    pub node: Option<String>,
    /// Why it is on that node, or on none; only where explanations are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    pub restarts: u32,
    /// How its last process ended.
    pub exit: Option<String>,
    /// Since when it is in its state, RFC 3339.
    pub since: Option<String>,
    /// The last lines it printed; only where explanations are asked for, of instances that are not as wanted, and when this
    /// server can read their files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

impl InstanceExplanation {
    /// True when it failed and nothing will happen without a person; false while it is going to be started again.
    pub fn has_failed_for_good(&self) -> bool {
        self.phase == "failed" && self.state.as_deref().is_none_or(|state| state == "failed")
    }
}
