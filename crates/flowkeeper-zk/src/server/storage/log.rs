//! The log thread: appends groups, syncs, and only then lets replies go.
//!
//! The core hands over a [`Batch`] for each round of requests: the journal of its transactions and the bytes
//! for clients that depend on it. The thread takes all batches that wait, writes them as one group, syncs
//! once and releases. While a group is being synced the next one gathers in the queue, so groups grow with
//! the load and no timer is needed. When a write or sync fails nothing of the group is released, ever: the
//! thread tells why and ends, and the server with it.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Folder;
use super::segment::Header;
use crate::server::conn::Delivery;
use crate::server::error::Error;

/// When acknowledged writes are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Before they are acknowledged. Nothing acknowledged is lost, whatever crashes.
    #[default]
    Sync,
    /// At most this much later. A crash of the server loses nothing, one of the machine may lose this much.
    Interval(Duration),
}

/// A file is closed and a new one begun at this size.
const SEGMENT_SIZE: u64 = 64 << 20;
/// Zeros are written ahead in steps that double from the first to the last of these.
const FIRST_STEP: u64 = 256 << 10;
const LAST_STEP: u64 = 4 << 20;
/// No more batches join a group of this size.
const GROUP_SIZE: usize = 4 << 20;

/// One round of the core.
pub(crate) struct Batch {
    /// Zxid of the first record.
    pub(crate) first: i64,
    /// Journal records; empty if the round only read.
    pub(crate) records: Vec<u8>,
    /// What clients get once the records, and all before them, are durable.
    pub(crate) deliveries: Vec<Delivery>,
    /// Whether a snapshot was cut after this batch, so that the next one begins a new file.
    pub(crate) ends_segment: bool,
}

/// Appends to the newest log file.
pub(crate) struct LogWriter {
    folder: Arc<Folder>,
    segment: Option<Segment>,
    buffer: Vec<u8>,
    end_segment: bool,
}

struct Segment {
    path: PathBuf,
    file: File,
    header: Header,
    /// Where the next group goes.
    position: u64,
    /// Up to where the file is on the disk for certain.
    durable: u64,
    /// Up to where zeros have been written ahead.
    prepared: u64,
    step: u64,
}

impl LogWriter {
    /// A writer that begins a new file with the first group.
    pub(crate) fn new(folder: Arc<Folder>) -> Self {
        Self { folder, segment: None, buffer: Vec::new(), end_segment: false }
    }

    /// Appends a group. It is durable after [`LogWriter::sync`].
    pub(crate) fn append(&mut self, first: i64, parts: &[Vec<u8>]) -> Result<(), Error> {
        if std::mem::take(&mut self.end_segment)
            || self.segment.as_ref().is_some_and(|s| s.position >= SEGMENT_SIZE)
        {
            self.finish_segment()?;
        }
        let segment = match &mut self.segment {
            Some(segment) => segment,
            empty => empty.insert(Segment::create(&self.folder, first)?),
        };
        self.buffer.clear();
        segment.header.put_group(parts, segment.durable, &mut self.buffer);
        segment.write(&self.buffer)
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        match &mut self.segment {
            Some(segment) => segment.sync(),
            None => Ok(()),
        }
    }

    /// Makes the next group begin a new file.
    pub(crate) fn end_segment(&mut self) {
        self.end_segment = true;
    }

    /// Cuts off the zeros written ahead and closes the file.
    pub(crate) fn finish_segment(&mut self) -> Result<(), Error> {
        let Some(segment) = self.segment.take() else { return Ok(()) };
        segment
            .file
            .set_len(segment.position)
            .and_then(|()| segment.file.sync_all())
            .map_err(Error::disk("finish log", &segment.path))
    }
}

impl Segment {
    fn create(folder: &Folder, first: i64) -> Result<Self, Error> {
        let path = folder.segment_path(first);
        let header = Header::new(first);
        let bytes = header.encode();
        let file = File::create(&path)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()).map(|()| file))
            .map_err(Error::disk("create log", &path))?;
        folder.sync()?;
        let position = bytes.len() as u64;
        Ok(Self { path, file, header, position, durable: position, prepared: position, step: FIRST_STEP })
    }

    fn write(&mut self, group: &[u8]) -> Result<(), Error> {
        let end = self.position + group.len() as u64;
        self.write_at_end(group, end).map_err(Error::disk("write log", &self.path))?;
        self.position = end;
        Ok(())
    }

    fn write_at_end(&mut self, group: &[u8], end: u64) -> std::io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        if end > self.prepared {
            let from = self.prepared.max(end);
            let zeros = vec![0; self.step as usize];
            self.file.write_all_at(&zeros, from)?;
            self.prepared = from + self.step;
            self.step = (self.step * 2).min(LAST_STEP);
        }
        self.file.write_all_at(group, self.position)
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.durable < self.position {
            self.file.sync_data().map_err(Error::disk("sync log", &self.path))?;
            self.durable = self.position;
        }
        Ok(())
    }
}

/// Runs the log until the core hangs up. `done` counts the batches released.
///
/// # Errors
/// The first failed write or sync; what was not released by then never is.
pub(crate) fn run(
    mut writer: LogWriter,
    batches: &Receiver<Batch>,
    durability: Durability,
    done: &AtomicU64,
) -> Result<(), Error> {
    let mut last_sync = Instant::now();
    let mut waiting = Vec::new();
    loop {
        let first = match durability {
            Durability::Sync => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Durability::Interval(interval) => {
                batches.recv_timeout(interval.saturating_sub(last_sync.elapsed()))
            }
        };
        match first {
            Ok(batch) => waiting.push(batch),
            Err(RecvTimeoutError::Timeout) => {
                writer.sync()?;
                last_sync = Instant::now();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return writer.finish_segment(),
        }
        gather(batches, &mut waiting);
        // Batches of reads in front depend only on what is durable already.
        let reads = waiting.iter().take_while(|b| b.records.is_empty() && !b.ends_segment).count();
        release(waiting.drain(..reads), done);
        write_group(&mut writer, &mut waiting)?;
        match durability {
            Durability::Sync => writer.sync()?,
            Durability::Interval(interval) if last_sync.elapsed() >= interval => {
                writer.sync()?;
                last_sync = Instant::now();
            }
            Durability::Interval(_) => {}
        }
        release(waiting.drain(..), done);
    }
}

fn release(batches: impl Iterator<Item = Batch>, done: &AtomicU64) {
    for batch in batches {
        batch.deliveries.into_iter().for_each(Delivery::release);
        // Only now may the core hand bytes to a connection directly.
        done.fetch_add(1, Ordering::Release);
    }
}

/// Takes what else waits, up to a group's size or a batch that ends the file.
fn gather(batches: &Receiver<Batch>, waiting: &mut Vec<Batch>) {
    let mut size: usize = waiting.iter().map(|b| b.records.len()).sum();
    while size < GROUP_SIZE && !waiting.last().is_some_and(|b| b.ends_segment) {
        let Ok(batch) = batches.try_recv() else { return };
        size += batch.records.len();
        waiting.push(batch);
    }
}

fn write_group(writer: &mut LogWriter, waiting: &mut [Batch]) -> Result<(), Error> {
    let first = waiting.iter().find(|batch| !batch.records.is_empty()).map(|batch| batch.first);
    if let Some(first) = first {
        let parts: Vec<Vec<u8>> = waiting.iter_mut().map(|b| std::mem::take(&mut b.records)).collect();
        writer.append(first, &parts)?;
    }
    if waiting.last().is_some_and(|batch| batch.ends_segment) {
        writer.end_segment();
    }
    Ok(())
}
