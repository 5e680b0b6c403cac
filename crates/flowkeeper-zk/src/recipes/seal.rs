//! Documents at rest: sealed with a key that ZooKeeper never sees.
//!
//! A sealed document is `FKS1`, the id of its key (8 bytes), a random nonce (12), and the ciphertext of AES-256-GCM with its
//! tag (16). The znode's path is authenticated with it, so that nobody can pass one document off as another. Documents that
//! are not sealed are read as they are: they were written before there was a key.
//!
//! Random nonces allow for some 2^32 documents under one key, more than a cluster writes in decades.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::BTreeSet, io};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// How a sealed document begins; neither JSON nor gzip does.
const MAGIC: &[u8; 4] = b"FKS1";
const ID_LEN: usize = 8;
const HEADER: usize = MAGIC.len() + ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = HEADER + TAG_LEN;
/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Digits that ZooKeeper puts behind the name of a sequential znode.
const SEQUENCE_LEN: usize = 10;

/// Names a key without telling it: the first bytes of its SHA-256. As text: hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LEN]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

struct Key {
    id: KeyId,
    cipher: RandomizedNonceKey,
}

/// The keys of a cluster: all of them unseal, the first is the one its owner wants to seal with. Keys are never printed.
pub struct Keyring {
    keys: Vec<Key>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// A text is no keyring. What it holds is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeyring {
    #[error(
        "line {line} is no key: a key is 32 random bytes in base64, as 'head -c 32 /dev/urandom | base64' prints them"
    )]
    Line { line: usize },
    #[error("it holds no key; 'head -c 32 /dev/urandom | base64' makes one")]
    Empty,
}

/// A sealed document cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    #[error("it is sealed by key {0}, which this program does not have")]
    UnknownKey(KeyId),
    #[error("it is sealed by key {0}, but was changed since, or moved here from another place")]
    Damaged(KeyId),
    #[error("its seal is cut off")]
    CutOff,
}

/// Reads one key a line; empty lines and those that begin with `#` are passed over.
impl FromStr for Keyring {
    type Err = NotAKeyring;

    fn from_str(text: &str) -> Result<Keyring, NotAKeyring> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = STANDARD.decode(line).ok().filter(|bytes| bytes.len() == KEY_LEN);
            let key =
                bytes.and_then(|bytes| Key::new(&bytes)).ok_or(NotAKeyring::Line { line: number + 1 })?;
            keys.push(key);
        }
        if keys.is_empty() { Err(NotAKeyring::Empty) } else { Ok(Keyring { keys }) }
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Option<Key> {
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&Sha256::digest(bytes)[..ID_LEN]);
        Some(Key { id: KeyId(id), cipher: RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()? })
    }
}

/// A new key as a line of a key file.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_key() -> io::Result<String> {
    let mut bytes = [0; KEY_LEN];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(STANDARD.encode(bytes))
}

/// The key by which `data` is sealed; `None` for a document in clear.
pub fn sealed_by(data: &[u8]) -> Option<KeyId> {
    let rest = data.strip_prefix(MAGIC)?;
    Some(KeyId(rest.get(..ID_LEN)?.try_into().ok()?))
}

impl Keyring {
    /// The key that its owner wants to seal with.
    pub fn first(&self) -> Option<KeyId> {
        self.keys.first().map(|key| key.id)
    }

    /// All keys, the first one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }

    fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Seals the document at `path` with the key `by`; `None` when there is no such key.
    pub fn seal(&self, by: KeyId, path: &str, data: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(by)?;
        let mut body = Vec::with_capacity(data.len() + TAG_LEN);
        body.extend_from_slice(data);
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(path), &mut body).ok()?;
        let mut sealed = Vec::with_capacity(HEADER + body.len());
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(&by.0);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut body);
        Some(sealed)
    }

    /// The document at `path`; `None` when it is not sealed.
    ///
    /// # Errors
    /// See [`UnsealError`].
    pub fn unseal(&self, path: &str, data: &[u8]) -> Result<Option<Vec<u8>>, UnsealError> {
        let Some(rest) = data.strip_prefix(MAGIC) else { return Ok(None) };
        let id = sealed_by(data).ok_or(UnsealError::CutOff)?;
        let (nonce, body) = rest[ID_LEN..].split_at_checked(NONCE_LEN).ok_or(UnsealError::CutOff)?;
        let key = self.key(id).ok_or(UnsealError::UnknownKey(id))?;
        let open = |at: &str| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut text = body.to_vec();
            let length = key.cipher.open_in_place(nonce, Aad::from(at), &mut text).ok()?.len();
            text.truncate(length);
            Some(text)
        };
        // Whoever creates a sequential znode does not know its number, so its prefix stands for it.
        let prefix = without_sequence(path);
        let found = prefix.and_then(open).or_else(|| open(path));
        found.map(Some).ok_or(UnsealError::Damaged(id))
    }
}

/// `path` without the number that ZooKeeper put behind it, if it ends like that.
fn without_sequence(path: &str) -> Option<&str> {
    let (prefix, digits) = path.split_at_checked(path.len().checked_sub(SEQUENCE_LEN)?)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(prefix)
}

/// What a connection seals, and with which keys.
#[derive(Clone, Debug)]
pub struct Seal {
    pub keyring: Arc<Keyring>,
    /// Which documents are sealed, by their path below the chroot. Whatever is sealed is unsealed.
    pub covers: fn(&str) -> bool,
}

/// The seal of a connection at work.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    pub(super) seal: Option<Seal>,
    /// The key in use; `None`: documents are written in clear.
    by: Mutex<Option<KeyId>>,
    /// Documents that a follower met and whose keys are not in the keyring.
    unreadable: Mutex<BTreeSet<String>>,
}

impl Sealing {
    pub(super) fn new(seal: Option<Seal>) -> Sealing {
        Sealing { seal, ..Sealing::default() }
    }

    pub(super) fn by(&self) -> Option<KeyId> {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_by(&self, by: Option<KeyId>) {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }

    pub(super) fn unreadable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn covers(&self, path: &str) -> bool {
        self.seal.as_ref().is_some_and(|seal| (seal.covers)(path))
    }

    /// What is to be written at `path` for `data`. Nothing hides in an empty document, so it stays empty.
    pub(super) fn sealed(&self, path: &str, data: &[u8]) -> Option<Vec<u8>> {
        let seal = self.seal.as_ref().filter(|seal| !data.is_empty() && (seal.covers)(path))?;
        seal.keyring.seal(self.by()?, path, data)
    }

    /// What was written at `path`. What cannot be unsealed stays as it is, and the caller's decoder refuses it.
    pub(super) fn unsealed(&self, path: &str, data: Vec<u8>) -> Result<Vec<u8>, (UnsealError, Vec<u8>)> {
        let Some(id) = sealed_by(&data) else { return Ok(data) };
        let Some(seal) = &self.seal else { return Err((UnsealError::UnknownKey(id), data)) };
        match seal.keyring.unseal(path, &data) {
            Ok(found) => Ok(found.unwrap_or(data)),
            Err(error) => Err((error, data)),
        }
    }
}

#[cfg(test)]
mod tests;
