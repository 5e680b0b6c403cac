//! What probes write down about themselves, and what follows from it.
//!
//! Every process of a probe keeps one file, of a fixed form that is overwritten in place: as whom it runs (stream uid, app,
//! index), under which term, its pid, when it began, and its last beat, all times in nanoseconds of the clock that goes on
//! while the machine sleeps. One machine has one such clock, so the intervals of any two processes can be compared without
//! any theory of clocks. A process that is frozen does not beat: what counts is when it *could* act.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time between two beats: the resolution of the oracle.
pub const BEAT: Duration = Duration::from_millis(10);

/// A probe's own record, while it runs.
#[derive(Debug)]
pub struct Entry {
    file: File,
    head: String,
}

/// One process, as it wrote itself down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// `<uid>.<app>.<index>`.
    pub key: String,
    pub term: u64,
    pub pid: u32,
    pub first_ns: u64,
    pub last_ns: u64,
}

/// Two processes of one instance that could act at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub one: Life,
    pub other: Life,
    pub for_ms: u64,
}

/// Now, on the clock of the ledger.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl Entry {
    /// Begins the record of this process.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(folder: &Path, key: &str, term: &str) -> io::Result<Entry> {
        fs::create_dir_all(folder)?;
        let pid = std::process::id();
        let first = now_ns();
        let head = format!("{key} {} {pid} {first:020} ", term.parse::<u64>().unwrap_or(0));
        let beside = folder.join(format!(".{pid}-{first}"));
        fs::write(&beside, format!("{head}{first:020}\n"))?;
        let path = folder.join(format!("{pid}-{first}"));
        fs::rename(&beside, &path)?;
        Ok(Entry { file: File::options().write(true).open(path)?, head })
    }

    /// Notes again and again that this process runs.
    #[expect(clippy::disallowed_methods, reason = "the beat of a probe")]
    pub fn beat_for_ever(&self) -> ! {
        loop {
            let _ = self.file.write_all_at(format!("{:020}\n", now_ns()).as_bytes(), self.head.len() as u64);
            std::thread::sleep(BEAT);
        }
    }
}

/// All processes that ever wrote into `folder`.
pub fn read(folder: &Path) -> Vec<Life> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let lives = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    lives.filter_map(|entry| parse(&fs::read_to_string(entry.path()).ok()?)).collect()
}

fn parse(text: &str) -> Option<Life> {
    let mut words = text.split_whitespace();
    Some(Life {
        key: words.next()?.to_owned(),
        term: words.next()?.parse().ok()?,
        pid: words.next()?.parse().ok()?,
        first_ns: words.next()?.parse().ok()?,
        last_ns: words.next()?.parse().ok()?,
    })
}

/// I1: pairs of processes of one instance of which the earlier one beat after the later one began.
pub fn overlaps(lives: &[Life], is_exclusive: impl Fn(&str) -> bool) -> Vec<Overlap> {
    let mut by_key: BTreeMap<&str, Vec<&Life>> = BTreeMap::new();
    for life in lives.iter().filter(|life| is_exclusive(&life.key)) {
        by_key.entry(&life.key).or_default().push(life);
    }
    let mut found = Vec::new();
    for lives in by_key.values_mut() {
        lives.sort_by_key(|life| life.first_ns);
        for (at, one) in lives.iter().enumerate() {
            for other in lives[at + 1..].iter().filter(|other| one.last_ns > other.first_ns) {
                let until = one.last_ns.min(other.last_ns);
                let for_ms = until.saturating_sub(other.first_ns) / 1_000_000;
                found.push(Overlap { one: (*one).clone(), other: (*other).clone(), for_ms });
            }
        }
    }
    found
}

/// I5: processes of one instance that began later than another under a lower term.
pub fn backward_terms(lives: &[Life]) -> Vec<(Life, Life)> {
    let mut by_key: BTreeMap<&str, Vec<&Life>> = BTreeMap::new();
    lives.iter().for_each(|life| by_key.entry(&life.key).or_default().push(life));
    let mut found = Vec::new();
    for lives in by_key.values_mut() {
        lives.sort_by_key(|life| life.first_ns);
        let pairs = lives.windows(2).filter(|pair| pair[1].term < pair[0].term);
        found.extend(pairs.map(|pair| (pair[0].clone(), pair[1].clone())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(key: &str, term: u64, first_ns: u64, last_ns: u64) -> Life {
        Life { key: key.into(), term, pid: 1, first_ns, last_ns }
    }

    #[test]
    fn an_overlap_is_found_and_a_handover_is_none() {
        let handover = [life("u.a.0", 1, 0, 10_000_000), life("u.a.0", 2, 11_000_000, 20_000_000)];
        assert!(overlaps(&handover, |_| true).is_empty());
        let double = [life("u.a.0", 1, 0, 15_000_000), life("u.a.0", 2, 11_000_000, 20_000_000)];
        assert_eq!(overlaps(&double, |_| true).len(), 1);
        assert_eq!(overlaps(&double, |_| true)[0].for_ms, 4);
        assert!(overlaps(&double, |_| false).is_empty());
    }

    #[test]
    fn a_term_that_goes_back_is_found() {
        let lives = [life("u.a.0", 2, 0, 1), life("u.a.0", 1, 2, 3), life("u.b.0", 1, 1, 2)];
        assert_eq!(backward_terms(&lives).len(), 1);
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        let entry = Entry::open(folder.path(), "u.a.0", "7").expect("written");
        let lives = read(folder.path());
        assert_eq!((lives.len(), lives[0].term, &*lives[0].key), (1, 7, "u.a.0"));
        assert_eq!(lives[0].first_ns, lives[0].last_ns);
        drop(entry);
    }
}
