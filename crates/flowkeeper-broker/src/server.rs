//! The broker as a whole: recovery, listener, background work, end.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::group::Groups;
use crate::health::Health;
use crate::journal::Journal;
use crate::loss::Losses;
use crate::signal::SyncSignal;
use crate::topics::Topics;
use crate::{conn, task};

/// Format of the data folder.
const FORMAT: u32 = 1;
/// Time between two looks for records that are too old.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Time between two looks whether a disk that refused takes writes again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
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
    signal: Arc<SyncSignal>,
    /// Held while a sync runs: who finds nothing left to sync must know that it is done.
    syncing: Mutex<()>,
    failure: watch::Sender<Option<Error>>,
}

/// A running broker. Dropping it leaves it running; [`Broker::stop`] ends it.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    syncer: std::thread::JoinHandle<()>,
    _lock: File,
}

/// Starts a broker: recovers its data, listens, serves.
///
/// # Errors
/// See [`Error`]; nothing runs then.
pub async fn start(config: Config) -> Result<Broker, Error> {
    let failed_to_listen = |source| Error::Listen { addr: config.listen, source: Arc::new(source) };
    let lock = claim(&config.data)?;
    let (folder, signal) = (config.data.join("topics"), Arc::<SyncSignal>::default());
    let journal = Journal::open(&config.data, &folder, signal.clone())?;
    let content = journal.content().clone();
    let journal = Arc::new(Mutex::new(journal));
    let mut losses = Losses::new(&config.data);
    let topics = Topics::open(folder, journal.clone(), &content, &mut losses, signal.clone())?;
    losses.settle()?;
    let listener = TcpListener::bind(config.listen).await.map_err(failed_to_listen)?;
    let addr = listener.local_addr().map_err(failed_to_listen)?;
    let shared = Arc::new(Shared {
        groups: Groups::new(config.first_join_delay),
        addr,
        topics,
        cluster_id: content.cluster_id,
        stop: CancellationToken::new(),
        journal,
        signal,
        syncing: Mutex::new(()),
        failure: watch::Sender::new(None),
        config,
    });
    let tracker = TaskTracker::new();
    task::spawn(&tracker, conn::accept(listener, shared.clone(), tracker.clone()));
    task::spawn(&tracker, tick_groups(shared.clone()));
    task::spawn(&tracker, retain(shared.clone()));
    let syncer = {
        let shared = shared.clone();
        let data = shared.config.data.clone();
        task::thread("broker-sync", move || sync_loop(&shared))
            .map_err(Error::disk("start the syncer of", &data))?
    };
    Ok(Broker { shared, tracker, syncer, _lock: lock })
}

impl Broker {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// How it is at this moment. Looks at every partition, so ask every few seconds, not for every request.
    pub fn health(&self) -> Health {
        if let Some(error) = &*self.shared.failure.borrow() {
            return Health::Failing { reason: format!("the broker has stopped serving: {error}") };
        }
        let mut failures: Vec<_> = self.shared.journal().failure().map(str::to_owned).into_iter().collect();
        failures.extend(self.shared.topics.failures());
        match failures.split_first() {
            None => Health::Ok,
            Some((reason, [])) => Health::Failing { reason: reason.clone() },
            Some((reason, more)) => {
                Health::Failing { reason: format!("{reason} (and {} more like this)", more.len()) }
            }
        }
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
        self.shared.signal.stop();
        let syncer = self.syncer;
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

    /// Syncs everything written before the call. A failed sync is final: what the kernel dropped cannot be synced by trying
    /// again, so the broker stops serving.
    ///
    /// # Errors
    /// When this sync fails, or one before has.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = self.failure.borrow().clone() {
            return Err(error);
        }
        self.sync_all().map_err(|error| {
            let error = self.failed_to_sync(error);
            self.fail(error.clone());
            error
        })
    }

    fn sync_all(&self) -> std::io::Result<()> {
        // Committed offsets come last: they must not be on the disk before the records they speak of.
        for topic in self.topics.all() {
            for partition in topic.partitions() {
                let unsynced = partition.log().take_dirty();
                if let Some(unsynced) = unsynced {
                    unsynced.file.sync_data()?;
                    unsynced.mark();
                }
            }
        }
        let journal = self.journal().take_dirty();
        journal.map_or(Ok(()), |file| file.sync_data())
    }

    pub(crate) fn failed_to_sync(&self, source: std::io::Error) -> Error {
        Error::disk("sync", &self.config.data)(source)
    }

    /// Ends the service for good.
    pub(crate) fn fail(&self, error: Error) {
        tracing::error!(%error, "the broker stops serving");
        self.failure.send_replace(Some(error));
        self.stop.cancel();
    }

    /// Looks whether what could not be written can be now. Tells whether something still fails.
    fn retry(&self) -> bool {
        let journal_fails = self.journal().retry();
        self.topics.retry() || journal_fails
    }
}

/// Syncs in the background when something was written, until told to stop, and once more then.
fn sync_loop(shared: &Shared) {
    let interval = match shared.config.flush {
        Flush::Interval(interval) => interval,
        Flush::Always => RETRY_EVERY,
    };
    let signal = &shared.signal;
    signal.register();
    loop {
        let is_last = signal.is_stopping();
        signal.clear();
        if shared.sync().is_err() || is_last {
            return;
        }
        let is_failing = shared.retry();
        signal.wait(is_failing.then_some(RETRY_EVERY));
        signal.gather(interval);
    }
}

/// Keeps deadlines of consumer groups.
async fn tick_groups(shared: Arc<Shared>) {
    tokio::select! {
        () = shared.groups.run() => {}
        () = shared.stop.cancelled() => {}
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
    check_format(folder)?;
    Ok(lock)
}

fn check_format(folder: &Path) -> Result<(), Error> {
    let path = folder.join("format");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(Error::TooNew { path, found, known: FORMAT }),
            Err(_) => Err(Error::Corrupt {
                path,
                offset: 0,
                what: "it holds no number".to_owned(),
                advice: format!("write {FORMAT} into it if no newer release has used the folder"),
            }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Under its name only when it is whole: a full disk must not leave an empty one.
            let beside = folder.join("format.new");
            fs::write(&beside, FORMAT.to_string())
                .and_then(|()| fs::rename(&beside, &path))
                .map_err(Error::disk("write", &path))
        }
        Err(error) => Err(Error::disk("read", &path)(error)),
    }
}
