//! The log thread: appends groups, syncs, and only then lets replies go.
//!
//! The core hands over a [`Batch`] for each round of requests: the journal of its transactions and the bytes
//! for clients that depend on it. The thread takes all batches that wait, writes them as one group, syncs
//! once and releases. While a group is being synced the next one gathers in the queue, so groups grow with
//! the load and no timer is needed. When a write or sync fails nothing of the group is released, ever: the
//! thread tells why and ends, and the server with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Folder;
use super::disk::DiskFile;
use super::segment::{HEADER_LEN, Header};
use super::space::{MIB, RESERVE, Space};
use crate::server::conn::Delivery;
use crate::server::error::{Error, is_no_space};
use crate::server::stats::Counters;

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
/// Space is reserved in steps of this size.
const RESERVE_STEP: u64 = 4 * MIB;
/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(200);
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
    /// Transaction that the first file begins with.
    next: i64,
    space: Arc<Space>,
    /// Where the times of syncs are told, if anywhere.
    counters: Option<Arc<Counters>>,
}

struct Segment {
    path: PathBuf,
    file: DiskFile,
    header: Header,
    /// Where the next group goes.
    position: u64,
    /// Up to where the file is on the disk for certain.
    durable: u64,
    /// Up to where zeros have been written ahead.
    prepared: u64,
    step: u64,
    /// Up to where the file system has promised space.
    reserved: u64,
    /// Whether it gives promises at all.
    promises: bool,
}

impl LogWriter {
    /// A writer that begins a new file with transaction `next`.
    pub(crate) fn new(folder: Arc<Folder>, space: Arc<Space>, next: i64) -> Self {
        Self { folder, segment: None, buffer: Vec::new(), end_segment: false, next, space, counters: None }
    }

    /// The same writer, which tells how long its syncs take.
    pub(crate) fn timed(mut self, counters: Arc<Counters>) -> Self {
        self.counters = Some(counters);
        self
    }

    /// Makes sure that there is a file with reserved space. Without space on the disk it says so to the core and
    /// succeeds.
    pub(crate) fn prepare(&mut self) -> Result<(), Error> {
        match self.segment {
            None => match self.begin_segment(self.next) {
                Err(error) if error.is_no_space() => {
                    self.space.set_full(true, 0);
                    Ok(())
                }
                result => result,
            },
            Some(_) => self.top_up(),
        }
    }

    /// Appends a group. It is durable after [`LogWriter::sync`].
    ///
    /// # Errors
    /// After one for lack of space, [`Error::is_no_space`], nothing has happened, and the call may be repeated.
    pub(crate) fn append(&mut self, first: i64, parts: &[Vec<u8>]) -> Result<(), Error> {
        self.turn_over(first)?;
        let segment = match &mut self.segment {
            Some(segment) => segment,
            None => {
                self.begin_segment(first)?;
                self.segment.as_mut().ok_or(Error::Thread("log"))?
            }
        };
        self.buffer.clear();
        segment.header.put_group(parts, segment.durable, &mut self.buffer);
        segment.write(&self.buffer)?;
        let bytes = parts.iter().map(Vec::len).sum::<usize>() as u64;
        self.space.written(bytes, segment.room());
        self.top_up()
    }

    /// Begins the next file if it is time and there is space; if there is none, the old one goes on.
    fn turn_over(&mut self, first: i64) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let is_due = if segment.position == HEADER_LEN as u64 {
            self.end_segment = false;
            // A restored state goes on with other numbers than the file was begun for.
            segment.header.first != first
        } else {
            self.end_segment || segment.position >= SEGMENT_SIZE
        };
        if !is_due {
            return Ok(());
        }
        // Only the last file may end in a torn write.
        segment.sync()?;
        let old = self.segment.take();
        match self.begin_segment(first) {
            Ok(()) => {
                self.end_segment = false;
                old.map_or(Ok(()), |old| old.finish(&self.folder))
            }
            // Whether the old one can go on for long is seen when its reserve is topped up.
            Err(error) if error.is_no_space() => {
                self.segment = old;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn begin_segment(&mut self, first: i64) -> Result<(), Error> {
        let segment = Segment::create(&self.folder, first)?;
        self.space.set_full(false, segment.room());
        self.segment = Some(segment);
        Ok(())
    }

    /// Keeps the reserve whole; tells the core when it cannot.
    fn top_up(&mut self) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        match segment.top_up() {
            Ok(()) => {
                self.space.set_full(false, segment.room());
                Ok(())
            }
            Err(error) if is_no_space(&error) => {
                self.space.set_full(true, segment.room());
                Ok(())
            }
            Err(error) => Err(Error::disk("reserve space for log", &segment.path)(error)),
        }
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let Some(segment) = self.segment.as_mut().filter(|segment| segment.durable < segment.position) else {
            return Ok(());
        };
        let begun = Instant::now();
        segment.sync()?;
        if let Some(counters) = &self.counters {
            counters.syncs.record(begun.elapsed());
        }
        Ok(())
    }

    /// Makes the next group begin a new file.
    pub(crate) fn end_segment(&mut self) {
        self.end_segment = true;
    }

    /// Cuts off the zeros written ahead and closes the file.
    pub(crate) fn finish_segment(&mut self) -> Result<(), Error> {
        match self.segment.take() {
            Some(segment) => segment.finish(&self.folder),
            None => Ok(()),
        }
    }
}

impl Drop for LogWriter {
    /// However the log ended, nobody waits for it.
    fn drop(&mut self) {
        self.space.close();
    }
}

impl Segment {
    /// Creates a file with its reserve. Without space for both there is no file.
    fn create(folder: &Folder, first: i64) -> Result<Self, Error> {
        let path = folder.segment_path(first);
        let failed = || Error::disk("create log", &path);
        let header = Header::new(first);
        let file = folder.disk().create(&path).map_err(failed())?;
        let position = HEADER_LEN as u64;
        let (durable, prepared) = (position, position);
        let mut segment = Self {
            path: path.clone(),
            file,
            header,
            position,
            durable,
            prepared,
            step: FIRST_STEP,
            reserved: 0,
            promises: true,
        };
        let begun = segment
            .file
            .write_at(&header.encode(), 0)
            .and_then(|()| segment.top_up())
            .and_then(|()| segment.file.sync_all());
        if let Err(error) = begun {
            if is_no_space(&error) {
                folder.remove_path(&path)?;
            }
            return Err(failed()(error));
        }
        folder.sync()?;
        Ok(segment)
    }

