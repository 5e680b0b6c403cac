//! The documents that the control plane and its nodes exchange: releases and orders down, registrations and statuses up.
//!
//! All are JSON with a version `v`. A field this version does not know is kept in `extra` and written back, so that a newer
//! program's data survives an older one's rewrite. Long ones are stored as gzip, which their first two bytes tell.

mod node;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use flowkeeper_zk::recipes::sealed_by;
use indexmap::IndexMap;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};

pub use node::{LeaseRecord, LiveRecord, LoadRecord, NodeConfigRecord, NodeRecord, QuarantineRecord};

/// Version written by this program; higher ones are refused on reading.
pub const VERSION: u32 = 1;

/// How a compressed document begins; a JSON document never does.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// Documents from this length on are compressed.
const COMPRESS_FROM: usize = 1024;
/// What a compressed document may become: more than any that was ever written.
const MAX_INFLATED: u64 = 16 << 20;

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
        "{path} is sealed by key {key} and cannot be read: that key is not in --cluster-key-file, or the document was changed or moved"
    )]
    Sealed { path: String, key: String },
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
    if let Some(key) = sealed_by(data) {
        return Err(DecodeError::Sealed { path: path.to_owned(), key: key.to_string() });
    }
    let malformed = |source| DecodeError::Malformed { path: path.to_owned(), source };
    let inflated = inflate(data).map_err(|error| malformed(serde_json::Error::custom(error)))?;
    let data = inflated.as_deref().unwrap_or(data);
    let Versioned { v } = serde_json::from_slice(data).map_err(malformed)?;
    if v > VERSION {
        return Err(DecodeError::TooNew { path: path.to_owned(), found: v });
    }
    serde_json::from_slice(data).map_err(malformed)
}

/// The text of a compressed document; `None` for one that is not.
fn inflate(data: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    if !data.starts_with(GZIP) {
        return Ok(None);
    }
    let mut text = Vec::new();
    GzDecoder::new(data).take(MAX_INFLATED).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// Writes a document.
pub fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    // Our documents have string keys and no failing Serialize implementation.
    serde_json::to_vec(document).expect("documents are plain data")
}

/// Writes a document that may be long and repeats itself, as the properties of a release do: two hundred of them must fit into
/// one transaction.
pub fn encode_compact<T: Serialize>(document: &T) -> Vec<u8> {
    let text = encode(document);
    if text.len() < COMPRESS_FROM {
        return text;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail; the text itself is as good if it did.
    match encoder.write_all(&text).and_then(|()| encoder.finish()) {
        Ok(compressed) => compressed,
        Err(_) => text,
    }
}

fn version() -> u32 {
    VERSION
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A release of a stream: everything resolved, never changed after it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(default = "version")]
    pub v: u32,
    /// Number of the release, from 1.
    pub n: u32,
    /// What made it: `deploy`, `update`, `rollback`, `scale`, `apply`.
    pub from: String,
    /// The release whose apps go on until those of this one are healthy; absent: it started at once, and alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u32>,
    /// The definition with the properties of this release.
    pub dsl: String,
    /// The deployment properties as the user gave them.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub at: String,
    /// Apps in flow order.
    pub apps: Vec<ManifestApp>,
    /// The definition as the user typed it, when it is another than that of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// The releases of other streams that were made with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Releases of several streams that a change of their stream application made, and which take the place of others all or not
/// at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The stream application.
    pub application: String,
    /// Its release.
    pub release: u32,
    /// Place of the stream in the order in which the leader starts them; readers come before writers.
    pub order: u32,
}

/// One app of a release, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestApp {
    pub label: String,
    /// `source`, `processor`, `sink` or `app`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The release in which this app last changed; 0 when it is this one. Its instances are carried over from there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub since: u32,
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

impl From<Exclusivity> for flowkeeper_engine::model::Exclusivity {
    fn from(word: Exclusivity) -> Self {
        match word {
            Exclusivity::Shared => Self::Shared,
            Exclusivity::BestEffort => Self::BestEffort,
            Exclusivity::Strict => Self::Strict,
        }
    }
}

impl From<flowkeeper_engine::model::Exclusivity> for Exclusivity {
    fn from(word: flowkeeper_engine::model::Exclusivity) -> Self {
        use flowkeeper_engine::model::Exclusivity as Word;
        match word {
            Word::Shared => Self::Shared,
            Word::BestEffort => Self::BestEffort,
            Word::Strict => Self::Strict,
        }
    }
}

impl Manifest {
    /// An app of this release by its label.
    pub fn app(&self, label: &str) -> Option<&ManifestApp> {
        self.apps.iter().find(|app| app.label == label)
    }

    /// The release in which `app`, one of this release, last changed.
    pub fn since(&self, app: &ManifestApp) -> u32 {
        if app.since == 0 { self.n } else { app.since }
    }
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

/// How surely a copy of an app must be the only one with its index; what the words promise is said at
/// [`flowkeeper_engine::model::Exclusivity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusivity {
    #[default]
    Shared,
    BestEffort,
    Strict,
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
    /// How surely this copy must be the only one.
    #[serde(default)]
    pub x: Exclusivity,
    /// Epoch of the leader that wrote it, for audit.
    pub le: u64,
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
    /// By instance, in the form `stream~label~v<release>~index`.
    pub inst: BTreeMap<String, StatusEntry>,
    /// In the first bucket: how busy the node is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadRecord>,
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
    /// Stopped in its tracks because its node lost contact; goes on when that returns in time.
    Frozen,
    Backoff,
    Failed,
    Stopping,
    Stopped,
}

/// Something that happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// When, RFC 3339.
    pub at: String,
    /// What, in one line.
    pub what: String,
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
    /// What happened to it last, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventEntry>,
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
    fn a_long_document_is_compressed_and_read_all_the_same() {
        let app = |label: String| {
            serde_json::json!({"label": label, "type": "sink", "app": "log", "ver": "1",
            "uri": "builtin:sink/log", "count": 1, "props": {"management.metrics.tags.stream.name": "a".repeat(99)}})
        };
        let apps: Vec<_> = (0..20).map(|n| app(format!("log{n}"))).collect();
        let text = serde_json::json!({"v": 1, "n": 1, "from": "deploy", "dsl": "", "at": "", "apps": apps});
        let manifest: Manifest = serde_json::from_value(text).expect("a manifest");
        let data = encode_compact(&manifest);
        assert!(data.len() * 5 < encode(&manifest).len());
        assert_eq!(decode::<Manifest>("/r1", &data).expect("readable"), manifest);
        assert!(decode::<Manifest>("/r1", &data[..40]).is_err());
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
