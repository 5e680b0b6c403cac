//! Who may do what: interned ACL lists, the identities of a connection, and checks of one against the other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use crate::proto::acl::{self, Acl, AclVector, put_acl};
use crate::proto::{DecodeError, Decoder, Encoder, ErrorCode};

/// Number of an ACL list in its [`AclTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AclId(pub(crate) u32);

impl AclId {
    /// The list that lets everybody do everything. It is never dropped.
    pub(crate) const OPEN: Self = Self(0);
}

/// An ACL list, checked and free of duplicates.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AclList {
    entries: Vec<Acl>,
    /// The list as the wire carries it.
    encoded: Box<[u8]>,
    /// What everybody may do.
    world: i32,
}

impl AclList {
    fn new(entries: Vec<Acl>) -> Self {
        let mut encoded = Vec::new();
        put_acl(&mut Encoder::new(&mut encoded), &entries);
        let world = entries.iter().filter(|e| e.scheme == "world").fold(0, |sum, e| sum | e.perms);
        Self { entries, encoded: encoded.into(), world }
    }

    /// Everybody may read; the ACL of `/zookeeper/config`.
    pub(crate) fn world_readable() -> Self {
        Self::new(vec![Acl { perms: acl::READ, ..Acl::open() }])
    }

    pub(crate) fn entries(&self) -> &[Acl] {
        &self.entries
    }

    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Whether somebody with these identities has one of the permissions.
    pub(crate) fn allows(&self, perms: i32, who: &Identities) -> bool {
        self.world & perms != 0
            || who.is_super()
            || self.entries.iter().any(|e| e.perms & perms != 0 && who.matches(&e.scheme, &e.id))
    }
}

/// All ACL lists in use, each once.
#[derive(Clone)]
pub(crate) struct AclTable {
    /// Lists and how many nodes use them.
    lists: Vec<Option<(Arc<AclList>, u32)>>,
    by_encoding: HashMap<Box<[u8]>, AclId>,
    free: Vec<AclId>,
}

impl AclTable {
    pub(crate) fn new() -> Self {
        let mut table = Self { lists: Vec::new(), by_encoding: HashMap::new(), free: Vec::new() };
        table.add(Arc::new(AclList::new(vec![Acl::open()])));
        table
    }

    pub(crate) fn get(&self, id: AclId) -> Option<&Arc<AclList>> {
        Some(&self.lists.get(id.0 as usize)?.as_ref()?.0)
    }

    /// Finds the list a client sent, or checks and adds it, as the client's identities see it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAcl`], or a marshalling error.
    pub(crate) fn intern(&mut self, list: AclVector<'_>, who: &Identities) -> Result<AclId, ErrorCode> {
        // Only checked lists are in the table, so a list found there needs no check.
        if let Some(id) = self.by_encoding.get(list.as_bytes()) {
            return Ok(*id);
        }
        let entries = list.entries().map_err(|_| ErrorCode::MarshallingError)?;
        let list = AclList::new(who.resolve(entries)?);
        Ok(self.intern_known(&list))
    }

    /// Finds or adds a list that needs no check.
    pub(crate) fn intern_known(&mut self, list: &AclList) -> AclId {
        match self.by_encoding.get(&list.encoded) {
            Some(id) => *id,
            None => self.add(Arc::new(AclList::new(list.entries.clone()))),
        }
    }

    /// Finds or adds the encoded list of a log record.
    pub(crate) fn intern_logged(&mut self, encoded: &[u8]) -> Result<AclId, DecodeError> {
        if let Some(id) = self.by_encoding.get(encoded) {
            return Ok(*id);
        }
        let entries = AclVector::decode(&mut Decoder::new(encoded))?.entries()?;
        Ok(self.intern_known(&AclList::new(entries)))
    }

    /// Adds a list at its place in a snapshot.
    pub(crate) fn load(&mut self, id: AclId, encoded: &[u8]) -> Result<(), DecodeError> {
        if id == AclId::OPEN {
            return Ok(());
        }
        let entries = AclVector::decode(&mut Decoder::new(encoded))?.entries()?;
        let list = Arc::new(AclList::new(entries));
        let at = id.0 as usize;
        while self.lists.len() <= at {
            self.lists.push(None);
        }
        self.by_encoding.insert(list.encoded.clone(), id);
        self.lists[at] = Some((list, 0));
        Ok(())
    }

    /// One more node uses the list.
    pub(crate) fn acquire(&mut self, id: AclId) {
        if let Some(Some((_, uses))) = self.lists.get_mut(id.0 as usize) {
            *uses += 1;
        }
    }

