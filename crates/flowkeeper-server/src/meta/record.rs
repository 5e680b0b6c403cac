//! The documents that only servers write and read. Versioning and unknown fields as in `flowkeeper_deploy::record`.

use std::collections::BTreeMap;

use flowkeeper_deploy::access::AccessRecord;
use flowkeeper_deploy::record::{Extra, VERSION};
use flowkeeper_deploy::seal::SealedRecord;
use flowkeeper_engine::model::{NodeId, Placement, Slot, Term, Uid, Want};
use serde::{Deserialize, Serialize};

fn version() -> u32 {
    VERSION
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// `/meta`: what this tree is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetaRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub layout: u32,
    pub schema: u32,
    /// Programs that know a lower schema must not touch the tree.
    pub min_reader: u32,
    /// Programs that know a lower schema must not write to it.
    #[serde(default = "version")]
    pub min_writer: u32,
    /// What is switched on because everybody supports it.
    #[serde(default)]
    pub features: Vec<String>,
    /// Where a migration under way has got to.
    #[serde(default)]
    pub migrating: Option<serde_json::Value>,
    /// Who shares the tree; absent: everybody may do everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessRecord>,
    /// By which key documents are sealed; absent: they are in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedRecord>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/apps/<type>/<name>`: which version is the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppDefaultRecord {
    #[serde(default = "version")]
    pub v: u32,
    #[serde(default)]
    pub default: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/apps/<type>/<name>/<version>`: one registered program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_uri: Option<String>,
    /// Spring Boot generation, `2` or `3`; decides how Java apps are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Somebody is unregistering it: no new deployment may use it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What the user wants of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantState {
    #[default]
    None,
    Deployed,
    Undeployed,
    Destroyed,
}

/// The wanted state with its numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WantRecord {
    pub state: WantState,
    /// Grows with every request.
    pub r#gen: u64,
    /// Newest release, 0 when there is none; the one to run while `state` is `deployed`. Whether it took the place of the
    /// one before stands in [`StateRecord`].
    pub rel: u32,
    /// Copies that were asked for since release `scaled.rel` was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<ScaledRecord>,
    /// A release that was given up while it was replacing another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<u32>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Copies per app that differ from what release `rel` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScaledRecord {
    pub rel: u32,
    /// By label.
    pub counts: BTreeMap<String, u32>,
}

impl WantRecord {
    /// Copies of an app of a release, whose manifest says `count`.
    pub fn count(&self, release: u32, label: &str, count: u32) -> u32 {
        let scaled = self.scaled.as_ref().filter(|scaled| scaled.rel == release);
        scaled.and_then(|scaled| scaled.counts.get(label)).copied().unwrap_or(count).max(1)
    }
}

/// `/streams/<hh>/<name>`: a stream definition. Once it was deployed, its text with the properties of a release stands there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub name: String,
    /// What the user typed.
    pub original: String,
    /// The newest release when that was written anew: releases up to it are of an earlier text. 0: it never was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rewritten: u32,
    #[serde(default)]
    pub desc: String,
    pub want: WantRecord,
    /// Id of the operation that wrote this: tells after a lost connection whether a write happened.
    pub op: String,
    #[serde(default)]
    pub by: String,
    /// The stream application it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// When it was written, RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/applications/<hh>/<name>`: a stream application, a set of streams that is changed as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApplicationRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub name: String,
    #[serde(default)]
    pub desc: String,
    /// Its streams, in the order of the file.
    pub streams: Vec<String>,
    /// Newest release; 0 when there is none.
    pub rel: u32,
    /// Releases that failed, with the reason: noted when the streams that tell it are stopped or removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u32, String>,
    /// Id of the operation that wrote this.
    pub op: String,
    /// When it was written, RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/applications/<hh>/<name>/r<n>`: what an application consisted of, never changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApplicationReleaseRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub n: u32,
    /// What made it: `apply`, `deploy`, `rollback`.
    pub from: String,
    #[serde(default)]
    pub desc: String,
    pub at: String,
    pub streams: Vec<MemberRecord>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A stream of an application as its file describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberRecord {
    pub name: String,
    pub dsl: String,
    #[serde(default)]
    pub desc: String,
    /// Deployment properties.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The release of the stream that came of it; 0 when it was not deployed.
    #[serde(default)]
    pub rel: u32,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/state/<hh>/<name>`: where the instances of a stream are. Written by the leader only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub uid: String,
    pub r#gen: u64,
    pub rel: u32,
    /// Epoch of the leader that wrote it.
    pub le: u64,
    pub apps: BTreeMap<String, Vec<SlotRecord>>,
    /// Releases that were to replace another and did not become healthy, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u32, String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Place and term of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotRecord {
    pub i: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub t: u64,
    pub rel: u32,
    /// When it was placed there, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/audit/e-<number>`: one thing that somebody did, secrets masked. Written in the transaction that did it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    #[serde(default = "version")]
    pub v: u32,
    /// SCDF's word: `CREATE`, `DELETE`, `DEPLOY`, `ROLLBACK`, `UNDEPLOY`, `UPDATE`.
    pub action: String,
    /// SCDF's word: `APP_REGISTRATION`, `STREAM`, …
    pub kind: String,
    /// Name of what it was done to.
    pub subject: String,
    /// A definition, or a JSON document as a text.
    pub data: String,
    /// When, RFC 3339 with microseconds.
    pub at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/servers/<id>`: a live server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub id: String,
    /// Where its API listens.
    pub api: String,
    pub sw: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/sched/brake`: whether instances are moved off lost nodes. Written by the leader, and by requests that change its mode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrakeRecord {
    #[serde(default = "version")]
    pub v: u32,
    #[serde(default)]
    pub mode: BrakeMode,
    /// Why nothing is moved at present, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When this was written, RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Who decides about the brake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrakeMode {
    /// The leader, by how many nodes are lost.
    #[default]
    Auto,
    /// An operator: nothing is moved.
    Hold,
    /// An operator: everything is moved.
    Release,
}

/// `/leader/holder`: who leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HolderRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub id: String,
    pub epoch: u64,
    #[serde(default)]
    pub api: String,
    #[serde(flatten)]
    pub extra: Extra,
}

impl From<WantState> for Want {
    fn from(state: WantState) -> Want {
        match state {
            WantState::None => Want::Nothing,
            WantState::Deployed => Want::Deployed,
            WantState::Undeployed => Want::Undeployed,
            WantState::Destroyed => Want::Destroyed,
        }
    }
}

impl StateRecord {
    /// The placement it records.
    pub fn placement(&self) -> Placement {
        let slots = |slots: &Vec<SlotRecord>| slots.iter().map(SlotRecord::slot).collect();
        Placement {
            uid: Uid(self.uid.clone()),
            generation: self.r#gen,
            release: self.rel,
            apps: self.apps.iter().map(|(label, records)| (label.clone(), slots(records))).collect(),
            failed: self.failed.clone(),
        }
    }

    /// This record with another placement, made at `now`; unknown fields stay.
    pub fn with_placement(&self, placement: &Placement, epoch: u64, now: &str) -> StateRecord {
        let known = |label: &str, is: &Slot| {
            let slot =
                self.apps.get(label)?.iter().find(|slot| (slot.i, slot.rel) == (is.index, is.release))?;
            Some(slot.clone())
        };
        let record = |label: &str, slot: &Slot| {
            let known = known(label, slot);
            let is_same =
                |known: &&SlotRecord| known.t == slot.term.0 && known.node.is_some() == slot.node.is_some();
            let at =
                known.as_ref().filter(is_same).map_or_else(|| Some(now.to_owned()), |known| known.at.clone());
            SlotRecord {
                i: slot.index,
                node: slot.node.as_ref().map(|node| node.0.clone()),
                t: slot.term.0,
                rel: slot.release,
                at,
                extra: known.map(|known| known.extra).unwrap_or_default(),
            }
        };
        let apps = placement
            .apps
            .iter()
            .map(|(label, slots)| (label.clone(), slots.iter().map(|slot| record(label, slot)).collect()));
        StateRecord {
            v: VERSION,
            uid: placement.uid.0.clone(),
            r#gen: placement.generation,
            rel: placement.release,
            le: epoch,
            apps: apps.collect(),
            failed: placement.failed.clone(),
            extra: self.extra.clone(),
        }
    }
}

impl SlotRecord {
    fn slot(&self) -> Slot {
        Slot { index: self.i, node: self.node.clone().map(NodeId), term: Term(self.t), release: self.rel }
    }
}

#[cfg(test)]
mod tests {
    use flowkeeper_deploy::record::{decode, encode};

    use super::*;

    #[test]
    fn state_keeps_what_it_does_not_know() {
        let text = r#"{"v":1,"uid":"1f","gen":7,"rel":3,"le":42,"phase":"DEPLOYED",
            "apps":{"time":[{"i":0,"node":"n17","t":9,"rel":3,"prev":{"node":"n04"}}]}}"#;
        let record: StateRecord = decode("/s", text.as_bytes()).expect("readable");
        let again = record.with_placement(&record.placement(), 42, "later");
        assert_eq!(again, record);
        let value: serde_json::Value = serde_json::from_slice(&encode(&again)).expect("json");
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(text).expect("json"));
    }
}
