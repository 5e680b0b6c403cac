//! The data folder: who may use it, and which files it holds.
//!
//! | file | content |
//! | --- | --- |
//! | `format` | number of the folder's format; a newer one is refused |
//! | `lock` | locked while a server runs; names its process |
//! | `log.<zxid>` | transactions from that zxid on, see [`segment`] |
//! | `snapshot.<zxid>` | the whole state after that zxid, see [`snapshot`] |
//!
//! Zxids in names are 16 hexadecimal digits. The two newest snapshots stay, and the log from the older one on;
//! everything before is deleted as soon as a new snapshot is safe.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::Error;

pub(crate) mod log;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;

/// Format this release writes, and the newest it reads.
const FORMAT: u32 = 1;
/// Snapshots that are kept: the newest, and one more in case it turns out unreadable.
const KEPT_SNAPSHOTS: usize = 2;

/// A data folder, locked for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates or opens a folder, locks it and checks its format.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::disk("create folder", path))?;
        let folder = Self { path: path.to_owned(), _lock: lock(path)? };
        folder.check_format()?;
        for name in folder.names()? {
            if name.ends_with(".tmp") {
                folder.remove(&name)?;
            }
        }
        Ok(folder)
    }

    /// First zxids of the log's files, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<i64>, Error> {
        self.numbered("log.")
    }

    /// Zxids of the snapshots, oldest first.
    pub(crate) fn snapshots(&self) -> Result<Vec<i64>, Error> {
        self.numbered("snapshot.")
    }

    pub(crate) fn segment_path(&self, first: i64) -> PathBuf {
        self.path.join(format!("log.{first:016x}"))
    }

    pub(crate) fn snapshot_path(&self, zxid: i64) -> PathBuf {
        self.path.join(format!("snapshot.{zxid:016x}"))
    }

    /// Makes created, renamed and deleted files durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(Error::disk("sync folder", &self.path))
    }

    /// Deletes the snapshots and log files that are not needed any more.
    pub(crate) fn purge(&self) -> Result<(), Error> {
        let snapshots = self.snapshots()?;
        let Some(oldest) = snapshots.len().checked_sub(KEPT_SNAPSHOTS) else { return Ok(()) };
        for zxid in &snapshots[..oldest] {
            self.remove(&format!("snapshot.{zxid:016x}"))?;
        }
        for pair in self.segments()?.windows(2) {
            // A file ends where the next one begins.
            if pair[1] <= snapshots[oldest] + 1 {
                self.remove(&format!("log.{:016x}", pair[0]))?;
            }
        }
        Ok(())
    }

    fn check_format(&self) -> Result<(), Error> {
        let file = self.path.join("format");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let fresh = self.path.join("format.tmp");
                File::create(&fresh)
                    .and_then(|mut f| {
                        f.write_all(format!("{FORMAT}\n").as_bytes()).and_then(|()| f.sync_all())
                    })
                    .and_then(|()| fs::rename(&fresh, &file))
                    .map_err(Error::disk("write", &file))?;
                return self.sync();
            }
            Err(e) => return Err(Error::disk("read", &file)(e)),
        };
        match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(Error::NewerFormat { folder: self.path.clone(), found, known: FORMAT }),
            Err(_) => Err(Error::corrupt(&file, 0, "it does not hold a format number")
                .advise(format!("write {FORMAT} into it if no newer release has used the folder"))),
        }
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let failed = || Error::disk("list folder", &self.path);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed())? {
            names.extend(entry.map_err(failed())?.file_name().into_string());
        }
        Ok(names)
    }

    fn numbered(&self, prefix: &str) -> Result<Vec<i64>, Error> {
        let names = self.names()?;
        let digits = names.iter().filter_map(|name| name.strip_prefix(prefix)).filter(|d| d.len() == 16);
        let mut numbers: Vec<i64> = digits.filter_map(|d| i64::from_str_radix(d, 16).ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(Error::disk("delete", &path))
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = || Error::disk("lock", &path);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder may not have written its number yet; the refusal stands all the same.
            let holder = match file.read_to_string(&mut pid).map(|_| pid.trim()) {
                Ok(pid) if !pid.is_empty() => format!("process {pid}"),
                _ => "another process".to_owned(),
            };
            return Err(Error::FolderInUse { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(e)) => return Err(failed()(e)),
    }
    let pid = format!("{}\n", std::process::id());
    file.rewind()
        .and_then(|()| file.set_len(0))
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(failed())?;
    Ok(file)
}
