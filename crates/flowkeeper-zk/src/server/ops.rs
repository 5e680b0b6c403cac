//! Writes: check a request against the tree and apply it at once.
//!
//! A [`Writer`] makes one transaction. It applies operations to the newest state, writes the journal record
//! and collects the changes somebody watches. Nothing is held back here: replies wait for the disk elsewhere.
//! Errors come in the order Apache ZooKeeper finds them, because clients see which one it is.

use std::borrow::Cow;

use super::acl::{AclId, Identities};
use super::journal::Journal;
use super::quota::{Quotas, Usage};
use super::tree::{NodeId, Owner, Stamp, Tree, Undo};
use super::watches::{Change, Watches};
use crate::proto::acl::{self, AclVector};
use crate::proto::op::{self, create_flags};
use crate::proto::path;
use crate::proto::{Create, Encoder, ErrorCode, EventKind, Request};

mod multi;
pub(crate) mod reads;
#[cfg(test)]
pub(crate) mod tests;

/// Makes one transaction.
pub(crate) struct Writer<'a> {
    pub(crate) tree: &'a mut Tree,
    pub(crate) journal: &'a mut Journal,
    pub(crate) watches: &'a Watches,
    /// Changes somebody watches, in order; they fire after the transaction.
    pub(crate) changes: &'a mut Vec<Change>,
    pub(crate) stamp: Stamp,
    pub(crate) session: i64,
    pub(crate) who: &'a Identities,
    pub(crate) quotas: &'a mut Quotas,
    pub(crate) rules: Rules,
    /// Why a multi changed nothing although its reply succeeds.
    pub(crate) failed: Option<ErrorCode>,
}

/// What the configuration has to say about writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Nodes may have a time to live.
    pub(crate) extended_types: bool,
    /// Hard quotas refuse.
    pub(crate) enforce_quota: bool,
}

struct Created<'r> {
    id: NodeId,
    path: Cow<'r, str>,
    undo: Undo,
}

