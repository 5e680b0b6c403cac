//! Reading a snapshot that Apache ZooKeeper wrote.

use std::collections::HashMap;
use std::io::{self, Read};

use super::adler::Adler;
use super::{ApacheError, END, OPEN_ACL, SNAPSHOT_MAGIC, VERSION};
use crate::proto::{Decoder, Encoder, path};
use crate::server::acl::{AclId, AclTable};
use crate::server::sessions::Sessions;
use crate::server::state::State;
use crate::server::tree::{Node, NodeId, Owner, Stamp, Tree};

/// No string or list in a snapshot is longer: far over what a server accepts.
const MAX_FIELD: usize = 256 << 20;
/// What follows the first seal is shorter.
const MAX_TRAILER: usize = 1 << 10;
const SEAL: usize = 8 + 4 + END.len();
const DIGEST: usize = 8 + 4 + 8 + SEAL;
const LAST_ZXID: usize = 8 + SEAL;

/// Reads a snapshot to its end. `tick` in milliseconds, `wall` the wall clock; each session gets its full timeout.
///
/// The state's last zxid is the one the snapshot names, or the highest of any node if it names none. A snapshot
/// that Apache took under load may lack changes before that; [`Replay`](super::Replay) brings them.
///
/// # Errors
/// The bytes are no whole snapshot, or reading failed.
pub(crate) fn read_snapshot(input: impl Read, tick: u64, wall: i64) -> Result<State, ApacheError> {
    let mut input =
        Summed { input: io::BufReader::with_capacity(256 << 10, input), sum: Adler::new(), offset: 0 };
    if input.i32()? != SNAPSHOT_MAGIC {
        return Err(ApacheError::at(0, "it does not begin like a snapshot"));
    }
    let version = input.i32()?;
    if version != VERSION {
        return Err(ApacheError::at(4, format!("it has version {version}; only {VERSION} is known")));
    }
    input.i64()?;
    let mut sessions = Sessions::new(tick, wall);
    for _ in 0..input.count("sessions")? {
        let (id, timeout) = (input.i64()?, input.i32()?);
        sessions.open(id, timeout, 0);
    }
    let mut acls = AclTable::new();
    let mut numbers = HashMap::from([(OPEN_ACL, AclId::OPEN)]);
    for _ in 0..input.count("ACL lists")? {
        let number = input.i64()?;
        let at = input.offset;
        let list = input.acl_list()?;
        let id = acls.intern_logged(&list).map_err(|e| ApacheError::at(at, e.to_string()))?;
        numbers.insert(number, id);
    }
    let (nodes, mut last) = read_nodes(&mut input, &numbers)?;
    if let Some(zxid) = read_trailer(&mut input)? {
        last.zxid = zxid;
    }
    let tree = Tree::from_nodes(acls, nodes).map_err(|what| ApacheError::at(input.offset, what))?;
    Ok(State { tree, sessions, last })
}

/// Reads the nodes, and the highest zxid and time among them.
fn read_nodes(
    input: &mut Summed<impl Read>,
    acls: &HashMap<i64, AclId>,
) -> Result<(Vec<(NodeId, Node)>, Stamp), ApacheError> {
    let mut nodes: Vec<(NodeId, Node)> = Vec::new();
    let mut ids: HashMap<String, NodeId> = HashMap::new();
    let mut last = Stamp { zxid: 0, time: 0 };
    loop {
        let at = input.offset;
        let full = input.string()?;
        if full == END {
            return Ok((nodes, last));
        }
        let (parent, name) = if full.is_empty() {
            (NodeId::ROOT, "")
        } else {
            let (above, name) = path::split(&full)
                .filter(|(_, name)| full.starts_with('/') && !name.is_empty())
                .ok_or_else(|| ApacheError::at(at, format!("{full:?} is no path")))?;
            let above = if above == "/" { "" } else { above };
            let parent = ids
                .get(above)
                .ok_or_else(|| ApacheError::at(at, format!("{full:?} comes before its parent")))?;
            (*parent, name)
        };
        let id = if full.is_empty() { NodeId::ROOT } else { NodeId(ids.len() as u32) };
        if id == NodeId::ROOT && !full.is_empty() {
            return Err(ApacheError::at(at, "the root does not come first"));
        }
        let node = input.node(parent, name, acls)?;
        last.zxid = last.zxid.max(node.czxid).max(node.mzxid).max(node.pzxid());
        last.time = last.time.max(node.ctime).max(node.mtime);
        nodes.push((id, node));
        if ids.insert(full, id).is_some() {
            return Err(ApacheError::at(at, "a path comes twice"));
        }
    }
}

