//! Nodes and the array that holds them, in chunks shared with snapshots until they change.

use std::ops::Index;
use std::sync::Arc;

use super::Stamp;
use super::children::{self, Children};
use super::name::Name;
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
    pub(crate) name: Name,
    pub(crate) data: Option<Arc<[u8]>>,
    /// Most nodes never have a child, so this takes one word until there is one.
    family: Option<Box<Family>>,
    /// [`Owner::to_stored`].
    owner: i64,
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    pub(crate) version: i32,
    pub(crate) aversion: i32,
    pub(crate) parent: NodeId,
    pub(crate) acl: AclId,
}

/// What a node has once it has, or had, children.
#[derive(Debug, Clone)]
struct Family {
    children: Children,
    pzxid: i64,
    cversion: i32,
}

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
            family: None,
            owner: owner.to_stored(),
            czxid: stamp.zxid,
            mzxid: stamp.zxid,
            ctime: stamp.time,
            mtime: stamp.time,
            version: 0,
            aversion: 0,
            parent,
            acl,
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner::from_stored(self.owner)
    }

    /// Zxid of the last change of the children.
    pub(crate) fn pzxid(&self) -> i64 {
        self.family.as_ref().map_or(self.czxid, |family| family.pzxid)
    }

    /// Children ever created; what clients see is derived in [`Node::stat`].
    pub(crate) fn cversion(&self) -> i32 {
        self.family.as_ref().map_or(0, |family| family.cversion)
    }

    /// Sets [`Node::pzxid`] and [`Node::cversion`].
    pub(crate) fn set_family(&mut self, pzxid: i64, cversion: i32) {
        if self.family.is_none() && pzxid == self.czxid && cversion == 0 {
            return;
        }
        let family = self.family();
        family.pzxid = pzxid;
        family.cversion = cversion;
    }

    /// Sets [`Node::pzxid`] unless it is higher.
    pub(crate) fn raise_pzxid(&mut self, zxid: i64) {
        self.set_family(self.pzxid().max(zxid), self.cversion());
    }

    fn family(&mut self) -> &mut Family {
        let pzxid = self.czxid;
        self.family
            .get_or_insert_with(|| Box::new(Family { children: Children::default(), pzxid, cversion: 0 }))
    }

    pub(crate) fn children(&self) -> &Children {
        self.family.as_ref().map_or(&children::NONE, |family| &family.children)
    }

    pub(super) fn children_mut(&mut self) -> &mut Children {
        &mut self.family().children
    }

    /// Bytes of name and data.
    pub(super) fn size(&self) -> u64 {
        (self.name.as_bytes().len() + self.data.as_ref().map_or(0, |d| d.len())) as u64
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
            cversion: self.cversion().wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: match self.owner() {
                Owner::Session(id) => id,
                Owner::Persistent | Owner::Container | Owner::Ttl(_) => 0,
            },
            data_length: wire_len(self.data.as_ref().map_or(0, |d| d.len())),
            num_children,
            pzxid: self.pzxid(),
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
