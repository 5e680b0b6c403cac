//! Taking changes back, newest first, when a multi fails.

use std::sync::Arc;

use super::{Node, NodeId, Tree};
use crate::server::acl::AclList;

/// How to take one change back.
#[derive(Debug)]
pub(crate) enum Undo {
    Create {
        id: NodeId,
        parent_pzxid: i64,
    },
    Delete {
        id: NodeId,
        node: Box<Node>,
        /// The node's list, which may have left the table with it.
        acl: Option<Arc<AclList>>,
        parent_pzxid: i64,
    },
    SetData {
        id: NodeId,
        data: Option<Arc<[u8]>>,
        mzxid: i64,
        mtime: i64,
        version: i32,
    },
}

impl Tree {
    /// Takes a change back. Changes made after it must have been taken back before.
    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Create { id, parent_pzxid } => {
                self.unlink(id);
                self.untrack_id(id);
                let node = self.slab.remove(id);
                self.acls.release(node.acl);
                let above = self.slab.get_mut(node.parent);
                above.set_family(parent_pzxid, above.cversion().wrapping_sub(1));
            }
            Undo::Delete { id, mut node, acl, parent_pzxid } => {
                if let Some(list) = acl {
                    node.acl = self.acls.intern_known(&list);
                }
                self.acls.acquire(node.acl);
                let parent = node.parent;
                self.slab.restore(id, *node);
                self.track_id(id);
                self.link(id);
                let above = self.slab.get_mut(parent);
                above.set_family(parent_pzxid, above.cversion());
            }
            Undo::SetData { id, data, mzxid, mtime, version } => {
                let node = self.slab.get_mut(id);
                let gone = std::mem::replace(&mut node.data, data);
                self.bytes -= gone.map_or(0, |d| d.len()) as u64;
                self.bytes += node.data.as_ref().map_or(0, |d| d.len()) as u64;
                node.mzxid = mzxid;
                node.mtime = mtime;
                node.version = version;
            }
        }
    }
}