    /// One node fewer uses the list; the last one drops it.
    pub(crate) fn release(&mut self, id: AclId) {
        if let Some(Some((_, uses))) = self.lists.get_mut(id.0 as usize) {
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.forget(id);
            }
        }
    }

    /// Drops the list if no node uses it: the operation that brought it failed.
    pub(crate) fn discard_if_unused(&mut self, id: AclId) {
        if let Some(Some((_, 0))) = self.lists.get(id.0 as usize) {
            self.forget(id);
        }
    }

    /// Drops the lists no node uses, and finds the free places.
    pub(crate) fn drop_unused(&mut self) {
        self.free.clear();
        for n in (0..self.lists.len() as u32).rev() {
            match &self.lists[n as usize] {
                None => self.free.push(AclId(n)),
                Some((_, 0)) => self.forget(AclId(n)),
                Some(_) => {}
            }
        }
    }

    /// All lists with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AclId, &AclList)> {
        (0..).map(AclId).zip(&self.lists).filter_map(|(id, slot)| Some((id, &*slot.as_ref()?.0)))
    }

    fn add(&mut self, list: Arc<AclList>) -> AclId {
        let id = self.free.pop().unwrap_or(AclId(self.lists.len() as u32));
        let at = id.0 as usize;
        if at == self.lists.len() {
            self.lists.push(None);
        }
        self.by_encoding.insert(list.encoded.clone(), id);
        self.lists[at] = Some((list, 0));
        id
    }

    fn forget(&mut self, id: AclId) {
        if id == AclId::OPEN {
            return;
        }
        if let Some((list, _)) = self.lists[id.0 as usize].take() {
            self.by_encoding.remove(&list.encoded);
            self.free.push(id);
        }
    }
}

/// Who a connection is: its address, and whatever it authenticated as.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    list: Vec<(String, String)>,
    is_super: bool,
}

impl Identities {
    pub(crate) fn from_address(ip: IpAddr) -> Self {
        Self { list: vec![("ip".into(), ip.to_canonical().to_string())], is_super: false }
    }

    /// The server's own hand, which may do everything.
    pub(crate) fn server() -> Self {
        Self { list: Vec::new(), is_super: true }
    }

    /// Adds what an auth packet proves.
    ///
    /// # Errors
    /// [`ErrorCode::AuthFailed`] for an unknown scheme or a token that is not text.
    pub(crate) fn authenticate(
        &mut self,
        scheme: &str,
        token: &[u8],
        super_digest: Option<&str>,
    ) -> Result<(), ErrorCode> {
        match scheme {
            // Every connection has its address already.
            "ip" => Ok(()),
            "digest" => {
                let text = std::str::from_utf8(token).map_err(|_| ErrorCode::AuthFailed)?;
                let id = digest(text);
                if super_digest == Some(id.as_str()) {
                    self.is_super = true;
                    self.add("super", "");
                }
                self.add("digest", &id);
                Ok(())
            }
            _ => Err(ErrorCode::AuthFailed),
        }
    }

    fn add(&mut self, scheme: &str, id: &str) {
        if !self.list.iter().any(|(s, i)| s == scheme && i == id) {
            self.list.push((scheme.into(), id.into()));
        }
    }

    /// Scheme and user of each identity, without secrets.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(scheme, id)| match scheme.as_str() {
            "digest" => (scheme.as_str(), id.split(':').next().unwrap_or_default()),
            _ => (scheme.as_str(), id.as_str()),
        })
    }

    pub(crate) fn is_super(&self) -> bool {
        self.is_super
    }

    fn matches(&self, scheme: &str, id: &str) -> bool {
        self.list
            .iter()
            .any(|(s, mine)| s == scheme && if s == "ip" { ip_matches(mine, id) } else { mine == id })
    }

    /// Checks a list and replaces `auth` entries by the caller's identities.
    fn resolve(&self, entries: Vec<Acl>) -> Result<Vec<Acl>, ErrorCode> {
        let mut resolved: Vec<Acl> = Vec::with_capacity(entries.len());
        let mut add = |acl: Acl| {
            if !resolved.contains(&acl) {
                resolved.push(acl);
            }
        };
        for entry in entries {
            let valid = match entry.scheme.as_str() {
                "world" => entry.id == "anyone",
                "digest" => entry.id.split(':').count() == 2,
                "ip" => parse_network(&entry.id).is_some(),
                "auth" => {
                    let mut any = false;
                    for (scheme, id) in self.list.iter().filter(|(scheme, _)| scheme == "digest") {
                        any = true;
                        add(Acl { perms: entry.perms, scheme: scheme.clone(), id: id.clone() });
                    }
                    if any {
                        continue;
                    }
                    false
                }
                _ => false,
            };
            if !valid {
                return Err(ErrorCode::InvalidAcl);
            }
            add(entry);
        }
        if resolved.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(resolved) }
    }
}

