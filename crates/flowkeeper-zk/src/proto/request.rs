//! What clients send: one enum over all request records.

use std::borrow::Cow;

use super::acl::AclVector;
use super::jute::{DecodeError, Decoder, Encoder};
use super::op;
use super::response::put_multi_end;

/// Header of every request after the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request, echoed in the reply.
    pub xid: i32,
    /// One of the codes in [`op`].
    pub op: i32,
}

impl RequestHeader {
    /// Reads the record.
    pub fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: d.i32()?, op: d.i32()? })
    }

    /// Appends the record.
    pub fn encode(&self, e: &mut Encoder<'_>) {
        e.i32(self.xid);
        e.i32(self.op);
    }
}

/// A create of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create<'a> {
    /// Which of the four create operations: it decides the reply's shape and what `flags` may say.
    pub op: i32,
    /// Where.
    pub path: Cow<'a, str>,
    /// Content; null is kept apart from empty.
    pub data: Option<&'a [u8]>,
    /// Who may use the node.
    pub acl: AclVector<'a>,
    /// One of [`op::create_flags`].
    pub flags: i32,
    /// Time to live in milliseconds; -1 unless the operation is [`op::CREATE_TTL`].
    pub ttl: i64,
}

/// A request record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "variants and fields are those of the protocol's records, described in `op`")]
pub enum Request<'a> {
    Create(Create<'a>),
    Delete {
        path: Cow<'a, str>,
        version: i32,
    },
    Exists {
        path: Cow<'a, str>,
        watch: bool,
    },
    GetData {
        path: Cow<'a, str>,
        watch: bool,
    },
    SetData {
        path: Cow<'a, str>,
        data: Option<&'a [u8]>,
        version: i32,
    },
    GetAcl {
        path: Cow<'a, str>,
    },
    SetAcl {
        path: Cow<'a, str>,
        acl: AclVector<'a>,
        version: i32,
    },
    GetChildren {
        path: Cow<'a, str>,
        watch: bool,
    },
    GetChildren2 {
        path: Cow<'a, str>,
        watch: bool,
    },
    Sync {
        path: Cow<'a, str>,
    },
    Ping,
    Check {
        path: Cow<'a, str>,
        version: i32,
    },
    Multi(Vec<Request<'a>>),
    MultiRead(Vec<Request<'a>>),
    Reconfig,
    CheckWatches {
        path: Cow<'a, str>,
        kind: WatcherType,
    },
    RemoveWatches {
        path: Cow<'a, str>,
        kind: WatcherType,
    },
    Auth {
        scheme: Cow<'a, str>,
        token: Option<&'a [u8]>,
    },
    Sasl {
        token: &'a [u8],
    },
    SetWatches(SetWatches<'a>),
    GetEphemerals {
        prefix: Cow<'a, str>,
    },
    GetAllChildrenNumber {
        path: Cow<'a, str>,
    },
    AddWatch {
        path: Cow<'a, str>,
        recursive: bool,
    },
    WhoAmI,
    CloseSession,
    /// An operation this protocol does not have, or that clients may not send.
    Unknown(i32),
}

/// Which watches removeWatches and checkWatches mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum WatcherType {
    /// One-shot watches of getChildren.
    Children = 1,
    /// One-shot watches of getData and exists.
    Data = 2,
    /// All of them.
    Any = 3,
    /// Persistent ones.
    Persistent = 4,
    /// Persistent recursive ones.
    PersistentRecursive = 5,
}

impl WatcherType {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match d.i32()? {
            1 => Ok(Self::Children),
            2 => Ok(Self::Data),
            3 => Ok(Self::Any),
            4 => Ok(Self::Persistent),
            5 => Ok(Self::PersistentRecursive),
            n => Err(DecodeError::BadWatchMode(n)),
        }
    }
}

/// Watches a client wants back after a reconnect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// [`op::SET_WATCHES`], or [`op::SET_WATCHES2`] with the persistent kinds.
    pub op: i32,
    /// Last zxid the client has seen: what changed later is reported at once.
    pub relative_zxid: i64,
    /// Watches left by getData.
    pub data: Vec<Cow<'a, str>>,
    /// Watches left by exists on missing nodes.
    pub exist: Vec<Cow<'a, str>>,
    /// Watches left by getChildren.
    pub child: Vec<Cow<'a, str>>,
    /// Persistent watches.
    pub persistent: Vec<Cow<'a, str>>,
    /// Persistent recursive watches.
    pub recursive: Vec<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    /// Reads the record of a request of type `op`.
    ///
    /// # Errors
    /// The record does not fit the packet, or is not a valid record of that type. Unknown types are no error
    /// but [`Request::Unknown`].
    pub fn decode(op: i32, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(body);
        Self::decode_from(op, &mut d)
    }

    fn decode_from(op: i32, d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match op {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                Self::Create(Create::decode(op, d)?)
            }
            op::DELETE => Self::Delete { path: d.string()?, version: d.i32()? },
            op::EXISTS => Self::Exists { path: d.string()?, watch: d.bool()? },
            op::GET_DATA => Self::GetData { path: d.string()?, watch: d.bool()? },
            op::SET_DATA => Self::SetData { path: d.string()?, data: d.buffer()?, version: d.i32()? },
            op::GET_ACL => Self::GetAcl { path: d.string()? },
            op::SET_ACL => Self::SetAcl { path: d.string()?, acl: AclVector::decode(d)?, version: d.i32()? },
            op::GET_CHILDREN => Self::GetChildren { path: d.string()?, watch: d.bool()? },
            op::GET_CHILDREN2 => Self::GetChildren2 { path: d.string()?, watch: d.bool()? },
            op::SYNC => Self::Sync { path: d.string()? },
            op::PING => Self::Ping,
            op::CHECK => Self::Check { path: d.string()?, version: d.i32()? },
            op::MULTI => Self::Multi(decode_multi(d, |op| {
                matches!(
                    op,
                    op::CREATE
                        | op::CREATE2
                        | op::CREATE_CONTAINER
                        | op::CREATE_TTL
                        | op::DELETE
                        | op::SET_DATA
                        | op::CHECK
                )
            })?),
            op::MULTI_READ => {
                Self::MultiRead(decode_multi(d, |op| matches!(op, op::GET_DATA | op::GET_CHILDREN))?)
            }
            op::RECONFIG => Self::Reconfig,
            op::CHECK_WATCHES => Self::CheckWatches { path: d.string()?, kind: WatcherType::decode(d)? },
            op::REMOVE_WATCHES => Self::RemoveWatches { path: d.string()?, kind: WatcherType::decode(d)? },
            op::AUTH => {
                d.i32()?;
                Self::Auth { scheme: d.string()?, token: d.buffer()? }
            }
            op::SASL => Self::Sasl { token: d.buffer()?.ok_or(DecodeError::BadLength(-1))? },
            op::SET_WATCHES | op::SET_WATCHES2 => Self::SetWatches(SetWatches::decode(op, d)?),
            op::GET_EPHEMERALS => Self::GetEphemerals { prefix: d.string()? },
            op::GET_ALL_CHILDREN_NUMBER => Self::GetAllChildrenNumber { path: d.string()? },
            op::ADD_WATCH => Self::AddWatch {
                path: d.string()?,
                recursive: match d.i32()? {
                    0 => false,
                    1 => true,
                    n => return Err(DecodeError::BadWatchMode(n)),
                },
            },
            op::WHO_AM_I => Self::WhoAmI,
            op::CLOSE_SESSION => Self::CloseSession,
            other => Self::Unknown(other),
        })
    }

    /// The operation code.
    pub fn op(&self) -> i32 {
        match self {
            Self::Create(create) => create.op,
            Self::Delete { .. } => op::DELETE,
            Self::Exists { .. } => op::EXISTS,
            Self::GetData { .. } => op::GET_DATA,
            Self::SetData { .. } => op::SET_DATA,
            Self::GetAcl { .. } => op::GET_ACL,
            Self::SetAcl { .. } => op::SET_ACL,
            Self::GetChildren { .. } => op::GET_CHILDREN,
            Self::GetChildren2 { .. } => op::GET_CHILDREN2,
            Self::Sync { .. } => op::SYNC,
            Self::Ping => op::PING,
            Self::Check { .. } => op::CHECK,
            Self::Multi(_) => op::MULTI,
            Self::MultiRead(_) => op::MULTI_READ,
            Self::Reconfig => op::RECONFIG,
            Self::CheckWatches { .. } => op::CHECK_WATCHES,
            Self::RemoveWatches { .. } => op::REMOVE_WATCHES,
            Self::Auth { .. } => op::AUTH,
            Self::Sasl { .. } => op::SASL,
            Self::SetWatches(set) => set.op,
            Self::GetEphemerals { .. } => op::GET_EPHEMERALS,
            Self::GetAllChildrenNumber { .. } => op::GET_ALL_CHILDREN_NUMBER,
            Self::AddWatch { .. } => op::ADD_WATCH,
            Self::WhoAmI => op::WHO_AM_I,
            Self::CloseSession => op::CLOSE_SESSION,
            Self::Unknown(op) => *op,
        }
    }

    /// Appends the record, without header.
    pub fn encode(&self, e: &mut Encoder<'_>) {
        match self {
            Self::Create(create) => create.encode(e),
            Self::Delete { path, version } | Self::Check { path, version } => {
                e.string(path);
                e.i32(*version);
            }
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                e.string(path);
                e.bool(*watch);
            }
            Self::SetData { path, data, version } => {
                e.string(path);
                e.buffer(*data);
                e.i32(*version);
            }
            Self::SetAcl { path, acl, version } => {
                e.string(path);
                e.raw(acl.as_bytes());
                e.i32(*version);
            }
            Self::GetAcl { path }
            | Self::Sync { path }
            | Self::GetEphemerals { prefix: path }
            | Self::GetAllChildrenNumber { path } => e.string(path),
            Self::Multi(ops) | Self::MultiRead(ops) => {
                for op in ops {
                    e.i32(op.op());
                    e.bool(false);
                    e.i32(-1);
                    op.encode(e);
                }
                put_multi_end(e);
            }
            Self::CheckWatches { path, kind } | Self::RemoveWatches { path, kind } => {
                e.string(path);
                e.i32(*kind as i32);
            }
            Self::Auth { scheme, token } => {
                e.i32(0);
                e.string(scheme);
                e.buffer(*token);
            }
            Self::Sasl { token } => e.buffer(Some(token)),
            Self::SetWatches(set) => set.encode(e),
            Self::AddWatch { path, recursive } => {
                e.string(path);
                e.i32(i32::from(*recursive));
            }
            Self::Ping | Self::Reconfig | Self::WhoAmI | Self::CloseSession | Self::Unknown(_) => {}
        }
    }
}

