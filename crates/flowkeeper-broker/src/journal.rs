//! The broker's small memory: topics and their settings, committed offsets, producer ids.
//!
//! One file of records, each `length u32 · CRC-32C u32 · JSON`, appended on every change and replayed at the start. When it
//! has grown far beyond what it describes it is written anew beside and renamed. A torn last record is cut off; a damaged
//! record before the end is refused, and so is a missing journal beside topics: without it nobody knows whose they are.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::health::Writing;
use crate::log::sync_folder;
use crate::signal::SyncSignal;

const FILE: &str = "journal";
/// The journal is written anew when it is larger than this and four times as large as its content.
const COMPACT_ABOVE: u64 = 1 << 20;
/// Producer ids are taken from the file in blocks, so that not every one is a write.
const ID_BLOCK: i64 = 1_000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub(crate) enum Record {
    /// A topic as it is from now on.
    Topic {
        name: String,
        id: Uuid,
        partitions: u32,
        config: BTreeMap<String, String>,
    },
    TopicDeleted {
        name: String,
    },
    Offset {
        group: String,
        topic: String,
        partition: i32,
        offset: i64,
        metadata: String,
    },
    OffsetDeleted {
        group: String,
        topic: String,
        partition: i32,
    },
    GroupDeleted {
        group: String,
    },
    /// Ids below are given out.
    ProducerIds {
        below: i64,
    },
    Cluster {
        id: String,
    },
}

/// A topic as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRecord {
    pub(crate) id: Uuid,
    pub(crate) partitions: u32,
    pub(crate) config: BTreeMap<String, String>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

/// Offsets of one group by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<(String, i32), Committed>;

/// Everything the journal says, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) topics: BTreeMap<String, TopicRecord>,
    pub(crate) offsets: BTreeMap<String, GroupOffsets>,
    pub(crate) producer_ids_below: i64,
    pub(crate) cluster_id: String,
}

/// See the module. Owned behind one lock.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    file: Arc<File>,
    size: u64,
    content: Content,
    next_producer_id: i64,
    is_dirty: bool,
    /// Part of a refused write may lie behind `size`; it must go before anything else is written.
    is_torn: bool,
    /// Size at which it is written anew if that is worth it.
    compact_above: u64,
    writing: Writing,
    signal: Arc<SyncSignal>,
}

impl Content {
    /// The highest offset any group committed for a partition, 0 if none did.
    pub(crate) fn newest_commit(&self, topic: &str, partition: u32) -> i64 {
        let of_partition = |((name, index), committed): (&(String, i32), &Committed)| {
            (name == topic && i64::from(*index) == i64::from(partition)).then_some(committed.offset)
        };
        self.offsets.values().flatten().filter_map(of_partition).max().unwrap_or(0)
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Topic { name, id, partitions, config } => {
                self.topics.insert(name, TopicRecord { id, partitions, config });
            }
            Record::TopicDeleted { name } => {
                self.topics.remove(&name);
                for offsets in self.offsets.values_mut() {
                    offsets.retain(|(topic, _), _| *topic != name);
                }
            }
            Record::Offset { group, topic, partition, offset, metadata } => {
                let offsets = self.offsets.entry(group).or_default();
                offsets.insert((topic, partition), Committed { offset, metadata });
            }
            Record::OffsetDeleted { group, topic, partition } => {
                if let Some(offsets) = self.offsets.get_mut(&group) {
                    offsets.remove(&(topic, partition));
                }
            }
            Record::GroupDeleted { group } => drop(self.offsets.remove(&group)),
            Record::ProducerIds { below } => self.producer_ids_below = self.producer_ids_below.max(below),
            Record::Cluster { id } => self.cluster_id = id,
        }
    }

    /// The fewest records that make this content.
    fn records(&self) -> Vec<Record> {
        let mut records = vec![Record::Cluster { id: self.cluster_id.clone() }];
        records.push(Record::ProducerIds { below: self.producer_ids_below });
        for (name, topic) in &self.topics {
            let TopicRecord { id, partitions, config } = topic.clone();
            records.push(Record::Topic { name: name.clone(), id, partitions, config });
        }
        for (group, offsets) in &self.offsets {
            for ((topic, partition), committed) in offsets {
                records.push(Record::Offset {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    offset: committed.offset,
                    metadata: committed.metadata.clone(),
                });
            }
        }
        records
    }
}

