//! The files of Apache ZooKeeper: snapshots in both directions, transaction logs for reading.
//!
//! Pure: bytes in, state out, and back; nothing here knows folders. The layouts are those of ZooKeeper 3.4 to 3.9:
//!
//! | snapshot | content |
//! | --- | --- |
//! | header | `ZKSN`, version 2, a database number |
//! | sessions | count; id and timeout of each |
//! | ACL lists | count; number and list of each. Number -1 is the open list and is not written |
//! | nodes | path, data, number of the ACL list and stat of each, parents first; then the path `/` as end mark |
//! | seal | Adler-32 of everything before it, and `/` |
//! | digest | zxid, version 2, sum over the tree; seal. May be missing |
//! | last zxid | seal. Written since 3.9 |
//!
//! A log is `ZKLG`, version 2, a number, and entries: Adler-32, length, the transaction, `B`; zeros follow.
//! Ephemeral owners stand in files as [`Owner::to_stored`] has them, and `cversion` counts creations only, as in
//! our own tree. A snapshot of Apache's is taken while the tree changes, so [`Replay`] applies transactions that the
//! snapshot may already hold.
//!
//! [`Owner::to_stored`]: super::tree::Owner::to_stored

use std::io;

mod adler;
mod digest;
mod read;
mod replay;
#[cfg(test)]
mod tests;
mod txn;
mod write;

pub(crate) use digest::tree_digest;
pub(crate) use read::read_snapshot;
pub(crate) use replay::Replay;
pub(crate) use txn::LogReader;
pub(crate) use write::write_snapshot;

const SNAPSHOT_MAGIC: i32 = i32::from_be_bytes(*b"ZKSN");
const LOG_MAGIC: i32 = i32::from_be_bytes(*b"ZKLG");
const VERSION: i32 = 2;
/// Number of the open ACL list, which no file holds.
const OPEN_ACL: i64 = -1;
/// Path that ends the nodes, and closes each seal.
const END: &str = "/";

/// Why a file of Apache ZooKeeper cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApacheError {
    #[error("reading it failed: {0}")]
    Io(#[from] io::Error),
    #[error("at byte {offset}, {what}")]
    Malformed { offset: u64, what: String },
}

impl ApacheError {
    fn at(offset: u64, what: impl Into<String>) -> Self {
        Self::Malformed { offset, what: what.into() }
    }
}
