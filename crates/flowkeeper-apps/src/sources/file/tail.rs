//! Follows a file: each line appended becomes a message.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_appkit::app::{Error, Source};
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::output::Output;
use flowkeeper_appkit::task;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::awaited::Awaited;
use super::{absolute, deliver, with_file};

/// Bytes read at once.
const CHUNK: u64 = 256 * 1024;
/// A line that grows longer without an end is sent as it is.
const MAX_LINE: usize = 1 << 20;

pub(super) struct TailSource {
    pub(super) path: PathBuf,
    pub(super) from_end: bool,
    pub(super) polling_delay: Duration,
    pub(super) attempts_delay: Duration,
    pub(super) awaited: Awaited,
}

/// Where the tail stands.
#[derive(Debug, Default)]
struct Position {
    /// `None` until the file was first seen.
    offset: Option<u64>,
    /// A line without its end yet.
    partial: Vec<u8>,
}

impl Source for TailSource {
    fn run(
        mut self: Box<Self>,
        output: Arc<Output>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            let path = absolute(self.path.clone());
            let mut position = Position::default();
            // What appears later is read from its beginning.
            let mut was_missing = self.awaited.was_missing();
            loop {
                let (from_end, asked, offset) =
                    (self.from_end && !was_missing, path.clone(), position.offset);
                let read = task::blocking(move || read_chunk(&asked, offset, from_end)).await;
                let pause = match read {
                    Ok(chunk) => {
                        self.awaited.is_there();
                        let messages = position.advance(chunk, &path);
                        let got_something = !messages.is_empty();
                        tokio::select! {
                            biased;
                            delivered = deliver(&output, &messages) => delivered?,
                            () = stop.cancelled() => return Ok(()),
                        }
                        if got_something { Duration::ZERO } else { self.polling_delay }
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.awaited.is_missing();
                        was_missing = true;
                        position = Position::default();
                        self.attempts_delay
                    }
                    Err(error) => {
                        return Err(Error::Fatal(format!(
                            "the file {} cannot be read: {error}",
                            path.display()
                        )));
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        .boxed()
    }
}

/// What was read, and where reading goes on.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    next: u64,
    /// The file is shorter than it was: it was cut or replaced, and is read from its beginning.
    is_restart: bool,
}

fn read_chunk(path: &Path, offset: Option<u64>, from_end: bool) -> io::Result<Chunk> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let start = match offset {
        None if from_end => length,
        None => 0,
        Some(offset) if offset > length => 0,
        Some(offset) => offset,
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(CHUNK).read_to_end(&mut bytes)?;
    let next = start + bytes.len() as u64;
    Ok(Chunk { bytes, next, is_restart: offset.is_some_and(|o| o > length) })
}

impl Position {
    /// Takes a chunk in and returns the messages of the lines it completes.
    fn advance(&mut self, chunk: Chunk, path: &Path) -> Vec<Message> {
        if chunk.is_restart {
            self.partial.clear();
        }
        self.offset = Some(chunk.next);
        let mut messages = Vec::new();
        self.partial.extend(chunk.bytes);
        let mut start = 0;
        while let Some(length) = self.partial[start..].iter().position(|b| *b == b'\n') {
            let line = &self.partial[start..start + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            messages.push(with_file(Message::new(line.to_vec()), path, "text/plain"));
            start += length + 1;
        }
        self.partial.drain(..start);
        if self.partial.len() > MAX_LINE {
            let line = std::mem::take(&mut self.partial);
            messages.push(with_file(Message::new(line), path, "text/plain"));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn poll(path: &Path, position: &mut Position, from_end: bool) -> Vec<String> {
        let chunk = read_chunk(path, position.offset, from_end).unwrap();
        let messages = position.advance(chunk, path);
        messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect()
    }

    #[test]
    fn lines_are_sent_when_they_are_complete_and_a_cut_file_begins_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "old\n").unwrap();
        let append = |text: &str| {
            std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        };
        let mut position = Position::default();
        assert!(poll(&path, &mut position, true).is_empty());
        append("one\r\ntw");
        assert_eq!(poll(&path, &mut position, true), ["one"]);
        append("o\nthree\n");
        assert_eq!(poll(&path, &mut position, true), ["two", "three"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(poll(&path, &mut position, true), ["new"]);
        assert_eq!(poll(&path, &mut Position::default(), false), ["new"]);
        assert!(read_chunk(&directory.path().join("none"), None, true).is_err());
    }
}