    fn write(&mut self, group: &[u8]) -> Result<(), Error> {
        let end = self.position + group.len() as u64;
        self.write_at_end(group, end).map_err(Error::disk("write log", &self.path))?;
        self.position = end;
        Ok(())
    }

    fn write_at_end(&mut self, group: &[u8], end: u64) -> std::io::Result<()> {
        if end > self.prepared {
            let from = self.prepared.max(end);
            let most = if self.promises { self.reserved.saturating_sub(from) } else { u64::MAX };
            let zeros = vec![0; self.step.min(most) as usize];
            self.file.write_at(&zeros, from)?;
            self.prepared = from + zeros.len() as u64;
            self.step = (self.step * 2).min(LAST_STEP);
        }
        self.file.write_at(group, self.position)
    }

    fn top_up(&mut self) -> std::io::Result<()> {
        if !self.promises || self.reserved >= self.position + RESERVE {
            return Ok(());
        }
        let end = self.position + RESERVE + RESERVE_STEP;
        match self.file.reserve(self.reserved.max(self.position), end) {
            Ok(promises) => {
                self.promises = promises;
                self.reserved = if promises { end } else { 0 };
                Ok(())
            }
            Err(error) => {
                // What was got of it serves others better.
                if is_no_space(&error) && self.reserved > 0 {
                    self.file.set_len(self.reserved.max(self.position).max(self.prepared))?;
                }
                Err(error)
            }
        }
    }

    /// Bytes that have space for certain.
    fn room(&self) -> u64 {
        if self.promises { self.reserved.saturating_sub(self.position) } else { RESERVE }
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.durable < self.position {
            self.file.sync_data().map_err(Error::disk("sync log", &self.path))?;
            self.durable = self.position;
        }
        Ok(())
    }

    /// Closes the file; one without content is removed.
    fn finish(self, folder: &Folder) -> Result<(), Error> {
        if self.position == HEADER_LEN as u64 {
            folder.remove_path(&self.path)?;
            return folder.sync();
        }
        self.file
            .set_len(self.position)
            .and_then(|()| self.file.sync_all())
            .map_err(Error::disk("finish log", &self.path))
    }
}

/// Runs the log until the core hangs up. `done` counts the batches released.
///
/// # Errors
/// The first failed write or sync; what was not released by then never is. A full disk is no failure: what is on its
/// way has room, or waits for it.
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
            // Some came while the last group waited for space.
            _ if !waiting.is_empty() => Ok(None),
            Durability::Sync if writer.space.is_full() => batches.recv_timeout(RETRY).map(Some),
            Durability::Sync => batches.recv().map(Some).map_err(|_| RecvTimeoutError::Disconnected),
            Durability::Interval(interval) => {
                batches.recv_timeout(interval.saturating_sub(last_sync.elapsed())).map(Some)
            }
        };
        if writer.space.is_full() {
            writer.prepare()?;
        }
        match first {
            Ok(batch) => waiting.extend(batch),
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
        let late = write_group(&mut writer, batches, &mut waiting)?;
        match durability {
            Durability::Sync => writer.sync()?,
            Durability::Interval(interval) if last_sync.elapsed() >= interval => {
                writer.sync()?;
                last_sync = Instant::now();
            }
            Durability::Interval(_) => {}
        }
        release(waiting.drain(..), done);
        waiting = late;
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

/// Writes what the batches say. Without space it waits for some, and returns the batches that came meanwhile.
fn write_group(
    writer: &mut LogWriter,
    batches: &Receiver<Batch>,
    waiting: &mut [Batch],
) -> Result<Vec<Batch>, Error> {
    let mut late = Vec::new();
    let first = waiting.iter().find(|batch| !batch.records.is_empty()).map(|batch| batch.first);
    if let Some(first) = first {
        let parts: Vec<Vec<u8>> = waiting.iter_mut().map(|b| std::mem::take(&mut b.records)).collect();
        while let Err(error) = writer.append(first, &parts) {
            if !error.is_no_space() {
                return Err(error);
            }
            writer.space.set_full(true, 0);
            match batches.recv_timeout(RETRY) {
                Ok(batch) => late.push(batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(error),
            }
        }
    }
    if waiting.iter().any(|batch| batch.ends_segment) {
        writer.end_segment();
    }
    Ok(late)
}
