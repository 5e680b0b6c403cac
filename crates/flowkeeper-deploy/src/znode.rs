//! Where the documents shared by the control plane and its nodes lie, relative to the chroot.
//!
//! Directories that grow with the number of streams are split into 256 by the first byte of SHA-256 of the name: one flat
//! directory breaks at some 30,000 names, because a list of children must fit into one reply. Bytes of a name other than
//! ASCII letters, digits, `_` and `-` are percent-encoded, so that no name can escape its place.

use std::fmt::Write;

use flowkeeper_engine::model::{InstanceId, NodeId};
use sha2::{Digest, Sha256};

/// Defaults for every app of the cluster.
pub const CLUSTER: &str = "/cluster";
/// Root of stream definitions and their releases.
pub const STREAMS: &str = "/streams";
/// Root of the leader's records of stream instances.
pub const STATE: &str = "/state";
/// One registration per node; its data version is the node epoch.
pub const NODES_REG: &str = "/nodes/reg";
/// One ephemeral per live agent.
pub const NODES_LIVE: &str = "/nodes/live";
/// One record per node of what people decided about it; absent: nothing.
pub const NODES_CFG: &str = "/nodes/cfg";
/// One directory of orders per node.
pub const NODES_ASSIGN: &str = "/nodes/assign";
/// One directory of status buckets per node.
pub const NODES_STATUS: &str = "/nodes/status";

/// Status buckets of one node: bursts of changes become few writes, and a bucket stays far below the value limit.
pub const STATUS_BUCKETS: u8 = 16;

/// `name` as a path segment.
pub fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// The name that `segment` encodes, or `None` when it is not an encoded name.
pub fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The two hex digits of the shard that holds `name`.
pub fn shard(name: &str) -> String {
    format!("{:02x}", Sha256::digest(name.as_bytes())[0])
}

fn sharded(root: &str, name: &str) -> String {
    format!("{root}/{}/{}", shard(name), encode(name))
}

/// The definition of a stream.
pub fn stream(name: &str) -> String {
    sharded(STREAMS, name)
}

/// An immutable release of a stream.
pub fn release(name: &str, number: u32) -> String {
    format!("{}/r{number}", stream(name))
}

/// The leader's record of a stream instance.
pub fn state(name: &str) -> String {
    sharded(STATE, name)
}

pub fn node_registration(node: &NodeId) -> String {
    format!("{NODES_REG}/{}", encode(&node.0))
}

pub fn node_live(node: &NodeId) -> String {
    format!("{NODES_LIVE}/{}", encode(&node.0))
}

pub fn node_config(node: &NodeId) -> String {
    format!("{NODES_CFG}/{}", encode(&node.0))
}

/// The directory of a node's orders.
pub fn assignments(node: &NodeId) -> String {
    format!("{NODES_ASSIGN}/{}", encode(&node.0))
}

pub fn assignment(node: &NodeId, instance: &InstanceId) -> String {
    format!("{}/{}", assignments(node), instance_segment(instance))
}

/// The directory of a node's status buckets.
pub fn statuses(node: &NodeId) -> String {
    format!("{NODES_STATUS}/{}", encode(&node.0))
}

pub fn status_bucket(node: &NodeId, bucket: u8) -> String {
    format!("{}/{bucket:02x}", statuses(node))
}

/// The bucket that holds the status of `instance`.
pub fn bucket_of(instance: &InstanceId) -> u8 {
    Sha256::digest(instance.to_string().as_bytes())[0] % STATUS_BUCKETS
}

/// `instance` as a path segment: its names encoded, its parts joined by `~`.
pub fn instance_segment(instance: &InstanceId) -> String {
    let InstanceId { stream, app, release, index } = instance;
    format!("{}~{}~v{release}~{index}", encode(stream), encode(app))
}

/// The instance that `segment` names.
pub fn parse_instance_segment(segment: &str) -> Option<InstanceId> {
    let InstanceId { stream, app, release, index } = segment.parse().ok()?;
    Some(InstanceId { stream: decode(&stream)?, app: decode(&app)?, release, index })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_as_documented() {
        let node = NodeId("n17".into());
        let instance = InstanceId::new("tick.tock", "time", 2, 0);
        assert_eq!(stream("ticktock"), "/streams/e9/ticktock");
        assert_eq!(release("ticktock", 3), "/streams/e9/ticktock/r3");
        assert_eq!(assignment(&node, &instance), "/nodes/assign/n17/tick%2Etock~time~v2~0");
        assert_eq!(status_bucket(&node, 10), "/nodes/status/n17/0a");
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in ".*") {
            let segment = encode(&name);
            prop_assert!(segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-%".contains(&b)));
            prop_assert_eq!(decode(&segment), Some(name));
        }

        #[test]
        fn any_instance_comes_back(stream in "[^~]*", app in "[^~]*", release in any::<u32>(), index in any::<u32>()) {
            let instance = InstanceId { stream, app, release, index };
            prop_assert_eq!(parse_instance_segment(&instance_segment(&instance)), Some(instance));
        }
    }
}
