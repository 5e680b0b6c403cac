//! Applying Apache's transactions to a snapshot that may already hold some of them.
//!
//! Apache writes a snapshot while the tree changes. A node in it may be newer than the snapshot's zxid, its
//! parent older. So a transaction here never fails: creating what exists, deleting or changing what is gone does
//! nothing, and a parent's counters only go up. After the last transaction the tree is the one the server had.

use super::txn::{Entry, TxnBody};
use crate::proto::{DecodeError, path};
use crate::server::acl::AclId;
use crate::server::state::State;
use crate::server::tree::{NodeId, Owner, Stamp};

/// A state that takes transactions.
pub(crate) struct Replay {
    state: State,
    /// Transactions taken.
    pub(crate) replayed: u64,
}

impl Replay {
    /// Begins with a snapshot that certainly holds everything up to `zxid`: the one in its file's name.
    pub(crate) fn new(mut state: State, zxid: i64) -> Self {
        state.last.zxid = zxid;
        Self { state, replayed: 0 }
    }

    /// The last transaction taken.
    pub(crate) fn last(&self) -> i64 {
        self.state.last.zxid
    }

    pub(crate) fn finish(self) -> State {
        self.state
    }

    /// Takes a transaction, unless the state is past it.
    ///
    /// # Errors
    /// Its ACL is malformed.
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), DecodeError> {
        if entry.stamp.zxid <= self.state.last.zxid {
            return Ok(());
        }
        self.apply_body(&entry.body, entry.session, entry.stamp)?;
        let time = self.state.last.time.max(entry.stamp.time);
        self.state.last = Stamp { zxid: entry.stamp.zxid, time };
        self.replayed += 1;
        Ok(())
    }

    fn apply_body(&mut self, body: &TxnBody<'_>, session: i64, stamp: Stamp) -> Result<(), DecodeError> {
        let tree = &mut self.state.tree;
        match body {
            TxnBody::CreateSession { timeout } => self.state.sessions.open(session, *timeout, 0),
            TxnBody::CloseSession { paths } => {
                self.state.sessions.close(session);
                for id in tree.ephemerals_of(session) {
                    self.delete(id, stamp.zxid);
                }
                for path in paths {
                    self.delete_path(path, stamp.zxid);
                }
            }
            TxnBody::Create { path, data, acl, owner, parent_cversion } => {
                let acl = tree.acls.intern_logged(acl)?;
                if !self.create(path, *data, acl, *owner, *parent_cversion, stamp) {
                    self.state.tree.acls.discard_if_unused(acl);
                }
            }
            TxnBody::Delete { path } => self.delete_path(path, stamp.zxid),
            TxnBody::SetData { path, data, version } => {
                if let Some(id) = tree.find(path) {
                    tree.set_data(id, *data, stamp);
                    tree.amend(id, |node| node.version = *version);
                }
            }
            TxnBody::SetAcl { path, acl, version } => {
                if let Some(id) = tree.find(path) {
                    let acl = tree.acls.intern_logged(acl)?;
                    tree.set_acl(id, acl);
                    tree.amend(id, |node| node.aversion = *version);
                }
            }
            TxnBody::Multi(ops) => {
                for op in ops {
                    self.apply_body(op, session, stamp)?;
                }
            }
            TxnBody::Nothing => {}
        }
        Ok(())
    }

    /// False if nothing was created.
    fn create(
        &mut self,
        full: &str,
        data: Option<&[u8]>,
        acl: AclId,
        owner: Owner,
        parent_cversion: i32,
        stamp: Stamp,
    ) -> bool {
        let tree = &mut self.state.tree;
        let Some((parent, name)) = path::split(full).filter(|(_, name)| !name.is_empty()) else {
            return false;
        };
        let Some(parent) = tree.find(parent) else { return false };
        let before = tree.node(parent);
        let (pzxid, cversion) = (before.pzxid(), before.cversion());
        let created = tree.child(parent, name).is_none();
        if created {
            tree.create(parent, name, data, acl, owner, stamp);
        }
        let now = if parent_cversion == -1 { cversion.wrapping_add(1) } else { parent_cversion };
        let (pzxid, cversion) = if now > cversion { (stamp.zxid.max(pzxid), now) } else { (pzxid, cversion) };
        tree.amend(parent, |node| node.set_family(pzxid, cversion));
        created
    }

    /// Deletes a node. If it is gone already its parent still learns of it.
    fn delete_path(&mut self, path: &str, zxid: i64) {
        let tree = &mut self.state.tree;
        if let Some(id) = tree.find(path) {
            self.delete(id, zxid);
        } else if let Some(parent) = path::split(path).and_then(|(parent, _)| tree.find(parent)) {
            tree.amend(parent, |node| node.raise_pzxid(zxid));
        }
    }

    /// Deletes a node with all that is below it: what belongs to a later node of that name is created again.
    fn delete(&mut self, id: NodeId, zxid: i64) {
        let tree = &mut self.state.tree;
        let Some(parent) = tree.get(id).filter(|_| id != NodeId::ROOT).map(|node| node.parent) else {
            return;
        };
        let pzxid = tree.node(parent).pzxid().max(zxid);
        let mut order = vec![id];
        let mut at = 0;
        while at < order.len() {
            order.extend(tree.node(order[at]).children().iter());
            at += 1;
        }
        for id in order.into_iter().rev() {
            tree.delete(id, zxid);
        }
        tree.amend(parent, |node| node.raise_pzxid(pzxid));
    }
}
