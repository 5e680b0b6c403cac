//! The documents that only servers write and read. Versioning and unknown fields as in `flowkeeper_deploy::record`.

use std::collections::BTreeMap;

use flowkeeper_deploy::record::{Extra, VERSION};
use flowkeeper_engine::model::{NodeId, Placement, Slot, Term, Uid, Want};
use serde::{Deserialize, Serialize};

fn version() -> u32 {
    VERSION
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_uri: Option<String>,
    /// Spring Boot generation, `2` or `3`; decides how Java apps are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
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
    /// Newest release, 0 when there is none; the one to run while `state` is `deployed`.
    pub rel: u32,
    #[serde(flatten)]
    pub extra: Extra,
}

/// `/streams/<hh>/<name>`: a stream definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamRecord {
    #[serde(default = "version")]
    pub v: u32,
    pub name: String,
    /// The definition as it is shown: rewritten with the deployed properties after a deployment, as SCDF does.
    pub dsl: String,
    /// What the user typed.
    pub original: String,
    #[serde(default)]
    pub desc: String,
    pub want: WantRecord,
    /// Id of the operation that wrote this: tells after a lost connection whether a write happened.
    pub op: String,
    #[serde(default)]
    pub by: String,
    /// When it was written, RFC 3339.
    pub at: String,
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
        }
    }

    /// This record with another placement; unknown fields stay.
    pub fn with_placement(&self, placement: &Placement, epoch: u64) -> StateRecord {
        let known = |label: &str, index: u32| {
            let slot = self.apps.get(label)?.iter().find(|slot| slot.i == index)?;
            Some(slot.extra.clone())
        };
        let record = |label: &str, slot: &Slot| SlotRecord {
            i: slot.index,
            node: slot.node.as_ref().map(|node| node.0.clone()),
            t: slot.term.0,
            rel: slot.release,
            extra: known(label, slot.index).unwrap_or_default(),
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
        let again = record.with_placement(&record.placement(), 42);
        assert_eq!(again, record);
        let value: serde_json::Value = serde_json::from_slice(&encode(&again)).expect("json");
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(text).expect("json"));
    }
}
