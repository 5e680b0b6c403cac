//! Who wrote what: the transactions in the log of a data folder.

use std::io::Write;
use std::path::Path;

use super::{Error, time};
use crate::proto::Decoder;
use crate::server::error;
use crate::server::journal::{Record, Txn};
use crate::server::storage::{Folder, segment};
use crate::server::tree::Owner;

/// How often a file is read again that a running server was just writing.
const TRIES: usize = 3;

/// Which transactions to show.
#[derive(Debug, Clone, Default)]
pub struct LogRange {
    /// First zxid.
    pub from: Option<i64>,
    /// Last zxid.
    pub to: Option<i64>,
    /// Only what changes this path, or one below it.
    pub path: Option<String>,
}

/// Writes a line for each operation in the log: zxid, time, session, cxid, type, path. The log goes back to the
/// second newest snapshot. A running server is not disturbed.
///
/// # Errors
/// The folder cannot be read or is damaged, or `out` fails.
pub fn log(data: &Path, range: &LogRange, out: &mut dyn Write) -> Result<(), Error> {
    let folder = Folder::peek(data)?;
    let segments = folder.segments()?;
    for (at, first) in segments.iter().enumerate() {
        let next = segments.get(at + 1);
        let starts_late = range.to.is_some_and(|to| *first > to);
        let ends_early = next.is_some_and(|next| range.from.is_some_and(|from| *next <= from));
        if !starts_late && !ends_early {
            show_file(&folder.segment_path(*first), next.is_none(), range, out)?;
        }
    }
    Ok(out.flush()?)
}

fn show_file(path: &Path, is_last: bool, range: &LogRange, out: &mut dyn Write) -> Result<(), Error> {
    let mut tries = 0;
    let (bytes, scan) = loop {
        let bytes = match segment::read(path) {
            Ok(bytes) => bytes,
            // A snapshot has made it superfluous meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(error::Error::disk("read log", path)(e).into()),
        };
        tries += 1;
        match segment::scan(&bytes, is_last) {
            Ok(scan) => break (bytes, scan),
            Err(_) if tries < TRIES => {}
            Err(damage) => return Err(error::Error::corrupt(path, damage.offset as u64, damage.what).into()),
        }
    };
    for group in &scan.groups {
        let mut d = Decoder::new(&bytes[group.clone()]);
        let damaged =
            |e: crate::proto::DecodeError| error::Error::corrupt(path, group.start as u64, e.to_string());
        while let Some(record) = Record::next(&mut d, scan.version).map_err(damaged)? {
            let zxid = record.stamp.zxid;
            if range.from.is_none_or(|from| zxid >= from) && range.to.is_none_or(|to| zxid <= to) {
                show(&record, range.path.as_deref(), out)?;
            }
        }
    }
    Ok(())
}

fn show(record: &Record<'_>, prefix: Option<&str>, out: &mut dyn Write) -> std::io::Result<()> {
    let ops: &[Txn<'_>] = match &record.txn {
        Txn::Multi(ops) => ops,
        single => std::slice::from_ref(single),
    };
    let is_multi = matches!(record.txn, Txn::Multi(_));
    for (n, op) in ops.iter().enumerate() {
        if prefix.is_some_and(|prefix| !concerns(op, prefix)) {
            continue;
        }
        write!(
            out,
            "0x{:x} {} session=0x{:x} cxid={} ",
            record.stamp.zxid,
            time(record.stamp.time),
            record.session,
            record.cxid
        )?;
        if is_multi {
            write!(out, "multi[{}/{}] ", n + 1, ops.len())?;
        }
        show_op(op, out)?;
    }
    Ok(())
}

fn show_op(op: &Txn<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    let size = |data: &Option<&[u8]>| {
        data.map_or_else(|| "no data".to_owned(), |data| format!("{} bytes", data.len()))
    };
    match op {
        Txn::CreateSession { timeout } => writeln!(out, "createSession timeout={timeout}ms"),
        Txn::CloseSession => writeln!(out, "closeSession"),
        Txn::Create { path, data, owner, .. } => {
            let kind = match owner {
                Owner::Persistent => "create",
                Owner::Session(_) => "createEphemeral",
                Owner::Container => "createContainer",
                Owner::Ttl(_) => "createTTL",
            };
            writeln!(out, "{kind} {path} {}", size(data))
        }
        Txn::Delete { path } => writeln!(out, "delete {path}"),
        Txn::SetData { path, data } => writeln!(out, "setData {path} {}", size(data)),
        Txn::SetAcl { path, .. } => writeln!(out, "setACL {path}"),
        Txn::Error { code } => writeln!(out, "refused code={code}"),
        Txn::Multi(_) => writeln!(out, "multi"),
    }
}

fn concerns(op: &Txn<'_>, prefix: &str) -> bool {
    let path = match op {
        Txn::Create { path, .. }
        | Txn::Delete { path }
        | Txn::SetData { path, .. }
        | Txn::SetAcl { path, .. } => path,
        _ => return false,
    };
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
