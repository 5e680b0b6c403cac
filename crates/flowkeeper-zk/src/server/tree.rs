//! The tree of nodes: pure state, no I/O, no clock.
//!
//! Nodes live in a [`slab`] and are found by (parent, name) through one hash table, so a lookup is one probe
//! per path component and full paths are stored nowhere. Each node keeps its children sorted by name.
//!
//! Every change returns what is needed to take it back ([`Undo`]); a multi that fails half-way undoes its
//! operations in reverse order. The slab shares its chunks with snapshots and copies a chunk only when it is
//! changed, so [`Tree::cut`] freezes a consistent state in microseconds.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::acl::{AclId, AclList, AclTable};
use crate::proto::Stat;

mod children;
mod name;
pub(crate) mod slab;
#[cfg(test)]
mod tests;
mod undo;

pub(crate) use children::Children;
use children::Place;
use slab::Slab;
pub(crate) use slab::{Node, NodeId, Owner};
pub(crate) use undo::Undo;

/// Zxid and time of the transaction that makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) zxid: i64,
    /// Milliseconds since 1970.
    pub(crate) time: i64,
}

/// All nodes, and the indexes over them.
pub(crate) struct Tree {
    slab: Slab,
    /// Every node but the root, by parent and name.
    index: HashTable<NodeId>,
    hasher: DefaultHashBuilder,
    pub(crate) acls: AclTable,
    /// Ephemeral nodes of each session, in order of creation.
    ephemerals: HashMap<i64, BTreeSet<(i64, NodeId)>>,
    /// Containers and nodes with a time to live.
    perishable: BTreeSet<NodeId>,
    /// Bytes of all names and data.
    bytes: u64,
}

/// A frozen state of the tree, for a snapshot.
pub(crate) struct TreeCut {
    pub(crate) slab: Slab,
    pub(crate) acls: AclTable,
}

impl TreeCut {
    /// Visits all nodes, each before its children, which come in the order of their names. The root's path is empty.
    ///
    /// # Errors
    /// The first that `visit` has.
    pub(crate) fn walk<E>(&self, mut visit: impl FnMut(&str, &Node) -> Result<(), E>) -> Result<(), E> {
        let root = &self.slab[NodeId::ROOT];
        let mut path = String::new();
        visit(&path, root)?;
        // Children still to visit, and where the path of their parent ends.
        let mut todo = vec![(root.children().iter(), 0)];
        while let Some((children, end)) = todo.last_mut() {
            path.truncate(*end);
            let Some(id) = children.next() else {
                todo.pop();
                continue;
            };
            let node = &self.slab[id];
            path.push('/');
            path.push_str(&node.name);
            visit(&path, node)?;
            todo.push((node.children().iter(), path.len()));
        }
        Ok(())
    }

    /// The ACL of a node; `None` if it is open to all.
    pub(crate) fn acl_of(&self, node: &Node) -> Option<&Arc<AclList>> {
        if node.acl == AclId::OPEN { None } else { self.acls.get(node.acl) }
    }
}

impl Tree {
    /// The root and the nodes every ZooKeeper server has: `/zookeeper`, its `quota` and its `config`.
    pub(crate) fn new() -> Self {
        let mut tree = Self::bare();
        let first = Stamp { zxid: 0, time: 0 };
        let own = tree.create(NodeId::ROOT, "zookeeper", None, AclId::OPEN, Owner::Persistent, first).0;
        tree.create(own, "quota", Some(&[]), AclId::OPEN, Owner::Persistent, first);
        let world_reads = tree.acls.intern_known(&AclList::world_readable());
        let config = tree.create(own, "config", Some(&[]), world_reads, Owner::Persistent, first).0;
        // As Apache tells it.
        tree.slab.get_mut(config).aversion = -1;
        // These three were there before the first transaction: they do not count as changes of their parents.
        tree.slab.get_mut(NodeId::ROOT).set_family(0, 0);
        tree.slab.get_mut(own).set_family(0, 0);
        tree
    }

