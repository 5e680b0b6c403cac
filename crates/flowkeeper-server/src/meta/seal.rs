//! Rewrites the documents of a cluster after a key came into use.

use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::KeyId;
use zookeeper_client::Error;

use super::{Meta, paths};

/// Roots of what is sealed; `flowkeeper_deploy::seal::covers` says what below them.
const ROOTS: [&str; 7] = [
    znode::CLUSTER,
    paths::APPS,
    znode::STREAMS,
    znode::STATE,
    paths::APPLICATIONS,
    znode::NODES_STATUS,
    paths::AUDIT,
];
/// Everything is looked at until a pass finds nothing to do, because others write at the same time, and may have learned of the
/// key a moment later; this many times at most.
const PASSES: usize = 5;

/// What became of the documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// The key in use.
    pub key: Option<KeyId>,
    /// Documents that were rewritten.
    pub rewritten: u64,
    /// Documents that are still in clear or sealed by another key.
    pub left: u64,
}

impl Meta {
    /// Seals by the key in use what is not, each document by compare and set: nothing that is written at the same time is
    /// lost. May be cut off and repeated at any time.
    ///
    /// # Errors
    /// When ZooKeeper does not answer.
    pub async fn reseal(&self) -> Result<Resealed, Error> {
        let mut all = Resealed::default();
        for _ in 0..PASSES {
            let before = all.rewritten;
            all.left = 0;
            for root in ROOTS {
                let done = self.connection.reseal(root).await?;
                all.rewritten += done.rewritten;
                all.left += done.left;
            }
            all.key = self.connection.sealed_by();
            if all.left == 0 && all.rewritten == before {
                break;
            }
        }
        Ok(all)
    }
}