/// Checks the seals behind the nodes, and finds the zxid the snapshot names.
fn read_trailer(input: &mut Summed<impl Read>) -> Result<Option<i64>, ApacheError> {
    let mut sum = input.sum;
    let start = input.offset;
    let mut rest = Vec::new();
    input.input.by_ref().take(MAX_TRAILER as u64).read_to_end(&mut rest)?;
    let mut bytes = rest.as_slice();
    let mut check = |part: usize| -> Result<(), ApacheError> {
        let offset = start + (rest.len() - bytes.len()) as u64;
        let (head, tail) =
            bytes.split_at_checked(part).ok_or_else(|| ApacheError::at(offset, "its end is missing"))?;
        let (content, seal) = head.split_at(part - SEAL);
        sum.update(content);
        let mut expected = sum.value().to_be_bytes().to_vec();
        Encoder::new(&mut expected).string(END);
        if seal != expected {
            return Err(ApacheError::at(offset, "a checksum is wrong"));
        }
        sum.update(seal);
        bytes = tail;
        Ok(())
    };
    check(SEAL)?;
    let zxid_at = |at: usize| rest.get(at..).and_then(<[u8]>::first_chunk).map(|b| i64::from_be_bytes(*b));
    match rest.len() - SEAL {
        // Written by a release before 3.6, or with digests off.
        0 => Ok(None),
        LAST_ZXID => check(LAST_ZXID).map(|()| zxid_at(SEAL)),
        DIGEST => check(DIGEST).map(|()| zxid_at(SEAL).filter(|zxid| *zxid != 0)),
        both if both == DIGEST + LAST_ZXID => {
            check(DIGEST)?;
            check(LAST_ZXID)?;
            Ok(zxid_at(SEAL + DIGEST))
        }
        _ => Err(ApacheError::at(start, "it goes on behind its end in a way that is not known")),
    }
}

/// A reader that knows the checksum of all it gave.
struct Summed<R> {
    input: io::BufReader<R>,
    sum: Adler,
    offset: u64,
}

impl<R: Read> Summed<R> {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), ApacheError> {
        self.input.read_exact(buf).map_err(|e| self.failed(e))?;
        self.sum.update(buf);
        self.offset += buf.len() as u64;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ApacheError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ApacheError::at(self.offset, "it ends too early"),
            _ => ApacheError::Io(error),
        }
    }

    fn i32(&mut self) -> Result<i32, ApacheError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(i32::from_be_bytes(bytes))
    }

    fn i64(&mut self) -> Result<i64, ApacheError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(i64::from_be_bytes(bytes))
    }

    fn count(&mut self, of_what: &str) -> Result<i32, ApacheError> {
        let at = self.offset;
        let n = self.i32()?;
        if n < 0 { Err(ApacheError::at(at, format!("{n} is no number of {of_what}"))) } else { Ok(n) }
    }

    /// A buffer of a given length; it grows with what really comes.
    fn bytes(&mut self, n: i32) -> Result<Vec<u8>, ApacheError> {
        let len = usize::try_from(n)
            .ok()
            .filter(|len| *len <= MAX_FIELD)
            .ok_or_else(|| ApacheError::at(self.offset, format!("a length of {n} is impossible")))?;
        let mut bytes = Vec::new();
        self.input.by_ref().take(len as u64).read_to_end(&mut bytes)?;
        if bytes.len() < len {
            return Err(ApacheError::at(self.offset, "it ends too early"));
        }
        self.sum.update(&bytes);
        self.offset += len as u64;
        Ok(bytes)
    }

    fn buffer(&mut self) -> Result<Option<Vec<u8>>, ApacheError> {
        match self.i32()? {
            -1 => Ok(None),
            n => self.bytes(n).map(Some),
        }
    }

    fn string(&mut self) -> Result<String, ApacheError> {
        let at = self.offset;
        let bytes = self.buffer()?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| ApacheError::at(at, "a string is not UTF-8"))
    }

    /// The encoded form of a list.
    fn acl_list(&mut self) -> Result<Vec<u8>, ApacheError> {
        let n = self.i32()?;
        let mut list = Vec::new();
        Encoder::new(&mut list).i32(n);
        for _ in 0..n {
            let perms = self.i32()?;
            let (scheme, id) = (self.string()?, self.string()?);
            let mut e = Encoder::new(&mut list);
            e.i32(perms);
            e.string(&scheme);
            e.string(&id);
            if list.len() > MAX_FIELD {
                return Err(ApacheError::at(self.offset, "an ACL list is impossibly long"));
            }
        }
        Ok(list)
    }

    fn node(&mut self, parent: NodeId, name: &str, acls: &HashMap<i64, AclId>) -> Result<Node, ApacheError> {
        let data = self.buffer()?;
        let at = self.offset;
        let acl = self.i64()?;
        let acl =
            *acls.get(&acl).ok_or_else(|| ApacheError::at(at, format!("there is no ACL list {acl}")))?;
        let mut stat = [0; 8 * 4 + 4 * 3 + 8 * 2];
        self.fill(&mut stat)?;
        node(&mut Decoder::new(&stat), parent, name, data.as_deref(), acl)
            .map_err(|e| ApacheError::at(at, e.to_string()))
    }
}

fn node(
    d: &mut Decoder<'_>,
    parent: NodeId,
    name: &str,
    data: Option<&[u8]>,
    acl: AclId,
) -> Result<Node, crate::proto::DecodeError> {
    let (czxid, mzxid, ctime, mtime) = (d.i64()?, d.i64()?, d.i64()?, d.i64()?);
    let (version, cversion, aversion) = (d.i32()?, d.i32()?, d.i32()?);
    let owner = Owner::from_stored(d.i64()?);
    let mut node = Node::new(parent, name, data, acl, owner, Stamp { zxid: czxid, time: ctime });
    node.mzxid = mzxid;
    node.mtime = mtime;
    node.version = version;
    node.aversion = aversion;
    node.set_family(d.i64()?, cversion);
    Ok(node)
}
