//! Who may do what: interned ACL lists, the identities of a connection, and checks of one against the other.

use std::collections::HashMap;
use std::sync::Arc;

use crate::proto::acl::{self, Acl, AclVector, put_acl};
use crate::proto::{DecodeError, Decoder, Encoder, ErrorCode};

mod identities;

pub(crate) use identities::{Identities, Schemes};

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
