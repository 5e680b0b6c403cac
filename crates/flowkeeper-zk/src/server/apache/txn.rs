//! Apache's transaction logs: entries, and what the transactions in them say.

use std::borrow::Cow;

use super::{ApacheError, LOG_MAGIC, VERSION, adler};
use crate::proto::{AclVector, DecodeError, Decoder, op};
use crate::server::tree::{Owner, Stamp};

const FILE_HEADER: usize = 4 + 4 + 8;
/// Checksum and length in front of each entry.
const FRAME: usize = 8 + 4;
/// Byte behind each entry.
const ENTRY_END: u8 = b'B';
/// What the sum over the tree takes behind a transaction, since 3.6.
const DIGEST_LEN: usize = 4 + 8;

/// A transaction of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) session: i64,
    pub(crate) cxid: i32,
    pub(crate) body: TxnBody<'a>,
}

/// What a transaction does. Versions are the resulting ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TxnBody<'a> {
    CreateSession {
        timeout: i32,
    },
    /// With the ephemeral nodes that go, where the release wrote them down.
    CloseSession {
        paths: Vec<Cow<'a, str>>,
    },
    Create {
        path: Cow<'a, str>,
        data: Option<&'a [u8]>,
        /// The list as the wire carries it.
        acl: &'a [u8],
        owner: Owner,
        /// The parent's counter of creations, -1 in logs of 3.3.
        parent_cversion: i32,
    },
    Delete {
        path: Cow<'a, str>,
    },
    SetData {
        path: Cow<'a, str>,
        data: Option<&'a [u8]>,
        version: i32,
    },
    SetAcl {
        path: Cow<'a, str>,
        acl: &'a [u8],
        version: i32,
    },
    Multi(Vec<Self>),
    /// Changes nothing: a refused write, or a check.
    Nothing,
}

/// The entries of one file, in order.
#[derive(Debug)]
pub(crate) struct LogReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LogReader<'a> {
    /// Begins to read a file.
    ///
    /// # Errors
    /// It is no transaction log.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, ApacheError> {
        let mut d = Decoder::new(bytes);
        let head = (d.i32(), d.i32(), d.i64());
        match head {
            (Ok(LOG_MAGIC), Ok(VERSION), Ok(_)) => Ok(Self { bytes, at: FILE_HEADER }),
            _ => Err(ApacheError::at(0, "it does not begin like a transaction log")),
        }
    }

    /// Where the next entry begins.
    pub(crate) fn offset(&self) -> u64 {
        self.at as u64
    }

    /// Takes the next entry; `None` where the zeros written ahead, or the file's end, are reached.
    ///
    /// # Errors
    /// The entry is torn or damaged. A crash leaves that at the end of the last file only.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'a>>, ApacheError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.iter().take(FRAME).all(|b| *b == 0) {
            return Ok(None);
        }
        let at = self.at as u64;
        let mut d = Decoder::new(rest);
        let frame =
            |d: &mut Decoder<'a>| Ok::<_, DecodeError>((d.i64()?, d.buffer()?.unwrap_or_default(), d.u8()?));
        let (sum, bytes, end) = frame(&mut d).map_err(|_| ApacheError::at(at, "an entry is cut off"))?;
        if sum != adler::of(bytes) || end != ENTRY_END {
            return Err(ApacheError::at(at, "an entry's checksum is wrong"));
        }
        let entry =
            Entry::decode(bytes).map_err(|e| ApacheError::at(at, format!("an entry cannot be read: {e}")))?;
        self.at = self.bytes.len() - d.rest().len();
        Ok(Some(entry))
    }
}

impl<'a> Entry<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let session = d.i64()?;
        let cxid = d.i32()?;
        let stamp = Stamp { zxid: d.i64()?, time: d.i64()? };
        let kind = d.i32()?;
        Ok(Self { stamp, session, cxid, body: TxnBody::decode(kind, session, d.rest())? })
    }
}

impl<'a> TxnBody<'a> {
    /// Decodes the record of a transaction; what follows the record is the digest, and ignored.
    fn decode(kind: i32, session: i64, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        Ok(match kind {
            op::CREATE_SESSION => Self::CreateSession { timeout: d.i32()? },
            op::CLOSE_SESSION => Self::CloseSession { paths: closed_paths(&mut d)? },
            op::CREATE | op::CREATE2 => {
                let (path, data, acl) = (d.string()?, d.buffer()?, acl_list(&mut d)?);
                let owner = if d.bool()? { Owner::Session(session) } else { Owner::Persistent };
                Self::Create { path, data, acl, owner, parent_cversion: d.i32().unwrap_or(-1) }
            }
            op::CREATE_CONTAINER => Self::Create {
                path: d.string()?,
                data: d.buffer()?,
                acl: acl_list(&mut d)?,
                owner: Owner::Container,
                parent_cversion: d.i32()?,
            },
            op::CREATE_TTL => {
                let (path, data, acl) = (d.string()?, d.buffer()?, acl_list(&mut d)?);
                let parent_cversion = d.i32()?;
                let owner = Owner::Ttl(d.i64()? & Owner::MAX_TTL);
                Self::Create { path, data, acl, owner, parent_cversion }
            }
            op::DELETE | op::DELETE_CONTAINER => Self::Delete { path: d.string()? },
            op::SET_DATA | op::RECONFIG => {
                Self::SetData { path: d.string()?, data: d.buffer()?, version: d.i32()? }
            }
            op::SET_ACL => Self::SetAcl { path: d.string()?, acl: acl_list(&mut d)?, version: d.i32()? },
            op::MULTI => Self::Multi(multi(&mut d, session)?),
            op::CHECK | op::ERROR => Self::Nothing,
            other => return Err(DecodeError::BadMultiOp(other)),
        })
    }
}

/// The operations of a multi. One that failed as a whole has an error among them and changes nothing.
fn multi<'a>(d: &mut Decoder<'a>, session: i64) -> Result<Vec<TxnBody<'a>>, DecodeError> {
    let n = d.count(8)?.unwrap_or(0);
    let mut ops = Vec::with_capacity(n.min(1024));
    let mut failed = false;
    for _ in 0..n {
        let kind = d.i32()?;
        let bytes = d.buffer()?.unwrap_or_default();
        if kind == op::MULTI {
            return Err(DecodeError::BadMultiOp(kind));
        }
        failed |= kind == op::ERROR;
        ops.push(TxnBody::decode(kind, session, bytes)?);
    }
    if failed {
        ops.clear();
    }
    Ok(ops)
}

/// Older releases write no record, so that only the digest, or nothing, is there.
fn closed_paths<'a>(d: &mut Decoder<'a>) -> Result<Vec<Cow<'a, str>>, DecodeError> {
    let rest = d.rest();
    let only_digest = rest.len() == DIGEST_LEN && rest.starts_with(&VERSION.to_be_bytes());
    if rest.is_empty() || only_digest { Ok(Vec::new()) } else { d.strings() }
}

fn acl_list<'a>(d: &mut Decoder<'a>) -> Result<&'a [u8], DecodeError> {
    Ok(AclVector::decode(d)?.as_bytes())
}