impl<'a> Create<'a> {
    fn decode(op: i32, d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            op,
            path: d.string()?,
            data: d.buffer()?,
            acl: AclVector::decode(d)?,
            flags: d.i32()?,
            ttl: if op == op::CREATE_TTL { d.i64()? } else { -1 },
        })
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.string(&self.path);
        e.buffer(self.data);
        e.raw(self.acl.as_bytes());
        e.i32(self.flags);
        if self.op == op::CREATE_TTL {
            e.i64(self.ttl);
        }
    }
}

impl<'a> SetWatches<'a> {
    fn decode(op: i32, d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let mut set = Self {
            op,
            relative_zxid: d.i64()?,
            data: d.strings()?,
            exist: d.strings()?,
            child: d.strings()?,
            persistent: Vec::new(),
            recursive: Vec::new(),
        };
        if op == op::SET_WATCHES2 {
            set.persistent = d.strings()?;
            set.recursive = d.strings()?;
        }
        Ok(set)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.i64(self.relative_zxid);
        e.strings(&self.data);
        e.strings(&self.exist);
        e.strings(&self.child);
        if self.op == op::SET_WATCHES2 {
            e.strings(&self.persistent);
            e.strings(&self.recursive);
        }
    }
}

fn decode_multi<'a>(
    d: &mut Decoder<'a>,
    allowed: impl Fn(i32) -> bool,
) -> Result<Vec<Request<'a>>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let op = d.i32()?;
        let done = d.bool()?;
        d.i32()?;
        if done {
            return Ok(ops);
        }
        if !allowed(op) {
            return Err(DecodeError::BadMultiOp(op));
        }
        let op = Request::decode_from(op, d)?;
        if let Request::Create(Create { flags, op: kind, .. }) = &op
            && *kind != op::CREATE_TTL
            && !(op::create_flags::PERSISTENT..=op::create_flags::TTL_SEQUENTIAL).contains(flags)
        {
            return Err(DecodeError::BadCreateFlags(*flags));
        }
        ops.push(op);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::acl::{Acl, put_acl};
    use proptest::prelude::*;

    /// An encoded list that lives as long as the test program, so that requests can borrow it.
    fn open_acl() -> AclVector<'static> {
        let mut out = Vec::new();
        put_acl(&mut Encoder::new(&mut out), &[Acl::open()]);
        AclVector::decode(&mut Decoder::new(Vec::leak(out))).unwrap()
    }

    fn path() -> impl Strategy<Value = Cow<'static, str>> {
        ".{0,12}".prop_map(Cow::Owned)
    }

    fn paths() -> impl Strategy<Value = Vec<Cow<'static, str>>> {
        proptest::collection::vec(path(), 0..4)
    }

    fn data() -> impl Strategy<Value = Option<&'static [u8]>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(|v| &*Vec::leak(v)))
    }

    fn create(flags: impl Strategy<Value = i32>) -> impl Strategy<Value = Request<'static>> {
        let op = prop_oneof![
            Just(op::CREATE),
            Just(op::CREATE2),
            Just(op::CREATE_CONTAINER),
            Just(op::CREATE_TTL)
        ];
        (op, path(), data(), flags, any::<i64>()).prop_map(|(op, path, data, flags, ttl)| {
            let ttl = if op == op::CREATE_TTL { ttl } else { -1 };
            Request::Create(Create { op, path, data, acl: open_acl(), flags, ttl })
        })
    }

    fn write(flags: impl Strategy<Value = i32>) -> impl Strategy<Value = Request<'static>> {
        prop_oneof![
            create(flags),
            (path(), any::<i32>()).prop_map(|(path, version)| Request::Delete { path, version }),
            (path(), any::<i32>()).prop_map(|(path, version)| Request::Check { path, version }),
            (path(), data(), any::<i32>()).prop_map(|(path, data, version)| Request::SetData {
                path,
                data,
                version
            }),
        ]
    }

    fn kind() -> impl Strategy<Value = WatcherType> {
        use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
        proptest::sample::select(vec![Children, Data, Any, Persistent, PersistentRecursive])
    }

    fn request() -> impl Strategy<Value = Request<'static>> {
        prop_oneof![
            write(any::<i32>()),
            // In a multi, flags that mean nothing spoil the packet.
            proptest::collection::vec(
                write(op::create_flags::PERSISTENT..=op::create_flags::TTL_SEQUENTIAL),
                0..4
            )
            .prop_map(Request::Multi),
            proptest::collection::vec(
                (path(), any::<bool>(), any::<bool>()).prop_map(|(path, watch, data)| match data {
                    true => Request::GetData { path, watch },
                    false => Request::GetChildren { path, watch },
                }),
                0..4
            )
            .prop_map(Request::MultiRead),
            (path(), any::<i32>()).prop_map(|(path, version)| Request::SetAcl {
                path,
                acl: open_acl(),
                version
            }),
            (path(), any::<bool>()).prop_map(|(path, watch)| Request::Exists { path, watch }),
            (path(), any::<bool>()).prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
            (path(), any::<bool>()).prop_map(|(path, recursive)| Request::AddWatch { path, recursive }),
            (path(), kind()).prop_map(|(path, kind)| Request::RemoveWatches { path, kind }),
            (path(), kind()).prop_map(|(path, kind)| Request::CheckWatches { path, kind }),
            path().prop_map(|path| Request::GetAcl { path }),
            path().prop_map(|path| Request::Sync { path }),
            path().prop_map(|path| Request::GetAllChildrenNumber { path }),
            path().prop_map(|prefix| Request::GetEphemerals { prefix }),
            (path(), data()).prop_map(|(scheme, token)| Request::Auth { scheme, token }),
            data().prop_map(|token| Request::Sasl { token: token.unwrap_or_default() }),
            (any::<bool>(), any::<i64>(), paths(), paths(), paths(), paths(), paths()).prop_map(
                |(two, relative_zxid, data, exist, child, persistent, recursive)| {
                    let op = if two { op::SET_WATCHES2 } else { op::SET_WATCHES };
                    let (persistent, recursive) =
                        if two { (persistent, recursive) } else { Default::default() };
                    Request::SetWatches(SetWatches {
                        op,
                        relative_zxid,
                        data,
                        exist,
                        child,
                        persistent,
                        recursive,
                    })
                }
            ),
            proptest::sample::select(vec![
                Request::Ping,
                Request::Reconfig,
                Request::WhoAmI,
                Request::CloseSession
            ]),
        ]
    }

    proptest! {
        #[test]
        fn requests_survive_a_round_trip(request in request()) {
            let mut out = Vec::new();
            request.encode(&mut Encoder::new(&mut out));
            prop_assert_eq!(Request::decode(request.op(), &out), Ok(request));
        }

        #[test]
        fn decoding_never_panics(op in -12..110i32, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(op, &bytes);
        }

        #[test]
        fn cut_off_requests_are_refused_or_shorter(request in request(), cut in any::<proptest::sample::Index>()) {
            let mut out = Vec::new();
            request.encode(&mut Encoder::new(&mut out));
            let keep = cut.index(out.len().max(1)).min(out.len());
            let cut = Request::decode(request.op(), &out[..keep]);
            prop_assert!(keep == out.len() || cut.as_ref() != Ok(&request));
        }
    }

    #[test]
    fn a_multi_takes_only_its_own_kind() {
        let read = Request::MultiRead(vec![Request::GetData { path: "/".into(), watch: false }]);
        let mut out = Vec::new();
        read.encode(&mut Encoder::new(&mut out));
        assert_eq!(Request::decode(op::MULTI, &out), Err(DecodeError::BadMultiOp(op::GET_DATA)));
    }
}
