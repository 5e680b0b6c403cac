//! One client connection: framing in, bytes out, and the limits on both.
//!
//! The connection's task knows frames and nothing of their content. It hands whole frames to the core and
//! writes what the core releases. Two limits bound its memory: a window of requests that are not answered
//! yet, and the bytes that wait to be written. At the first the task stops reading, so a client that does not
//! read its replies is slowed down by TCP. Notifications are not requests; a connection on which they pile up
//! is closed by the core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::core::Input;
use super::stats::Counters;
use super::watches::ConnId;

/// Requests of one connection that may be unanswered.
const WINDOW: usize = 1024;
/// Frames handed over at once.
const MAX_FRAMES: usize = 256;
/// The core stops working for a connection with this many bytes to write.
const CLOGGED: usize = 4 << 20;
/// Room asked of the buffer for one read.
const READ_SIZE: usize = 16 << 10;
/// A connection without a session is closed after this time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// After the last byte is sent, what the client still sends is swallowed this long, so that no reset
/// overtakes the bytes.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes for a client, and how many requests they answer.
struct Packet {
    bytes: Vec<u8>,
    requests: usize,
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
    /// Bytes handed over by the core and not yet written.
    queued: AtomicUsize,
    /// Whether the core waits for `queued` to fall.
    core_waits: AtomicBool,
}

impl Outgoing {
    pub(crate) fn queued(&self) -> usize {
        self.flow.queued.load(Ordering::SeqCst)
    }

    pub(crate) fn is_clogged(&self, pending: usize) -> bool {
        self.queued() + pending > CLOGGED
    }

    /// Asks for [`Input::Drained`] when there is room again. False if there is room by now.
    pub(crate) fn wait_for_room(&self) -> bool {
        self.flow.core_waits.store(true, Ordering::SeqCst);
        self.queued() > CLOGGED / 2 || !self.flow.core_waits.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn delivery(&self, bytes: Vec<u8>, requests: usize, since: Option<Instant>) -> Delivery {
        self.flow.queued.fetch_add(bytes.len(), Ordering::SeqCst);
        Delivery { out: self.clone(), packet: Packet { bytes, requests, since } }
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
}

/// How a server tells its tasks to end.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// No new connections; the core hangs up on those there are.
    pub(crate) stopping: CancellationToken,
    /// Nobody holds the server any more: leave at once. Implies `stopping`.
    pub(crate) abandoned: CancellationToken,
}

/// A connection that has been accepted.
pub(crate) struct Connection {
    id: ConnId,
    core: mpsc::Sender<Input>,
    packets: mpsc::UnboundedReceiver<Packet>,
    flow: Arc<Flow>,
    limits: Limits,
    counters: Arc<Counters>,
}

impl Connection {
    pub(crate) fn new(
        id: ConnId,
        core: mpsc::Sender<Input>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> (Self, Outgoing) {
        let (sender, packets) = mpsc::unbounded_channel();
        let flow = Arc::new(Flow {
            window: Semaphore::new(WINDOW),
            queued: AtomicUsize::new(0),
            core_waits: AtomicBool::new(false),
        });
        let out = Outgoing { packets: sender, flow: Arc::clone(&flow) };
        (Self { id, core, packets, flow, limits, counters }, out)
    }

    /// Serves the connection until the core or the client ends it.
    pub(crate) async fn run(mut self, mut socket: TcpStream, ends: Ends) {
        // Replies are small and waited for.
        let _ = socket.set_nodelay(true);
        let (mut read, mut write) = socket.split();
        let reader = Reader { id: self.id, core: &self.core, flow: &self.flow, limits: self.limits };
        let writer = Writer {
            id: self.id,
            core: &self.core,
            flow: &self.flow,
            limits: self.limits,
            counters: &self.counters,
        };
        let sent_all = {
            let writing = writer.run(&mut write, &mut self.packets);
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
        if sent_all && write.shutdown().await.is_ok() {
            let mut rest = [0; 1024];
            let swallow = async { while matches!(read.read(&mut rest).await, Ok(n) if n > 0) {} };
            tokio::select! {
                _ = timeout(LINGER, swallow) => {}
                () = ends.stopping.cancelled() => {}
            }
        }
    }
}

struct Reader<'a> {
    id: ConnId,
    core: &'a mpsc::Sender<Input>,
    flow: &'a Flow,
    limits: Limits,
}

impl Reader<'_> {
    /// Reads until the client closes, breaks the framing rules, or never begins.
    async fn run(&self, socket: &mut ReadHalf<'_>) {
        let mut buffer = BytesMut::new();
        let begun = timeout(HANDSHAKE_TIME, self.first_frame(socket, &mut buffer)).await;
        if !matches!(begun, Ok(true)) {
            return;
        }
        loop {
            let Ok((end, count)) = whole_frames(&buffer, self.limits.max_frame) else { return };
            if count > 0 {
                if !self.hand_over(buffer.split_to(end).freeze(), count).await {
                    return;
                }
            } else if !self.read_more(socket, &mut buffer).await {
                return;
            }
        }
    }