impl Journal {
    /// Opens the journal in `folder`, or begins one. `topics` is where topics lie.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged before its end, or is missing though there are topics.
    pub(crate) fn open(folder: &Path, topics: &Path, signal: Arc<SyncSignal>) -> Result<Journal, Error> {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::disk("read", &path)(error)),
        };
        let mut content = Content::default();
        let size = replay(&bytes, &mut content).map_err(|Damage { offset, what }| Error::Corrupt {
            advice: format!(
                "move {} and {} away to begin anew without topics, records and committed offsets",
                path.display(),
                topics.display()
            ),
            path: path.clone(),
            offset: offset as u64,
            what,
        })?;
        let is_new = content.cluster_id.is_empty();
        if is_new {
            let n_folders = fs::read_dir(topics).map_or(0, Iterator::count);
            if n_folders > 0 {
                return Err(Error::JournalMissing { journal: path, topics: topics.to_owned(), n_folders });
            }
        }
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(Error::disk("open", &path))?;
        if size < bytes.len() {
            tracing::warn!(
                file = %path.display(),
                bytes = bytes.len() - size,
                "a crash interrupted the last write to this file; its unfinished end was removed: what was synced before \
                 is all there"
            );
            file.set_len(size as u64).map_err(Error::disk("cut", &path))?;
        }
        let mut journal = Journal {
            folder: folder.to_owned(),
            file: Arc::new(file),
            size: size as u64,
            next_producer_id: content.producer_ids_below,
            content,
            is_dirty: false,
            is_torn: false,
            compact_above: COMPACT_ABOVE,
            writing: Writing::new(
                path.display().to_string(),
                "topics and committed offsets cannot change and new idempotent producers wait",
            ),
            signal,
        };
        if is_new {
            let id = Uuid::new_v4().simple().to_string();
            let written = journal.write(vec![Record::Cluster { id }]);
            // Durable before the first topic: its absence beside topics means that it was lost.
            written
                .and_then(|()| journal.file.sync_all())
                .and_then(|()| sync_folder(folder))
                .map_err(Error::disk("write", &path))?;
        }
        Ok(journal)
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Writes changes, all or none, and takes them into the content.
    ///
    /// # Errors
    /// When the disk refuses; nothing changed then.
    pub(crate) fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in &records {
            frame(record, &mut bytes)?;
        }
        let appended = self.append(&bytes);
        self.signal.raise();
        self.writing.note(bytes.len(), appended)?;
        self.size += bytes.len() as u64;
        self.is_dirty = true;
        for record in records {
            self.content.apply(record);
        }
        if let Err(error) = self.compact_if_due() {
            // The change itself is written.
            tracing::warn!(%error, "the journal cannot be written anew, it goes on growing");
            self.compact_above = self.size * 2;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mend()?;
        let mut file: &File = &self.file;
        if let Err(error) = file.write_all(bytes) {
            self.is_torn = true;
            // When this fails too, the next write tries again first.
            let _ = self.mend();
            return Err(error);
        }
        Ok(())
    }

    /// From now on no byte is taken, as on a full disk.
    #[cfg(test)]
    pub(crate) fn break_disk(&mut self) {
        self.file = Arc::new(OpenOptions::new().write(true).open("/dev/full").expect("opened"));
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.size)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// After a failed write: looks whether writing works again. Tells whether it still fails.
    pub(crate) fn retry(&mut self) -> bool {
        if self.writing.reason().is_none() {
            return false;
        }
        let mended = self.mend();
        self.writing.retry(&self.folder, || mended)
    }

    /// Why nothing can be written, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.writing.reason()
    }

    /// An id that no producer ever had.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn producer_id(&mut self) -> io::Result<i64> {
        if self.next_producer_id >= self.content.producer_ids_below {
            self.write(vec![Record::ProducerIds { below: self.next_producer_id + ID_BLOCK }])?;
        }
        self.next_producer_id += 1;
        Ok(self.next_producer_id - 1)
    }

    /// The file to sync, if something was written since the last call.
    pub(crate) fn take_dirty(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.is_dirty).then(|| self.file.clone())
    }

    fn compact_if_due(&mut self) -> io::Result<()> {
        if self.size < self.compact_above {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for record in self.content.records() {
            frame(&record, &mut bytes)?;
        }
        if self.size < bytes.len() as u64 * 4 {
            return Ok(());
        }
        let beside = self.folder.join("journal.new");
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        // Opened before it gets the name: once it has it, nothing may go to the old file any more.
        let file = OpenOptions::new().append(true).open(&beside)?;
        fs::rename(&beside, self.folder.join(FILE))?;
        self.file = Arc::new(file);
        self.size = bytes.len() as u64;
        self.compact_above = COMPACT_ABOVE;
        sync_folder(&self.folder)
    }
}

