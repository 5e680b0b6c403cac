//! Nodes and the array that holds them, in chunks shared with snapshots until they change.

use std::ops::Index;
use std::sync::Arc;

use super::Stamp;
use crate::proto::Stat;
use crate::server::acl::AclId;

/// Nodes per chunk: what the first change after a snapshot's cut has to copy.
const CHUNK: usize = 32;

/// Place of a node in the slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    fn split(self) -> (usize, usize) {
        (self.0 as usize / CHUNK, self.0 as usize % CHUNK)
    }
}

/// What a node's life depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Persistent,
    Session(i64),
    Container,
    /// Time to live in milliseconds, below 2^40.
    Ttl(i64),
}

impl Owner {
    const CONTAINER: i64 = i64::MIN;
    const TTL: i64 = (0xff00_u64 << 48) as i64;
    /// Longest time to live in milliseconds.
    pub(crate) const MAX_TTL: i64 = (1 << 40) - 1;

    /// The form kept on disk, Apache's: 0, session id, or marks in the upper bits.
    pub(crate) fn to_stored(self) -> i64 {
        match self {
            Self::Persistent => 0,
            Self::Session(id) => id,
            Self::Container => Self::CONTAINER,
            Self::Ttl(ttl) => Self::TTL | ttl,
        }
    }

    pub(crate) fn from_stored(n: i64) -> Self {
        match n {
            0 => Self::Persistent,
            Self::CONTAINER => Self::Container,
            n if (n as u64) >> 48 == (Self::TTL as u64) >> 48 => Self::Ttl(n & Self::MAX_TTL),
            n => Self::Session(n),
        }
    }
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: Box<str>,
    pub(crate) data: Option<Arc<[u8]>>,
    children: Children,
    pub(crate) owner: Owner,
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) pzxid: i64,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    pub(crate) version: i32,
    /// Children ever created; what clients see is derived in [`Node::stat`].
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    pub(crate) parent: NodeId,
    pub(crate) acl: AclId,
}

/// Children sorted by name. Most nodes are leaves, so the list takes one word until there is a child.
#[derive(Debug, Clone, Default)]
struct Children(Option<Box<ChildList>>);

#[derive(Debug, Clone, Default)]
struct ChildList(Vec<NodeId>);

impl Node {
    pub(crate) fn new(
        parent: NodeId,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        owner: Owner,
        stamp: Stamp,
    ) -> Self {
        Self {
            name: name.into(),
            data: data.map(Arc::from),
            children: Children(None),
            owner,
            czxid: stamp.zxid,
            mzxid: stamp.zxid,
            pzxid: stamp.zxid,
            ctime: stamp.time,
            mtime: stamp.time,
            version: 0,
            cversion: 0,
            aversion: 0,
            parent,
            acl,
        }
    }

    pub(crate) fn children(&self) -> &[NodeId] {
        self.children.0.as_ref().map_or(&[], |list| &list.0)
    }

    pub(super) fn set_children(&mut self, list: Vec<NodeId>) {
        self.children.0 = Some(Box::new(ChildList(list)));
    }

    pub(super) fn insert_child(&mut self, at: usize, id: NodeId) {
        self.children.0.get_or_insert_default().0.insert(at, id);
    }

    pub(super) fn remove_child(&mut self, at: usize) {
        if let Some(list) = &mut self.children.0 {
            list.0.remove(at);
            if list.0.is_empty() {
                self.children.0 = None;
            }
        }
    }

    /// Bytes of name and data.
    pub(super) fn size(&self) -> u64 {
        (self.name.len() + self.data.as_ref().map_or(0, |d| d.len())) as u64
    }

    /// The metadata clients see. The stored cversion counts creations only; clients see it go up with
    /// deletions too, which is twice the creations less the children still there.
    pub(crate) fn stat(&self) -> Stat {
        let num_children = wire_len(self.children().len());
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: match self.owner {
                Owner::Session(id) => id,
                Owner::Persistent | Owner::Container | Owner::Ttl(_) => 0,
            },
            data_length: wire_len(self.data.as_ref().map_or(0, |d| d.len())),
            num_children,
            pzxid: self.pzxid,
        }
    }
}

fn wire_len(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

type Chunk = [Option<Node>; CHUNK];

/// The array. Cloning it is cheap and freezes its content.
#[derive(Clone)]
pub(crate) struct Slab {
    chunks: Vec<Arc<Chunk>>,
    /// Empty places; the last one is used first.
    free: Vec<NodeId>,
}

impl Slab {
    pub(super) fn empty() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    pub(super) fn with_root() -> Self {
        let mut slab = Self::empty();
        let first = Stamp { zxid: 0, time: 0 };
        slab.insert(Node::new(NodeId::ROOT, "", Some(&[]), AclId::OPEN, Owner::Persistent, first));
        slab
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        let (chunk, at) = id.split();
        self.chunks.get(chunk)?[at].as_ref()
    }

    /// The node to change.
    ///
    /// # Panics
    /// If there is none: ids come from the tree's own index.
    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        let (chunk, at) = id.split();
        Arc::make_mut(&mut self.chunks[chunk])[at].as_mut().expect("ids in the tree's index are alive")
    }

    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        if self.free.is_empty() {
            self.grow();
        }
        let id = self.free.pop().expect("growing leaves free places");
        self.set(id, Some(node));
        id
    }

    /// Puts back a node that was at `id`, a free place.
    pub(super) fn restore(&mut self, id: NodeId, node: Node) {
        if let Some(at) = self.free.iter().rposition(|free| *free == id) {
            self.free.remove(at);
        }
        self.set(id, Some(node));
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Node {
        self.free.push(id);
        self.set(id, None).expect("ids in the tree's index are alive")
    }

    /// Loads a node at a given place, growing as needed; [`Slab::collect_free`] must follow. False if the
    /// place is taken.
    pub(super) fn put(&mut self, id: NodeId, node: Node) -> bool {
        while self.chunks.len() <= id.split().0 {
            self.chunks.push(Arc::new(std::array::from_fn(|_| None)));
        }
        self.set(id, Some(node)).is_none()
    }

    pub(super) fn collect_free(&mut self) {
        let places = (self.chunks.len() * CHUNK) as u32;
        self.free = (0..places).rev().map(NodeId).filter(|id| self.get(*id).is_none()).collect();
    }

    /// Highest place plus one.
    pub(crate) fn places(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> {
        (0..self.places()).map(NodeId).filter(|id| self.get(*id).is_some())
    }

    fn set(&mut self, id: NodeId, node: Option<Node>) -> Option<Node> {
        let (chunk, at) = id.split();
        std::mem::replace(&mut Arc::make_mut(&mut self.chunks[chunk])[at], node)
    }

    fn grow(&mut self) {
        let first = self.places();
        self.chunks.push(Arc::new(std::array::from_fn(|_| None)));
        self.free.extend((first..self.places()).rev().map(NodeId));
    }
}

impl Index<NodeId> for Slab {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        self.get(id).expect("ids in the tree's index are alive")
    }
}
