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
mod report;
mod requests;
mod restore;
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
    xid: i32,
    op: i32,
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

    fn open(&mut self, id: ConnId, peer: SocketAddr, out: Outgoing, is_secure: bool, subject: Option<&str>) {
        let mut who = Identities::from_address(peer.ip()).offered(self.schemes);
        if let Some(subject) = subject {
            who.add_subject(subject, self.config.super_x509.as_deref());
        }
        let conn = Conn {
            peer,
            out,
            session: None,
            is_admitted: access::admits(&self.demanded, &who),
            who,
            sasl: sasl::Exchange::default(),
            pending: Vec::new(),
            answered: 0,
            answered_bytes: 0,
            has_written: false,
            since: None,
            stalled: VecDeque::new(),
            received: 0,
            notified: 0,
            is_secure,
            opened: self.clock.wall(),
            last: None,
            is_dirty: false,
            is_closing: false,
        };
        self.conns.insert(id, conn);
        Counters::count(&self.counters.accepted);
    }

    fn frames(&mut self, id: ConnId, frames: Bytes, since: Instant) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.since.get_or_insert(since);
        if !conn.stalled.is_empty() {
            conn.stalled.push_back(frames);
            return;
        }
        self.serve(id, frames);
    }

    /// Serves frames until the connection closes or clogs; then the rest waits.
    fn serve(&mut self, id: ConnId, mut frames: Bytes) {
        let mut at = 0;
        while let Some(len) = frames.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_closing) else { return };
            if conn.out.is_clogged(conn.pending.len()) {
                conn.stalled.push_front(frames.split_off(at));
                mark_dirty(&mut self.dirty, id, conn);
                return;
            }
            let end = at + 4 + u32::from_be_bytes(*len) as usize;
            let frame = frames.slice(at + 4..end);
            at = end;
            self.request(id, &frame);
        }
    }

    fn drained(&mut self, id: ConnId) {
        while let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_closing)
            && !conn.out.is_clogged(conn.pending.len())
            && let Some(frames) = conn.stalled.pop_front()
        {
            self.serve(id, frames);
        }
    }

    /// The connection is gone; its session lives on.
    fn drop_conn(&mut self, id: ConnId) {
        self.close_conn(id);
        self.conns.remove(&id);
    }

    /// Sends what is pending, then closes.
    fn close_conn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_closing) else { return };
        conn.is_closing = true;
        conn.stalled.clear();
        mark_dirty(&mut self.dirty, id, conn);
        if let Some(session) = conn.session.and_then(|session| self.state.sessions.get_mut(session))
            && session.conn == Some(id)
        {
            session.conn = None;
        }
        self.watches.remove_conn(id);
    }

    /// Ends a round: what it wrote goes to the log, what it answered to the clients.
    fn hand_on(&mut self) -> Result<(), LogGone> {
        self.round = 0;
        // A connection may find room at once and have stalled requests served, which is more to hand on.
        while !self.dirty.is_empty() {
            let mut deliveries = Vec::with_capacity(self.dirty.len());
            let mut roomy = Vec::new();
            for id in std::mem::take(&mut self.dirty) {
                let Some(conn) = self.conns.get_mut(&id) else { continue };
                conn.is_dirty = false;
                deliveries.extend(conn.take_delivery());
                if conn.is_closing {
                    self.conns.remove(&id);
                } else if !conn.stalled.is_empty() && !conn.out.wait_for_room() {
                    roomy.push(id);
                }
            }
            self.send(deliveries)?;
            for id in roomy {
                self.drained(id);
            }
        }
        // Transactions of the server's own may have nobody to tell.
        if self.journal.is_empty() { Ok(()) } else { self.send(Vec::new()) }
    }

    fn send(&mut self, deliveries: Vec<Delivery>) -> Result<(), LogGone> {
        let Some(log) = &mut self.log else {
            self.journal.clear();
            deliveries.into_iter().for_each(Delivery::release);
            return Ok(());
        };
        if self.journal.is_empty() && log.sent == log.done.load(Ordering::Acquire) {
            deliveries.into_iter().for_each(Delivery::release);
            return Ok(());
        }
        let mut ends_segment = false;
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.logged(self.journal.len());
            if snapshots.is_due(self.state.last.zxid) {
                ends_segment = snapshots.start(self.state.cut());
            }
        }
        let batch =
            Batch { first: self.journal_first, records: self.journal.take(), deliveries, ends_segment };
        log.sent += 1;
        log.space.announce(batch.records.len());
        log.batches.send(batch).map_err(|_| LogGone)
    }

    fn finish_log(&mut self) -> Result<(), Error> {
        let Some(log) = self.log.take() else { return Ok(()) };
        drop(log.batches);
        log.thread.join().unwrap_or(Err(Error::Thread("log")))
    }

    /// Waits for the log, and leaves a snapshot if asked to.
    fn finish(mut self, with_snapshot: bool) -> Result<(), Error> {
        self.finish_log()?;
        // The last replies are on their way; now the connections may close.
        self.conns.clear();
        match self.snapshots.take() {
            Some(snapshots) => snapshots.close(with_snapshot.then(|| self.state.cut())),
            None => Ok(()),
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
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc::error::TrySendError;

    use super::*;
    use crate::proto::jute::put_frame;
    use crate::proto::{ConnectRequest, Encoder};
    use crate::server::conn::{Limits, outgoing};

    fn handshake() -> Bytes {
        let ask = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout: 5000,
            session: 0,
            password: &[0; 16],
            read_only: Some(false),
        };
        let mut frame = Vec::new();
        put_frame(&mut frame, |out| ask.encode(&mut Encoder::new(out)));
        frame.into()
    }

    /// Puts an input into the queue; tells `stuck` when there is no room for long. False: the core takes nothing more.
    fn put(core: &mpsc::Sender<Input>, mut input: Input, stuck: &std::sync::mpsc::Sender<()>) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            input = match core.try_send(input) {
                Ok(()) => return true,
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(input)) => input,
            };
            if begun.elapsed() > Duration::from_millis(500) {
                // The log thread may be gone.
                let _ = stuck.send(());
            }
            std::thread::yield_now();
        }
        false
    }

    #[test]
    fn a_failed_log_ends_the_core_at_once_though_the_cores_queue_is_full() {
        let (to_core, inputs) = mpsc::channel(1);
        let (batches, waiting) = std::sync::mpsc::sync_channel(1);
        let (stuck, is_stuck) = std::sync::mpsc::channel();
        let end = to_core.clone();
        let thread = std::thread::spawn(move || {
            waiting.recv().expect("a batch");
            drop(waiting);
            // The queue is full for good, or nobody is there any more.
            let _ = is_stuck.recv();
            drop(end.blocking_send(Input::LogEnded));
            Err(Error::Thread("disk"))
        });
        let log = LogLink { batches, done: Arc::default(), thread, sent: 0, space: Arc::default() };
        let core = Core::new(
            Config::default(),
            State::new(1000, wall()),
            Clock::new(Duration::from_secs(1)),
            Some(log),
            None,
            Arc::default(),
            Arc::default(),
        );
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(core.run(inputs)));
        // Sessions are opened, which are transactions, until nobody takes them any more.
        let mut conns = Vec::new();
        for n in 0.. {
            let second = Duration::from_secs(1);
            let limits = Limits { max_frame: 1024, write_time: second, handshake_time: second };
            let (out, conn) = outgoing(limits);
            conns.push(conn);
            let peer = ([127, 0, 0, 1], 1).into();
            let frames = Input::Frames { conn: ConnId(n), frames: handshake(), since: Instant::now() };
            let opened = Input::Opened { conn: ConnId(n), peer, out, is_secure: false, subject: None };
            if !put(&to_core, opened, &stuck) || !put(&to_core, frames, &stuck) {
                break;
            }
        }
        drop(stuck);
        let result = end.recv_timeout(Duration::from_secs(20)).expect("the core ends");
        assert!(matches!(result, Err(Error::Thread("disk"))), "{result:?}");
    }
}
