//! The log of one partition: a folder of segment files, appended at the end, read anywhere, dropped from the front.

pub(crate) mod batch;
mod producers;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::error::Error;
use batch::{BatchError, Header};
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
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
}

/// The log of one partition. Owned by the topic behind a lock; all its operations are short.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// Oldest first; never empty. The last one is appended to.
    segments: VecDeque<Segment>,
    start: i64,
    producers: Producers,
    segment_bytes: u64,
    /// Something was written since the last sync.
    is_dirty: bool,
    /// Fetches that wait for more; told at the next append.
    waiting: Vec<Weak<Notify>>,
}

impl Log {
    /// Opens or creates the log in `folder`. A torn tail of the last segment is cut off, with a warning.
    ///
    /// # Errors
    /// When the folder cannot be used or a segment is damaged elsewhere than at the end.
    pub(crate) fn open(folder: PathBuf, segment_bytes: u64) -> Result<Log, Error> {
        fs::create_dir_all(&folder).map_err(Error::disk("create", &folder))?;
        let mut bases = segment_bases(&folder)?;
        bases.sort_unstable();
        let mut segments = VecDeque::new();
        let mut producers = Producers::default();
        for (index, base) in bases.iter().enumerate() {
            let sealed_at = bases.get(index + 1).copied();
            segments.push_back(match sealed_at {
                Some(end) => Segment::open_sealed(&folder, *base, end)?,
                None => Segment::recover(&folder, *base, |header| producers.replay(header))?,
            });
        }
        if segments.is_empty() {
            segments
                .push_back(Segment::create(&folder, 0).map_err(Error::disk("create a segment in", &folder))?);
        }
        let first = segments.front().map_or(0, Segment::base);
        let start =
            fs::read_to_string(folder.join(START_FILE)).ok().and_then(|text| text.trim().parse().ok());
        let start = start.unwrap_or(0).max(first);
        Ok(Log { folder, segments, start, producers, segment_bytes, is_dirty: false, waiting: Vec::new() })
    }

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
        if self
            .segments
            .back()
            .is_some_and(|last| last.size() > 0 && last.size() + batches.len() as u64 > self.segment_bytes)
        {
            self.roll(first)?;
        }
        let Some(last) = self.segments.back_mut() else { return Err(io::Error::other("no segment").into()) };
        last.append(&batches, &placed)?;
        for (_, header) in &placed {
            self.producers.replay(header);
        }
        self.is_dirty = true;
        self.wake();
        Ok(first)
    }

    fn roll(&mut self, base: i64) -> io::Result<()> {
        // What is sealed is synced now, so that the syncer only ever needs the last segment.
        if let Some(last) = self.segments.back() {
            last.file().sync_data()?;
        }
        self.segments.push_back(Segment::create(&self.folder, base)?);
        sync_folder(&self.folder)
    }

    /// Whole batches from the one that holds `offset` on, at most `max` bytes but at least one batch.
    ///
    /// # Errors
    /// `None` when the offset is outside the log; an I/O error when the file cannot be read.
    pub(crate) fn read(&mut self, offset: i64, max: usize) -> Option<io::Result<Bytes>> {
        if offset < self.start || offset > self.end() {
            return None;
        }
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

    /// The file to sync, if something was written since the last call.
    pub(crate) fn take_dirty(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.is_dirty).then(|| self.segments.back().map(Segment::file))?
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

fn segment_bases(folder: &Path) -> Result<Vec<i64>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::disk("list", folder))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect())
}

/// Makes created and removed files of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The header of a batch with its checked size, as the rest of the crate uses it.
pub(crate) type Placed = (usize, Header);

#[cfg(test)]
mod tests;
