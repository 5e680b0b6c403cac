//! Options that were read, for a while: as many as fit into a little memory.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use indexmap::IndexMap;

use super::Options;

/// Programs whose options are remembered, and about how many bytes these may take.
const MAX_REMEMBERED: usize = 256;
const MAX_BYTES: usize = 32 << 20;
/// How long what was fetched is believed, and how long a failure.
const LASTS: Duration = Duration::from_secs(600);
const FAILURE_LASTS: Duration = Duration::from_secs(10);

/// By what a changed file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) modified: SystemTime,
    pub(super) size: u64,
}

/// Options by the URI they were read from, the least recently used first.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    entries: IndexMap<String, Entry>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) options: Arc<Options>,
    /// What the file was like; `None` for what is not a file of this machine.
    pub(super) state: Option<FileState>,
    /// False after a failure, which may pass, and for what may change without being seen.
    pub(super) is_lasting: bool,
    pub(super) at: Instant,
}

impl Remembered {
    /// What is known of `source`, if it is still believed while its file is in `state`.
    pub(super) fn get(&mut self, source: &str, state: Option<FileState>) -> Option<Arc<Options>> {
        let entry = self.take(source)?;
        let lives = if entry.is_lasting { LASTS } else { FAILURE_LASTS };
        // A file is looked at each time; what was fetched is only trusted for a while.
        let is_same =
            entry.state == state && ((state.is_some() && entry.is_lasting) || entry.at.elapsed() < lives);
        if !is_same {
            return None;
        }
        let options = Arc::clone(&entry.options);
        self.put(source, entry);
        Some(options)
    }

    pub(super) fn put(&mut self, source: &str, entry: Entry) {
        self.take(source);
        self.bytes += entry.options.bytes();
        self.entries.insert(source.to_owned(), entry);
        while self.entries.len() > MAX_REMEMBERED || self.bytes > MAX_BYTES {
            let Some((_, forgotten)) = self.entries.shift_remove_index(0) else { break };
            self.bytes -= forgotten.options.bytes();
        }
    }

    fn take(&mut self, source: &str) -> Option<Entry> {
        let entry = self.entries.shift_remove(source)?;
        self.bytes -= entry.options.bytes();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use flowkeeper_api::apps::AppOption;

    use super::*;
    use crate::app::options::Described;

    fn entry(options: Options, state: Option<FileState>) -> Entry {
        Entry { options: Arc::new(options), state, is_lasting: true, at: Instant::now() }
    }

    #[test]
    fn only_so_many_are_remembered_and_the_least_used_goes_first() {
        let mut remembered = Remembered::default();
        (0..MAX_REMEMBERED).for_each(|n| remembered.put(&n.to_string(), entry(Options::default(), None)));
        assert!(remembered.get("0", None).is_some());
        remembered.put("one more", entry(Options::default(), None));
        assert!(remembered.get("0", None).is_some() && remembered.get("1", None).is_none());
        assert_eq!(remembered.entries.len(), MAX_REMEMBERED);
    }

    #[test]
    fn large_ones_take_the_place_of_many() {
        let large = || {
            let option =
                AppOption { description: Some("x".repeat(MAX_BYTES / 2 - 1000)), ..AppOption::default() };
            Options { all: vec![Described { option, is_visible: true }], ..Options::default() }
        };
        let mut remembered = Remembered::default();
        for name in ["a", "b", "c"] {
            remembered.put(name, entry(large(), None));
        }
        remembered.put("b", entry(large(), None));
        let known = ["a", "b", "c"].map(|name| remembered.get(name, None).is_some());
        assert_eq!(known, [false, true, true]);
        remembered.put("d", entry(Options::default(), None));
        remembered.put("b", entry(Options::default(), None));
        remembered.put("c", entry(Options::default(), None));
        assert_eq!(remembered.bytes, 3 * Options::default().bytes());
    }

    #[test]
    fn a_failure_is_believed_for_a_short_while() {
        let mut remembered = Remembered::default();
        let mut failed = entry(Options::default(), None);
        failed.is_lasting = false;
        remembered.put("a", failed);
        assert!(remembered.get("a", None).is_some());
        let Some(old) = Instant::now().checked_sub(FAILURE_LASTS * 2) else { return };
        let failed = Entry { at: old, is_lasting: false, ..entry(Options::default(), None) };
        remembered.put("a", failed);
        assert!(remembered.get("a", None).is_none());
    }
}
