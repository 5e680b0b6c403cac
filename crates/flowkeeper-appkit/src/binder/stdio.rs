//! The console as a binder: a line of standard input is a message, a message is a line of standard output.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use super::{Ack, Consumer, Error, Outgoing, Producer, Rejected};
use crate::message::{CONTENT_TYPE, Message};

/// Lines longer than this are an error: a message has to fit into memory many times over.
const MAX_LINE: usize = 16 << 20;

/// Reads messages from lines. A line is the bytes up to its end; one that is no text is a message of bytes.
pub struct LineConsumer<R> {
    reader: R,
    /// The line read so far; never longer than the limit.
    line: Vec<u8>,
    n_lines: u64,
    max_line: usize,
    is_paused: bool,
}

impl LineConsumer<BufReader<tokio::io::Stdin>> {
    /// Reads standard input.
    pub fn stdin() -> Self {
        LineConsumer::new(BufReader::with_capacity(64 << 10, tokio::io::stdin()))
    }
}

impl<R: AsyncBufRead + Unpin + Send + 'static> LineConsumer<R> {
    /// Reads any source of lines.
    pub fn new(reader: R) -> Self {
        LineConsumer { reader, line: Vec::new(), n_lines: 0, max_line: MAX_LINE, is_paused: false }
    }

    /// The next line without its end. Cancel safe: what was read stays in `line`.
    async fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let failed = |e| Error::Invalid(format!("standard input cannot be read: {e}"));
            let read = self.reader.fill_buf().await.map_err(failed)?;
            let (piece, n_read, is_whole) = match read.iter().position(|b| *b == b'\n') {
                Some(length) => (&read[..length], length + 1, true),
                None => (read, read.len(), read.is_empty()),
            };
            if self.line.len() + piece.len() > self.max_line {
                return Err(Error::Invalid(format!(
                    "line {} of standard input is longer than the limit of {} bytes; cut it into several messages",
                    self.n_lines + 1,
                    self.max_line
                )));
            }
            self.line.extend_from_slice(piece);
            let is_end = read.is_empty();
            self.reader.consume(n_read);
            if is_end && self.line.is_empty() {
                return Ok(None);
            }
            if is_whole {
                self.n_lines += 1;
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }
}

/// Text, without the carriage return of a line from Windows, or bytes as they are.
fn message(mut line: Vec<u8>) -> Message {
    if std::str::from_utf8(&line).is_err() {
        return Message::new(line).with_header(CONTENT_TYPE, "application/octet-stream");
    }
    line.pop_if(|last| *last == b'\r');
    Message::new(line).with_header(CONTENT_TYPE, "text/plain")
}

impl<R: AsyncBufRead + Unpin + Send + 'static> Consumer for LineConsumer<R> {
    /// One line per call, so that someone who types sees each at once.
    fn receive(&mut self, _max: usize) -> BoxFuture<'_, Result<Option<Vec<Message>>, Error>> {
        async move {
            if self.is_paused {
                std::future::pending::<()>().await;
            }
            Ok(self.next_line().await?.map(|line| vec![message(line)]))
        }
        .boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }

    fn reject(&mut self, _index: usize, _reason: &str) -> BoxFuture<'_, Result<Rejected, Error>> {
        async { Ok(Rejected::Skipped) }.boxed()
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), Error> {
        self.is_paused = paused;
        Ok(())
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }
}

/// Writes messages as lines; each is flushed at once.
pub struct LineProducer {
    out: Mutex<Box<dyn Write + Send>>,
}

impl LineProducer {
    /// Writes anywhere.
    pub fn new(out: Box<dyn Write + Send>) -> LineProducer {
        LineProducer { out: Mutex::new(out) }
    }

    fn write(&self, message: &Message) -> std::io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&message.payload)?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

impl Producer for LineProducer {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Ack, Error>> {
        let written = match self.write(&outgoing.message) {
            Ok(()) => Ok(async { Ok(()) }.boxed() as Ack),
            // The reader has gone, as `head` does.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(Error::Closed),
            // Nothing is wrong with the message, and none after it would do better.
            Err(e) => Err(Error::Invalid(format!("standard output cannot be written: {e}"))),
        };
        async { written }.boxed()
    }

    fn partitions(&self) -> Option<u32> {
        None
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_a_message_and_the_end_is_the_end() {
        let mut consumer = LineConsumer::new(&b"one\r\ntwo\n\nlast"[..]);
        for expected in ["one", "two", "", "last"] {
            assert_eq!(consumer.receive(9).await.unwrap().unwrap()[0].payload, expected);
        }
        assert!(consumer.receive(9).await.unwrap().is_none());
        assert!(consumer.receive(9).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_line_that_is_no_text_is_a_message_of_bytes() {
        let mut consumer = LineConsumer::new(&b"a\n\xff\x00\r\nb\n"[..]);
        let mut received = Vec::new();
        while let Some(mut batch) = consumer.receive(9).await.unwrap() {
            received.push(batch.remove(0));
        }
        let payloads: Vec<&[u8]> = received.iter().map(|m| &*m.payload).collect();
        assert_eq!(payloads, [&b"a"[..], b"\xff\x00\r", b"b"]);
        assert_eq!(received[0].content_type().as_deref(), Some("text/plain"));
        assert_eq!(received[1].content_type().as_deref(), Some("application/octet-stream"));
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        // The line never ends: reading it whole would not come back.
        let endless = std::io::Read::chain(&b"short\n"[..], std::io::repeat(b'x'));
        let mut consumer = LineConsumer::new(BufReader::with_capacity(7, Blocking(endless)));
        consumer.max_line = 100;
        assert_eq!(consumer.receive(1).await.unwrap().unwrap()[0].payload, "short");
        let error = consumer.receive(1).await.unwrap_err().to_string();
        assert!(
            error.starts_with("line 2 of standard input is longer than the limit of 100 bytes"),
            "{error}"
        );
        assert!(consumer.line.capacity() < 400, "{}", consumer.line.capacity());
    }

    #[tokio::test]
    async fn a_line_of_the_very_limit_passes() {
        let mut consumer = LineConsumer::new(&b"12345\n123456\n"[..]);
        consumer.max_line = 5;
        assert_eq!(consumer.receive(1).await.unwrap().unwrap()[0].payload, "12345");
        assert!(consumer.receive(1).await.is_err());
    }

    /// A reader that always has something.
    struct Blocking<R>(R);

    impl<R: std::io::Read + Unpin> tokio::io::AsyncRead for Blocking<R> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let mut bytes = vec![0; buffer.remaining()];
            let n = self.0.read(&mut bytes)?;
            buffer.put_slice(&bytes[..n]);
            std::task::Poll::Ready(Ok(()))
        }
    }
}
