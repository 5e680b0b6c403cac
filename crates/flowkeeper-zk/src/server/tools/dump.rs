//! The whole content of a data folder, for people and for programs.

use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Error, quoted, read_state, time};
use crate::proto::acl::{self, Acl};
use crate::server::state::State;
use crate::server::tree::{Node, Owner, TreeCut};

/// How a dump looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line for each session and each node.
    Text,
    /// One document.
    Json,
}

/// Longest data a line of text shows.
const SHOWN: usize = 64;

/// Writes everything in a data folder: sessions, and all nodes with data, stat and ACL, each before its children.
///
/// # Errors
/// The folder is in use or damaged, or `out` fails.
pub fn dump(data: &Path, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    let (_folder, state) = read_state(data)?;
    match format {
        Format::Text => text(&state, out)?,
        Format::Json => json(&state, out)?,
    }
    Ok(out.flush()?)
}

fn text(state: &State, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "zxid 0x{:x}, last written {}, {} nodes, {} sessions",
        state.last.zxid,
        time(state.last.time),
        state.tree.len(),
        state.sessions.len()
    )?;
    for (id, timeout) in sessions(state) {
        let owned = state.tree.ephemerals_of(id).len();
        writeln!(out, "session 0x{id:x} timeout {timeout} ms, {owned} ephemeral nodes")?;
    }
    let cut = state.tree.cut();
    cut.walk(|path, node| {
        let path = if path.is_empty() { "/" } else { path };
        let stat = node.stat();
        write!(
            out,
            "{} {} czxid=0x{:x} mzxid=0x{:x} pzxid=0x{:x} ctime={} mtime={} version={} cversion={} aversion={} children={}",
            path,
            owner(node.owner()),
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            time(stat.ctime),
            time(stat.mtime),
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.num_children,
        )?;
        let list: Vec<String> = acls(&cut, node).iter().map(|a| format!("{}:{}:{}", a.scheme, a.id, perms(a.perms))).collect();
        write!(out, " acl={}", list.join(","))?;
        match &node.data {
            None => writeln!(out, " no data"),
            Some(data) => {
                let shown = String::from_utf8_lossy(&data[..data.len().min(SHOWN)]);
                let more = if data.len() > SHOWN { "..." } else { "" };
                writeln!(out, " data({})={}{more}", data.len(), quoted(&shown))
            }
        }
    })
}

fn json(state: &State, out: &mut dyn Write) -> std::io::Result<()> {
    write!(out, "{{\"zxid\":{},\"time\":{},\"sessions\":[", state.last.zxid, state.last.time)?;
    for (n, (id, timeout)) in sessions(state).into_iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        write!(out, "{comma}\n{{\"id\":\"0x{id:x}\",\"timeout\":{timeout}}}")?;
    }
    write!(out, "],\n\"nodes\":[")?;
    let mut comma = "";
    let cut = state.tree.cut();
    cut.walk(|path, node| {
        let path = if path.is_empty() { "/" } else { path };
        let s = node.stat();
        write!(out, "{comma}\n{{\"path\":{},\"kind\":{}", quoted(path), quoted(&owner(node.owner())))?;
        comma = ",";
        match node.data.as_deref().map(|data| (data, std::str::from_utf8(data))) {
            None => write!(out, ",\"data\":null")?,
            Some((_, Ok(text))) => write!(out, ",\"data\":{}", quoted(text))?,
            Some((data, Err(_))) => write!(out, ",\"data64\":\"{}\"", STANDARD.encode(data))?,
        }
        write!(
            out,
            ",\"czxid\":{},\"mzxid\":{},\"pzxid\":{},\"ctime\":{},\"mtime\":{},\"version\":{},\"cversion\":{},\
             \"aversion\":{},\"ephemeralOwner\":{},\"dataLength\":{},\"numChildren\":{},\"childrenCreated\":{},\"acl\":[",
            s.czxid,
            s.mzxid,
            s.pzxid,
            s.ctime,
            s.mtime,
            s.version,
            s.cversion,
            s.aversion,
            s.ephemeral_owner,
            s.data_length,
            s.num_children,
            node.cversion(),
        )?;
        for (n, entry) in acls(&cut, node).iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let (scheme, id) = (quoted(&entry.scheme), quoted(&entry.id));
            write!(out, "{comma}{{\"perms\":{},\"scheme\":{scheme},\"id\":{id}}}", entry.perms)?;
        }
        write!(out, "]}}")
    })?;
    writeln!(out, "]}}")
}

fn sessions(state: &State) -> Vec<(i64, i32)> {
    let mut all: Vec<_> = state.sessions.timeouts().collect();
    all.sort_unstable();
    all
}

fn owner(owner: Owner) -> String {
    match owner {
        Owner::Persistent => "persistent".into(),
        Owner::Session(id) => format!("ephemeral:0x{id:x}"),
        Owner::Container => "container".into(),
        Owner::Ttl(ttl) => format!("ttl:{ttl}ms"),
    }
}

fn acls(cut: &TreeCut, node: &Node) -> Vec<Acl> {
    cut.acl_of(node).map_or_else(|| vec![Acl::open()], |list| list.entries().to_vec())
}

fn perms(bits: i32) -> String {
    let letters =
        [(acl::CREATE, 'c'), (acl::DELETE, 'd'), (acl::READ, 'r'), (acl::WRITE, 'w'), (acl::ADMIN, 'a')];
    letters.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}