/// `user:password` as it stands in ACLs: the user, and the base64 of the SHA-1 of the whole.
fn digest(text: &str) -> String {
    let user = text.split(':').next().unwrap_or_default();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(text.as_bytes()));
    format!("{user}:{hash}")
}

/// An address with optional prefix length, as bytes and bits.
fn parse_network(text: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<usize>().ok()?)),
        None => (text, None),
    };
    let bytes = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let all = bytes.len() * 8;
    let bits = bits.unwrap_or(all);
    (bits <= all).then_some((bytes, bits))
}

fn ip_matches(mine: &str, network: &str) -> bool {
    let (Some((mine, _)), Some((network, bits))) = (parse_network(mine), parse_network(network)) else {
        return false;
    };
    let bit = |bytes: &[u8], n: usize| bytes[n / 8] >> (7 - n % 8) & 1;
    mine.len() == network.len() && (0..bits).all(|n| bit(&mine, n) == bit(&network, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, scheme: scheme.into(), id: id.into() }
    }

    fn raw(entries: &[Acl]) -> Vec<u8> {
        let mut out = Vec::new();
        put_acl(&mut Encoder::new(&mut out), entries);
        out
    }

    fn intern(table: &mut AclTable, who: &Identities, entries: &[Acl]) -> Result<AclId, ErrorCode> {
        let bytes = raw(entries);
        table.intern(AclVector::decode(&mut Decoder::new(&bytes)).unwrap(), who)
    }

    #[test]
    fn digests_are_the_ones_everybody_computes() {
        assert_eq!(digest("super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }

    #[test]
    fn malformed_lists_are_refused() {
        let mut table = AclTable::new();
        let who = Identities::from_address([127, 0, 0, 1].into());
        for bad in [
            vec![],
            vec![entry(31, "world", "me")],
            vec![entry(31, "digest", "user")],
            vec![entry(31, "digest", "a:b:c")],
            vec![entry(31, "ip", "300.1.1.1")],
            vec![entry(31, "ip", "10.0.0.0/33")],
            vec![entry(31, "auth", "")],
            vec![entry(31, "super", "x")],
            vec![Acl::open(), entry(1, "nonsense", "x")],
        ] {
            assert_eq!(intern(&mut table, &who, &bad), Err(ErrorCode::InvalidAcl), "{bad:?}");
        }
    }

    #[test]
    fn auth_entries_become_the_callers_identities() {
        let mut table = AclTable::new();
        let mut who = Identities::from_address([127, 0, 0, 1].into());
        who.authenticate("digest", b"a:1", None).unwrap();
        who.authenticate("digest", b"b:2", None).unwrap();
        let id = intern(&mut table, &who, &[entry(31, "auth", ""), entry(31, "auth", "x")]).unwrap();
        let list = table.get(id).unwrap();
        let ids: Vec<_> = list.entries().iter().map(|e| e.id.split(':').next().unwrap()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(list.allows(acl::ADMIN, &who));
        assert!(!list.allows(acl::ALL, &Identities::from_address([127, 0, 0, 1].into())));
    }

    #[test]
    fn addresses_match_by_prefix_and_family() {
        assert!(ip_matches("10.1.2.3", "10.1.0.0/16"));
        assert!(!ip_matches("10.2.2.3", "10.1.0.0/16"));
        assert!(ip_matches("10.1.2.3", "10.1.2.3"));
        assert!(ip_matches("10.1.2.3", "0.0.0.0/0"));
        assert!(!ip_matches("::1", "0.0.0.0/0"));
        assert!(ip_matches("fe80::1", "fe80::/10"));
    }

    #[test]
    fn unused_lists_leave_the_table() {
        let mut table = AclTable::new();
        let who = Identities::default();
        let id = intern(&mut table, &who, &[entry(1, "world", "anyone")]).unwrap();
        table.acquire(id);
        table.acquire(id);
        table.release(id);
        assert!(table.get(id).is_some());
        table.release(id);
        assert!(table.get(id).is_none());
        table.release(AclId::OPEN);
        assert!(table.get(AclId::OPEN).is_some());
    }
}
