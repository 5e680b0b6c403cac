//! The file by which an agent prolongs the lease of an instance and its shim reads it.
//!
//! It holds the deadline and nothing else: ns of the clock that counts since the machine's start, in 20 digits, and a line
//! break. It is made once and then overwritten in place by one write, so that a full disk cannot stop a renewal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const LENGTH: usize = 21;
/// Looks at a file that changes while it is read.
const LOOKS: usize = 4;

/// The writing end.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    file: File,
}

impl LeaseFile {
    /// Makes the file if there is none yet, and writes the deadline.
    ///
    /// # Errors
    /// The system's, for example when the disk is full.
    pub(crate) fn create(path: &Path, deadline_ns: u64) -> io::Result<LeaseFile> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let lease = LeaseFile { file };
        lease.renew(deadline_ns)?;
        lease.file.sync_data()?;
        Ok(lease)
    }

    /// Opens the file of a lease that was begun.
    ///
    /// # Errors
    /// The system's; there is none before the first start of the instance.
    pub(crate) fn open(path: &Path) -> io::Result<LeaseFile> {
        Ok(LeaseFile { file: OpenOptions::new().write(true).open(path)? })
    }

    /// Writes another deadline over the one that is there.
    ///
    /// # Errors
    /// The system's; the lease then ends at the old deadline.
    pub(crate) fn renew(&self, deadline_ns: u64) -> io::Result<()> {
        self.file.write_all_at(encode(deadline_ns).as_bytes(), 0)
    }
}

/// The deadline in the file at `path`. `None` when there is none that can be believed: a shim takes that for no renewal.
///
/// A reader may catch a write half way, and a mixture of two deadlines could be later than both. So what is read must be the
/// same twice, and not later than `latest_ns`.
pub(crate) fn read(path: &Path, latest_ns: u64) -> Option<u64> {
    let mut last = None;
    for _ in 0..LOOKS {
        let found = decode(&std::fs::read(path).ok()?);
        if found.is_some() && found == last {
            return found.filter(|deadline| *deadline <= latest_ns);
        }
        last = found;
    }
    None
}

fn encode(deadline_ns: u64) -> String {
    format!("{deadline_ns:020}\n")
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.strip_suffix(b"\n").filter(|_| bytes.len() == LENGTH)?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_deadline_is_overwritten_in_place() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lease");
        assert_eq!(read(&path, u64::MAX), None);
        assert!(LeaseFile::open(&path).is_err());
        let lease = LeaseFile::create(&path, 1_000).expect("made");
        assert_eq!(read(&path, u64::MAX), Some(1_000));
        lease.renew(u64::MAX).expect("renewed");
        assert_eq!(read(&path, u64::MAX), Some(u64::MAX));
        assert_eq!(read(&path, u64::MAX - 1), None, "nobody grants that much");
        LeaseFile::open(&path).expect("there").renew(7).expect("renewed");
        assert_eq!(std::fs::read(&path).expect("bytes"), b"00000000000000000007\n");
    }

    #[test]
    fn a_lease_is_renewed_on_a_full_disk() {
        // The kernel refuses any growth of a file over this limit as a full disk would; what is there can be overwritten.
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lease");
        let lease = LeaseFile::create(&path, 1).expect("made");
        let before = std::fs::metadata(&path).expect("there").len();
        lease.renew(u64::MAX).expect("renewed");
        assert_eq!(std::fs::metadata(&path).expect("there").len(), before);
    }

    proptest! {
        #[test]
        fn any_deadline_comes_back(deadline in any::<u64>()) {
            prop_assert_eq!(decode(encode(deadline).as_bytes()), Some(deadline));
        }

        #[test]
        fn any_bytes_are_a_deadline_or_none(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            if let Some(deadline) = decode(&bytes) {
                prop_assert_eq!(encode(deadline).into_bytes(), bytes);
            }
        }
    }
}
