//! The broker's small memory: topics and their settings, committed offsets, producer ids.
//!
//! One file of records, each `length u32 · CRC-32C u32 · JSON`, appended on every change and replayed at the start. When it
//! has grown far beyond what it describes it is written anew beside and renamed. A torn last record is cut off; a damaged
//! record before the end is refused.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::log::sync_folder;

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
}

impl Content {
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
    /// Opens the journal in `folder`, or begins one.
    ///
    /// # Errors
    /// When it cannot be read or written, or is damaged before its end.
    pub(crate) fn open(folder: &Path) -> Result<Journal, Error> {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::disk("read", &path)(error)),
        };
        let mut content = Content::default();
        let size = replay(&path, &bytes, &mut content)?;
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(Error::disk("open", &path))?;
        if size < bytes.len() {
            tracing::warn!(file = %path.display(), bytes = bytes.len() - size, "a half-written end was cut off");
            file.set_len(size as u64).map_err(Error::disk("cut", &path))?;
        }
        let mut journal = Journal {
            folder: folder.to_owned(),
            file: Arc::new(file),
            size: size as u64,
            next_producer_id: content.producer_ids_below,
            content,
            is_dirty: false,
        };
        if journal.content.cluster_id.is_empty() {
            let id = Uuid::new_v4().simple().to_string();
            journal.write(vec![Record::Cluster { id }]).map_err(Error::disk("write", &path))?;
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
        let mut file: &File = &self.file;
        if let Err(error) = file.write_all(&bytes) {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += bytes.len() as u64;
        self.is_dirty = true;
        for record in records {
            self.content.apply(record);
        }
        self.compact_if_due()
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
        if self.size < COMPACT_ABOVE {
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
        fs::rename(&beside, self.folder.join(FILE))?;
        sync_folder(&self.folder)?;
        self.file = Arc::new(OpenOptions::new().append(true).open(self.folder.join(FILE))?);
        self.size = bytes.len() as u64;
        Ok(())
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

/// Applies all whole records; gives the length they take. A bad record is tolerated only as the last one.
fn replay(path: &Path, bytes: &[u8], content: &mut Content) -> Result<usize, Error> {
    let mut at = 0;
    while let Some((length, crc)) = prefix(&bytes[at..]) {
        let Some(json) = bytes.get(at + 8..at + 8 + length) else { break };
        let record = (crc32c::crc32c(json) == crc).then(|| serde_json::from_slice(json));
        match record {
            Some(Ok(record)) => content.apply(record),
            Some(Err(error)) => {
                return Err(Error::corrupt(path, at as u64, format!("an unknown record: {error}")));
            }
            None if at + 8 + length == bytes.len() => break,
            None => return Err(Error::corrupt(path, at as u64, "a record that does not match its checksum")),
        }
        at += 8 + length;
    }
    Ok(at)
}

fn prefix(bytes: &[u8]) -> Option<(usize, u32)> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let crc = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((usize::try_from(length).ok()?, crc))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut journal = Journal::open(folder.path()).expect("opened");
        journal.write(vec![topic("t"), offset("g", 5), offset("g", 7), offset("h", 1)]).expect("written");
        journal.write(vec![Record::GroupDeleted { group: "h".into() }]).expect("written");
        let first = journal.producer_id().expect("an id");
        let content = journal.content().clone();
        drop(journal);
        let mut journal = Journal::open(folder.path()).expect("opened");
        assert_eq!(journal.content(), &content);
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 7);
        assert!(journal.producer_id().expect("an id") > first);
    }

    #[test]
    fn a_deleted_topic_takes_its_offsets_along() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = Journal::open(folder.path()).expect("opened");
        journal
            .write(vec![topic("t"), offset("g", 5), Record::TopicDeleted { name: "t".into() }])
            .expect("written");
        assert!(journal.content().offsets["g"].is_empty());
    }

    #[test]
    fn a_torn_end_is_cut_and_a_damaged_middle_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = Journal::open(folder.path()).expect("opened");
        journal.write(vec![offset("g", 1)]).expect("written");
        let kept = journal.size as usize;
        journal.write(vec![offset("g", 2)]).expect("written");
        drop(journal);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).expect("file");
        for length in kept..whole.len() {
            fs::write(&path, &whole[..length]).expect("torn");
            let journal = Journal::open(folder.path()).expect("opened");
            assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 1, "torn at {length}");
        }
        let mut damaged = whole.clone();
        damaged[kept - 2] ^= 1;
        fs::write(&path, damaged).expect("damaged");
        let error = Journal::open(folder.path()).expect_err("damaged");
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    #[test]
    fn is_written_anew_when_it_grew() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = Journal::open(folder.path()).expect("opened");
        for n in 0..15_000 {
            journal.write(vec![offset("g", n)]).expect("written");
        }
        assert!(journal.size < COMPACT_ABOVE, "{}", journal.size);
        drop(journal);
        let journal = Journal::open(folder.path()).expect("opened");
        assert_eq!(journal.content().offsets["g"][&("t".to_owned(), 0)].offset, 14_999);
    }
}
