//! A `multi` built as plain data, committed at once, whose failure names the operation that failed.

use zookeeper_client::{Acls, CreateMode, Error, MultiWriteError, MultiWriteResult, Stat};

use super::Connection;
use super::seal::Sealing;

/// Most bytes of data one transaction may carry: servers close the connection of a larger packet (`jute.maxbuffer`, 1 MiB),
/// which looks like a network fault and would be retried for ever, so we refuse before sending.
const MAX_BYTES: usize = 900 * 1024;
/// Most bytes of one value, for the same reason and because every server keeps all of them in memory.
const MAX_VALUE: usize = 512 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    Check { path: String, version: i32 },
    Create { path: String, data: Vec<u8>, mode: CreateMode },
    Set { path: String, data: Vec<u8>, version: Option<i32> },
    Delete { path: String, version: Option<i32> },
}

/// An atomic set of writes: all of them happen, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    ops: Vec<Op>,
}

/// What a committed transaction left behind.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The transaction's id, or a later one; 0 when it held nothing but checks.
    pub zxid: i64,
    /// Stat per operation, for creates and sets.
    pub stats: Vec<Option<Stat>>,
}

/// Why a transaction did not commit, by what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// One operation was refused, so none happened. Re-read and decide again.
    #[error("{path}: {cause}")]
    Refused { index: usize, path: String, cause: Error },
    /// The connection broke while the request was under way: it may or may not have happened. Read back to find out.
    #[error(
        "the connection to zookeeper was lost while writing {path}; the outcome is unknown until it is back"
    )]
    Unknown { path: String },
    /// Nothing was sent.
    #[error("zookeeper is not available: {0}")]
    Unavailable(Error),
    /// The client refuses to send it, nothing happened.
    #[error("{path}: {bytes} bytes are more than the {limit} that one write may hold")]
    TooLarge { path: String, bytes: usize, limit: usize },
}

impl Txn {
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands that `path` exists at `version` (-1: at any).
    pub fn check(mut self, path: impl Into<String>, version: i32) -> Self {
        self.ops.push(Op::Check { path: path.into(), version });
        self
    }

    /// Creates a persistent znode.
    pub fn create(self, path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.create_as(CreateMode::Persistent, path, data)
    }

    /// Creates a persistent znode whose name is `prefix` and the next number of its directory.
    pub fn create_sequential(self, prefix: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.create_as(CreateMode::PersistentSequential, prefix, data)
    }

    /// Creates a znode that lives as long as this session.
    pub fn create_ephemeral(self, path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.create_as(CreateMode::Ephemeral, path, data)
    }

    fn create_as(mut self, mode: CreateMode, path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.ops.push(Op::Create { path: path.into(), data: data.into(), mode });
        self
    }

    /// Replaces the data of `path` at `version` (`None`: at any).
    pub fn set(
        mut self,
        path: impl Into<String>,
        data: impl Into<Vec<u8>>,
        version: impl Into<Option<i32>>,
    ) -> Self {
        self.ops.push(Op::Set { path: path.into(), data: data.into(), version: version.into() });
        self
    }

    /// Deletes `path` at `version` (`None`: at any).
    pub fn delete(mut self, path: impl Into<String>, version: impl Into<Option<i32>>) -> Self {
        self.ops.push(Op::Delete { path: path.into(), version: version.into() });
        self
    }