impl Writer<'_> {
    /// Runs a write request and appends the body of its reply.
    ///
    /// # Errors
    /// The reply's code. The tree is then as before; journal record and changes are the caller's to drop,
    /// as they are when [`Writer::failed`] is set.
    pub(crate) fn run(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        self.quotas.begin();
        match request {
            Request::Create(create) => {
                let created = self.create(create)?;
                self.put_created(create.op, &created, out);
            }
            Request::Delete { path, version } => {
                self.delete(path, *version)?;
            }
            Request::SetData { path, data, version } => {
                let (id, _) = self.set_data(path, *data, *version)?;
                self.tree.stat(id).encode(&mut Encoder::new(out));
            }
            Request::SetAcl { path, acl, version } => {
                let id = self.set_acl(path, *acl, *version)?;
                self.tree.stat(id).encode(&mut Encoder::new(out));
            }
            Request::Multi(ops) => self.multi(ops, out),
            Request::Reconfig => return Err(ErrorCode::ReconfigDisabled),
            _ => return Err(ErrorCode::Unimplemented),
        }
        Ok(())
    }

    /// Ends a session: its ephemeral nodes go, oldest first.
    pub(crate) fn close_session(&mut self) {
        self.quotas.begin();
        self.journal.close_session();
        for id in self.tree.ephemerals_of(self.session) {
            let path = self.tree.path_of(id);
            self.remove(id, &path);
        }
    }

    /// Deletes a container or a node past its time to live, if it still has no children.
    pub(crate) fn reap(&mut self, id: NodeId) {
        self.quotas.begin();
        let path = self.tree.path_of(id);
        self.journal.delete(&path);
        self.remove(id, &path);
    }

    fn create<'r>(&mut self, request: &'r Create<'_>) -> Result<Created<'r>, ErrorCode> {
        let (owner, sequential) = self.owner_of(request)?;
        let (parent_path, _) = path::split(&request.path)
            .filter(|_| !request.path.contains('\0'))
            .ok_or(ErrorCode::BadArguments)?;
        let acl = self.tree.acls.intern(request.acl, self.who)?;
        let created = self.create_node(request, parent_path, acl, owner, sequential);
        if created.is_err() {
            self.tree.acls.discard_if_unused(acl);
        }
        created
    }

    /// What kind of node a create request asks for, and whether its name gets the parent's counter.
    fn owner_of(&self, request: &Create<'_>) -> Result<(Owner, bool), ErrorCode> {
        use create_flags::{CONTAINER, EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT, PERSISTENT_SEQUENTIAL};
        let (owner, sequential) = match request.flags {
            // A container is made by its own operation; the flag alone has always made a plain node.
            PERSISTENT | CONTAINER => (Owner::Persistent, false),
            EPHEMERAL => (Owner::Session(self.session), false),
            PERSISTENT_SEQUENTIAL => (Owner::Persistent, true),
            EPHEMERAL_SEQUENTIAL => (Owner::Session(self.session), true),
            create_flags::TTL => (Owner::Ttl(request.ttl), false),
            create_flags::TTL_SEQUENTIAL => (Owner::Ttl(request.ttl), true),
            _ => return Err(ErrorCode::BadArguments),
        };
        if matches!(owner, Owner::Ttl(_)) && !self.rules.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        let ttl_fits = match owner {
            Owner::Ttl(ttl) => (1..=Owner::MAX_TTL).contains(&ttl),
            Owner::Persistent | Owner::Session(_) | Owner::Container => request.ttl < 0,
        };
        if !ttl_fits {
            return Err(ErrorCode::BadArguments);
        }
        Ok(if request.op == op::CREATE_CONTAINER {
            (Owner::Container, sequential)
        } else {
            (owner, sequential)
        })
    }

    fn create_node<'r>(
        &mut self,
        request: &'r Create<'_>,
        parent_path: &str,
        acl: AclId,
        owner: Owner,
        sequential: bool,
    ) -> Result<Created<'r>, ErrorCode> {
        let parent = self.tree.find(parent_path).ok_or(ErrorCode::NoNode)?;
        self.permit(parent, acl::CREATE)?;
        let path = match sequential {
            false => Cow::Borrowed(&*request.path),
            true => Cow::Owned(format!("{}{:010}", request.path, self.tree.node(parent).cversion())),
        };
        path::validate(&path).map_err(|_| ErrorCode::BadArguments)?;
        let (_, name) = path::split(&path).ok_or(ErrorCode::BadArguments)?;
        // Only the root has an empty name.
        if name.is_empty() || self.tree.child(parent, name).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(self.tree.node(parent).owner(), Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let size = request.data.map(<[u8]>::len);
        self.quotas.check(self.tree, &path, Usage::node(size), self.rules.enforce_quota)?;
        let (id, undo) = self.tree.create(parent, name, request.data, acl, owner, self.stamp);
        self.quotas.created(self.tree, &path, id);
        self.journal.create(&path, request.data, (acl, self.tree.acl_of(id).map(|list| &**list)), owner);
        self.notice(EventKind::Created, &path, id);
        self.notice(EventKind::ChildrenChanged, parent_path, parent);
        Ok(Created { id, path, undo })
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Undo, ErrorCode> {
        let (parent, name) =
            path::split(path).filter(|_| !path.contains('\0')).ok_or(ErrorCode::BadArguments)?;
        if is_special(path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.tree.find(parent).ok_or(ErrorCode::NoNode)?;
        self.permit(parent, acl::DELETE)?;
        // `//a` splits into the root and a name too, but it is no node's path, and the log must not have it.
        let id =
            self.tree.child(parent, name).filter(|_| !path.starts_with("//")).ok_or(ErrorCode::NoNode)?;
        check_version(self.tree.node(id).version, version)?;
        if !self.tree.node(id).children().is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.journal.delete(path);
        Ok(self.remove(id, path))
    }

    fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<(NodeId, Undo), ErrorCode> {
        let id = self.writable(path, acl::WRITE)?;
        let longer = data.map_or(0, <[u8]>::len) as i64
            - self.tree.node(id).data.as_ref().map_or(0, |d| d.len()) as i64;
        self.quotas.check(self.tree, path, Usage { nodes: 0, bytes: longer }, self.rules.enforce_quota)?;
        check_version(self.tree.node(id).version, version)?;
        let undo = self.tree.set_data(id, data, self.stamp);
        self.quotas.resized(self.tree, path, longer);
        self.journal.set_data(path, data);
        self.notice(EventKind::DataChanged, path, id);
        Ok((id, undo))
    }

    fn set_acl(&mut self, path: &str, list: AclVector<'_>, version: i32) -> Result<NodeId, ErrorCode> {
        path::validate(path).map_err(|_| ErrorCode::BadArguments)?;
        let acl = self.tree.acls.intern(list, self.who)?;
        let id = self.writable(path, acl::ADMIN).and_then(|id| {
            check_version(self.tree.node(id).aversion, version)?;
            Ok(id)
        });
        match id {
            Ok(id) => {
                self.tree.set_acl(id, acl);
                self.journal.set_acl(path, (acl, self.tree.acl_of(id).map(|list| &**list)));
            }
            Err(_) => self.tree.acls.discard_if_unused(acl),
        }
        id
    }

    fn check(&self, path: &str, version: i32) -> Result<(), ErrorCode> {
        let id = self.writable(path, acl::READ)?;
        check_version(self.tree.node(id).version, version)
    }

    /// Finds a node by a well-formed path and checks permission.
    fn writable(&self, path: &str, perm: i32) -> Result<NodeId, ErrorCode> {
        path::validate(path).map_err(|_| ErrorCode::BadArguments)?;
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        self.permit(id, perm)?;
        Ok(id)
    }

    fn permit(&self, id: NodeId, perm: i32) -> Result<(), ErrorCode> {
        permit(self.tree, id, perm, self.who)
    }

    fn remove(&mut self, id: NodeId, path: &str) -> Undo {
        self.notice(EventKind::Deleted, path, id);
        if let Some((parent_path, _)) = path::split(path) {
            let parent = self.tree.node(id).parent;
            self.notice(EventKind::ChildrenChanged, parent_path, parent);
        }
        let size = self.tree.node(id).data.as_ref().map(|data| data.len());
        let undo = self.tree.delete(id, self.stamp.zxid);
        self.quotas.deleted(self.tree, path, size);
        undo
    }

    /// Remembers a change if anybody watches it.
    fn notice(&mut self, kind: EventKind, path: &str, id: NodeId) {
        let path = if path.is_empty() { "/" } else { path };
        if self.watches.wants(kind, path) {
            let acl = self.tree.acl_of(id).cloned();
            self.changes.push(Change { kind, path: path.into(), acl });
        }
    }

    fn put_created(&self, op: i32, created: &Created<'_>, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.string(&created.path);
        if op != op::CREATE {
            self.tree.stat(created.id).encode(&mut e);
        }
    }
}

/// Whether a path is one of the nodes that are always there.
pub(crate) fn is_special(path: &str) -> bool {
    matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config")
}

/// Checks that somebody has one of the permissions on a node.
pub(crate) fn permit(tree: &Tree, id: NodeId, perms: i32, who: &Identities) -> Result<(), ErrorCode> {
    match tree.acl_of(id) {
        Some(list) if !list.allows(perms, who) => Err(ErrorCode::NoAuth),
        _ => Ok(()),
    }
}

/// Version -1 matches any.
fn check_version(actual: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}
