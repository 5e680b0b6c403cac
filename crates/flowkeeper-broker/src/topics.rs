//! Topics and their partitions: created, grown, configured and deleted, each change in the journal first.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use uuid::Uuid;

use crate::error::Error;
use crate::journal::{Content, Journal, Record, TopicRecord};
use crate::log::Log;

/// Most partitions of one topic: each is a folder with an open file.
const MAX_PARTITIONS: u32 = 1_000;

/// Settings a topic may have, with their defaults, as Kafka names them.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("max.message.bytes", "1048588"),
    ("min.insync.replicas", "1"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "67108864"),
];

/// One topic; clones of its `Arc` may outlive its deletion.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) config: BTreeMap<String, String>,
    partitions: Vec<Arc<Partition>>,
}

/// One partition. A std mutex: all operations of the log are short.
#[derive(Debug)]
pub(crate) struct Partition {
    log: Mutex<Log>,
}

/// Why a change of topics was refused; nothing changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicError {
    #[error("topic '{0}' exists already")]
    Exists(String),
    #[error("there is no topic '{0}'")]
    Unknown(String),
    #[error("'{0}' is no topic name: use 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'")]
    Name(String),
    #[error("{0} partitions are not between 1 and {MAX_PARTITIONS}, or fewer than there are")]
    Partitions(i64),
    #[error("replication factor {0} is not possible: this broker is a single node; ask for 1 or -1")]
    Replication(i16),
    #[error("'{name}={value}' is no setting this broker knows, or not a valid value")]
    Setting { name: String, value: String },
    #[error("the disk refuses: {0}")]
    Disk(String),
}

/// All topics.
#[derive(Debug)]
pub(crate) struct Topics {
    folder: PathBuf,
    journal: Arc<Mutex<Journal>>,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Partition {
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// The effective value of a setting.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        let default = || SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, default)| *default);
        self.config.get(name).map(String::as_str).or_else(default)
    }

    /// A setting that holds a number; `None`: unlimited.
    pub(crate) fn limit(&self, name: &str) -> Option<u64> {
        self.setting(name)?.parse().ok()
    }

    fn record(&self) -> Record {
        Record::Topic {
            name: self.name.clone(),
            id: self.id,
            partitions: u32::try_from(self.partitions.len()).unwrap_or(u32::MAX),
            config: self.config.clone(),
        }
    }
}

impl Topics {
    /// Opens every topic of the journal.
    ///
    /// # Errors
    /// When a partition cannot be opened or is damaged.
    pub(crate) fn open(
        folder: &Path,
        journal: Arc<Mutex<Journal>>,
        content: &Content,
    ) -> Result<Topics, Error> {
        let folder = folder.join("topics");
        let mut by_name = BTreeMap::new();
        for (name, TopicRecord { id, partitions, config }) in &content.topics {
            let mut topic =
                Topic { name: name.clone(), id: *id, config: config.clone(), partitions: Vec::new() };
            for index in 0..*partitions {
                let log = Log::open(partition_folder(&folder, &topic, index), segment_bytes(&topic))?;
                topic.partitions.push(Arc::new(Partition { log: Mutex::new(log) }));
            }
            by_name.insert(name.clone(), Arc::new(topic));
        }
        Ok(Topics { folder, journal, by_name: RwLock::new(by_name) })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.all().into_iter().find(|topic| topic.id == id)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Creates a topic; `only_check` says whether it could be.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        config: BTreeMap<String, String>,
        only_check: bool,
    ) -> Result<Arc<Topic>, TopicError> {
        let is_name = (1..=249).contains(&name.len()) && name != "." && name != "..";
        if !is_name || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(TopicError::Name(name.to_owned()));
        }
        if !matches!(replication, -1 | 1) {
            return Err(TopicError::Replication(replication));
        }
        let count = if partitions == -1 { 1 } else { checked_count(partitions, 0)? };
        config.iter().try_for_each(|(name, value)| check_setting(name, value))?;
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if by_name.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        let mut topic = Topic { name: name.to_owned(), id: Uuid::new_v4(), config, partitions: Vec::new() };
        if only_check {
            return Ok(Arc::new(topic));
        }
        self.grow(&mut topic, count)?;
        self.write(vec![topic.record()])?;
        let topic = Arc::new(topic);
        by_name.insert(name.to_owned(), topic.clone());
        Ok(topic)
    }

    /// Raises the number of partitions to `count`.
    pub(crate) fn add_partitions(&self, name: &str, count: i32, only_check: bool) -> Result<(), TopicError> {
        self.change(name, only_check, |topics, topic| {
            let count = checked_count(count, topic.partitions.len() + 1)?;
            topics.grow(topic, count)
        })
    }

    /// Changes settings: `None` puts a setting back to its default.
    pub(crate) fn configure(
        &self,
        name: &str,
        changes: &[(String, Option<String>)],
        only_check: bool,
    ) -> Result<(), TopicError> {
        self.change(name, only_check, |_, topic| {
            for (name, value) in changes {
                match value {
                    Some(value) => {
                        check_setting(name, value)?;
                        topic.config.insert(name.clone(), value.clone());
                    }
                    None => drop(topic.config.remove(name)),
                }
            }
            Ok(())
        })
    }

    /// Replaces a topic by a changed copy that shares its partitions, journal first.
    fn change(
        &self,
        name: &str,
        only_check: bool,
        change: impl FnOnce(&Topics, &mut Topic) -> Result<(), TopicError>,
    ) -> Result<(), TopicError> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let old = by_name.get(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let mut topic = Topic {
            name: old.name.clone(),
            id: old.id,
            config: old.config.clone(),
            partitions: old.partitions.clone(),
        };
        change(self, &mut topic)?;
        if !only_check {
            self.write(vec![topic.record()])?;
            by_name.insert(name.to_owned(), Arc::new(topic));
        }
        Ok(())
    }

    /// Deletes a topic with its records and the offsets committed for it.
    pub(crate) fn delete(&self, name: &str) -> Result<(), TopicError> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let topic = by_name.get(name).cloned().ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        self.write(vec![Record::TopicDeleted { name: name.to_owned() }])?;
        by_name.remove(name);
        topic.partitions.iter().for_each(|partition| partition.log().close());
        for index in 0..topic.partitions.len() {
            let folder = partition_folder(&self.folder, &topic, u32::try_from(index).unwrap_or(u32::MAX));
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "a deleted topic's folder stays behind");
            }
        }
        Ok(())
    }

    fn grow(&self, topic: &mut Topic, count: u32) -> Result<(), TopicError> {
        for index in u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)..count {
            let log = Log::open(partition_folder(&self.folder, topic, index), segment_bytes(topic));
            let log = log.map_err(|error| TopicError::Disk(error.to_string()))?;
            topic.partitions.push(Arc::new(Partition { log: Mutex::new(log) }));
        }
        Ok(())
    }

    fn write(&self, records: Vec<Record>) -> Result<(), TopicError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.write(records).map_err(|error: io::Error| TopicError::Disk(error.to_string()))
    }
}

