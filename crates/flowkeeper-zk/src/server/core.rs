//! The core: one thread that owns tree, sessions and watches, and takes every request in turn.
//!
//! Requests are applied to the newest state at once. Replies and notifications gather in their connection's
//! outgoing bytes, in order, and are handed on at the end of each round: straight to the connections if all
//! they show is durable, else with the round's journal to the log thread, which releases them after its sync.
//! A notification is therefore always in front of any reply that shows the change it tells of.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::acl::{Identities, Schemes};
use super::complaints::Complaints;
use super::config::Config;
use super::conn::{Delivery, Load, Outgoing};
use super::error::Error;
use super::journal::Journal;
use super::quota::Quotas;
use super::sasl;
use super::state::State;
use super::stats::Counters;
use super::storage::log::Batch;
use super::storage::space::Space;
use super::watches::{Change, ConnId, Watches};

mod access;
mod clock;
mod connections;
mod report;
mod requests;
mod restore;
mod rounds;
mod session;
mod snapshots;
mod words;

pub(crate) use clock::{Clock, wall};
pub(crate) use report::ConnReport;
pub(crate) use snapshots::Snapshots;
pub(crate) use words::WORDS;

/// Messages taken from the queue at once.
const ROUND: usize = 64;
/// Requests after which a round is handed on although more wait.
const HAND_ON: usize = 256;
/// Bytes of transactions after which it is, too.
const HAND_ON_BYTES: usize = 1 << 20;
/// Milliseconds after which recent times are those before, see [`Counters::age`].
const AGE: u64 = 30_000;
/// A connection whose notifications pile up to this many bytes is closed.
const MAX_OUTGOING: usize = 16 << 20;

/// What the core hears.
pub(crate) enum Input {
    Opened {
        conn: ConnId,
        peer: SocketAddr,
        out: Outgoing,
        /// It came over TLS.
        is_secure: bool,
        /// Whom a client certificate names.
        subject: Option<String>,
    },
    /// Whole frames, with their lengths.
    Frames {
        conn: ConnId,
        frames: Bytes,
        since: Instant,
    },
    Word {
        conn: ConnId,
        word: [u8; 4],
    },
    /// There is room again in a connection that was clogged.
    Drained {
        conn: ConnId,
    },
    Closed {
        conn: ConnId,
    },
    Tick,
    /// The snapshot thread is done.
    SnapshotDone(Result<u64, Error>),
    /// Somebody wants to know something.
    Ask(Ask),
    /// The log thread has ended, though nobody asked it to.
    LogEnded,
    Stop,
}

/// A question of the HTTP side, put between two requests. It carries the way its answer goes.
pub(crate) type Ask = Box<dyn FnOnce(&mut Core) + Send>;

/// The core's end of the log thread.
pub(crate) struct LogLink {
    pub(crate) batches: SyncSender<Batch>,
    pub(crate) done: Arc<AtomicU64>,
    pub(crate) thread: JoinHandle<Result<(), Error>>,
    pub(crate) sent: u64,
    pub(crate) space: Arc<Space>,
}

/// The log thread has ended by itself.
struct LogGone;

/// The last request of a connection, for people.
#[derive(Clone, Copy, Default)]
struct Last {
    /// Those of the protocol itself, like that of a ping, leave the one before.
    xid: i32,
    op: i32,
    /// What its reply told.
    zxid: i64,
    /// Milliseconds since 1970.
    at: i64,
}

/// A connection as the core sees it.
struct Conn {
    peer: SocketAddr,
    out: Outgoing,
    session: Option<i64>,
    who: Identities,
    /// Bytes for the client since the last hand-on, and the requests they answer.
    pending: Vec<u8>,
    answered: usize,
    /// Bytes of those requests.
    answered_bytes: usize,
    /// Whether one of them wrote.
    has_written: bool,
    since: Option<Instant>,
    /// Frames that wait until the client has read its replies.
    stalled: VecDeque<Bytes>,
    received: u64,
    notified: u64,
    /// Whether it came over TLS.
    is_secure: bool,
    /// Milliseconds since 1970.
    opened: i64,
    last: Option<Last>,
    sasl: sasl::Exchange,
    /// Has authenticated as the configuration demands.
    is_admitted: bool,
    is_dirty: bool,
    /// Closed for the client: what is pending is sent, nothing more is taken.
    is_closing: bool,
}

impl Conn {
    fn take_delivery(&mut self) -> Option<Delivery> {
        if self.pending.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.pending);
        let answers = Load {
            requests: std::mem::take(&mut self.answered),
            bytes: std::mem::take(&mut self.answered_bytes),
            is_update: std::mem::take(&mut self.has_written),
        };
        Some(self.out.delivery(bytes, answers, self.since.take()))
    }
}

/// See the module's description.
pub(crate) struct Core {
    config: Config,
    state: State,
    journal: Journal,
    /// Zxid of the journal's first record.
    journal_first: i64,
    watches: Watches,
    conns: HashMap<ConnId, Conn>,
    dirty: Vec<ConnId>,
    clock: Clock,
    log: Option<LogLink>,
    snapshots: Option<Snapshots>,
    counters: Arc<Counters>,
    complaints: Arc<Complaints>,
    quotas: Quotas,
    /// Schemes one of which every connection must have authenticated by.
    demanded: Vec<String>,
    schemes: Schemes,
    received: u64,
    notified: u64,
    /// Requests since the last hand-on.
    round: usize,
    last_reap: u64,
    last_age: u64,
    // Reused space.
    changes: Vec<Change>,
    hearers: Vec<ConnId>,
    body: Vec<u8>,
}

