//! Snapshots: the whole state in one file, written from a frozen cut while the server goes on.
//!
//! A file is a magic number, a version, and blocks of length, CRC and items. Items are the stamp, sessions,
//! ACL lists and nodes, and an end mark with their number; an item never spans blocks. The file appears under
//! its name only when it is complete and on the disk.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::Path;

use super::Folder;
use super::disk::{Disk, DiskFile};
use crate::proto::{DecodeError, Decoder, Encoder};
use crate::server::acl::{AclId, AclTable};
use crate::server::error::Error;
use crate::server::sessions::Sessions;
use crate::server::state::{State, StateCut};
use crate::server::tree::{Node, NodeId, Owner, Stamp, Tree};

const MAGIC: &[u8; 8] = b"FKZKSNAP";
const VERSION: i32 = 1;
/// A block is closed when it reaches this size.
const BLOCK: usize = 256 * 1024;
/// No block is longer: one item at most goes over [`BLOCK`].
const MAX_BLOCK: usize = 256 * 1024 * 1024;

const STAMP: u8 = 1;
const SESSION: u8 = 2;
const ACL: u8 = 3;
const NODE: u8 = 4;
const END: u8 = 5;

/// Writes a snapshot and deletes what it makes superfluous. Returns its size in bytes.
pub(crate) fn write(folder: &Folder, cut: &StateCut) -> Result<u64, Error> {
    let path = folder.snapshot_path(cut.last.zxid);
    let fresh = path.with_extension(format!("{:016x}.tmp", cut.last.zxid));
    let written = write_file(folder.disk(), &fresh, cut)
        .and_then(|size| folder.disk().rename(&fresh, &path).map(|()| size));
    let size = match written {
        Ok(size) => size,
        Err(error) => {
            // Its space may be what the log lacks. Should it stay, the next start removes it.
            let _ = folder.remove_path(&fresh);
            return Err(Error::disk("write snapshot", &path)(error));
        }
    };
    folder.sync()?;
    folder.purge()?;
    Ok(size)
}

fn write_file(disk: &Disk, path: &Path, cut: &StateCut) -> std::io::Result<u64> {
    let file = BufWriter::with_capacity(BLOCK, disk.create(path)?);
    let mut blocks = Blocks { file, block: Vec::new(), items: 0, size: 0 };
    blocks.raw(MAGIC)?;
    blocks.raw(&VERSION.to_be_bytes())?;
    blocks.item(|e| {
        e.u8(STAMP);
        e.i64(cut.last.zxid);
        e.i64(cut.last.time);
        e.i64(cut.last_session);
    })?;
    for (id, timeout) in &cut.sessions {
        blocks.item(|e| {
            e.u8(SESSION);
            e.i64(*id);
            e.i32(*timeout);
        })?;
    }
    for (id, list) in cut.tree.acls.iter() {
        blocks.item(|e| {
            e.u8(ACL);
            e.raw(&id.0.to_be_bytes());
            e.buffer(Some(list.encoded()));
        })?;
    }
    for id in cut.tree.slab.ids() {
        let node = &cut.tree.slab[id];
        blocks.item(|e| put_node(e, id, node))?;
    }
    blocks.finish()
}

struct Blocks {
    file: BufWriter<DiskFile>,
    block: Vec<u8>,
    items: i64,
    size: u64,
}

