//! The broker as a whole: recovery, listener, background work, end.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::group::{Groups, TICK};
use crate::journal::Journal;
use crate::topics::Topics;
use crate::{conn, task};

/// Format of the data folder.
const FORMAT: u32 = 1;
/// Time between two looks for records that are too old.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// How long connections may take to finish when the broker stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// When written records are synced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// In the background, at most this long after the write. A power cut may lose what came in since; a crash of processes
    /// loses nothing.
    Interval(Duration),
    /// Before each acknowledgement.
    Always,
}

/// What a broker needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub flush: Flush,
    /// Create a topic, with one partition, when a client asks for one that is not there.
    pub auto_create_topics: bool,
    /// How long the first member of a group waits for others. Kafka waits 3 s.
    pub first_join_delay: Duration,
    /// Largest request in bytes.
    pub max_request: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: PathBuf::from("broker"),
            flush: Flush::Interval(Duration::from_millis(100)),
            auto_create_topics: true,
            first_join_delay: Duration::from_millis(100),
            max_request: 32 << 20,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) addr: SocketAddr,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) cluster_id: String,
    pub(crate) stop: CancellationToken,
    journal: Arc<Mutex<Journal>>,
    failure: watch::Sender<Option<Error>>,
}

/// A running broker. Dropping it leaves it running; [`Broker::stop`] ends it.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    syncer: std::thread::JoinHandle<()>,
    is_stopping: Arc<AtomicBool>,
    _lock: File,
}

/// Starts a broker: recovers its data, listens, serves.
///
/// # Errors
/// See [`Error`]; nothing runs then.
pub async fn start(config: Config) -> Result<Broker, Error> {
    let failed_to_listen = |source| Error::Listen { addr: config.listen, source: Arc::new(source) };
    let lock = claim(&config.data)?;
    let journal = Journal::open(&config.data)?;
    let content = journal.content().clone();
    let journal = Arc::new(Mutex::new(journal));
    let topics = Topics::open(&config.data, journal.clone(), &content)?;
    let listener = TcpListener::bind(config.listen).await.map_err(failed_to_listen)?;
    let addr = listener.local_addr().map_err(failed_to_listen)?;
    let shared = Arc::new(Shared {
        groups: Groups::new(config.first_join_delay),
        addr,
        topics,
        cluster_id: content.cluster_id,
        stop: CancellationToken::new(),
        journal,
        failure: watch::Sender::new(None),
        config,
    });
    let tracker = TaskTracker::new();
    task::spawn(&tracker, conn::accept(listener, shared.clone(), tracker.clone()));
    task::spawn(&tracker, tick_groups(shared.clone()));
    task::spawn(&tracker, retain(shared.clone()));
    let is_stopping = Arc::new(AtomicBool::new(false));
    let syncer = {
        let (shared, is_stopping) = (shared.clone(), is_stopping.clone());
        let data = shared.config.data.clone();
        task::thread("broker-sync", move || sync_loop(&shared, &is_stopping))
            .map_err(Error::disk("start the syncer of", &data))?
    };
    Ok(Broker { shared, tracker, syncer, is_stopping, _lock: lock })
}

impl Broker {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Waits until the broker had to stop serving by itself, because the disk failed. Cancel safe.
    pub async fn failed(&self) -> Error {
        let mut failure = self.shared.failure.subscribe();
        loop {
            let found = failure.borrow_and_update().clone();
            match found {
                Some(error) => return error,
                // The sender lives in `self.shared`, so it cannot be gone.
                None => drop(failure.changed().await),
            }
        }
    }

    /// Ends all connections, syncs everything, stops.
    ///
    /// # Errors
    /// When the last sync fails: then what came in since the one before may not be on the disk.
    pub async fn stop(self) -> Result<(), Error> {
        self.shared.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(FAREWELL, self.tracker.wait()).await.is_err() {
            tracing::warn!("connections did not end in time and are dropped");
        }
        self.is_stopping.store(true, Ordering::Release);
        let syncer = self.syncer;
        syncer.thread().unpark();
        let ended = tokio::task::spawn_blocking(move || syncer.join()).await;
        if ended.is_err() {
            tracing::error!("the syncer ended in a bug");
        }
        let failure = self.shared.failure.borrow().clone();
        failure.map_or(Ok(()), Err)
    }
}

impl Shared {
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs everything written since the last call.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let mut files = Vec::new();
        for topic in self.topics.all() {
            files.extend(topic.partitions().iter().filter_map(|partition| partition.log().take_dirty()));
        }
        files.extend(self.journal().take_dirty());
        for file in files {
            file.sync_data().map_err(Error::disk("sync", &self.config.data))?;
        }
        Ok(())
    }
}

/// Syncs in the background until told to stop, and once more then. A failed sync is final: what the kernel dropped cannot be
/// synced by trying again, so the broker stops serving.
fn sync_loop(shared: &Shared, is_stopping: &AtomicBool) {
    let interval = match shared.config.flush {
        Flush::Interval(interval) => interval,
        Flush::Always => Duration::from_secs(1),
    };
    loop {
        let is_last = is_stopping.load(Ordering::Acquire);
        if let Err(error) = shared.sync() {
            tracing::error!(%error, "the broker stops serving");
            shared.failure.send_replace(Some(error));
            shared.stop.cancel();
            return;
        }
        if is_last {
            return;
        }
        std::thread::park_timeout(interval);
    }
}

async fn tick_groups(shared: Arc<Shared>) {
    let mut timer = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = timer.tick() => shared.groups.tick(Instant::now()),
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Drops records that are too old or too many.
async fn retain(shared: Arc<Shared>) {
    let mut timer = tokio::time::interval(RETENTION_EVERY);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        let now = now_ms();
        for topic in shared.topics.all() {
            if topic.setting("cleanup.policy").is_some_and(|policy| !policy.contains("delete")) {
                continue;
            }
            let oldest =
                topic.limit("retention.ms").and_then(|age| now.checked_sub(i64::try_from(age).ok()?));
            for partition in topic.partitions() {
                partition.log().retain(oldest, topic.limit("retention.bytes"));
            }
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Claims the data folder for this process.
fn claim(folder: &Path) -> Result<File, Error> {
    fs::create_dir_all(folder).map_err(Error::disk("create", folder))?;
    let path = folder.join("broker.lock");
    let lock = File::create(&path).map_err(Error::disk("lock", &path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(Error::disk("lock", &path)(error)),
    }
    let path = folder.join("format");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(found) if found <= FORMAT => Ok(lock),
            Ok(found) => Err(Error::TooNew { path, found, known: FORMAT }),
            Err(_) => Err(Error::corrupt(&path, 0, "it holds no number")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::write(&path, FORMAT.to_string()).map_err(Error::disk("write", &path))?;
            Ok(lock)
        }
        Err(error) => Err(Error::disk("read", &path)(error)),
    }
}