/// Folders carry the topic's id, so that a topic deleted and created again never sees old records.
fn partition_folder(folder: &Path, topic: &Topic, index: u32) -> PathBuf {
    folder.join(format!("{}-{index}-{}", topic.name, topic.id.simple()))
}

fn segment_bytes(topic: &Topic) -> u64 {
    topic.limit("segment.bytes").unwrap_or(64 << 20)
}

fn checked_count(partitions: i32, least: usize) -> Result<u32, TopicError> {
    let count = u32::try_from(partitions).ok().filter(|count| (1..=MAX_PARTITIONS).contains(count));
    count.filter(|count| *count as usize >= least).ok_or(TopicError::Partitions(partitions.into()))
}

fn check_setting(name: &str, value: &str) -> Result<(), TopicError> {
    let is_known = SETTINGS.iter().any(|(known, _)| *known == name);
    let is_valid = match name {
        // Compaction is not done here; a topic that asks for it is kept whole, which is always correct for its readers.
        "cleanup.policy" => matches!(value, "delete" | "compact" | "compact,delete" | "delete,compact"),
        "compression.type" => value == "producer",
        "segment.bytes" | "max.message.bytes" => value.parse::<u32>().is_ok_and(|bytes| bytes >= 64),
        _ => value.parse::<i64>().is_ok(),
    };
    // Settings of replication and log cleaning that mean nothing on a single node are taken and ignored, as tools send them.
    let is_harmless = !is_known && name.contains('.');
    if (is_known && is_valid) || is_harmless {
        Ok(())
    } else {
        Err(TopicError::Setting { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Topics {
        let journal = Journal::open(folder).expect("opened");
        let content = journal.content().clone();
        Topics::open(folder, Arc::new(Mutex::new(journal)), &content).expect("opened")
    }

    #[test]
    fn topics_survive_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let topics = open(folder.path());
        topics.create("a.b-c_d", 3, -1, BTreeMap::new(), false).expect("created");
        topics.create("gone", 1, 1, BTreeMap::new(), false).expect("created");
        topics.add_partitions("a.b-c_d", 5, false).expect("grown");
        topics
            .configure("a.b-c_d", &[("retention.ms".into(), Some("1000".into()))], false)
            .expect("configured");
        topics.delete("gone").expect("deleted");
        let id = topics.get("a.b-c_d").expect("there").id;
        drop(topics);
        let topics = open(folder.path());
        let topic = topics.get("a.b-c_d").expect("there");
        assert_eq!((topic.id, topic.partitions().len(), topic.limit("retention.ms")), (id, 5, Some(1000)));
        assert!(topics.get("gone").is_none());
    }

    #[test]
    fn refuses_with_reasons() {
        let folder = tempfile::tempdir().expect("folder");
        let topics = open(folder.path());
        topics.create("t", 2, 1, BTreeMap::new(), false).expect("created");
        let create = |name: &str, partitions, replication| {
            topics
                .create(name, partitions, replication, BTreeMap::new(), false)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(create("t", 1, 1), "topic 't' exists already");
        assert!(create("a/b", 1, 1).starts_with("'a/b' is no topic name"));
        assert!(create("..", 1, 1).starts_with("'..' is no topic name"));
        assert!(create("u", 0, 1).starts_with("0 partitions are not between"));
        assert!(create("u", 1, 3).starts_with("replication factor 3 is not possible"));
        assert!(topics.add_partitions("t", 2, false).is_err());
        assert!(topics.delete("u").is_err());
        assert!(topics.configure("t", &[("retention.ms".into(), Some("soon".into()))], false).is_err());
        assert!(topics.create("v", 1, 1, BTreeMap::new(), true).is_ok());
        assert!(topics.get("v").is_none(), "only checked");
    }
}