impl Blocks {
    fn item(&mut self, put: impl FnOnce(&mut Encoder<'_>)) -> std::io::Result<()> {
        put(&mut Encoder::new(&mut self.block));
        self.items += 1;
        if self.block.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let block = std::mem::take(&mut self.block);
        self.raw(&(block.len() as u32).to_be_bytes())?;
        self.raw(&crc32fast::hash(&block).to_be_bytes())?;
        self.raw(&block)?;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<u64> {
        let items = self.items;
        self.item(|e| {
            e.u8(END);
            e.i64(items);
        })?;
        if !self.block.is_empty() {
            self.flush()?;
        }
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.size)
    }
}

fn put_node(e: &mut Encoder<'_>, id: NodeId, node: &Node) {
    e.u8(NODE);
    e.raw(&id.0.to_be_bytes());
    e.raw(&node.parent.0.to_be_bytes());
    e.string(&node.name);
    e.buffer(node.data.as_deref());
    e.raw(&node.acl.0.to_be_bytes());
    e.i64(node.owner().to_stored());
    for n in [node.czxid, node.mzxid, node.pzxid(), node.ctime, node.mtime] {
        e.i64(n);
    }
    for n in [node.version, node.cversion(), node.aversion] {
        e.i32(n);
    }
}

fn take_node(d: &mut Decoder<'_>) -> Result<(NodeId, Node), DecodeError> {
    let id = NodeId(d.i32()? as u32);
    let parent = NodeId(d.i32()? as u32);
    let name = d.string()?;
    let data = d.buffer()?;
    let acl = AclId(d.i32()? as u32);
    let owner = Owner::from_stored(d.i64()?);
    let mut node = Node::new(parent, &name, data, acl, owner, Stamp { zxid: d.i64()?, time: 0 });
    node.mzxid = d.i64()?;
    let pzxid = d.i64()?;
    node.ctime = d.i64()?;
    node.mtime = d.i64()?;
    node.version = d.i32()?;
    let cversion = d.i32()?;
    node.aversion = d.i32()?;
    node.set_family(pzxid, cversion);
    Ok((id, node))
}

/// What has been read of a snapshot.
struct Loading {
    last: Stamp,
    sessions: Sessions,
    acls: AclTable,
    nodes: Vec<(NodeId, Node)>,
    items: i64,
    complete: bool,
}

/// Reads a snapshot. `tick` in milliseconds, `wall` the wall clock.
///
/// # Errors
/// [`Error::Corrupt`] if the file is not a complete snapshot, [`Error::Disk`] if it cannot be read.
pub(crate) fn read(path: &Path, tick: u64, wall: i64) -> Result<State, Error> {
    let file = File::open(path).map_err(Error::disk("open snapshot", path))?;
    let length = file.metadata().map_err(Error::disk("read snapshot", path))?.len();
    let mut file = BufReader::with_capacity(BLOCK, file);
    let mut fill = |buf: &mut [u8]| file.read_exact(buf).map_err(Error::disk("read snapshot", path));
    let mut head = [0; 12];
    if length < head.len() as u64 {
        return Err(Error::corrupt(path, 0, "it is too short for a snapshot"));
    }
    fill(&mut head)?;
    if head[..8] != *MAGIC || head[8..] != VERSION.to_be_bytes() {
        return Err(Error::corrupt(path, 0, "it is not a snapshot of a version this release knows"));
    }
    let mut loading = Loading {
        last: Stamp { zxid: 0, time: 0 },
        sessions: Sessions::new(tick, wall),
        acls: AclTable::new(),
        nodes: Vec::new(),
        items: 0,
        complete: false,
    };
    let mut offset = head.len() as u64;
    let mut block = Vec::new();
    while offset < length && !loading.complete {
        let mut frame = [0; 8];
        if length - offset < frame.len() as u64 {
            return Err(Error::corrupt(path, offset, "it ends inside a block"));
        }
        fill(&mut frame)?;
        let [l0, l1, l2, l3, crc @ ..] = frame;
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if len > MAX_BLOCK || len as u64 > length - offset - frame.len() as u64 {
            return Err(Error::corrupt(path, offset, "a block is longer than the file"));
        }
        block.resize(len, 0);
        fill(&mut block)?;
        if crc != crc32fast::hash(&block).to_be_bytes() {
            return Err(Error::corrupt(path, offset, "a block's checksum is wrong"));
        }
        loading.block(&block).map_err(|what| Error::corrupt(path, offset, what))?;
        offset += (frame.len() + len) as u64;
    }
    if !loading.complete {
        return Err(Error::corrupt(path, offset, "its end is missing"));
    }
    let tree = Tree::from_nodes(loading.acls, loading.nodes).map_err(|what| Error::corrupt(path, 0, what))?;
    Ok(State { tree, sessions: loading.sessions, last: loading.last })
}

impl Loading {
    fn block(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut d = Decoder::new(bytes);
        while !d.rest().is_empty() {
            self.item(&mut d).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn item(&mut self, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
        match d.u8()? {
            STAMP => {
                self.last = Stamp { zxid: d.i64()?, time: d.i64()? };
                self.sessions.skip_ids(d.i64()?);
            }
            SESSION => self.sessions.open(d.i64()?, d.i32()?, 0),
            ACL => {
                let id = AclId(d.i32()? as u32);
                self.acls.load(id, d.buffer()?.unwrap_or_default())?;
            }
            NODE => self.nodes.push(take_node(d)?),
            END => {
                let items = d.i64()?;
                self.complete = items == self.items;
            }
            other => return Err(DecodeError::BadMultiOp(i32::from(other))),
        }
        self.items += 1;
        Ok(())
    }
}
