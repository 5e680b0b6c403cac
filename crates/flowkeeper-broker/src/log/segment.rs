//! One file of a partition's log, named by the offset of its first record.
//!
//! Batches lie one after the other, as clients wrote them. A sparse index in memory (an entry per few KiB) finds the place of
//! an offset; it is built while the file is written, or, for a file of an earlier run, when it is first needed, by hopping
//! from header to header.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Placed;
use super::batch::{self, HEADER, Header};
use crate::error::Error;

/// Bytes between two entries of the index.
const INDEX_EVERY: u64 = 16 << 10;
/// Piece in which a file is checked at the start.
const RECOVERY_BUFFER: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    position: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: Arc<File>,
    base: i64,
    /// The offset after its last record.
    end: i64,
    size: u64,
    /// `None`: not built yet.
    index: Option<Vec<Entry>>,
    max_timestamp: i64,
    /// Part of a refused write may lie behind `size`; it must go before anything else is written.
    is_torn: bool,
}

/// What lies behind the sound batches of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) bytes: u64,
    /// Where a sound batch follows: then no crash did that.
    pub(super) sound_at: Option<u64>,
}

impl Segment {
    /// Creates an empty file.
    pub(super) fn create(folder: &Path, base: i64) -> io::Result<Segment> {
        let path = path(folder, base);
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
        Ok(Segment {
            path,
            file: Arc::new(file),
            base,
            end: base,
            size: 0,
            index: Some(Vec::new()),
            max_timestamp: -1,
            is_torn: false,
        })
    }

    /// Opens a file that is followed by another, which begins at `end`. Its content is looked at when it is first needed.
    pub(super) fn open_sealed(folder: &Path, base: i64, end: i64) -> Result<Segment, Error> {
        let path = path(folder, base);
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(Error::disk("open", &path))?;
        let size = file.metadata().map_err(Error::disk("read", &path))?.len();
        Ok(Segment {
            path,
            file: Arc::new(file),
            base,
            end,
            size,
            index: None,
            max_timestamp: -1,
            is_torn: false,
        })
    }