    /// Waits for the first whole frame, or answers a four-letter word. False ends the connection.
    async fn first_frame(&self, socket: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> bool {
        loop {
            if let Some(word) = buffer.first_chunk::<4>().filter(|w| w.iter().all(u8::is_ascii_lowercase)) {
                let word = Input::Word { conn: self.id, word: *word };
                if self.core.send(word).await.is_ok() {
                    // The core answers and closes.
                    std::future::pending::<()>().await;
                }
                return false;
            }
            match whole_frames(buffer, self.limits.max_frame) {
                Ok((_, 0)) => {}
                Ok(_) => return true,
                Err(()) => return false,
            }
            if !self.read_more(socket, buffer).await {
                return false;
            }
        }
    }

    async fn read_more(&self, socket: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> bool {
        let missing = frame_length(buffer).map_or(0, |len| (len + 4).saturating_sub(buffer.len()));
        if buffer.capacity() - buffer.len() < missing.max(READ_SIZE / 4) {
            buffer.reserve(missing.max(READ_SIZE));
        }
        matches!(socket.read_buf(buffer).await, Ok(n) if n > 0)
    }

    async fn hand_over(&self, frames: Bytes, count: usize) -> bool {
        let since = Instant::now();
        let Ok(window) = self.flow.window.acquire_many(count as u32).await else { return false };
        // The writer gives the window back when the replies are written.
        window.forget();
        self.core.send(Input::Frames { conn: self.id, frames, since }).await.is_ok()
    }
}

/// Length of the frame that begins the buffer.
fn frame_length(buffer: &[u8]) -> Option<usize> {
    // A negative length becomes one that is over every limit.
    buffer.first_chunk::<4>().map(|len| u32::from_be_bytes(*len) as usize)
}

/// Where the whole frames at the beginning of the buffer end, and how many they are.
fn whole_frames(buffer: &[u8], max_frame: usize) -> Result<(usize, usize), ()> {
    let (mut end, mut count) = (0, 0);
    while let Some(len) = frame_length(&buffer[end..]).filter(|_| count < MAX_FRAMES) {
        if len > max_frame {
            // The frames before it are still served; the next call meets it first.
            return if count == 0 { Err(()) } else { Ok((end, count)) };
        }
        if buffer.len() - end < len + 4 {
            break;
        }
        end += len + 4;
        count += 1;
    }
    Ok((end, count))
}

struct Writer<'a> {
    id: ConnId,
    core: &'a mpsc::Sender<Input>,
    flow: &'a Flow,
    limits: Limits,
    counters: &'a Counters,
}

impl Writer<'_> {
    /// Writes until the core hangs up (true), or the client takes no more (false).
    async fn run(&self, socket: &mut WriteHalf<'_>, packets: &mut mpsc::UnboundedReceiver<Packet>) -> bool {
        while let Some(mut packet) = packets.recv().await {
            while packet.bytes.len() < CLOGGED {
                let Ok(mut next) = packets.try_recv() else { break };
                packet.bytes.append(&mut next.bytes);
                packet.requests += next.requests;
                packet.since = packet.since.or(next.since);
            }
            if !self.write(socket, &packet.bytes).await {
                return false;
            }
            self.counters.answered(packet.requests, packet.since.map(|since| since.elapsed()));
            self.flow.window.add_permits(packet.requests);
            let left = self.flow.queued.fetch_sub(packet.bytes.len(), Ordering::SeqCst) - packet.bytes.len();
            if left <= CLOGGED / 2
                && self.flow.core_waits.swap(false, Ordering::SeqCst)
                && self.core.send(Input::Drained { conn: self.id }).await.is_err()
            {
                return false;
            }
        }
        true
    }

    async fn write(&self, socket: &mut WriteHalf<'_>, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match timeout(self.limits.write_time, socket.write(bytes)).await {
                Ok(Ok(n)) if n > 0 => bytes = &bytes[n..],
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_frames_are_counted_and_the_rest_waits() {
        assert_eq!(whole_frames(&[0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 2, 1], 10), Ok((9, 2)));
        assert_eq!(whole_frames(&[0, 0], 10), Ok((0, 0)));
    }

    #[test]
    fn frames_over_the_limit_end_the_connection_after_those_before() {
        assert_eq!(whole_frames(&[0, 0, 0, 11], 10), Err(()));
        assert_eq!(whole_frames(&[0xff; 4], 10), Err(()));
        assert_eq!(whole_frames(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 10), Ok((4, 1)));
        assert_eq!(whole_frames(&[0, 0, 0, 10], 10), Ok((0, 0)));
    }

    proptest! {
        #[test]
        fn framing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), max in 0..300usize) {
            if let Ok((end, _)) = whole_frames(&bytes, max) {
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