fn frame(record: &Record, into: &mut Vec<u8>) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(&crc32c::crc32c(&json).to_be_bytes());
    into.extend_from_slice(&json);
    Ok(())
}

/// A place no crash can have damaged.
struct Damage {
    offset: usize,
    what: String,
}

/// Applies all whole records; gives the length they take. What follows must be torn: no whole record is in it.
fn replay(bytes: &[u8], content: &mut Content) -> Result<usize, Damage> {
    let mut at = 0;
    while let Some(json) = record_at(&bytes[at..]) {
        match serde_json::from_slice(json) {
            Ok(record) => content.apply(record),
            Err(error) => return Err(Damage { offset: at, what: format!("an unknown record: {error}") }),
        }
        at += 8 + json.len();
    }
    match (at + 1..bytes.len()).find(|later| record_at(&bytes[*later..]).is_some()) {
        Some(later) => {
            let what = format!("a damaged record, and a sound one after it at byte {later}");
            Err(Damage { offset: at, what })
        }
        None => Ok(at),
    }
}

/// The content of the record at the beginning of `bytes`, if it is whole. Zeros, which a power cut may leave, are none.
fn record_at(bytes: &[u8]) -> Option<&[u8]> {
    let (length, crc) = prefix(bytes).filter(|(length, _)| *length > 0)?;
    let json = bytes.get(8..)?.get(..length)?;
    (crc32c::crc32c(json) == crc).then_some(json)
}