    fn bare() -> Self {
        Self {
            slab: Slab::with_root(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            acls: AclTable::new(),
            ephemerals: HashMap::new(),
            perishable: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Rebuilds a tree from a snapshot's ACL table and nodes.
    ///
    /// # Errors
    /// Says in words which rule the nodes break.
    pub(crate) fn from_nodes(
        acls: AclTable,
        nodes: impl IntoIterator<Item = (NodeId, Node)>,
    ) -> Result<Self, &'static str> {
        let mut tree = Self { slab: Slab::empty(), acls, ..Self::bare() };
        for (id, node) in nodes {
            if tree.acls.get(node.acl).is_none() {
                return Err("a node refers to an ACL that is not there");
            }
            tree.acls.acquire(node.acl);
            tree.track(id, &node);
            if !tree.slab.put(id, node) {
                return Err("two nodes have the same number");
            }
        }
        tree.slab.collect_free();
        if tree.slab.get(NodeId::ROOT).is_none() {
            return Err("the root is missing");
        }
        tree.link_all()?;
        tree.acls.drop_unused();
        Ok(tree)
    }

    /// Fills the index and the children lists from the nodes' parents.
    fn link_all(&mut self) -> Result<(), &'static str> {
        let mut children: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        let ids: Vec<NodeId> = self.slab.ids().filter(|id| *id != NodeId::ROOT).collect();
        let Self { index, slab, hasher, .. } = self;
        index.reserve(ids.len(), |id| hash_of(hasher, slab[*id].parent, slab[*id].name.as_bytes()));
        for id in ids {
            let parent = self.slab[id].parent;
            if self.slab.get(parent).is_none() {
                return Err("a node's parent is missing");
            }
            if self.child(parent, &self.slab[id].name).is_some() {
                return Err("a parent has two children of the same name");
            }
            self.index_insert(id);
            children.entry(parent).or_default().push(id);
        }
        for (parent, mut list) in children {
            list.sort_unstable_by(|a, b| self.slab[*a].name.as_bytes().cmp(self.slab[*b].name.as_bytes()));
            *self.slab.get_mut(parent).children_mut() = Children::from_sorted(&list);
        }
        Ok(())
    }

    /// The node at a path; the empty path is the root too.
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() || path == "/" {
            return Some(NodeId::ROOT);
        }
        let mut at = NodeId::ROOT;
        for name in path.strip_prefix('/')?.split('/') {
            at = self.child(at, name)?;
        }
        Some(at)
    }

