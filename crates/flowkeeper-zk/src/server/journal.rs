//! Transactions as the log keeps them: encoding while they are made, decoding when they are replayed.
//!
//! A record is a length, zxid, time, session, cxid, kind and the kind's fields. A multi's body is the kinds and
//! fields of its operations one after the other. A refused write is a record too, because it used up a zxid. The
//! cxid is the client's number of the request; files of the first version have none.

use std::borrow::Cow;

use super::acl::{AclId, AclList};
use super::tree::{Owner, Stamp};
use crate::proto::{DecodeError, Decoder, Encoder, ErrorCode};

const CREATE_SESSION: u8 = 1;
const CLOSE_SESSION: u8 = 2;
const CREATE: u8 = 3;
const DELETE: u8 = 4;
const SET_DATA: u8 = 5;
const SET_ACL: u8 = 6;
const ERROR: u8 = 7;
const MULTI: u8 = 8;

/// Bytes in front of a record's kind: length, zxid, time, session, cxid.
const HEADER: usize = 4 + 8 + 8 + 8 + 4;
/// Version of log files whose records have no cxid.
const WITHOUT_CXID: i32 = 1;

/// Transactions that have been applied and not yet handed to the log.
#[derive(Default)]
pub(crate) struct Journal {
    bytes: Vec<u8>,
}

/// Where the record being written begins.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Journal {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the records written so far.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let capacity = self.bytes.len();
        std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity))
    }

    /// Forgets the records written so far.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Begins a record. `cxid` is the xid of the request, 0 for the server's own transactions.
    pub(crate) fn begin(&mut self, stamp: Stamp, session: i64, cxid: i32) -> Mark {
        let mark = Mark(self.bytes.len());
        let mut e = self.encoder();
        e.i32(0);
        e.i64(stamp.zxid);
        e.i64(stamp.time);
        e.i64(session);
        e.i32(cxid);
        mark
    }

    /// Ends a record by filling in its length.
    pub(crate) fn end(&mut self, mark: Mark) {
        let len = (self.bytes.len() - mark.0 - 4) as u32;
        self.bytes[mark.0..mark.0 + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// Replaces what the record says by the error the transaction ended in.
    pub(crate) fn fail(&mut self, mark: Mark, code: ErrorCode) {
        self.bytes.truncate(mark.0 + HEADER);
        let mut e = self.encoder();
        e.u8(ERROR);
        e.i32(code.code());
    }

    pub(crate) fn multi(&mut self) {
        self.encoder().u8(MULTI);
    }

    pub(crate) fn create_session(&mut self, timeout: i32) {
        let mut e = self.encoder();
        e.u8(CREATE_SESSION);
        e.i32(timeout);
    }

    pub(crate) fn close_session(&mut self) {
        self.encoder().u8(CLOSE_SESSION);
    }

    pub(crate) fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: (AclId, Option<&AclList>),
        owner: Owner,
    ) {
        let mut e = self.encoder();
        e.u8(CREATE);
        e.string(path);
        e.buffer(data);
        put_acl(&mut e, acl);
        e.i64(owner.to_stored());
    }

    pub(crate) fn delete(&mut self, path: &str) {
        let mut e = self.encoder();
        e.u8(DELETE);
        e.string(path);
    }

    pub(crate) fn set_data(&mut self, path: &str, data: Option<&[u8]>) {
        let mut e = self.encoder();
        e.u8(SET_DATA);
        e.string(path);
        e.buffer(data);
    }

    pub(crate) fn set_acl(&mut self, path: &str, acl: (AclId, Option<&AclList>)) {
        let mut e = self.encoder();
        e.u8(SET_ACL);
        e.string(path);
        put_acl(&mut e, acl);
    }

    fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(&mut self.bytes)
    }
}

/// The open list, by far the most common, is written as null.
fn put_acl(e: &mut Encoder<'_>, (id, list): (AclId, Option<&AclList>)) {
    e.buffer(list.filter(|_| id != AclId::OPEN).map(AclList::encoded));
}

/// A record read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) session: i64,
    pub(crate) cxid: i32,
    pub(crate) txn: Txn<'a>,
}