    /// Opens the last file and checks every batch of it, up to the first that is not sound. Tells each sound batch to `note`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn recover(
        folder: &Path,
        base: i64,
        mut note: impl FnMut(&Header),
    ) -> Result<(Segment, Tail), Error> {
        let mut segment = Segment::open_sealed(folder, base, base)?;
        segment.index = Some(Vec::new());
        let length = segment.size;
        segment.size = 0;
        let mut buffer = BytesMut::new();
        while segment.size < length {
            let from = segment.size;
            let header = segment.read_header(from).ok().filter(|header| from + header.size as u64 <= length);
            let Some(header) = header.filter(|header| header.base_offset == segment.end) else { break };
            buffer.resize(header.size.max(RECOVERY_BUFFER.min((length - from) as usize)), 0);
            let whole = &mut buffer[..header.size];
            segment.file.read_exact_at(whole, from).map_err(Error::disk("read", &segment.path))?;
            if batch::check(whole).is_err() {
                break;
            }
            segment.note(from, &header);
            note(&header);
        }
        let tail =
            Tail { bytes: length - segment.size, sound_at: segment.sound_batch_after(segment.size, length) };
        Ok((segment, tail))
    }

    /// Cuts off everything behind the sound batches.
    pub(super) fn cut_tail(&self) -> Result<(), Error> {
        self.file.set_len(self.size).map_err(Error::disk("cut", &self.path))?;
        self.file.sync_all().map_err(Error::disk("sync", &self.path))
    }

    /// Keeps a copy of the file as it is, for whoever wants to rescue something from it.
    pub(super) fn keep_copy(&self) -> Result<PathBuf, Error> {
        let copy = self.path.with_extension("log.damaged");
        fs::copy(&self.path, &copy).map_err(Error::disk("copy", &self.path))?;
        Ok(copy)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a sound batch with a later offset lies behind `from`, if one can be reached from the damaged header's length.
    fn sound_batch_after(&self, from: u64, length: u64) -> Option<u64> {
        let damaged = self.read_header(from).ok()?;
        let next = from + damaged.size as u64;
        let header = self.read_header(next).ok()?;
        let mut whole = vec![0; usize::try_from(length - next).ok()?.min(header.size)];
        self.file.read_exact_at(&mut whole, next).ok()?;
        batch::check(&whole).is_ok_and(|header| header.base_offset >= self.end).then_some(next)
    }

    pub(super) fn base(&self) -> i64 {
        self.base
    }

    pub(super) fn end(&self) -> i64 {
        self.end
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Appends numbered batches. After an error the file is as before, or, if not even that can be had, takes nothing more
    /// until it is.
    pub(super) fn append(&mut self, bytes: &[u8], placed: &[Placed]) -> io::Result<()> {
        self.mend()?;
        if let Err(error) = self.file.write_all_at(bytes, self.size) {
            self.is_torn = true;
            // When this fails too, the next append tries again before it writes.
            let _ = self.mend();
            return Err(error);
        }
        let start = self.size;
        for (position, header) in placed {
            self.note(start + *position as u64, header);
        }
        Ok(())
    }

    /// Cuts off what a refused write left behind: a later start must not take it for a batch.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.size)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Takes a batch that lies at `position` into the counts and the index.
    fn note(&mut self, position: u64, header: &Header) {
        let index = self.index.get_or_insert_default();
        if index.last().is_none_or(|last| position >= last.position + INDEX_EVERY) {
            index.push(Entry { offset: header.base_offset, position });
        }
        self.size = position + header.size as u64;
        self.end = header.end_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// Whole batches from the one with `offset` on; `offset` must lie in this segment.
    pub(super) fn read(&mut self, offset: i64, max: usize) -> io::Result<Bytes> {
        self.build_index()?;
        let index = self.index.as_deref().unwrap_or_default();
        let near = index
            .partition_point(|entry| entry.offset <= offset)
            .checked_sub(1)
            .map_or(0, |i| index[i].position);
        let mut from = near;
        let mut header = self.header_at(from)?;
        while header.end_offset() <= offset {
            from += header.size as u64;
            header = self.header_at(from)?;
        }
        let available = usize::try_from(self.size - from).unwrap_or(usize::MAX);
        let wanted = max.max(header.size).min(available);
        let mut bytes = vec![0; wanted];
        self.file.read_exact_at(&mut bytes, from)?;
        bytes.truncate(whole_batches(&bytes));
        Ok(Bytes::from(bytes))
    }

    /// Offset and timestamp of the first batch that is as new as `timestamp`.
    pub(super) fn find_timestamp(&mut self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        if self.max_timestamp()? < timestamp {
            return Ok(None);
        }
        let mut position = 0;
        while position < self.size {
            let header = self.header_at(position)?;
            if header.max_timestamp >= timestamp {
                return Ok(Some((header.base_offset, header.max_timestamp)));
            }
            position += header.size as u64;
        }
        Ok(None)
    }

    /// Newest timestamp in it, -1 when it is empty.
    pub(super) fn max_timestamp(&mut self) -> io::Result<i64> {
        self.build_index()?;
        Ok(self.max_timestamp)
    }

    fn build_index(&mut self) -> io::Result<()> {
        if self.index.is_some() {
            return Ok(());
        }
        let mut index: Vec<Entry> = Vec::new();
        let (mut position, mut newest) = (0, -1);
        while position < self.size {
            let header = self.header_at(position)?;
            if index.last().is_none_or(|last| position >= last.position + INDEX_EVERY) {
                index.push(Entry { offset: header.base_offset, position });
            }
            newest = newest.max(header.max_timestamp);
            position += header.size as u64;
        }
        self.max_timestamp = newest;
        self.index = Some(index);
        Ok(())
    }

    fn header_at(&self, position: u64) -> io::Result<Header> {
        self.read_header(position).map_err(|error| {
            io::Error::other(format!("{} is damaged at byte {position}: {error}", self.path.display()))
        })
    }

    fn read_header(&self, position: u64) -> io::Result<Header> {
        let mut bytes = [0; HEADER];
        self.file.read_exact_at(&mut bytes, position)?;
        Header::read(&bytes).map_err(io::Error::other)
    }

    /// Puts another file in this one's place and gives back the old.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) -> Arc<File> {
        std::mem::replace(&mut self.file, Arc::new(file))
    }

    pub(super) fn delete(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn path(folder: &Path, base: i64) -> PathBuf {
    folder.join(format!("{base:020}.log"))
}

/// Length of the whole batches at the start of `bytes`.
fn whole_batches(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Ok(header) = Header::read(&bytes[length..]) {
        if length + header.size > bytes.len() {
            break;
        }
        length += header.size;
    }
    length
}
