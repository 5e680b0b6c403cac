//! The log of one partition: a folder of segment files, appended at the end, read anywhere, dropped from the front.

pub(crate) mod batch;
mod open;
mod producers;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::health::Writing;
use crate::loss;
use crate::signal::SyncSignal;
use batch::{BatchError, Header};
pub(crate) use open::Options;
use producers::Producers;
use segment::Segment;

/// Name of the file that says where the log begins, when records before it were deleted on request.
const START_FILE: &str = "start";

/// Why an append was refused; nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the batch of {size} bytes is larger than the {limit} allowed")]
    TooLarge { size: usize, limit: usize },
    #[error("sequence {found} of producer {producer} does not follow {last}")]
    OutOfOrder { producer: i64, found: i32, last: i32 },
    #[error("epoch {found} of producer {producer} is older than {known}")]
    OldEpoch { producer: i64, found: i16, known: i16 },
    #[error("transactions are not supported")]
    Transactional,
    /// Nothing is wrong with the batch: the same one may be sent again.
    #[error("{0}")]
    Unwritten(String),
    /// What was written before could not be synced, so that trying again would lie: the broker must stop.
    #[error("syncing failed: {0}")]
    Unsynced(io::Error),
}

/// What a sync has to do for one partition.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) file: Arc<File>,
    folder: PathBuf,
    end: i64,
}

impl Unsynced {
    /// Remembers durably that everything up to here was synced.
    pub(crate) fn mark(&self) {
        // Without the mark a later loss may go unnoticed, nothing else; the next sync moves it again.
        if let Err(error) = loss::move_mark(&self.folder, self.end) {
            tracing::debug!(folder = %self.folder.display(), %error, "the mark of the last synced record was not moved");
        }
    }
}

/// The log of one partition. Owned by the topic behind a lock; all its operations are short.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// Oldest first; never empty. The last one is appended to.
    segments: VecDeque<Segment>,
    start: i64,
    /// Offsets whose records were lost and given up.
    gaps: Vec<Range<i64>>,
    producers: Producers,
    segment_bytes: u64,
    /// Something was written since the last sync.
    is_dirty: bool,
    writing: Writing,
    signal: Arc<SyncSignal>,
    /// Fetches that wait for more; told at the next append.
    waiting: Vec<Weak<Notify>>,
}

impl Log {
    /// The first offset that can be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset the next record gets.
    pub(crate) fn end(&self) -> i64 {
        self.segments.back().map_or(0, Segment::end)
    }

    /// Appends record batches as a client sent them and returns the offset of the first record. A repeated batch of an
    /// idempotent producer is not written again and answers the offset it got the first time.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was written then.
    pub(crate) fn append(&mut self, batches: BytesMut, max_batch: usize) -> Result<i64, AppendError> {
        let headers = batch::check_all(&batches)?;
        let mut next = self.end();
        for (position, header) in &headers {
            if header.size > max_batch {
                return Err(AppendError::TooLarge { size: header.size, limit: max_batch });
            }
            if header.is_transactional || header.is_control {
                return Err(AppendError::Transactional);
            }
            if let Some(known) = self.producers.check(header)? {
                // The client lost our answer. Producers send one batch per partition and request, so this one is all.
                debug_assert_eq!(*position, 0);
                return Ok(known);
            }
        }
        let first = next;
        let mut batches = batches;
        let mut placed = Vec::with_capacity(headers.len());
        for (position, mut header) in headers {
            batch::number(&mut batches[position..], next);
            header.base_offset = next;
            next = header.end_offset();
            placed.push((position, header));
        }
        let size = batches.len();
        let written = self.write(&batches, &placed, first);
        if written.is_err() {
            // The syncer tries from time to time whether writing works again.
            self.signal.raise();
        }
        if let Err(WriteError::Unsynced(error)) = written {
            return Err(AppendError::Unsynced(error));
        }
        let written = written.map_err(WriteError::into_inner);
        if let Err(error) = self.writing.note(size, written) {
            return Err(AppendError::Unwritten(
                self.writing.reason().map_or_else(|| error.to_string(), str::to_owned),
            ));
        }
        for (_, header) in &placed {
            self.producers.replay(header);
        }
        self.is_dirty = true;
        self.signal.raise();
        self.wake();
        Ok(first)
    }

    fn write(&mut self, batches: &[u8], placed: &[Placed], first: i64) -> Result<(), WriteError> {
        let is_full =
            |last: &Segment| last.size() > 0 && last.size() + batches.len() as u64 > self.segment_bytes;
        if self.segments.back().is_some_and(is_full) {
            self.roll(first)?;
        }
        let last = self.segments.back_mut().ok_or_else(|| io::Error::other("no segment"))?;
        Ok(last.append(batches, placed)?)
    }

