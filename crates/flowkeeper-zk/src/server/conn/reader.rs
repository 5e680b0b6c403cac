//! The reading half of a connection: bytes in, whole frames to the core.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout};

use super::{Connection, Flow};
use crate::server::complaints::complain;
use crate::server::core::{Input, WORDS};

/// Frames handed over at once.
const MAX_FRAMES: usize = 256;
/// A batch of frames ends once it has this many bytes.
const MAX_BATCH: usize = 1 << 20;
/// How a TLS connection begins. As a length it is over every limit.
const TLS: &[u8] = &[0x16, 3];
/// Room asked of the buffer for one read.
const READ_SIZE: usize = 16 << 10;

/// Bytes that are handed over at once at most.
pub(super) fn longest_batch(max_frame: usize) -> usize {
    MAX_BATCH + max_frame + 4
}

pub(super) struct Reader<'a> {
    pub(super) conn: &'a Connection,
    pub(super) flow: &'a Flow,
}

impl Reader<'_> {
    /// Reads until the client closes, breaks the framing rules, or never begins.
    pub(super) async fn run(&self, socket: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = BytesMut::new();
        match timeout(self.conn.limits.handshake_time, self.first_frame(socket, &mut buffer)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                let client = self.conn.peer;
                complain!(self.conn.complaints, NoBeginning, %client, "no session was asked for in time, closing");
                return;
            }
        }
        loop {
            let (end, count) = match whole_frames(&buffer, self.conn.limits.max_frame) {
                Ok(found) => found,
                Err(length) => return self.refuse(length),
            };
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
    async fn first_frame(&self, socket: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> bool {
        loop {
            let word = buffer.first_chunk::<4>();
            // Other letters are a length, and over every limit.
            if let Some(word) = word.filter(|word| WORDS.iter().any(|known| known.as_bytes() == *word)) {
                let word = Input::Word { conn: self.conn.id, word: *word };
                if self.conn.core.send(word).await.is_ok() {
                    // The core answers and closes.
                    std::future::pending::<()>().await;
                }
                return false;
            }
            match whole_frames(buffer, self.conn.limits.max_frame) {
                Ok((_, 0)) => {}
                Ok(_) => return true,
                Err(length) => {
                    self.refuse(length);
                    return false;
                }
            }
            if !self.read_more(socket, buffer).await {
                return false;
            }
        }
    }

    fn refuse(&self, length: i32) {
        if length.to_be_bytes().starts_with(TLS) {
            let client = self.conn.peer;
            return complain!(
                self.conn.complaints, BadFrame, %client,
                "a client speaks TLS where there is none, closing"
            );
        }
        complain!(
            self.conn.complaints, BadFrame, client = %self.conn.peer, length, longest = self.conn.limits.max_frame,
            "a packet is too long or no packet at all, closing; raise jute.maxbuffer here if clients need such packets"
        );
    }

    async fn read_more(&self, socket: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> bool {
        let missing = frame_length(buffer).map_or(0, |len| (len + 4).saturating_sub(buffer.len()));
        if buffer.capacity() - buffer.len() < missing.max(READ_SIZE / 4) {
            buffer.reserve(missing.max(READ_SIZE));
        }
        matches!(socket.read_buf(buffer).await, Ok(n) if n > 0)
    }

    async fn hand_over(&self, frames: Bytes, count: usize) -> bool {
        let since = Instant::now();
        let Ok(window) = self.flow.window.acquire_many(count as u32).await else { return false };
        let Ok(room) = self.flow.room.acquire_many(frames.len() as u32).await else { return false };
        // The writer gives both back when the replies are written.
        window.forget();
        room.forget();
        self.conn.core.send(Input::Frames { conn: self.conn.id, frames, since }).await.is_ok()
    }
}

/// Length of the frame that begins the buffer.
fn frame_length(buffer: &[u8]) -> Option<usize> {
    // A negative length becomes one that is over every limit.
    buffer.first_chunk::<4>().map(|len| u32::from_be_bytes(*len) as usize)
}

/// Where the whole frames at the beginning of the buffer end, and how many they are. The error is the length
/// that no frame may have.
fn whole_frames(buffer: &[u8], max_frame: usize) -> Result<(usize, usize), i32> {
    let (mut end, mut count) = (0, 0);
    while let Some(len) = frame_length(&buffer[end..]).filter(|_| count < MAX_FRAMES && end < MAX_BATCH) {
        if len > max_frame {
            // The frames before it are still served; the next call meets it first.
            return if count == 0 { Err(len as u32 as i32) } else { Ok((end, count)) };
        }
        if buffer.len() - end < len + 4 {
            break;
        }
        end += len + 4;
        count += 1;
    }
    Ok((end, count))
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
        assert_eq!(whole_frames(&[0, 0, 0, 11], 10), Err(11));
        assert_eq!(whole_frames(&[0xff; 4], 10), Err(-1));
        assert_eq!(whole_frames(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 10), Ok((4, 1)));
        assert_eq!(whole_frames(&[0, 0, 0, 10], 10), Ok((0, 0)));
    }

    #[test]
    fn a_batch_is_never_longer_than_the_room_for_it() {
        let max = 300_000;
        let mut buffer = Vec::new();
        for _ in 0..20 {
            buffer.extend_from_slice(&(max as u32).to_be_bytes());
            buffer.resize(buffer.len() + max, 0);
        }
        let (end, count) = whole_frames(&buffer, max).unwrap();
        assert!(end <= longest_batch(max) && count == 4, "{count} frames of {end} bytes");
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
