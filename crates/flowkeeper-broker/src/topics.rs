//! Topics and their partitions: created, grown, configured and deleted, each change in the journal first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use uuid::Uuid;

use crate::error::Error;
use crate::health::Writing;
use crate::journal::{Content, Journal, Record, TopicRecord};
use crate::log::{Log, Options, sync_folder};
use crate::loss::Losses;
use crate::signal::SyncSignal;

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
    /// Whether partitions can be made.
    making: Mutex<Writing>,
    signal: Arc<SyncSignal>,
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
    /// Opens every topic of the journal. Partitions that lost records go to `losses`, and their topics are left out unless
    /// that is accepted. Folders of no topic are named in a warning.
    ///
    /// # Errors
    /// When a partition cannot be opened.
    pub(crate) fn open(
        folder: PathBuf,
        journal: Arc<Mutex<Journal>>,
        content: &Content,
        losses: &mut Losses,
        signal: Arc<SyncSignal>,
    ) -> Result<Topics, Error> {
        let making = Writing::new("topics and partitions", "none can be created");
        let topics =
            Topics { folder, journal, by_name: RwLock::default(), making: Mutex::new(making), signal };
        let mut by_name = BTreeMap::new();
        let mut known = BTreeSet::new();
        for (name, TopicRecord { id, partitions, config }) in &content.topics {
            let mut topic =
                Topic { name: name.clone(), id: *id, config: config.clone(), partitions: Vec::new() };
            for index in 0..*partitions {
                let folder = partition_folder(&topics.folder, &topic, index);
                known.extend(folder.file_name().map(std::ffi::OsStr::to_owned));
                let least = content.newest_commit(name, index);
                let options = topics.options(&topic, index);
                let Some(log) = Log::open(folder, options, least, losses)? else { continue };
                topic.partitions.push(Arc::new(Partition { log: Mutex::new(log) }));
            }
            by_name.insert(name.clone(), Arc::new(topic));
        }
        topics.warn_of_orphans(&known)?;
        // What opening left unsynced.
        topics.signal.raise();
        Ok(Topics { by_name: RwLock::new(by_name), ..topics })
    }

    /// Names the folders that belong to no topic. They are left alone: someone may miss them.
    fn warn_of_orphans(&self, known: &BTreeSet<std::ffi::OsString>) -> Result<(), Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::disk("list", &self.folder)(error)),
        };
        let names = entries.flatten().map(|entry| entry.file_name()).filter(|name| !known.contains(name));
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        if !names.is_empty() {
            tracing::warn!(
                "{} holds folders of topics the journal does not know: {}; a topic that is missed comes back only with the \
                 journal of its time, otherwise delete them",
                self.folder.display(),
                names.join(", ")
            );
        }
        Ok(())
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
        self.write_grown(&topic, 0)?;
        let topic = Arc::new(topic);
        by_name.insert(name.to_owned(), topic.clone());
        Ok(topic)
    }

    /// Raises the number of partitions to `count`.
    pub(crate) fn add_partitions(&self, name: &str, count: i32, only_check: bool) -> Result<(), TopicError> {
        self.change(name, only_check, |topics, topic| {
            let count = checked_count(count, topic.partitions.len() + 1)?;
            if only_check { Ok(()) } else { topics.grow(topic, count) }
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
            self.write_grown(&topic, old.partitions.len())?;
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
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "a deleted topic's folder stays behind");
            }
        }
        Ok(())
    }

    /// Makes the folders of further partitions, all durable or none there.
    fn grow(&self, topic: &mut Topic, count: u32) -> Result<(), TopicError> {
        let from = topic.partitions.len();
        let made = self.make_partitions(topic, count).and_then(|()| sync_folder(&self.folder));
        let made = self.making().note(0, made);
        made.map_err(|error| {
            self.signal.raise();
            self.discard(topic, from);
            TopicError::Disk(error.to_string())
        })
    }

    fn make_partitions(&self, topic: &mut Topic, count: u32) -> io::Result<()> {
        for index in u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)..count {
            let folder = partition_folder(&self.folder, topic, index);
            let log = Log::create(folder.clone(), self.options(topic, index))
                .inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
            topic.partitions.push(Arc::new(Partition { log: Mutex::new(log) }));
        }
        Ok(())
    }

    /// Removes the partitions from `from` on, which never became known.
    fn discard(&self, topic: &Topic, from: usize) {
        for index in from..topic.partitions.len() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            // What stays is named as an orphan at the next start.
            let _ = fs::remove_dir_all(partition_folder(&self.folder, topic, index));
        }
    }

    /// Writes a topic's record; when that fails, its partitions from `from` on go again.
    fn write_grown(&self, topic: &Topic, from: usize) -> Result<(), TopicError> {
        self.write(vec![topic.record()]).inspect_err(|_| self.discard(topic, from))
    }

    fn options(&self, topic: &Topic, index: u32) -> Options {
        Options {
            name: format!("topic {} partition {index}", topic.name),
            segment_bytes: topic.limit("segment.bytes").unwrap_or(64 << 20),
            signal: self.signal.clone(),
        }
    }

    fn making(&self) -> MutexGuard<'_, Writing> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After failed writes: looks whether writing works again. Tells whether something still fails.
    pub(crate) fn retry(&self) -> bool {
        let partitions = self.all().into_iter().flat_map(|topic| topic.partitions.clone());
        let n_failing = partitions.filter(|partition| partition.log().retry()).count();
        self.making().retry(&self.folder, || fs::create_dir_all(&self.folder)) || n_failing > 0
    }

    /// What cannot be written, and why.
    pub(crate) fn failures(&self) -> Vec<String> {
        let partitions = self.all().into_iter().flat_map(|topic| topic.partitions.clone());
        let of_logs = partitions.filter_map(|partition| partition.log().failure().map(str::to_owned));
        of_logs.chain(self.making().reason().map(str::to_owned)).collect()
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

    fn open(data: &Path) -> Topics {
        let (folder, signal) = (data.join("topics"), Arc::<SyncSignal>::default());
        let journal = Journal::open(data, &folder, signal.clone()).expect("opened");
        let content = journal.content().clone();
        let mut losses = Losses::new(data);
        let journal = Arc::new(Mutex::new(journal));
        let topics = Topics::open(folder, journal, &content, &mut losses, signal).expect("opened");
        losses.settle().expect("all there");
        topics
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
        topics.add_partitions("t", 5, true).expect("possible");
        assert_eq!(fs::read_dir(folder.path().join("topics")).expect("folder").count(), 2, "only checked");
    }

    #[test]
    fn a_topic_that_cannot_be_made_leaves_nothing_and_is_told_until_it_can() {
        let data = tempfile::tempdir().expect("folder");
        let topics = open(data.path());
        // A file in the way of the folder.
        fs::write(data.path().join("topics"), "").expect("written");
        topics.create("t", 2, 1, BTreeMap::new(), false).expect_err("impossible");
        assert!(
            topics.retry() && topics.failures()[0].contains("cannot be written"),
            "{:?}",
            topics.failures()
        );
        fs::remove_file(data.path().join("topics")).expect("removed");
        assert!(!topics.retry(), "{:?}", topics.failures());
        // The journal takes nothing: the partitions made for it must go again.
        topics.create("t", 1, 1, BTreeMap::new(), false).expect("created");
        topics.journal.lock().expect("lock").break_disk();
        topics.create("u", 2, 1, BTreeMap::new(), false).expect_err("impossible");
        topics.add_partitions("t", 3, false).expect_err("impossible");
        assert_eq!(fs::read_dir(data.path().join("topics")).expect("folder").count(), 1);
    }
}
