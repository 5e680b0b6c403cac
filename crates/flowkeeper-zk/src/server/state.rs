//! The durable state: what a snapshot holds and the log replays.

use super::acl::AclId;
use super::journal::{Record, Txn};
use super::sessions::Sessions;
use super::tree::{Owner, Stamp, Tree, TreeCut};
use crate::proto::path;

/// Tree, sessions and the stamp of the last transaction.
pub(crate) struct State {
    pub(crate) tree: Tree,
    pub(crate) sessions: Sessions,
    pub(crate) last: Stamp,
}

/// A frozen state, for a snapshot.
pub(crate) struct StateCut {
    pub(crate) tree: TreeCut,
    pub(crate) sessions: Vec<(i64, i32)>,
    pub(crate) last_session: i64,
    pub(crate) last: Stamp,
}

/// Why a record does not fit the state: log and snapshot do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("transaction 0x{found:x} follows 0x{last:x}")]
    Gap { last: i64, found: i64 },
    #[error("it {what} {path:?}, which is impossible at that point")]
    Impossible { what: &'static str, path: String },
    #[error("it carries a malformed ACL")]
    BadAcl,
}

impl State {
    /// An empty tree. `tick` in milliseconds, `wall` the wall clock.
    pub(crate) fn new(tick: u64, wall: i64) -> Self {
        Self { tree: Tree::new(), sessions: Sessions::new(tick, wall), last: Stamp { zxid: 0, time: 0 } }
    }

    /// The stamp of the next transaction: zxids have no gaps, and time never goes back.
    pub(crate) fn next_stamp(&self, wall: i64) -> Stamp {
        Stamp { zxid: self.last.zxid + 1, time: wall.max(self.last.time) }
    }

    /// Freezes the state for a snapshot.
    pub(crate) fn cut(&self) -> StateCut {
        StateCut {
            tree: self.tree.cut(),
            sessions: self.sessions.timeouts().collect(),
            last_session: self.sessions.last_id(),
            last: self.last,
        }
    }

    /// Applies a record of the log.
    pub(crate) fn replay(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        let Stamp { zxid, .. } = record.stamp;
        if zxid != self.last.zxid + 1 {
            return Err(ReplayError::Gap { last: self.last.zxid, found: zxid });
        }
        self.replay_txn(&record.txn, record.session, record.stamp)?;
        self.last = record.stamp;
        Ok(())
    }

    fn replay_txn(&mut self, txn: &Txn<'_>, session: i64, stamp: Stamp) -> Result<(), ReplayError> {
        match txn {
            Txn::CreateSession { timeout } => self.sessions.open(session, *timeout, 0),
            Txn::CloseSession => {
                self.sessions.close(session);
                for id in self.tree.ephemerals_of(session) {
                    self.tree.delete(id, stamp.zxid);
                }
            }
            Txn::Create { path, data, acl, owner } => {
                let acl = self.logged_acl(*acl)?;
                self.replay_create(path, *data, acl, *owner, stamp)?;
            }
            Txn::Delete { path } => {
                let id = self
                    .tree
                    .find(path)
                    .filter(|id| {
                        !path.is_empty() && *path != "/" && self.tree.node(*id).children().is_empty()
                    })
                    .ok_or_else(|| impossible("deletes", path))?;
                self.tree.delete(id, stamp.zxid);
            }
            Txn::SetData { path, data } => {
                let id = self.tree.find(path).ok_or_else(|| impossible("sets the data of", path))?;
                self.tree.set_data(id, *data, stamp);
            }
            Txn::SetAcl { path, acl } => {
                let acl = self.logged_acl(*acl)?;
                let id = self.tree.find(path).ok_or_else(|| impossible("sets the ACL of", path))?;
                self.tree.set_acl(id, acl);
            }
            Txn::Error { .. } => {}
            Txn::Multi(ops) => {
                for op in ops {
                    self.replay_txn(op, session, stamp)?;
                }
            }
        }
        Ok(())
    }

    fn replay_create(
        &mut self,
        full: &str,
        data: Option<&[u8]>,
        acl: AclId,
        owner: Owner,
        stamp: Stamp,
    ) -> Result<(), ReplayError> {
        let (parent, name) = path::split(full).ok_or_else(|| impossible("creates", full))?;
        let parent = self.tree.find(parent).ok_or_else(|| impossible("creates", full))?;
        if name.is_empty() || self.tree.child(parent, name).is_some() {
            return Err(impossible("creates", full));
        }
        self.tree.create(parent, name, data, acl, owner, stamp);
        Ok(())
    }

    fn logged_acl(&mut self, acl: Option<&[u8]>) -> Result<AclId, ReplayError> {
        match acl {
            None => Ok(AclId::OPEN),
            Some(encoded) => self.tree.acls.intern_logged(encoded).map_err(|_| ReplayError::BadAcl),
        }
    }
}

fn impossible(what: &'static str, path: &str) -> ReplayError {
    ReplayError::Impossible { what, path: path.to_owned() }
}
