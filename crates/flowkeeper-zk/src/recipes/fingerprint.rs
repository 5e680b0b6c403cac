//! A number that two copies of a tree have in common exactly when they agree.

use std::fmt;

use sha1::{Digest as _, Sha1};

/// The sum of hashes of (path, czxid, mzxid, version) over all znodes of a copy, kept up with each change, so that asking for
/// it costs nothing. The order of changes does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    sum: u128,
    /// How many znodes it is of.
    pub znodes: usize,
}

/// What is hashed of a znode besides its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    pub(super) version: i32,
}

impl Fingerprint {
    pub(super) fn add(&mut self, path: &str, ids: Ids) {
        self.sum = self.sum.wrapping_add(hash(path, ids));
        self.znodes += 1;
    }

    pub(super) fn remove(&mut self, path: &str, ids: Ids) {
        self.sum = self.sum.wrapping_sub(hash(path, ids));
        self.znodes -= 1;
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

fn hash(path: &str, ids: Ids) -> u128 {
    let digest = Sha1::new()
        .chain_update(ids.czxid.to_be_bytes())
        .chain_update(ids.mzxid.to_be_bytes())
        .chain_update(ids.version.to_be_bytes())
        .chain_update(path)
        .finalize();
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_what_is_there_and_not_on_how_it_came_about() {
        let ids = |mzxid| Ids { czxid: 1, mzxid, version: 0 };
        let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
        one.add("/a", ids(1));
        one.add("/b", ids(2));
        other.add("/b", ids(1));
        other.add("/a", ids(1));
        assert_ne!(one, other);
        other.remove("/b", ids(1));
        other.add("/b", ids(2));
        assert_eq!(one, other);
        assert_eq!(one.znodes, 2);
        assert_ne!(one.to_string(), Fingerprint::default().to_string());
        assert_eq!(one.to_string().len(), 32);
    }
}
