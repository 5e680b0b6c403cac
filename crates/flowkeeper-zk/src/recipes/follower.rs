//! Follows a subtree: a recursive watch plus re-reads, delivered as batches of changes.
//!
//! A recursive watch carries no data, collapses bursts badly and loses what happens while the connection is down
//! (ZOOKEEPER-4698). So: events only mark paths as dirty; dirty paths are re-read with `multi` reads; after every
//! (re)connect the whole subtree is read again and compared with what was delivered before. Whoever applies the batches in
//! order holds a copy that is at most one watch delivery behind, and never misses a change for good.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::FutureExt;
use zookeeper_client::{
    AddWatchMode, Client, Error, EventType, MultiReadResult, PersistentWatcher, Stat, WatchedEvent,
};

use super::Connection;
use super::connection::tell_unreadable;
use super::fingerprint::{Fingerprint, Ids};
use super::seal::UnsealError;

/// Paths read by one `multi` read; keeps the answer well below the 1 MiB frame for documents of a few KiB.
const PATHS_PER_READ: usize = 100;

/// A znode as read.
#[derive(Clone, Debug)]
pub struct Node {
    pub data: Vec<u8>,
    pub stat: Stat,
}

/// One path that changed: its node now, or `None` when it is gone.
#[derive(Clone, Debug)]
pub struct Change {
    pub path: String,
    pub node: Option<Node>,
}

/// Changes to apply together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub changes: Vec<Change>,
    /// True when this batch completes a full read of the subtree: from here on the copy is whole and current.
    pub resynced: bool,
    /// Every transaction up to this id is contained in the copy once the batch is applied.
    pub zxid: i64,
    /// Of the copy once the batch is applied.
    pub fingerprint: Fingerprint,
    /// The connect of the link ([`Link::connects`](super::Link::connects)) over which it came: the copy is current while this
    /// is the link's and the link is connected.
    pub connects: u64,
}

/// Follows one subtree. Owned by one task, which calls [`TreeFollower::next`] in a loop.
#[derive(Debug)]
pub struct TreeFollower {
    connection: Connection,
    root: String,
    keep: fn(&str) -> bool,
    /// What was read, to compare a full re-read against.
    known: HashMap<String, Ids>,
    /// What was read and not delivered yet: when a later read of the same batch fails, it goes with the next one.
    undelivered: Vec<Change>,
    fingerprint: Fingerprint,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    client: Client,
    watcher: PersistentWatcher,
    connects: u64,
    /// Taken from the watcher, not handled yet.
    pending: Vec<WatchedEvent>,
}

impl Watch {
    /// Takes what has arrived, without waiting.
    fn drain(&mut self) {
        while let Some(seen) = self.watcher.changed().now_or_never() {
            let is_session = seen.event_type == EventType::Session;
            self.pending.push(seen);
            // A watcher whose session has ended answers for ever.
            if is_session {
                return;
            }
        }
    }
}

impl TreeFollower {
    /// Follows `root` (which must exist) and everything below it that `keep` accepts.
    pub fn new(connection: Connection, root: impl Into<String>, keep: fn(&str) -> bool) -> Self {
        let (known, fingerprint) = (HashMap::new(), Fingerprint::default());
        let undelivered = Vec::new();
        TreeFollower { connection, root: root.into(), keep, known, undelivered, fingerprint, watch: None }
    }