impl Core {
    pub(crate) fn new(
        config: Config,
        mut state: State,
        clock: Clock,
        log: Option<LogLink>,
        snapshots: Option<Snapshots>,
        counters: Arc<Counters>,
        complaints: Arc<Complaints>,
    ) -> Self {
        let demanded = access::demanded(&config);
        Self {
            complaints,
            quotas: Quotas::load(&mut state.tree),
            schemes: access::offered(&config, &demanded),
            demanded,
            config,
            state,
            journal: Journal::default(),
            journal_first: 0,
            watches: Watches::default(),
            conns: HashMap::new(),
            dirty: Vec::new(),
            clock,
            log,
            snapshots,
            counters,
            received: 0,
            notified: 0,
            round: 0,
            last_reap: 0,
            last_age: 0,
            changes: Vec::new(),
            hearers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Works until told to stop, or until every handle is gone; then what is logged is on the disk. Asked to
    /// stop, it leaves a snapshot.
    ///
    /// # Errors
    /// The log failed: nothing was acknowledged since.
    pub(crate) fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), Error> {
        let ended = self.serve_all(&mut inputs);
        // Log and snapshot threads may be waiting to send; they are waited for below.
        inputs.close();
        match ended {
            Ok(with_snapshot) => self.finish(with_snapshot),
            // The log has failed; its error is the one to tell.
            Err(LogGone) => self.finish(false).and(Err(Error::Thread("log"))),
        }
    }

    /// Serves until the end. Tells whether a snapshot is wanted.
    fn serve_all(&mut self, inputs: &mut mpsc::Receiver<Input>) -> Result<bool, LogGone> {
        self.publish();
        let mut round = Vec::with_capacity(ROUND);
        while inputs.blocking_recv_many(&mut round, ROUND) > 0 {
            self.clock.advance();
            for input in round.drain(..) {
                match input {
                    Input::Stop => {
                        self.hand_on()?;
                        return Ok(true);
                    }
                    Input::LogEnded => return Err(LogGone),
                    other => self.take(other),
                }
                if self.round >= HAND_ON || self.journal.len() >= HAND_ON_BYTES {
                    self.hand_on()?;
                }
            }
            self.hand_on()?;
            self.publish();
        }
        Ok(false)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Opened { conn, peer, out, is_secure, subject } => {
                self.open(conn, peer, out, is_secure, subject.as_deref());
            }
            Input::Frames { conn, frames, since } => self.frames(conn, frames, since),
            Input::Word { conn, word } => self.word(conn, word),
            Input::Drained { conn } => self.drained(conn),
            Input::Closed { conn } => self.drop_conn(conn),
            Input::Tick => self.tick(),
            Input::Ask(ask) => {
                self.publish();
                ask(self);
            }
            Input::SnapshotDone(result) => {
                if let Some(snapshots) = &mut self.snapshots {
                    if result.is_ok() {
                        self.counters.snapshots.record(snapshots.begun.elapsed());
                    }
                    snapshots.finished(result);
                }
            }
            // Handled by `run`, which can return.
            Input::Stop | Input::LogEnded => {}
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        // Both are transactions; they wait until the disk has space.
        let is_full = self.is_full();
        let expired = if is_full { Vec::new() } else { self.state.sessions.expired(now) };
        for session in expired {
            tracing::info!(session.id = %format_args!("0x{session:x}"), "session expired");
            Counters::count(&self.counters.expired);
            self.end_session(session);
        }
        if now >= self.last_age + AGE {
            self.last_age = now;
            self.counters.age();
        }
        if !is_full && now >= self.last_reap + self.config.container_check.as_millis() as u64 {
            self.last_reap = now;
            self.reap();
        }
    }

    /// Whether the disk has no space for transactions.
    fn is_full(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.space.is_full())
    }

    /// Whether there is space for the end of a session.
    fn has_room_for_little(&self) -> bool {
        self.log.as_ref().is_none_or(|log| !log.space.is_full() || log.space.has_room_for_little())
    }

    fn publish(&self) {
        let c = &self.counters;
        c.zxid.store(self.state.last.zxid as u64, Ordering::Relaxed);
        c.received.store(self.received, Ordering::Relaxed);
        c.notified.store(self.notified, Ordering::Relaxed);
        Counters::set(&c.nodes, self.state.tree.len());
        c.data_bytes.store(self.state.tree.bytes(), Ordering::Relaxed);
        Counters::set(&c.ephemerals, self.state.tree.ephemeral_count());
        Counters::set(&c.watches, self.watches.len());
        Counters::set(&c.sessions, self.state.sessions.len());
        Counters::set(&c.connections, self.conns.len());
    }
}

/// Remembers that a connection has something to hand on.
fn mark_dirty(dirty: &mut Vec<ConnId>, id: ConnId, conn: &mut Conn) {
    if !conn.is_dirty {
        conn.is_dirty = true;
        dirty.push(id);
    }
}

#[cfg(test)]
mod tests;
