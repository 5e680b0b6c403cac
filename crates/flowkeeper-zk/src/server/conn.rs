//! One client connection: framing in, bytes out, and the limits on both.
//!
//! The connection's task knows frames and nothing of their content. It hands whole frames to the core and
//! writes what the core releases. Two limits bound its memory: a window of requests that are not answered
//! yet, in number and in bytes, and the bytes that wait to be written. At the first the task stops reading, so a
//! client that does not read its replies is slowed down by TCP, and dropped when it takes nothing for long.
//! Notifications are not requests; a connection on which they pile up is closed by the core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::complaints::Complaints;
use super::core::Input;
use super::stats::{Counters, Latency};
use super::watches::ConnId;

mod reader;
mod writer;

use reader::Reader;
use writer::Writer;

/// Requests of one connection that may be unanswered.
const WINDOW: usize = 1024;
/// Bytes of unanswered requests of one connection, beside the one frame that is always let in.
const ROOM: usize = 4 << 20;
/// The core stops working for a connection with this many bytes to write.
const CLOGGED: usize = 4 << 20;
/// After the last byte is sent, what the client still sends is swallowed this long, so that no reset
/// overtakes the bytes.
const LINGER: Duration = Duration::from_secs(1);

/// Requests, and the bytes they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
    /// Whether one of them wrote.
    pub(crate) is_update: bool,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.is_update |= other.is_update;
    }
}

/// Bytes for a client, and the requests they answer.
struct Packet {
    bytes: Vec<u8>,
    answers: Load,
    /// When the oldest of the requests came.
    since: Option<Instant>,
}

/// The core's end of a connection. When the last clone is gone the connection sends what it has and closes.
#[derive(Clone)]
pub(crate) struct Outgoing {
    // Unbounded, because the core must not wait; `queued` is the bound.
    packets: mpsc::UnboundedSender<Packet>,
    flow: Arc<Flow>,
}

/// Flow control between core and connection.
struct Flow {
    window: Semaphore,
    room: Semaphore,
    /// Bytes handed over by the core and not yet written.
    queued: AtomicUsize,
    /// Whether the core waits for `queued` to fall.
    core_waits: AtomicBool,
    /// From the arrival of a round of requests to the last byte of its answer.
    latency: Latency,
}

impl Outgoing {
    pub(crate) fn queued(&self) -> usize {
        self.flow.queued.load(Ordering::SeqCst)
    }

    /// How long the connection's rounds took.
    pub(crate) fn latency(&self) -> &Latency {
        &self.flow.latency
    }

    pub(crate) fn is_clogged(&self, pending: usize) -> bool {
        self.queued() + pending > CLOGGED
    }

    /// Asks for [`Input::Drained`] when there is room again. False if there is room by now.
    pub(crate) fn wait_for_room(&self) -> bool {
        self.flow.core_waits.store(true, Ordering::SeqCst);
        self.queued() > CLOGGED / 2 || !self.flow.core_waits.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn delivery(&self, bytes: Vec<u8>, answers: Load, since: Option<Instant>) -> Delivery {
        self.flow.queued.fetch_add(bytes.len(), Ordering::SeqCst);
        Delivery { out: self.clone(), packet: Packet { bytes, answers, since } }
    }
}

/// Bytes on their way to a client, possibly waiting for the disk.
pub(crate) struct Delivery {
    out: Outgoing,
    packet: Packet,
}

impl Delivery {
    /// Lets the bytes go.
    pub(crate) fn release(self) {
        // A connection that is gone needs no bytes.
        let _ = self.out.packets.send(self.packet);
    }
}

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_frame: usize,
    /// A client that takes no byte for this long is dropped.
    pub(crate) write_time: Duration,
    /// A connection without a session is closed after this time.
    pub(crate) handshake_time: Duration,
}

impl Limits {
    /// Bytes of unanswered requests: the longest batch of frames must fit, or it would wait forever.
    fn room(self) -> usize {
        ROOM + reader::longest_batch(self.max_frame)
    }
}

/// How a server tells its tasks to end.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// No new connections; the core hangs up on those there are.
    pub(crate) stopping: CancellationToken,
    /// Nobody holds the server any more: leave at once. Implies `stopping`.
    pub(crate) abandoned: CancellationToken,
}

/// What the bytes of a connection go through.
pub(crate) enum Socket {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// A connection that has been accepted.
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) core: mpsc::Sender<Input>,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) complaints: Arc<Complaints>,
}

/// The connection's end of an [`Outgoing`].
pub(crate) struct Incoming {
    packets: mpsc::UnboundedReceiver<Packet>,
    flow: Arc<Flow>,
}

/// The two ends of what goes from the core to a connection.
pub(crate) fn outgoing(limits: Limits) -> (Outgoing, Incoming) {
    let (sender, packets) = mpsc::unbounded_channel();
    let flow = Arc::new(Flow {
        window: Semaphore::new(WINDOW),
        room: Semaphore::new(limits.room()),
        queued: AtomicUsize::new(0),
        core_waits: AtomicBool::new(false),
        latency: Latency::default(),
    });
    (Outgoing { packets: sender, flow: Arc::clone(&flow) }, Incoming { packets, flow })
}

impl Connection {
    /// Serves the connection until the core or the client ends it. `subject` is whom a client certificate names.
    pub(crate) async fn run(self, socket: Socket, subject: Option<String>, ends: Ends) {
        let (out, incoming) = outgoing(self.limits);
        let is_secure = matches!(socket, Socket::Secure(_));
        let opened = Input::Opened { conn: self.id, peer: self.peer, out, is_secure, subject };
        if self.core.send(opened).await.is_err() {
            return;
        }
        match socket {
            Socket::Plain(mut stream) => {
                let (read, write) = stream.split();
                self.serve(read, write, incoming, ends).await;
            }
            Socket::Secure(stream) => {
                let (read, write) = tokio::io::split(*stream);
                self.serve(read, write, incoming, ends).await;
            }
        }
    }

    async fn serve(
        &self,
        mut read: impl AsyncRead + Unpin,
        mut write: impl AsyncWrite + Unpin,
        mut incoming: Incoming,
        ends: Ends,
    ) {
        let reader = Reader { conn: self, flow: &incoming.flow };
        let writer = Writer { conn: self, flow: &incoming.flow };
        let sent_all = {
            let writing = writer.run(&mut write, &mut incoming.packets);
            tokio::pin!(writing);
            tokio::select! {
                sent_all = &mut writing => sent_all,
                () = reader.run(&mut read) => {
                    if self.core.send(Input::Closed { conn: self.id }).await.is_err() {
                        return;
                    }
                    (&mut writing).await
                }
                () = ends.abandoned.cancelled() => return,
            }
        };
        // The core may be gone already when the whole server stops.
        let _ = self.core.send(Input::Closed { conn: self.id }).await;
        if sent_all && matches!(timeout(LINGER, write.shutdown()).await, Ok(Ok(()))) {
            let mut rest = [0; 1024];
            let swallow = async { while matches!(read.read(&mut rest).await, Ok(n) if n > 0) {} };
            tokio::select! {
                _ = timeout(LINGER, swallow) => {}
                () = ends.stopping.cancelled() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
