//! What the server sends: reply headers, stats, notifications, results of multi operations.

use super::ErrorCode;
use super::jute::{DecodeError, Decoder, Encoder};
use super::op;

/// Header of every reply and notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's xid.
    pub xid: i32,
    /// Last transaction applied when the reply was made.
    pub zxid: i64,
    /// [`ErrorCode`] as a number; a body follows only when it is 0.
    pub err: i32,
}

impl ReplyHeader {
    /// Bytes of the record.
    pub const LEN: usize = 16;

    /// Reads the record.
    pub fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: d.i32()?, zxid: d.i64()?, err: d.i32()? })
    }

    /// Appends the record.
    pub fn encode(&self, e: &mut Encoder<'_>) {
        e.i32(self.xid);
        e.i64(self.zxid);
        e.i32(self.err);
    }
}

/// A node's metadata as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Transaction that created the node.
    pub czxid: i64,
    /// Transaction that last set its data.
    pub mzxid: i64,
    /// Creation time, milliseconds since 1970.
    pub ctime: i64,
    /// Time of the last data change, milliseconds since 1970.
    pub mtime: i64,
    /// Data changes.
    pub version: i32,
    /// Changes of the set of children.
    pub cversion: i32,
    /// ACL changes.
    pub aversion: i32,
    /// Owning session of an ephemeral node, else 0.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Children.
    pub num_children: i32,
    /// Transaction that last created or deleted a child.
    pub pzxid: i64,
}

impl Stat {
    /// Bytes of the record.
    pub const LEN: usize = 68;

    /// Reads the record.
    pub fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: d.i64()?,
            mzxid: d.i64()?,
            ctime: d.i64()?,
            mtime: d.i64()?,
            version: d.i32()?,
            cversion: d.i32()?,
            aversion: d.i32()?,
            ephemeral_owner: d.i64()?,
            data_length: d.i32()?,
            num_children: d.i32()?,
            pzxid: d.i64()?,
        })
    }

    /// Appends the record.
    pub fn encode(&self, e: &mut Encoder<'_>) {
        e.i64(self.czxid);
        e.i64(self.mzxid);
        e.i64(self.ctime);
        e.i64(self.mtime);
        e.i32(self.version);
        e.i32(self.cversion);
        e.i32(self.aversion);
        e.i64(self.ephemeral_owner);
        e.i32(self.data_length);
        e.i32(self.num_children);
        e.i64(self.pzxid);
    }
}

/// What happened to a watched node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum EventKind {
    /// It was created.
    Created = 1,
    /// It was deleted.
    Deleted = 2,
    /// Its data was set.
    DataChanged = 3,
    /// A child was created or deleted.
    ChildrenChanged = 4,
}

impl EventKind {
    fn from_wire(n: i32) -> Option<Self> {
        [Self::Created, Self::Deleted, Self::DataChanged, Self::ChildrenChanged]
            .into_iter()
            .find(|kind| *kind as i32 == n)
    }
}

/// Body of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherEvent {
    /// What happened.
    pub kind: EventKind,
    /// Where.
    pub path: String,
}

impl WatcherEvent {
    /// State of a connected session, the only one a server reports.
    const CONNECTED: i32 = 3;

    /// Reads the record; `None` for kinds that only clients make up.
    pub fn decode(d: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let kind = EventKind::from_wire(d.i32()?);
        d.i32()?;
        let path = d.string()?.into_owned();
        Ok(kind.map(|kind| Self { kind, path }))
    }

    /// Appends the record of an event.
    pub fn encode_parts(e: &mut Encoder<'_>, kind: EventKind, path: &str) {
        e.i32(kind as i32);
        e.i32(Self::CONNECTED);
        e.string(path);
    }
}

/// Appends the header in front of one result of a multi.
pub fn put_multi_header(e: &mut Encoder<'_>, op: i32, err: i32) {
    e.i32(op);
    e.bool(false);
    e.i32(err);
}

/// Appends the result of a failed operation of a multi.
pub fn put_multi_error(e: &mut Encoder<'_>, err: ErrorCode) {
    put_multi_header(e, op::ERROR, err.code());
    e.i32(err.code());
}

/// Appends the end mark of a multi, request or reply.
pub fn put_multi_end(e: &mut Encoder<'_>) {
    e.i32(op::ERROR);
    e.bool(true);
    e.i32(-1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_survive_a_round_trip(l in any::<[i64; 6]>(), i in any::<[i32; 5]>(), path in ".*") {
            let stat = Stat { czxid: l[0], mzxid: l[1], ctime: l[2], mtime: l[3], version: i[0], cversion: i[1],
                              aversion: i[2], ephemeral_owner: l[4], data_length: i[3], num_children: i[4], pzxid: l[5] };
            let mut out = Vec::new();
            stat.encode(&mut Encoder::new(&mut out));
            prop_assert_eq!(out.len(), Stat::LEN);
            prop_assert_eq!(Stat::decode(&mut Decoder::new(&out)), Ok(stat));
            let header = ReplyHeader { xid: i[0], zxid: l[0], err: i[1] };
            out.clear();
            header.encode(&mut Encoder::new(&mut out));
            prop_assert_eq!(out.len(), ReplyHeader::LEN);
            prop_assert_eq!(ReplyHeader::decode(&mut Decoder::new(&out)), Ok(header));
            out.clear();
            WatcherEvent::encode_parts(&mut Encoder::new(&mut out), EventKind::Deleted, &path);
            let event = WatcherEvent { kind: EventKind::Deleted, path };
            prop_assert_eq!(WatcherEvent::decode(&mut Decoder::new(&out)), Ok(Some(event)));
        }

        #[test]
        fn decoders_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Stat::decode(&mut Decoder::new(&bytes));
            let _ = ReplyHeader::decode(&mut Decoder::new(&bytes));
            let _ = WatcherEvent::decode(&mut Decoder::new(&bytes));
        }
    }
}
