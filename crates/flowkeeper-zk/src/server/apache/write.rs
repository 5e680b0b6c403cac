//! Writing a snapshot that Apache ZooKeeper starts from.

use std::io::{self, Write};

use super::adler::Adler;
use super::{END, OPEN_ACL, SNAPSHOT_MAGIC, VERSION, digest};
use crate::proto::Encoder;
use crate::server::acl::AclId;
use crate::server::state::StateCut;
use crate::server::tree::Node;

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;

/// Writes a frozen state as one snapshot file of Apache ZooKeeper 3.9, which older releases read too.
///
/// # Errors
/// What `out` says.
pub(crate) fn write_snapshot(cut: &StateCut, out: impl Write) -> io::Result<()> {
    let mut out = Summed { out, buffer: Vec::with_capacity(2 * BUFFER), sum: Adler::new() };
    out.put(|e| {
        e.i32(SNAPSHOT_MAGIC);
        e.i32(VERSION);
        e.i64(-1);
        e.len(cut.sessions.len());
    })?;
    // In order, so that the same state gives the same bytes.
    let mut sessions = cut.sessions.clone();
    sessions.sort_unstable();
    for (id, timeout) in &sessions {
        out.put(|e| {
            e.i64(*id);
            e.i32(*timeout);
        })?;
    }
    let lists = || cut.tree.acls.iter().filter(|(id, _)| *id != AclId::OPEN);
    out.put(|e| e.len(lists().count()))?;
    for (id, list) in lists() {
        out.put(|e| {
            e.i64(i64::from(id.0));
            e.raw(list.encoded());
        })?;
    }
    let digest = put_nodes(cut, &mut out)?;
    out.put(|e| e.string(END))?;
    out.seal()?;
    out.put(|e| {
        e.i64(cut.last.zxid);
        e.i32(digest::VERSION);
        e.i64(digest);
    })?;
    out.seal()?;
    out.put(|e| e.i64(cut.last.zxid))?;
    out.seal()?;
    out.flush()?;
    out.out.flush()
}

/// Writes all nodes, each before its children, and returns the sum over them.
fn put_nodes(cut: &StateCut, out: &mut Summed<impl Write>) -> io::Result<i64> {
    let mut sum = 0i64;
    cut.tree.walk(|path, node| {
        sum = sum.wrapping_add(digest::of_node(path, node));
        out.put(|e| put_node(e, path, node))
    })?;
    Ok(sum)
}

fn put_node(e: &mut Encoder<'_>, path: &str, node: &Node) {
    e.string(path);
    e.buffer(node.data.as_deref());
    e.i64(if node.acl == AclId::OPEN { OPEN_ACL } else { i64::from(node.acl.0) });
    for n in [node.czxid, node.mzxid, node.ctime, node.mtime] {
        e.i64(n);
    }
    for n in [node.version, node.cversion(), node.aversion] {
        e.i32(n);
    }
    e.i64(node.owner().to_stored());
    e.i64(node.pzxid());
}

/// A buffered writer that knows the checksum of all it was given.
struct Summed<W> {
    out: W,
    buffer: Vec<u8>,
    sum: Adler,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, put: impl FnOnce(&mut Encoder<'_>)) -> io::Result<()> {
        put(&mut Encoder::new(&mut self.buffer));
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sum.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        self.flush()?;
        let sum = self.sum.value();
        self.put(|e| {
            e.i64(sum);
            e.string(END);
        })
    }
}
