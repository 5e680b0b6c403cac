//! Reads: requests that change nothing but watches.

use super::permit;
use crate::proto::acl;
use crate::proto::acl::{Acl, put_acl};
use crate::proto::request::SetWatches;
use crate::proto::response::{put_multi_end, put_multi_error, put_multi_header};
use crate::proto::{Encoder, ErrorCode, EventKind, Request, op};
use crate::server::acl::Identities;
use crate::server::tree::{NodeId, Tree};
use crate::server::watches::{ConnId, Modes, Watches};

/// Answers reads of one connection.
pub(crate) struct Reader<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) watches: &'a mut Watches,
    pub(crate) conn: ConnId,
    pub(crate) session: i64,
    pub(crate) who: &'a Identities,
    /// Longest reply that is built, in bytes.
    pub(crate) limit: usize,
}

impl Reader<'_> {
    /// Runs a read request and appends the body of its reply.
    ///
    /// # Errors
    /// The reply's code; what was appended is then the caller's to drop.
    pub(crate) fn run(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        match request {
            Request::Exists { path, watch } => self.exists(path, *watch, out)?,
            Request::GetData { path, watch } => {
                let id = self.get_data(path, out)?;
                if *watch {
                    self.watch(path, Modes::DATA);
                }
                self.put_stat(id, out);
            }
            Request::GetChildren { path, watch } | Request::GetChildren2 { path, watch } => {
                let id = self.get_children(path, out)?;
                if *watch {
                    self.watch(path, Modes::CHILD);
                }
                if request.op() == op::GET_CHILDREN2 {
                    self.put_stat(id, out);
                }
            }
            Request::GetAcl { path } => self.get_acl(path, out)?,
            Request::GetAllChildrenNumber { path } => {
                let id = self.readable(path)?;
                Encoder::new(out).len(self.tree.count_descendants(id));
            }
            Request::GetEphemerals { prefix } => self.get_ephemerals(prefix, out),
            Request::MultiRead(ops) => self.multi_read(ops, out)?,
            Request::Sync { path } => Encoder::new(out).string(path),
            Request::CheckWatches { path, kind } => {
                if !self.watches.has(self.conn, path, Modes::of(*kind)) {
                    return Err(ErrorCode::NoWatcher);
                }
            }
            Request::RemoveWatches { path, kind } => {
                if !self.watches.remove(self.conn, path, Modes::of(*kind)) {
                    return Err(ErrorCode::NoWatcher);
                }
            }
            Request::AddWatch { path, recursive } => {
                self.watch(path, if *recursive { Modes::RECURSIVE } else { Modes::PERSISTENT });
                Encoder::new(out).i32(0);
            }
            Request::WhoAmI => {
                let mut e = Encoder::new(out);
                e.len(self.who.users().count());
                for (scheme, user) in self.who.users() {
                    e.string(scheme);
                    e.string(user);
                }
            }
            Request::Ping => {}
            _ => return Err(ErrorCode::Unimplemented),
        }
        Ok(())
    }

    /// Restores watches after a reconnect. What changed since `relative_zxid` comes out as events instead;
    /// persistent watches do not catch up.
    pub(crate) fn set_watches(&mut self, set: &SetWatches<'_>) -> Vec<(EventKind, String)> {
        let mut events = Vec::new();
        let mut restore = |this: &mut Self, path: &str, mode, happened: Option<EventKind>| match happened {
            Some(kind) => events.push((kind, path.to_owned())),
            None => this.watch(path, mode),
        };
        for path in &set.data {
            let happened = match self.tree.find(path).map(|id| self.tree.node(id).mzxid) {
                None => Some(EventKind::Deleted),
                Some(mzxid) => (mzxid > set.relative_zxid).then_some(EventKind::DataChanged),
            };
            restore(self, path, Modes::DATA, happened);
        }
        for path in &set.exist {
            let happened = self.tree.find(path).map(|_| EventKind::Created);
            restore(self, path, Modes::DATA, happened);
        }
        for path in &set.child {
            let happened = match self.tree.find(path).map(|id| self.tree.node(id).pzxid) {
                None => Some(EventKind::Deleted),
                Some(pzxid) => (pzxid > set.relative_zxid).then_some(EventKind::ChildrenChanged),
            };
            restore(self, path, Modes::CHILD, happened);
        }
        for path in &set.persistent {
            self.watch(path, Modes::PERSISTENT);
        }
        for path in &set.recursive {
            self.watch(path, Modes::RECURSIVE);
        }
        events
    }

    fn exists(&mut self, path: &str, watch: bool, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let id = self.tree.find(path);
        if let Some(id) = id {
            permit(self.tree, id, acl::READ, self.who)?;
        }
        if watch {
            self.watch(path, Modes::DATA);
        }
        self.put_stat(id.ok_or(ErrorCode::NoNode)?, out);
        Ok(())
    }

    fn get_data(&self, path: &str, out: &mut Vec<u8>) -> Result<NodeId, ErrorCode> {
        let id = self.readable(path)?;
        Encoder::new(out).buffer(self.tree.node(id).data.as_deref());
        Ok(id)
    }

    fn get_children(&self, path: &str, out: &mut Vec<u8>) -> Result<NodeId, ErrorCode> {
        let id = self.readable(path)?;
        let children = self.tree.node(id).children();
        let mut e = Encoder::new(out);
        e.len(children.len());
        for child in children {
            e.string(&self.tree.node(*child).name);
        }
        Ok(id)
    }

    /// Whoever may only read sees who, but not their password digests.
    fn get_acl(&self, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let mut e = Encoder::new(out);
        match self.tree.acl_of(id) {
            None => put_acl(&mut e, &[Acl::open()]),
            Some(list) if list.allows(acl::ADMIN, self.who) => put_acl(&mut e, list.entries()),
            Some(list) if list.allows(acl::READ, self.who) => {
                let mask = |entry: &Acl| match (entry.scheme.as_str(), entry.id.split_once(':')) {
                    ("digest", Some((user, _))) => Acl { id: format!("{user}:x"), ..entry.clone() },
                    _ => entry.clone(),
                };
                put_acl(&mut e, &list.entries().iter().map(mask).collect::<Vec<_>>());
            }
            Some(_) => return Err(ErrorCode::NoAuth),
        }
        self.put_stat(id, out);
        Ok(())
    }

    fn get_ephemerals(&self, prefix: &str, out: &mut Vec<u8>) {
        let owned = self.tree.ephemerals_of(self.session);
        let paths: Vec<String> = owned
            .into_iter()
            .map(|id| self.tree.path_of(id))
            .filter(|path| path.starts_with(prefix))
            .collect();
        Encoder::new(out).strings(&paths);
    }

    fn multi_read(&self, ops: &[Request<'_>], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        for request in ops {
            if out.len() > self.limit {
                return Err(ErrorCode::SystemError);
            }
            let start = out.len();
            put_multi_header(&mut Encoder::new(out), request.op(), 0);
            let done = match request {
                Request::GetData { path, .. } => self.get_data(path, out).map(|id| self.put_stat(id, out)),
                Request::GetChildren { path, .. } => self.get_children(path, out).map(|_| ()),
                _ => Err(ErrorCode::MarshallingError),
            };
            if let Err(code) = done {
                out.truncate(start);
                put_multi_error(&mut Encoder::new(out), code);
            }
        }
        put_multi_end(&mut Encoder::new(out));
        Ok(())
    }

    fn readable(&self, path: &str) -> Result<NodeId, ErrorCode> {
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        permit(self.tree, id, acl::READ, self.who)?;
        Ok(id)
    }

    fn put_stat(&self, id: NodeId, out: &mut Vec<u8>) {
        self.tree.stat(id).encode(&mut Encoder::new(out));
    }

    fn watch(&mut self, path: &str, modes: Modes) {
        // The empty path is another name of the root, and events name the root "/".
        let path = if path.is_empty() { "/" } else { path };
        self.watches.add(self.conn, path, modes);
    }
}
