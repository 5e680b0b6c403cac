//! Answers as lines that may be compared.

use std::collections::HashMap;

use flowkeeper_zk::proto::{DecodeError, Decoder, ReplyHeader, Stat, op};

use crate::zookeeper::raw::Reply;

/// First line of an answer that is no error.
pub(super) const OK: &str = "err 0";
/// The whole answer of a server that hung up.
pub(super) const CLOSED: &str = "hung up";

/// What is called differently on the two sides.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The last zxid before the run.
    pub(super) base: i64,
    sessions: HashMap<i64, usize>,
}

impl Names {
    /// The number of a session, in the order of their opening.
    pub(super) fn session(&mut self, id: i64) -> usize {
        let next = self.sessions.len();
        *self.sessions.entry(id).or_insert(next)
    }

    fn zxid(&self, zxid: i64) -> String {
        // What lies before the run is the server's own.
        if zxid <= 0 || zxid < self.base {
            format!("{}", zxid.min(0))
        } else {
            format!("z{}", zxid - self.base)
        }
    }

    fn owner(&self, owner: i64) -> String {
        match self.sessions.get(&owner) {
            Some(number) => format!("session {number}"),
            None => format!("{owner}"),
        }
    }

    fn stat(&self, stat: &Stat) -> String {
        format!(
            "czxid {} mzxid {} pzxid {} version {} cversion {} aversion {} owner {} length {} children {}",
            self.zxid(stat.czxid),
            self.zxid(stat.mzxid),
            self.zxid(stat.pzxid),
            stat.version,
            stat.cversion,
            stat.aversion,
            self.owner(stat.ephemeral_owner),
            stat.data_length,
            stat.num_children,
        )
    }
}

/// An answer, line by line; the first is its error.
pub(super) fn facts(op: i32, reply: &Reply, names: &mut Names) -> Vec<String> {
    let Reply { header: ReplyHeader { xid, zxid, err }, body } = reply;
    let mut lines = vec![format!("err {err}")];
    if *xid < 0 {
        lines.push(format!("xid {xid}"));
    }
    // The answer to an authentication carries none.
    lines.push(format!("zxid {}", names.zxid(*zxid)));
    if *err != 0 {
        lines.push(format!("{} bytes", body.len()));
        return lines;
    }
    let mut d = Decoder::new(body);
    if let Err(error) = record(op, &mut d, names, &mut lines) {
        lines.push(format!("undecodable: {error}"));
    }
    lines.push(format!("{} bytes more", d.rest().len()));
    lines
}

/// A notification.
pub(super) fn notification(frame: &[u8], names: &Names) -> String {
    let read = || {
        let mut d = Decoder::new(frame);
        let header = ReplyHeader::decode(&mut d)?;
        let (kind, state, path) = (d.i32()?, d.i32()?, d.string()?.into_owned());
        Ok::<_, DecodeError>(format!("zxid {} kind {kind} state {state} {path}", names.zxid(header.zxid)))
    };
    read().unwrap_or_else(|error| format!("undecodable: {error}"))
}

fn record(
    op: i32,
    d: &mut Decoder<'_>,
    names: &mut Names,
    lines: &mut Vec<String>,
) -> Result<(), DecodeError> {
    match op {
        op::CREATE | op::SYNC => lines.push(d.string()?.into_owned()),
        op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
            lines.push(d.string()?.into_owned());
            lines.push(names.stat(&Stat::decode(d)?));
        }
        op::EXISTS | op::SET_DATA | op::SET_ACL => lines.push(names.stat(&Stat::decode(d)?)),
        op::GET_DATA => {
            lines.push(format!("{:?}", d.buffer()?));
            lines.push(names.stat(&Stat::decode(d)?));
        }
        op::GET_CHILDREN | op::GET_EPHEMERALS => lines.push(sorted(d)?),
        op::GET_CHILDREN2 => {
            lines.push(sorted(d)?);
            lines.push(names.stat(&Stat::decode(d)?));
        }
        op::GET_ACL => {
            for _ in 0..d.count(12)?.unwrap_or(0) {
                lines.push(format!("{} {} {}", d.i32()?, d.string()?, d.string()?));
            }
            lines.push(names.stat(&Stat::decode(d)?));
        }
        op::GET_ALL_CHILDREN_NUMBER | op::ADD_WATCH => lines.push(d.i32()?.to_string()),
        op::WHO_AM_I => {
            let mut who = Vec::new();
            for _ in 0..d.count(8)?.unwrap_or(0) {
                who.push(format!("{} {}", d.string()?, d.string()?));
            }
            who.sort_unstable();
            lines.append(&mut who);
        }
        op::MULTI | op::MULTI_READ => loop {
            let (kind, is_done, err) = (d.i32()?, d.bool()?, d.i32()?);
            lines.push(format!("op {kind} {is_done} {err}"));
            if is_done {
                break;
            }
            match kind {
                op::ERROR => lines.push(format!("error {}", d.i32()?)),
                op::DELETE | op::CHECK => {}
                kind => record(kind, d, names, lines)?,
            }
        },
        _ => {}
    }
    Ok(())
}

fn sorted(d: &mut Decoder<'_>) -> Result<String, DecodeError> {
    let mut names = d.strings()?;
    names.sort_unstable();
    Ok(names.join(" "))
}
