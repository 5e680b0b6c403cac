//! Jars that somebody else made: only named files are taken out of them, and what they make us read, hold and wait for is limited.
//!
//! Nothing is ever written, so a name that leads out of a folder leads nowhere; symbolic links and folders are not files; of
//! several files of one name the last counts, as for a JVM.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zip::{CompressionMethod, ZipArchive};

use super::error::OptionsError;

/// Largest jar within a jar that has to be unpacked, in bytes.
const MAX_NESTED: u64 = 64 << 20;
/// Bytes that are unpacked of one program in all.
const MAX_UNPACKED: u64 = 512 << 20;
/// Bytes that may be read to learn which files an archive has.
const MAX_DIRECTORY: u64 = 64 << 20;
/// How long reading one program may take.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Where the end of the directory lies: its record and the longest comment behind it.
const TAIL: u64 = 22 + 65_535 + 4;
const END_OF_DIRECTORY: [u8; 4] = *b"PK\x05\x06";

/// What reading one program may still cost; shared by the archives in it.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    unpacked: Arc<AtomicU64>,
    deadline: Instant,
}

/// An archive, or one within another.
pub(super) struct Archive {
    zip: ZipArchive<Metered>,
    section: Section,
    budget: Budget,
}

/// Something with bytes at positions.
#[derive(Clone, Debug)]
enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

/// A part of it, read as a file of its own.
#[derive(Clone, Debug)]
struct Section {
    bytes: Bytes,
    start: u64,
    length: u64,
    at: u64,
}

/// Stops when it was asked for too much or for too long.
struct Metered {
    section: BufReader<Section>,
    /// Bytes that may still be read.
    left: Arc<AtomicU64>,
    deadline: Instant,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget { unpacked: Arc::new(AtomicU64::new(MAX_UNPACKED)), deadline: Instant::now() + MAX_TIME }
    }

    /// Whether there is nothing left of it.
    pub(super) fn is_spent(&self) -> bool {
        self.unpacked.load(Ordering::Relaxed) == 0 || Instant::now() > self.deadline
    }

    fn take(&self, bytes: u64) {
        let taken = |left: u64| Some(left.saturating_sub(bytes));
        // It always gives a value.
        let _ = self.unpacked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
    }
}

impl Archive {
    /// # Errors
    /// When it is none, or its directory is larger than a sane jar's.
    pub(super) fn open(file: File, budget: Budget) -> Result<Archive, OptionsError> {
        let length = file.metadata()?.len();
        Archive::of(Section { bytes: Bytes::File(Arc::new(file)), start: 0, length, at: 0 }, budget)
    }

    /// # Errors
    /// As [`Archive::open`].
    pub(super) fn of_bytes(bytes: Vec<u8>, budget: Budget) -> Result<Archive, OptionsError> {
        let length = bytes.len() as u64;
        Archive::of(Section { bytes: Bytes::Memory(bytes.into()), start: 0, length, at: 0 }, budget)
    }

    fn of(section: Section, budget: Budget) -> Result<Archive, OptionsError> {
        check_directory(section.clone())?;
        let left = Arc::new(AtomicU64::new(MAX_DIRECTORY));
        let metered = Metered {
            section: BufReader::new(section.clone()),
            left: Arc::clone(&left),
            deadline: budget.deadline,
        };
        let zip = ZipArchive::new(metered)?;
        // From here on what is taken out is counted instead.
        left.store(u64::MAX, Ordering::Relaxed);
        Ok(Archive { zip, section, budget })
    }

    /// Names of all files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The content of the file `name`; `None` when there is no such file.
    ///
    /// # Errors
    /// When it is larger than `limit` bytes, whatever the directory says, or damaged.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, OptionsError> {
        let Some(index) = self.zip.index_for_name_raw(name.as_bytes()) else { return Ok(None) };
        let entry = self.zip.by_index(index)?;
        if !entry.is_file() {
            tracing::warn!(
                name,
                "a jar has something else than a file where metadata belongs; it was passed over"
            );
            return Ok(None);
        }
        let limit = limit.min(self.budget.unpacked.load(Ordering::Relaxed));
        let mut bytes = Vec::new();
        // What the directory says about sizes is not trusted: reading stops at the limit.
        entry.take(limit + 1).read_to_end(&mut bytes)?;
        let size = bytes.len() as u64;
        self.budget.take(size);
        if size > limit {
            return Err(OptionsError::TooLarge(format!("{name} in it has over {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    /// The archive `name` within this one. One that is stored, as Spring Boot does, is read where it lies; others are unpacked
    /// into memory.
    ///
    /// # Errors
    /// As [`Archive::open`] and [`Archive::read`].
    pub(super) fn nested(&mut self, name: &str) -> Result<Option<Archive>, OptionsError> {
        let Some(index) = self.zip.index_for_name_raw(name.as_bytes()) else { return Ok(None) };
        let entry = self.zip.by_index(index)?;
        let is_plain =
            entry.compression() == CompressionMethod::Stored && !entry.encrypted() && entry.is_file();
        let place = entry.data_start().filter(|_| is_plain).map(|start| (start, entry.compressed_size()));
        drop(entry);
        if let Some(part) = place.and_then(|(start, length)| self.section.part(start, length)) {
            return Archive::of(part, self.budget.clone()).map(Some);
        }
        match self.read(name, MAX_NESTED)? {
            Some(bytes) => Archive::of_bytes(bytes, self.budget.clone()).map(Some),
            None => Ok(None),
        }
    }
}

/// Refuses directories whose size alone would need much memory: those of more than 65,534 files, or of a format for them.
fn check_directory(mut section: Section) -> Result<(), OptionsError> {
    let length = section.length.min(TAIL);
    section.seek(SeekFrom::End(-i64::try_from(length).unwrap_or(0)))?;
    let mut tail = Vec::new();
    section.take(TAIL).read_to_end(&mut tail)?;
    // What a record says stands at fixed places behind its signature: number of files, size and position of the directory.
    let records = tail.windows(20).filter(|record| record.starts_with(&END_OF_DIRECTORY));
    for record in records {
        let is_full = |range: std::ops::Range<usize>| record[range].iter().all(|byte| *byte == 0xff);
        if is_full(10..12) || is_full(12..16) || is_full(16..20) {
            return Err(OptionsError::TooLarge(
                "its list of files has over 65,534 entries or 4 GiB".to_owned(),
            ));
        }
    }
    Ok(())
}

impl Section {
    /// A part of this part; `None` when it does not lie in it whole.
    fn part(&self, start: u64, length: u64) -> Option<Section> {
        let end = start.checked_add(length)?;
        (end <= self.length).then(|| Section {
            bytes: self.bytes.clone(),
            start: self.start + start,
            length,
            at: 0,
        })
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        let position = self.start + self.at;
        let read = match &self.bytes {
            Bytes::File(file) => file.read_at(buffer, position)?,
            Bytes::Memory(bytes) => {
                let from = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                let found = &bytes[from..bytes.len().min(from + wanted)];
                buffer[..found.len()].copy_from_slice(found);
                found.len()
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.deadline {
            let text = format!("reading it took over {} s", MAX_TIME.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(format!("its directory has over {MAX_DIRECTORY} bytes")));
        }
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.section.read(&mut buffer[..wanted])?;
        if left != u64::MAX {
            self.left.store(left - read as u64, Ordering::Relaxed);
        }
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.section.seek(to)
    }
}

#[cfg(test)]
mod tests;
