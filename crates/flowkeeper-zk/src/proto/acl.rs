//! Access control entries and lists as records.

use super::jute::{DecodeError, Decoder, Encoder};

/// May read data, children and the ACL.
pub const READ: i32 = 1;
/// May set data.
pub const WRITE: i32 = 2;
/// May create children.
pub const CREATE: i32 = 4;
/// May delete children.
pub const DELETE: i32 = 8;
/// May set the ACL.
pub const ADMIN: i32 = 16;
/// Everything.
pub const ALL: i32 = 31;

/// One entry: who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acl {
    /// Sum of [`READ`], [`WRITE`], [`CREATE`], [`DELETE`], [`ADMIN`].
    pub perms: i32,
    /// Kind of identity: `world`, `ip`, `digest`, `auth`…
    pub scheme: String,
    /// The identity within its scheme.
    pub id: String,
}

impl Acl {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self { perms: ALL, scheme: "world".into(), id: "anyone".into() }
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let perms = d.i32()?;
        let scheme = d.string()?.into_owned();
        Ok(Self { perms, scheme, id: d.string()?.into_owned() })
    }
}

/// Appends a list of entries.
pub fn put_acl(e: &mut Encoder<'_>, list: &[Acl]) {
    e.len(list.len());
    for acl in list {
        e.i32(acl.perms);
        e.string(&acl.scheme);
        e.string(&acl.id);
    }
}

/// An ACL list still in its encoded form, so that well-known lists need not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclVector<'a> {
    raw: &'a [u8],
}

impl<'a> AclVector<'a> {
    /// Takes a list from `d`, checking that it is well-formed.
    pub fn decode(d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let before = d.rest();
        for _ in 0..d.count(12)?.unwrap_or(0) {
            d.i32()?;
            d.buffer()?;
            d.buffer()?;
        }
        Ok(Self { raw: &before[..before.len() - d.rest().len()] })
    }

    /// The encoded list.
    pub fn as_bytes(self) -> &'a [u8] {
        self.raw
    }

    /// The entries; null gives none.
    pub fn entries(self) -> Result<Vec<Acl>, DecodeError> {
        let mut d = Decoder::new(self.raw);
        let n = d.count(12)?.unwrap_or(0);
        (0..n).map(|_| Acl::decode(&mut d)).collect()
    }
}