    /// Puts the operations of `other` behind these.
    pub fn and(mut self, other: Txn) -> Self {
        self.ops.extend(other.ops);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub fn len(&self) -> usize {
        self.ops.len()
    }

    fn path(&self, index: usize) -> String {
        self.ops.get(index).map(|op| op.path().to_owned()).unwrap_or_default()
    }

    fn parent_of_a_deleted(&self) -> Option<String> {
        let deleted = self.ops.iter().rev().find(|op| matches!(op, Op::Delete { .. }))?.path();
        let parent = &deleted[..deleted.rfind('/')?];
        Some(if parent.is_empty() { "/".to_owned() } else { parent.to_owned() })
    }

    /// With every document sealed that is to be.
    fn sealed(mut self, sealing: &Sealing) -> Txn {
        for op in &mut self.ops {
            if let Op::Create { path, data, .. } | Op::Set { path, data, .. } = op
                && let Some(sealed) = sealing.sealed(path, data)
            {
                *data = sealed;
            }
        }
        self
    }

    fn guard_size(&self) -> Result<(), TxnError> {
        let mut total = 0;
        for op in &self.ops {
            let size = op.data_len();
            if size > MAX_VALUE {
                return Err(TxnError::TooLarge { path: op.path().to_owned(), bytes: size, limit: MAX_VALUE });
            }
            total += size + op.path().len() + 64;
        }
        if total > MAX_BYTES {
            return Err(TxnError::TooLarge { path: self.path(0), bytes: total, limit: MAX_BYTES });
        }
        Ok(())
    }
}

impl Op {
    fn path(&self) -> &str {
        match self {
            Op::Check { path, .. }
            | Op::Create { path, .. }
            | Op::Set { path, .. }
            | Op::Delete { path, .. } => path,
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Op::Create { data, .. } | Op::Set { data, .. } => data.len(),
            Op::Check { .. } | Op::Delete { .. } => 0,
        }
    }
}

impl TxnError {
    /// True when the operation on `path` failed with `cause`.
    pub fn is_refused(&self, at: &str, with: &Error) -> bool {
        matches!(self, TxnError::Refused { path, cause, .. } if path == at && cause == with)
    }
}

impl Connection {
    /// Commits `txn` atomically.
    ///
    /// # Errors
    /// See [`TxnError`]. A refused or too large transaction changed nothing.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped future leaves the outcome unknown.
    pub async fn commit(&self, txn: Txn) -> Result<Committed, TxnError> {
        let txn = txn.sealed(self.sealing());
        txn.guard_size()?;
        let client = self.client();
        let mut writer = client.new_multi_writer();
        for op in &txn.ops {
            match op {
                Op::Check { path, version } => writer.add_check_version(path, *version),
                Op::Create { path, data, mode } => {
                    let list = self.acls(path);
                    writer.add_create(path, data, &mode.with_acls(Acls::new(&list)))
                }
                Op::Set { path, data, version } => writer.add_set_data(path, data, *version),
                Op::Delete { path, version } => writer.add_delete(path, *version),
            }
            .map_err(TxnError::Unavailable)?;
        }
        let results = writer.commit().await.map_err(|error| explain(&txn, error))?;
        let mut zxid = 0;
        let stats = results.into_iter().map(|result| match result {
            MultiWriteResult::Create { stat, .. } if !stat.is_invalid() => Some(stat),
            MultiWriteResult::SetData { stat } => Some(stat),
            _ => None,
        });
        let stats: Vec<_> =
            stats.inspect(|stat| zxid = zxid.max(stat.map_or(0, |stat| stat.mzxid))).collect();
        if zxid == 0
            && let Some(parent) = txn.parent_of_a_deleted()
        {
            // The answer to a delete carries no id; its parent remembers the id of its last change of children. When even the
            // parent is gone, or the connection broke now, the commit stands all the same.
            zxid = client.check_stat(&parent).await.ok().flatten().map_or(0, |stat| stat.pzxid);
        }
        Ok(Committed { zxid, stats })
    }
}

fn explain(txn: &Txn, error: MultiWriteError) -> TxnError {
    match error {
        MultiWriteError::OperationFailed { index, source } => {
            TxnError::Refused { index, path: txn.path(index), cause: source }
        }
        MultiWriteError::RequestFailed { source } => match source {
            Error::ConnectionLoss | Error::SessionExpired | Error::ClientClosed | Error::Timeout => {
                TxnError::Unknown { path: txn.path(0) }
            }
            source => TxnError::Unavailable(source),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_value_that_would_break_the_connection() {
        let txn = Txn::new().create("/a", vec![0; MAX_VALUE + 1]);
        let error = txn.guard_size().unwrap_err();
        assert_eq!(error.to_string(), "/a: 524289 bytes are more than the 524288 that one write may hold");
    }

    #[test]
    fn refuses_a_sum_that_would_break_the_connection() {
        let txn = Txn::new().create("/a", vec![0; MAX_VALUE]).set("/b", vec![0; MAX_VALUE], None);
        assert!(matches!(txn.guard_size(), Err(TxnError::TooLarge { limit: MAX_BYTES, .. })));
        assert!(Txn::new().create("/a", vec![0; MAX_VALUE]).guard_size().is_ok());
    }
}
