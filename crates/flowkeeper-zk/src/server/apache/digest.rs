//! The sum over a tree by which Apache ZooKeeper compares servers (digest version 2).

use crate::server::state::StateCut;
use crate::server::tree::Node;

/// Version of the sum, written beside it.
pub(super) const VERSION: i32 = 2;

/// The sum over a whole tree.
pub(crate) fn tree_digest(cut: &StateCut) -> i64 {
    let mut sum = 0i64;
    let done: Result<(), std::convert::Infallible> = cut.tree.walk(|path, node| {
        sum = sum.wrapping_add(of_node(path, node));
        Ok(())
    });
    match done {
        Ok(()) => sum,
    }
}

/// What one node adds. Nodes below `/zookeeper` add nothing: quota usage may differ from server to server.
/// `path` of the root is empty.
pub(super) fn of_node(path: &str, node: &Node) -> i64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(path.as_bytes());
    crc.update(node.data.as_deref().unwrap_or_default());
    for n in [node.czxid, node.mzxid, node.pzxid(), node.ctime, node.mtime] {
        crc.update(&n.to_be_bytes());
    }
    for n in [node.version, node.cversion(), node.aversion] {
        crc.update(&n.to_be_bytes());
    }
    crc.update(&node.owner().to_stored().to_be_bytes());
    i64::from(crc.finalize())
}