fn prefix(bytes: &[u8]) -> Option<(usize, u32)> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let crc = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((usize::try_from(length).ok()?, crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Result<Journal, Error> {
        Journal::open(folder, &folder.join("topics"), Arc::default())
    }

    fn offset(group: &str, offset: i64) -> Record {
        Record::Offset {
            group: group.into(),
            topic: "t".into(),
            partition: 0,
            offset,
            metadata: String::new(),
        }
    }

    fn topic(name: &str) -> Record {
        Record::Topic { name: name.into(), id: Uuid::nil(), partitions: 3, config: BTreeMap::new() }
    }

    #[test]
    fn remembers() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        journal.write(vec![topic("t"), offset("g", 5), offset("g", 7), offset("h", 1)]).expect("written");
        journal.write(vec![Record::GroupDeleted { group: "h".into() }]).expect("written");
        let first = journal.producer_id().expect("an id");
        let content = journal.content().clone();
        drop(journal);
        let mut journal = open(folder.path()).expect("opened");
        assert_eq!(journal.content(), &content);
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 7);
        assert!(journal.producer_id().expect("an id") > first);
    }

    #[test]
    fn a_deleted_topic_takes_its_offsets_along() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        journal
            .write(vec![topic("t"), offset("g", 5), Record::TopicDeleted { name: "t".into() }])
            .expect("written");
        assert!(journal.content().offsets["g"].is_empty());
    }

    #[test]
    fn a_torn_end_is_cut_and_a_damaged_middle_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        journal.write(vec![offset("g", 1)]).expect("written");
        let kept = journal.size as usize;
        journal.write(vec![offset("g", 2)]).expect("written");
        drop(journal);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).expect("file");
        for length in kept..whole.len() {
            fs::write(&path, &whole[..length]).expect("torn");
            let journal = open(folder.path()).expect("opened");
            assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 1, "torn at {length}");
        }
        let mut damaged = whole.clone();
        damaged[kept - 2] ^= 1;
        fs::write(&path, damaged).expect("damaged");
        let error = open(folder.path()).expect_err("damaged");
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_damaged_length_is_no_torn_end_and_zeros_behind_the_end_are() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        let first = journal.size as usize;
        journal.write(vec![offset("g", 1)]).expect("written");
        journal.write(vec![offset("g", 2)]).expect("written");
        drop(journal);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).expect("file");
        for bit in [1, 0x80] {
            let mut damaged = whole.clone();
            damaged[first + 1] ^= bit;
            fs::write(&path, damaged).expect("damaged");
            let error = open(folder.path()).expect_err("damaged");
            assert!(matches!(error, Error::Corrupt { offset, .. } if offset == first as u64), "{error}");
        }
        fs::write(&path, [&whole[..], &[0; 500]].concat()).expect("written");
        let journal = open(folder.path()).expect("opened");
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 2);
        assert_eq!(fs::metadata(&path).expect("file").len(), whole.len() as u64);
    }

    #[test]
    fn a_damaged_or_missing_journal_is_refused_and_the_advice_works() {
        let data = tempfile::tempdir().expect("folder");
        let topics = data.path().join("topics");
        for damage in [None, Some(&b""[..]), Some(b"\0\0\0\x02\0\0\0\0{}")] {
            drop(open(data.path()).expect("opened"));
            fs::create_dir_all(topics.join("t-0-x")).expect("made");
            match damage {
                None => fs::remove_file(data.path().join(FILE)).expect("removed"),
                Some(bytes) => fs::write(data.path().join(FILE), bytes).expect("damaged"),
            }
            let error = open(data.path()).expect_err("missing");
            assert!(matches!(error, Error::JournalMissing { n_folders: 1, .. }), "{error}");
            assert!(error.to_string().contains(&format!("move {} away", topics.display())), "{error}");
            let away = tempfile::tempdir().expect("folder");
            fs::rename(&topics, away.path().join("topics")).expect("moved");
            drop(open(data.path()).expect("begins anew, as the advice says"));
        }
        let mut journal = open(data.path()).expect("opened");
        journal.write(vec![offset("g", 1), offset("g", 2)]).expect("written");
        drop(journal);
        fs::create_dir_all(topics.join("t-0-x")).expect("made");
        let path = data.path().join(FILE);
        let mut bytes = fs::read(&path).expect("file");
        bytes[10] ^= 1;
        fs::write(&path, bytes).expect("damaged");
        let error = open(data.path()).expect_err("damaged").to_string();
        assert!(error.contains(&format!("move {} and {} away", path.display(), topics.display())), "{error}");
        let away = tempfile::tempdir().expect("folder");
        fs::rename(&path, away.path().join("journal")).expect("moved");
        fs::rename(&topics, away.path().join("topics")).expect("moved");
        open(data.path()).expect("begins anew, as the advice says");
    }

    #[test]
    fn a_write_that_fails_half_way_leaves_nothing_even_if_it_cannot_be_undone_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        journal.write(vec![offset("g", 1)]).expect("written");
        let (good, content) = (journal.file.clone(), journal.content().clone());
        // It cannot be cut either.
        journal.break_disk();
        for _ in 0..2 {
            let error = journal.write(vec![offset("g", 2)]).expect_err("full").to_string();
            assert!(journal.is_torn && journal.retry(), "{error}");
            assert!(journal.failure().is_some_and(|why| why.contains(&error)), "{:?}", journal.failure());
        }
        assert_eq!(journal.content(), &content);
        (&*good).write_all(b"half a rec").expect("written");
        journal.file = good;
        assert!(!journal.retry(), "good again: {:?}", journal.failure());
        journal.write(vec![offset("g", 3)]).expect("written");
        drop(journal);
        let journal = open(folder.path()).expect("opened");
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 3);
    }

    #[test]
    fn a_change_counts_though_the_journal_cannot_be_written_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        fs::create_dir(folder.path().join("journal.new")).expect("in the way");
        for n in 0..15_000 {
            journal.write(vec![offset("g", n)]).expect("written");
        }
        assert!(journal.size > COMPACT_ABOVE, "{}", journal.size);
        drop(journal);
        let journal = open(folder.path()).expect("opened");
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 14_999);
    }

    #[test]
    fn is_written_anew_when_it_grew() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = open(folder.path()).expect("opened");
        for n in 0..15_000 {
            journal.write(vec![offset("g", n)]).expect("written");
        }
        assert!(journal.size < COMPACT_ABOVE, "{}", journal.size);
        drop(journal);
        let journal = open(folder.path()).expect("opened");
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 14_999);
    }
}