/// What a transaction does. An ACL of `None` is the open list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Txn<'a> {
    CreateSession { timeout: i32 },
    CloseSession,
    Create { path: Cow<'a, str>, data: Option<&'a [u8]>, acl: Option<&'a [u8]>, owner: Owner },
    Delete { path: Cow<'a, str> },
    SetData { path: Cow<'a, str>, data: Option<&'a [u8]> },
    SetAcl { path: Cow<'a, str>, acl: Option<&'a [u8]> },
    Error { code: i32 },
    Multi(Vec<Txn<'a>>),
}

impl<'a> Record<'a> {
    /// Takes the next record of a log file of a version; `None` at the end.
    pub(crate) fn next(d: &mut Decoder<'a>, version: i32) -> Result<Option<Self>, DecodeError> {
        if d.rest().is_empty() {
            return Ok(None);
        }
        let len = d.i32()?;
        let len = usize::try_from(len).map_err(|_| DecodeError::BadLength(len))?;
        let mut d = Decoder::new(d.take(len)?);
        let stamp = Stamp { zxid: d.i64()?, time: d.i64()? };
        let session = d.i64()?;
        let cxid = if version == WITHOUT_CXID { 0 } else { d.i32()? };
        Ok(Some(Self { stamp, session, cxid, txn: Txn::decode(&mut d)? }))
    }
}

impl<'a> Txn<'a> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        match d.u8()? {
            MULTI => {
                let mut ops = Vec::new();
                while !d.rest().is_empty() {
                    let kind = d.u8()?;
                    ops.push(Self::decode_kind(kind, d)?);
                }
                Ok(Self::Multi(ops))
            }
            kind => Self::decode_kind(kind, d),
        }
    }

    fn decode_kind(kind: u8, d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match kind {
            CREATE_SESSION => Self::CreateSession { timeout: d.i32()? },
            CLOSE_SESSION => Self::CloseSession,
            CREATE => Self::Create {
                path: d.string()?,
                data: d.buffer()?,
                acl: d.buffer()?,
                owner: Owner::from_stored(d.i64()?),
            },
            DELETE => Self::Delete { path: d.string()? },
            SET_DATA => Self::SetData { path: d.string()?, data: d.buffer()? },
            SET_ACL => Self::SetAcl { path: d.string()?, acl: d.buffer()? },
            ERROR => Self::Error { code: d.i32()? },
            other => return Err(DecodeError::BadMultiOp(i32::from(other))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_survive_a_round_trip() {
        let mut journal = Journal::default();
        let stamp = Stamp { zxid: 7, time: 8 };
        let mark = journal.begin(stamp, 9, 17);
        journal.multi();
        journal.create("/a", None, (AclId::OPEN, None), Owner::Ttl(5));
        journal.create("/b", Some(b"x"), (AclId(1), Some(&AclList::world_readable())), Owner::Session(9));
        journal.set_data("/a", Some(b""));
        journal.delete("/a");
        journal.end(mark);
        let mark = journal.begin(stamp, 9, -5);
        journal.set_data("/gone", None);
        journal.fail(mark, ErrorCode::NoNode);
        journal.end(mark);
        let bytes = journal.take();
        let mut d = Decoder::new(&bytes);
        let read_list = AclList::world_readable();
        let txn = Txn::Multi(vec![
            Txn::Create { path: "/a".into(), data: None, acl: None, owner: Owner::Ttl(5) },
            Txn::Create {
                path: "/b".into(),
                data: Some(b"x"),
                acl: Some(read_list.encoded()),
                owner: Owner::Session(9),
            },
            Txn::SetData { path: "/a".into(), data: Some(b"") },
            Txn::Delete { path: "/a".into() },
        ]);
        let error = Txn::Error { code: ErrorCode::NoNode.code() };
        assert_eq!(Record::next(&mut d, 2), Ok(Some(Record { stamp, session: 9, cxid: 17, txn })));
        assert_eq!(Record::next(&mut d, 2), Ok(Some(Record { stamp, session: 9, cxid: -5, txn: error })));
        assert_eq!(Record::next(&mut d, 2), Ok(None));
    }

    #[test]
    fn records_of_the_first_version_have_no_cxid() {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        e.i32(8 + 8 + 8 + 1 + 4 + 2);
        for n in [7, 8, 9] {
            e.i64(n);
        }
        e.u8(DELETE);
        e.string("/a");
        let stamp = Stamp { zxid: 7, time: 8 };
        let txn = Txn::Delete { path: "/a".into() };
        assert_eq!(
            Record::next(&mut Decoder::new(&bytes), 1),
            Ok(Some(Record { stamp, session: 9, cxid: 0, txn }))
        );
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 1..3) {
            let mut d = Decoder::new(&bytes);
            while let Ok(Some(_)) = Record::next(&mut d, version) {}
        }
    }
}