    /// The next batch; the first one is the whole subtree. Waits through disconnections and expiries.
    ///
    /// Returns `None` when the connection was closed. Not cancel safe: a cancelled call may swallow events.
    pub async fn next(&mut self) -> Option<Batch> {
        loop {
            let link = self.connection.connected().await?;
            let step = match self.watch.take() {
                Some(watch) if watch.connects == link.connects => self.follow(watch).await,
                _ => self.resync(link.connects).await.map(Some),
            };
            match step {
                Ok(Some(batch)) => {
                    let changes = std::mem::take(&mut self.undelivered);
                    let connects = link.connects;
                    return Some(Batch { changes, fingerprint: self.fingerprint, connects, ..batch });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(root = %self.root, %error, "subtree will be read again");
                    self.watch = None;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Waits for events, re-reads what they name. `None`: the session state changed, look at the link again.
    async fn follow(&mut self, mut watch: Watch) -> Result<Option<Batch>, Error> {
        if watch.pending.is_empty() {
            let seen = watch.watcher.changed().await;
            watch.pending.push(seen);
        }
        watch.drain();
        let zxid = watch.pending.iter().map(|seen| seen.zxid).max().unwrap_or(0);
        let mut batch = Batch { zxid, ..Batch::default() };
        // The events of one transaction arrive one by one, so the newest one may not be whole yet. But an answer comes after
        // every event of what it shows: once what was seen has been read, the rest of that transaction lies in the queue.
        loop {
            let mut dirty = BTreeSet::new();
            for seen in std::mem::take(&mut watch.pending) {
                if seen.event_type == EventType::Session {
                    // Not put back: the link moves with the session, and what was missed is re-read.
                    return Ok(None);
                }
                if seen.zxid > zxid {
                    watch.pending.push(seen);
                } else if (self.keep)(&seen.path) {
                    dirty.insert(seen.path);
                }
            }
            if dirty.is_empty() {
                break;
            }
            let dirty: Vec<_> = dirty.into_iter().collect();
            self.read(&watch.client, &dirty, &mut batch).await?;
            watch.drain();
        }
        // A re-read may have shown a newer transaction of which other parts are still to come. (Servers before 3.9 do not tell
        // the transaction of an event; then what was read is the best there is.)
        if zxid > 0 {
            batch.zxid = zxid;
        }
        self.watch = Some(watch);
        Ok(Some(batch))
    }

    /// Reads the whole subtree and delivers the difference to what was delivered before.
    async fn resync(&mut self, connects: u64) -> Result<Batch, Error> {
        let client = self.connection.client();
        // Watch first, then read: whatever changes in between is both read and announced.
        let watcher = client.watch(&self.root, AddWatchMode::PersistentRecursive).await?;
        client.sync(&self.root).await?;
        let mut batch = Batch { resynced: true, ..Batch::default() };
        let mut gone: BTreeSet<String> = self.known.keys().cloned().collect();
        let mut level = vec![self.root.clone()];
        while !level.is_empty() {
            for path in &level {
                gone.remove(path);
            }
            self.read(&client, &level, &mut batch).await?;
            level = self.list(&client, &level).await?;
        }
        for path in gone {
            self.note(&path, None, &mut batch);
        }
        // What was read first may have changed while the rest was read. Its events lie in the queue by now, because an answer
        // comes after every event of what it shows; once they are worked off the copy is whole up to the newest that was seen.
        let mut watch = Watch { client, watcher, connects, pending: Vec::new() };
        loop {
            watch.drain();
            let pending = std::mem::take(&mut watch.pending);
            if pending.iter().any(|seen| seen.event_type == EventType::Session) {
                return Err(Error::ConnectionLoss);
            }
            let dirty: BTreeSet<String> =
                pending.into_iter().map(|seen| seen.path).filter(|path| (self.keep)(path)).collect();
            if dirty.is_empty() {
                break;
            }
            let dirty: Vec<_> = dirty.into_iter().collect();
            self.read(&watch.client, &dirty, &mut batch).await?;
        }
        self.watch = Some(watch);
        Ok(batch)
    }

    async fn list(&self, client: &Client, parents: &[String]) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for chunk in parents.chunks(PATHS_PER_READ) {
            let mut reader = client.new_multi_reader();
            for path in chunk {
                reader.add_get_children(path)?;
            }
            for (parent, result) in chunk.iter().zip(reader.commit().await?) {
                let MultiReadResult::Children { children } = result else { continue };
                let slash = if parent == "/" { "" } else { "/" };
                let paths = children.into_iter().map(|child| format!("{parent}{slash}{child}"));
                found.extend(paths.filter(|path| (self.keep)(path)));
            }
        }
        Ok(found)
    }

    async fn read(&mut self, client: &Client, paths: &[String], batch: &mut Batch) -> Result<(), Error> {
        for chunk in paths.chunks(PATHS_PER_READ) {
            let mut reader = client.new_multi_reader();
            for path in chunk {
                reader.add_get_data(path)?;
            }
            for (path, result) in chunk.iter().zip(reader.commit().await?) {
                let node = match result {
                    MultiReadResult::Data { data, stat } => Some(Node { data, stat }),
                    MultiReadResult::Error { err: Error::NoNode } => None,
                    // Somebody else's: it must not keep us from the rest.
                    MultiReadResult::Error { err: Error::NoAuth } => {
                        tracing::warn!(path, "not readable with our credentials, taken as absent");
                        None
                    }
                    MultiReadResult::Error { err } => return Err(err),
                    other => {
                        return Err(Error::UnexpectedError(format!("{path}: unexpected answer {other:?}")));
                    }
                };
                self.note(path, node, batch);
            }
        }
        Ok(())
    }

    /// Notes and unseals what is news, and nothing else.
    fn note(&mut self, path: &str, node: Option<Node>, batch: &mut Batch) {
        if batch.resynced
            && let Some(Node { stat, .. }) = &node
        {
            // Also of what is no news: a directory tells of what was deleted in it.
            batch.zxid = batch.zxid.max(stat.mzxid).max(stat.pzxid);
        }
        let seen = node.as_ref().map(|node| {
            let Stat { czxid, mzxid, version, .. } = node.stat;
            Ids { czxid, mzxid, version }
        });
        let known = self.known.get(path).copied();
        if known == seen {
            return;
        }
        batch.zxid = batch.zxid.max(seen.map_or(0, |ids| ids.mzxid));
        if let Some(ids) = known {
            self.fingerprint.remove(path, ids);
        }
        match seen {
            Some(ids) => {
                self.fingerprint.add(path, ids);
                self.known.insert(path.to_owned(), ids);
            }
            None => drop(self.known.remove(path)),
        }
        let node = node.map(|node| self.unsealed(path, node));
        if node.is_none() {
            self.connection.sealing().unreadable().remove(path);
        }
        self.undelivered.push(Change { path: path.to_owned(), node });
    }

    fn unsealed(&self, path: &str, node: Node) -> Node {
        let sealing = self.connection.sealing();
        let (data, has_key) = match sealing.unsealed(path, node.data) {
            Ok(data) => (data, true),
            Err((error, data)) => {
                // Of documents without a key there may be thousands: the first tells it all.
                let is_told = matches!(error, UnsealError::UnknownKey(_)) && !sealing.unreadable().is_empty();
                if !is_told {
                    tell_unreadable(path, error);
                }
                (data, !matches!(error, UnsealError::UnknownKey(_)))
            }
        };
        let mut unreadable = sealing.unreadable();
        if has_key {
            unreadable.remove(path)
        } else {
            unreadable.insert(path.to_owned())
        };
        Node { data, ..node }
    }
}