    /// The child of `parent` with that name.
    pub(crate) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let hash = hash_of(&self.hasher, parent, name.as_bytes());
        self.index
            .find(hash, |id| {
                let node = &self.slab[*id];
                node.parent == parent && node.name.as_bytes() == name.as_bytes()
            })
            .copied()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.slab[id]
    }

    /// The node at a place, if there is one.
    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.slab.get(id)
    }

    /// Corrects a node's versions and zxids, which is for those who bring them from elsewhere.
    pub(crate) fn amend(&mut self, id: NodeId, correct: impl FnOnce(&mut Node)) {
        correct(self.slab.get_mut(id));
    }

    /// What clients see of the node.
    pub(crate) fn stat(&self, id: NodeId) -> Stat {
        self.slab[id].stat()
    }

    /// The ACL of a node; `None` if it is open to all.
    pub(crate) fn acl_of(&self, id: NodeId) -> Option<&Arc<AclList>> {
        let acl = self.slab[id].acl;
        if acl == AclId::OPEN { None } else { self.acls.get(acl) }
    }

    /// The full path of a node.
    pub(crate) fn path_of(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT {
            let node = &self.slab[at];
            names.push(&*node.name);
            at = node.parent;
        }
        if names.is_empty() {
            return "/".into();
        }
        let mut path = String::with_capacity(names.iter().map(|n| n.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// Number of nodes below this one.
    pub(crate) fn count_descendants(&self, id: NodeId) -> usize {
        let mut count = 0;
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let children = self.slab[id].children();
            count += children.len();
            todo.extend(children.iter());
        }
        count
    }

    /// A session's ephemeral nodes in order of creation.
    pub(crate) fn ephemerals_of(&self, session: i64) -> Vec<NodeId> {
        self.ephemerals.get(&session).into_iter().flatten().map(|(_, id)| *id).collect()
    }

    /// Sessions that own ephemeral nodes.
    pub(crate) fn ephemeral_owners(&self) -> impl Iterator<Item = i64> {
        self.ephemerals.keys().copied()
    }

    /// Containers and nodes with a time to live.
    pub(crate) fn perishable(&self) -> impl Iterator<Item = NodeId> {
        self.perishable.iter().copied()
    }

    /// Number of nodes, the root included.
    pub(crate) fn len(&self) -> usize {
        self.index.len() + 1
    }

    /// Number of ephemeral nodes.
    pub(crate) fn ephemeral_count(&self) -> usize {
        self.ephemerals.values().map(BTreeSet::len).sum()
    }

    /// Bytes of names and data.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a child. The caller has checked that the parent exists and the name is free.
    pub(crate) fn create(
        &mut self,
        parent: NodeId,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        owner: Owner,
        stamp: Stamp,
    ) -> (NodeId, Undo) {
        let node = Node::new(parent, name, data, acl, owner, stamp);
        self.acls.acquire(acl);
        let id = self.slab.insert(node);
        self.track_id(id);
        self.link(id);
        let above = self.slab.get_mut(parent);
        let parent_pzxid = above.pzxid();
        above.set_family(stamp.zxid, above.cversion().wrapping_add(1));
        (id, Undo::Create { id, parent_pzxid })
    }

    /// Removes a node. The caller has checked that it has no children and is not the root.
    pub(crate) fn delete(&mut self, id: NodeId, zxid: i64) -> Undo {
        self.unlink(id);
        self.untrack_id(id);
        let node = self.slab.remove(id);
        let acl = self.acls.get(node.acl).cloned();
        self.acls.release(node.acl);
        let above = self.slab.get_mut(node.parent);
        let parent_pzxid = above.pzxid();
        above.set_family(zxid, above.cversion());
        Undo::Delete { id, node: Box::new(node), acl, parent_pzxid }
    }

    /// Replaces a node's data.
    pub(crate) fn set_data(&mut self, id: NodeId, data: Option<&[u8]>, stamp: Stamp) -> Undo {
        let node = self.slab.get_mut(id);
        let undo = Undo::SetData {
            id,
            data: std::mem::replace(&mut node.data, data.map(Arc::from)),
            mzxid: node.mzxid,
            mtime: node.mtime,
            version: node.version,
        };
        node.mzxid = stamp.zxid;
        node.mtime = stamp.time;
        node.version = next_version(node.version);
        self.bytes += data.map_or(0, <[u8]>::len) as u64;
        if let Undo::SetData { data: Some(old), .. } = &undo {
            self.bytes -= old.len() as u64;
        }
        undo
    }

    /// Replaces a node's data as if they had always been these: for data that follow from the tree, of which no
    /// version tells.
    pub(crate) fn overwrite(&mut self, id: NodeId, data: &[u8]) {
        let old = self.slab.get_mut(id).data.replace(Arc::from(data));
        self.bytes += data.len() as u64;
        self.bytes -= old.map_or(0, |old| old.len()) as u64;
    }

    /// Replaces a node's ACL.
    pub(crate) fn set_acl(&mut self, id: NodeId, acl: AclId) {
        self.acls.acquire(acl);
        let node = self.slab.get_mut(id);
        let old = std::mem::replace(&mut node.acl, acl);
        node.aversion = next_version(node.aversion);
        self.acls.release(old);
    }

    /// Freezes the state for a snapshot.
    pub(crate) fn cut(&self) -> TreeCut {
        TreeCut { slab: self.slab.clone(), acls: self.acls.clone() }
    }

    fn hash(&self, id: NodeId) -> u64 {
        let node = &self.slab[id];
        hash_of(&self.hasher, node.parent, node.name.as_bytes())
    }

    fn index_insert(&mut self, id: NodeId) {
        let Self { index, slab, hasher, .. } = self;
        let hash = |id: &NodeId| {
            let node = &slab[*id];
            hash_of(hasher, node.parent, node.name.as_bytes())
        };
        index.insert_unique(hash(&id), id, hash);
    }

    /// Puts a node into the index and its parent's children.
    fn link(&mut self, id: NodeId) {
        self.index_insert(id);
        let parent = self.slab[id].parent;
        let place = self.position(parent, id).unwrap_or_else(|place| place);
        self.slab.get_mut(parent).children_mut().insert(place, id);
    }

    fn unlink(&mut self, id: NodeId) {
        if let Ok(entry) = self.index.find_entry(self.hash(id), |other| *other == id) {
            entry.remove();
        }
        let parent = self.slab[id].parent;
        if let Ok(place) = self.position(parent, id) {
            self.slab.get_mut(parent).children_mut().remove(place);
        }
    }

    /// Where a node is in its parent's list, or would be.
    fn position(&self, parent: NodeId, id: NodeId) -> Result<Place, Place> {
        let name = self.slab[id].name.as_bytes();
        self.slab[parent].children().search(|other| self.slab[other].name.as_bytes().cmp(name))
    }

    fn track_id(&mut self, id: NodeId) {
        let node = &self.slab[id];
        let (owner, czxid, size) = (node.owner(), node.czxid, node.size());
        self.track_owner(id, owner, czxid);
        self.bytes += size;
    }

    fn track(&mut self, id: NodeId, node: &Node) {
        self.track_owner(id, node.owner(), node.czxid);
        self.bytes += node.size();
    }

    fn track_owner(&mut self, id: NodeId, owner: Owner, czxid: i64) {
        match owner {
            Owner::Persistent => {}
            Owner::Session(session) => {
                self.ephemerals.entry(session).or_default().insert((czxid, id));
            }
            Owner::Container | Owner::Ttl(_) => {
                self.perishable.insert(id);
            }
        }
    }

    fn untrack_id(&mut self, id: NodeId) {
        let node = &self.slab[id];
        self.bytes -= node.size();
        match node.owner() {
            Owner::Persistent => {}
            Owner::Session(session) => {
                if let Some(owned) = self.ephemerals.get_mut(&session) {
                    owned.remove(&(node.czxid, id));
                    if owned.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
            Owner::Container | Owner::Ttl(_) => {
                self.perishable.remove(&id);
            }
        }
    }
}

fn hash_of(hasher: &DefaultHashBuilder, parent: NodeId, name: &[u8]) -> u64 {
    hasher.hash_one((parent, name))
}

/// Versions skip -1, which means "any" in requests.
fn next_version(version: i32) -> i32 {
    match version.wrapping_add(1) {
        -1 => 0,
        next => next,
    }
}