    fn roll(&mut self, base: i64) -> Result<(), WriteError> {
        // What is sealed is synced now, so that the syncer only ever needs the last segment.
        if let Some(last) = self.segments.back_mut() {
            last.mend()?;
            last.file().sync_data().map_err(WriteError::Unsynced)?;
            Unsynced { file: last.file(), folder: self.folder.clone(), end: last.end() }.mark();
        }
        self.segments.push_back(Segment::create(&self.folder, base)?);
        Ok(sync_folder(&self.folder)?)
    }

    /// After a failed write: looks whether writing works again. Tells whether it still fails.
    pub(crate) fn retry(&mut self) -> bool {
        let last = self.segments.back_mut();
        self.writing.retry(&self.folder, || last.map_or(Ok(()), Segment::mend))
    }

    /// Why nothing can be written, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.writing.reason()
    }

    /// Whole batches from the one that holds `offset` on, at most `max` bytes but at least one batch.
    ///
    /// # Errors
    /// `None` when the offset is outside the log; an I/O error when the file cannot be read.
    pub(crate) fn read(&mut self, offset: i64, max: usize) -> Option<io::Result<Bytes>> {
        if offset < self.start || offset > self.end() {
            return None;
        }
        let offset = self.gaps.iter().find(|gap| gap.contains(&offset)).map_or(offset, |gap| gap.end);
        if offset == self.end() {
            return Some(Ok(Bytes::new()));
        }
        let segment = self.segments.iter_mut().rev().find(|segment| segment.base() <= offset)?;
        Some(segment.read(offset, max))
    }

    /// The first offset whose timestamp is `timestamp` or later, with its timestamp (of the batch, not of each record).
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn find_timestamp(&mut self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        for segment in &mut self.segments {
            if let Some(found) = segment.find_timestamp(timestamp)? {
                return Ok(Some((found.0.max(self.start), found.1)));
            }
        }
        Ok(None)
    }

    /// Makes everything before `offset` unreadable and drops segments that hold nothing else.
    ///
    /// # Errors
    /// When the mark cannot be written; nothing changed then.
    pub(crate) fn delete_before(&mut self, offset: i64) -> io::Result<()> {
        let offset = offset.clamp(self.start, self.end());
        let beside = self.folder.join("start.new");
        fs::write(&beside, offset.to_string())?;
        fs::rename(beside, self.folder.join(START_FILE))?;
        self.start = offset;
        self.drop_segments(|segment, start| segment.end() <= start);
        Ok(())
    }

    /// Drops whole segments that are older than `oldest` (milliseconds), or that are too much beyond `max_bytes`.
    pub(crate) fn retain(&mut self, oldest: Option<i64>, max_bytes: Option<u64>) {
        let mut total: u64 = self.segments.iter().map(Segment::size).sum();
        while self.segments.len() > 1 {
            let Some(first) = self.segments.front_mut() else { return };
            let size = first.size();
            let is_old =
                oldest.is_some_and(|oldest| first.max_timestamp().is_ok_and(|newest| newest < oldest));
            let is_surplus = max_bytes.is_some_and(|max| total - size >= max);
            if !is_old && !is_surplus {
                return;
            }
            self.start = self.start.max(first.end());
            total -= size;
            self.drop_first();
        }
    }

    fn drop_segments(&mut self, is_spent: impl Fn(&Segment, i64) -> bool) {
        while self.segments.len() > 1
            && self.segments.front().is_some_and(|first| is_spent(first, self.start))
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(segment) = self.segments.pop_front()
            && let Err(error) = segment.delete()
        {
            tracing::warn!(folder = %self.folder.display(), %error, "a spent segment could not be deleted");
        }
    }

    /// What to sync, if something was written since the last call.
    pub(crate) fn take_dirty(&mut self) -> Option<Unsynced> {
        let last = self.segments.back().filter(|_| self.is_dirty)?;
        let unsynced = Unsynced { file: last.file(), folder: self.folder.clone(), end: last.end() };
        self.is_dirty = false;
        Some(unsynced)
    }

    /// Tells `waiter` at the next append.
    pub(crate) fn wake_at_append(&mut self, waiter: &Arc<Notify>) {
        self.waiting.retain(|other| other.strong_count() > 0);
        self.waiting.push(Arc::downgrade(waiter));
    }

    fn wake(&mut self) {
        self.waiting.drain(..).filter_map(|waiter| waiter.upgrade()).for_each(|waiter| waiter.notify_one());
    }

    /// Wakes whoever waits, because the partition is going away.
    pub(crate) fn close(&mut self) {
        self.wake();
    }
}

/// Why a write did not happen.
enum WriteError {
    /// It may be tried again.
    Io(io::Error),
    /// See [`AppendError::Unsynced`].
    Unsynced(io::Error),
}

impl WriteError {
    fn into_inner(self) -> io::Error {
        match self {
            WriteError::Io(error) | WriteError::Unsynced(error) => error,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Io(error)
    }
}

/// Makes created and removed files of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The header of a batch with its checked size, as the rest of the crate uses it.
pub(crate) type Placed = (usize, Header);

#[cfg(test)]
mod tests;
