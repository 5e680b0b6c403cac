//! The documents that the control plane and its nodes exchange: releases and orders down, registrations and statuses up.
//!
//! All are JSON with a version `v`. A field this version does not know is kept in `extra` and written back, so that a newer
//! program's data survives an older one's rewrite.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version written by this program; higher ones are refused on reading.
pub const VERSION: u32 = 1;

/// Fields that this version does not know.
pub type Extra = serde_json::Map<String, serde_json::Value>;

/// A stored document that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "{path} is not a document this version can read: {source}; restore it from a backup or delete it"
    )]
    Malformed { path: String, source: serde_json::Error },
    #[error(
        "{path} was written in format {found} by a newer flowkeeper; this one reads up to {VERSION}: upgrade it"
    )]
    TooNew { path: String, found: u32 },
}

/// Reads a document stored at `path`.
///
/// # Errors
/// When it is no JSON of this shape, or of a newer version.
pub fn decode<T: DeserializeOwned>(path: &str, data: &[u8]) -> Result<T, DecodeError> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default)]
        v: u32,
    }
    let malformed = |source| DecodeError::Malformed { path: path.to_owned(), source };
    let Versioned { v } = serde_json::from_slice(data).map_err(malformed)?;
    if v > VERSION {
        return Err(DecodeError::TooNew { path: path.to_owned(), found: v });
    }
    serde_json::from_slice(data).map_err(malformed)
}

/// Writes a document.
pub fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    // Our documents have string keys and no failing Serialize implementation.
    serde_json::to_vec(document).expect("documents are plain data")
}

fn version() -> u32 {
    VERSION
}

/// A release of a stream: everything resolved, never changed after it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(default = "version")]
    pub v: u32,
    /// Number of the release, from 1.
    pub n: u32,
    /// What made it: `deploy`, `update`, `rollback`, `scale`.
    pub from: String,
    pub dsl: String,
    /// The deployment properties as the user gave them.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub at: String,
    /// Apps in flow order.
    pub apps: Vec<ManifestApp>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// One app of a release, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestApp {
    pub label: String,
    /// `source`, `processor`, `sink` or `app`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Registered name.
    pub app: String,
    /// Registered version.
    pub ver: String,
    /// Where its program comes from: `builtin:<type>/<name>`, `file:`, `http:`, `https:`.
    pub uri: String,
    /// Copies, at least one.
    pub count: u32,
    /// Application properties, short names expanded.
    #[serde(default)]
    pub props: IndexMap<String, String>,
    /// Deployer properties, with the prefix `spring.cloud.deployer.`.
    #[serde(default)]
    pub deployer: IndexMap<String, String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What every app of the cluster gets unless its own properties say otherwise. Written by the leader from its settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterRecord {
    #[serde(default = "version")]
    pub v: u32,
    /// Application properties, for example where the broker is.
    pub defaults: BTreeMap<String, String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a node is to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Run,
    Stop,
}

/// An order to one node about one instance. Written by the leader only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssignmentRecord {
    #[serde(default = "version")]
    pub v: u32,
    /// Life of the stream name it belongs to.
    pub uid: String,
    /// Fencing term given to the instance.
    pub t: u64,
    pub rel: u32,
    pub want: Order,
    /// Epoch of the leader that wrote it, for audit.
    pub le: u64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The persistent registration of a node. Written by its agent at each start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    #[serde(default = "version")]
    pub v: u32,
    /// Incarnation: differs with each start of the agent.
    pub inc: String,
    /// Machine the node lives on, so that a cloned node id is noticed.
    pub machine: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The ephemeral presence of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(flatten)]
    pub extra: Extra,
}

/// One bucket of the statuses that an agent reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusBucket {
    #[serde(default = "version")]
    pub v: u32,
    /// Incarnation that wrote it; entries of another incarnation count for nothing.
    pub inc: String,
    /// By instance, in the form `stream~label~index`.
    pub inst: BTreeMap<String, StatusEntry>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusState {
    Pending,
    Fetching,
    Starting,
    Running,
    Backoff,
    Failed,
    Stopping,
    Stopped,
}

/// What an agent knows of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusEntry {
    pub t: u64,
    pub rel: u32,
    pub st: StatusState,
    #[serde(default)]
    pub ready: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Since when it is in this state, RFC 3339.
    pub since: String,
    #[serde(default)]
    pub restarts: u32,
    /// It ended by itself, or could not be started, and has not been ready since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failing: bool,
    /// Exit status of the last process: `exit code 1`, `signal 9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// Why it is not running and ready, with the last lines it printed; at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err: Option<String>,
    /// What SCDF calls instance attributes: `guid`, `url`, `stdout`, `stderr`, `working.dir`, …
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
    #[serde(flatten)]
    pub extra: Extra,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive_a_rewrite() {
        let text = r#"{"v":1,"uid":"1f","t":9,"rel":3,"want":"run","le":42,"x":"strict","later":{"a":[1]}}"#;
        let record: AssignmentRecord = decode("/a", text.as_bytes()).expect("readable");
        let again: serde_json::Value = serde_json::from_slice(&encode(&record)).expect("json");
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).expect("json"));
    }

    #[test]
    fn a_newer_document_is_refused_with_the_way_out() {
        let error = decode::<AssignmentRecord>("/nodes/assign/n/i", br#"{"v":2}"#).expect_err("too new");
        assert_eq!(
            error.to_string(),
            "/nodes/assign/n/i was written in format 2 by a newer flowkeeper; this one reads up to 1: upgrade it"
        );
    }

    #[test]
    fn rubbish_is_refused_with_its_place() {
        for data in [&b""[..], b"{", b"[]", b"\xff", br#"{"v":1}"#] {
            let error = decode::<AssignmentRecord>("/x", data).expect_err("malformed");
            assert!(error.to_string().starts_with("/x is not a document this version can read"), "{error}");
        }
    }
}
