//! The console as a binder: a line of standard input is a message, a message is a line of standard output.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};

use super::{Ack, Consumer, Error, Outgoing, Producer, Rejected};
use crate::message::{CONTENT_TYPE, Message};

/// Lines longer than this are an error: a message has to fit into memory many times over.
const MAX_LINE: usize = 16 << 20;

/// Reads messages from lines.
pub struct LineConsumer<R> {
    lines: Lines<R>,
    is_paused: bool,
}

impl LineConsumer<BufReader<tokio::io::Stdin>> {
    /// Reads standard input.
    pub fn stdin() -> Self {
        LineConsumer::new(BufReader::new(tokio::io::stdin()))
    }
}

impl<R: AsyncBufRead + Unpin + Send + 'static> LineConsumer<R> {
    /// Reads any source of lines.
    pub fn new(reader: R) -> Self {
        LineConsumer { lines: reader.lines(), is_paused: false }
    }
}

impl<R: AsyncBufRead + Unpin + Send + 'static> Consumer for LineConsumer<R> {
    /// One line per call, so that someone who types sees each at once.
    fn receive(&mut self, _max: usize) -> BoxFuture<'_, Result<Option<Vec<Message>>, Error>> {
        async move {
            if self.is_paused {
                std::future::pending::<()>().await;
            }
            match self.lines.next_line().await {
                Ok(None) => Ok(None),
                Ok(Some(line)) if line.len() > MAX_LINE => {
                    Err(Error::Refused(format!("a line of standard input is longer than {MAX_LINE} bytes")))
                }
                Ok(Some(line)) => Ok(Some(vec![Message::new(line).with_header(CONTENT_TYPE, "text/plain")])),
                Err(e) => Err(Error::Refused(format!("standard input cannot be read: {e}"))),
            }
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
    /// Writes to standard output.
    pub fn stdout() -> LineProducer {
        LineProducer::new(Box::new(std::io::stdout()))
    }

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
            Err(e) => Err(Error::Refused(format!("standard output cannot be written: {e}"))),
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
        let mut consumer = LineConsumer::new(&b"one\r\ntwo"[..]);
        assert_eq!(consumer.receive(9).await.unwrap().unwrap()[0].payload, "one");
        assert_eq!(consumer.receive(9).await.unwrap().unwrap()[0].payload, "two");
        assert!(consumer.receive(9).await.unwrap().is_none());
    }
}
