//! Noticing that records are gone which were on the disk, and going on without them only when a person says so.
//!
//! Each partition's folder holds a mark, the file `end`: the offset after the last record known to be synced. It is written
//! after each sync, in place, and not synced itself: after a power cut it may be older than the records, never newer. A log
//! that ends before its mark, or whose folder or files are missing, has lost what was promised.
//!
//! The person's word is an empty file `accept-loss` in the data folder. It counts for one start and is removed by it. The
//! partition then goes on where its records ended, so that no offset is given twice; what is missing in between is a gap,
//! noted in the file `gaps`, which reads skip.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

const ACCEPT: &str = "accept-loss";
const MARK: &str = "end";
const GAPS: &str = "gaps";
/// Losses that are named in one message.
const MAX_NAMED: usize = 5;

/// What a start has found missing.
#[derive(Debug)]
pub(crate) struct Losses {
    data: PathBuf,
    is_accepted: bool,
    found: Vec<String>,
}

impl Losses {
    /// Looks whether a person has accepted losses of the data folder `data`.
    pub(crate) fn new(data: &Path) -> Losses {
        Losses { data: data.to_owned(), is_accepted: data.join(ACCEPT).exists(), found: Vec::new() }
    }

    /// Takes note of a loss; true: go on without.
    pub(crate) fn report(&mut self, loss: String) -> bool {
        if self.is_accepted {
            tracing::warn!("going on without lost records, as {ACCEPT} says: {loss}");
        } else {
            self.found.push(loss);
        }
        self.is_accepted
    }

    /// Ends the look: everything there or accepted, or the error that names what is missing.
    ///
    /// # Errors
    /// [`Error::Lost`]; [`Error::Disk`] when the person's word cannot be removed.
    pub(crate) fn settle(self) -> Result<(), Error> {
        let accept = self.data.join(ACCEPT);
        if self.is_accepted {
            // It must not lie in wait for a loss nobody knows of yet.
            return fs::remove_file(&accept).map_err(Error::disk("remove", &accept));
        }
        if self.found.is_empty() {
            return Ok(());
        }
        let mut lost = self.found[..self.found.len().min(MAX_NAMED)].join("; ");
        if let Some(more) = self.found.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
            // Writing to a string cannot fail.
            let _ = write!(lost, "; and {more} more");
        }
        Err(Error::Lost { folder: self.data, lost, accept })
    }
}

/// The offset up to which everything was synced; `None` if nothing says so.
pub(crate) fn mark(folder: &Path) -> Option<i64> {
    number(&folder.join(MARK))
}

/// Makes the mark of a new partition.
pub(crate) fn create_mark(folder: &Path, end: i64) -> io::Result<()> {
    fs::write(folder.join(MARK), text(end))
}

/// Moves the mark. Never makes one: the folder may belong to a topic that is being deleted.
pub(crate) fn move_mark(folder: &Path, end: i64) -> io::Result<()> {
    OpenOptions::new().write(true).open(folder.join(MARK))?.write_all_at(text(end).as_bytes(), 0)
}

/// Always the same length, so that it can be replaced in place.
fn text(end: i64) -> String {
    format!("{end:020}\n")
}

/// Offsets a person has given up, oldest first.
pub(crate) fn gaps(folder: &Path) -> Vec<Range<i64>> {
    let text = fs::read_to_string(folder.join(GAPS)).unwrap_or_default();
    let range = |line: &str| {
        let (from, to) = line.split_once(' ')?;
        Some(from.parse().ok()?..to.parse().ok()?)
    };
    text.lines().filter_map(range).collect()
}

/// Notes a further gap.
pub(crate) fn write_gaps(folder: &Path, gaps: &[Range<i64>]) -> io::Result<()> {
    let lines: String = gaps.iter().map(|gap| format!("{} {}\n", gap.start, gap.end)).collect();
    let beside = folder.join("gaps.new");
    fs::write(&beside, lines)?;
    fs::rename(beside, folder.join(GAPS))
}

/// The number a small file holds.
pub(crate) fn number(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_moved_in_place_and_never_made_by_moving() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(move_mark(folder.path(), 3).is_err());
        assert_eq!(mark(folder.path()), None);
        create_mark(folder.path(), 0).expect("created");
        move_mark(folder.path(), i64::MAX).expect("moved");
        assert_eq!(mark(folder.path()), Some(i64::MAX));
        move_mark(folder.path(), 7).expect("moved");
        assert_eq!(mark(folder.path()), Some(7));
        fs::write(folder.path().join(MARK), "").expect("written");
        assert_eq!(mark(folder.path()), None, "a power cut may leave it empty");
    }

    #[test]
    fn many_losses_make_one_sentence() {
        let folder = tempfile::tempdir().expect("folder");
        let mut losses = Losses::new(folder.path());
        for n in 0..9 {
            assert!(!losses.report(format!("loss {n}")));
        }
        let error = losses.settle().expect_err("lost").to_string();
        assert!(error.contains("loss 0; loss 1; loss 2; loss 3; loss 4; and 4 more; "), "{error}");
    }
}
