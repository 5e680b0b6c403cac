//! The guard of a directory: a copy of an instance may write there until a newer copy has claimed it.
//!
//! `.term-<key>` holds the highest term that claimed the directory. A claim writes its term, then waits until every writer
//! that had been admitted before is done; from then on an older copy is refused. Writers hold a shared lock for the length of
//! one batch and look at the term under it, so a check and the writes after it cannot be separated by a claim. Because the
//! term is written before the wait, writers that come one after the other cannot keep a claim waiting.
//!
//! The locks are those of `flock(2)`: the guard reaches as far as they do, which is one machine, or a network file system
//! that passes them on (NFS from version 4 and CephFS do).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Fence;

/// Between two looks at a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(5);

/// Why a copy may not write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// For good: this copy must end.
    #[error(
        "the directory {directory} was claimed by a newer copy of this instance with term {newer}, and this copy has term \
         {term}: it may not write there any more and ends"
    )]
    Older { directory: String, term: u64, newer: u64 },
    /// Nobody with this term has claimed the directory, or the claim was deleted: claim it.
    #[error("the directory {directory} is not claimed with term {term}; claim it before writing there")]
    Unclaimed { directory: String, term: u64 },
    /// For now: another copy is in the middle of a batch, or stands still in it.
    #[error("another copy of this instance still writes to {directory} after {} s; trying again helps once it ends", .waited.as_secs_f64())]
    Busy { directory: String, waited: Duration },
    /// The file of the term was changed by something else.
    #[error("{path} holds '{found}' instead of a term; delete it while no copy of the instance runs")]
    Garbled { path: String, found: String },
    #[error("{path} cannot be {what}: {source}")]
    Io { path: String, what: &'static str, source: io::Error },
}

/// A directory, guarded for one instance, as one of its copies sees it.
#[derive(Debug, Clone)]
pub struct FenceFile {
    directory: PathBuf,
    /// `.term-<key>`; the other files have its name and a suffix.
    name: String,
    term: u64,
}

/// Leave to write until it is dropped: a newer copy waits as long.
#[derive(Debug)]
pub struct Permit {
    _lock: File,
}

impl FenceFile {
    /// The guard of a directory that exists; touches nothing.
    pub fn new(directory: &Path, fence: &Fence) -> FenceFile {
        let name = format!(".term-{}", plain(&fence.key()));
        FenceFile { directory: directory.to_owned(), name, term: fence.term }
    }

    /// Takes the directory over from older copies; when it returns, none of them writes there any more. A copy may claim
    /// again what it has claimed. Blocks up to `wait`.
    ///
    /// # Errors
    /// [`Error::Older`] when a higher term is there. [`Error::Busy`] when an older copy holds on to its batch: it has lost
    /// the directory after that batch all the same, but it is not done yet.
    pub fn claim(&self, wait: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + wait;
        {
            let _claimants = self.lock(".claim", true, deadline, wait)?;
            match self.highest()? {
                Some(newer) if newer > self.term => return Err(self.older(newer)),
                Some(same) if same == self.term => {}
                _ => self.write_term()?,
            }
        }
        self.lock(".lock", true, deadline, wait).map(drop)
    }

    /// Leave to write a batch. Blocks up to `wait` while a newer copy takes over. The shorter the permit is held, the sooner
    /// a newer copy can start.
    ///
    /// # Errors
    /// [`Error::Older`] when a newer copy has claimed the directory, [`Error::Unclaimed`] when this one has not.
    pub fn check(&self, wait: Duration) -> Result<Permit, Error> {
        let lock = self.lock(".lock", false, Instant::now() + wait, wait)?;
        match self.highest()? {
            Some(term) if term == self.term => Ok(Permit { _lock: lock }),
            Some(newer) if newer > self.term => Err(self.older(newer)),
            _ => Err(Error::Unclaimed { directory: self.shown(), term: self.term }),
        }
    }

    /// [`FenceFile::check`], with a claim before it where one is missing.
    ///
    /// # Errors
    /// As of both.
    pub fn admit(&self, wait: Duration) -> Result<Permit, Error> {
        match self.check(wait) {
            Err(Error::Unclaimed { .. }) => {
                self.claim(wait)?;
                self.check(wait)
            }
            other => other,
        }
    }

    /// Whether a file in a guarded directory belongs to a guard.
    pub fn is_own(name: &str) -> bool {
        name.starts_with(".term-")
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}{suffix}", self.name))
    }

    fn shown(&self) -> String {
        self.directory.display().to_string()
    }

    fn older(&self, newer: u64) -> Error {
        Error::Older { directory: self.shown(), term: self.term, newer }
    }

    /// The highest term that claimed the directory.
    fn highest(&self) -> Result<Option<u64>, Error> {
        let path = self.path("");
        match fs::read(&path) {
            Ok(bytes) => parse_term(&bytes).map(Some).ok_or_else(|| Error::Garbled {
                path: path.display().to_string(),
                found: String::from_utf8_lossy(&bytes).chars().take(40).collect(),
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&path, "read")(e)),
        }
    }

    /// Readers see the old term or the new one, and so does the machine after a power cut.
    fn write_term(&self) -> Result<(), Error> {
        let (path, new) = (self.path(""), self.path(".new"));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(format!("{}\n", self.term).as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(failed(&path, "written"))
    }

    /// A lock of its own open file, so that it ends with the value, or with the process.
    fn lock(
        &self,
        suffix: &str,
        is_exclusive: bool,
        deadline: Instant,
        wait: Duration,
    ) -> Result<File, Error> {
        let path = self.path(suffix);
        loop {
            let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
            let file = opened.map_err(failed(&path, "opened"))?;
            loop {
                match if is_exclusive { file.try_lock() } else { file.try_lock_shared() } {
                    Ok(()) => break,
                    Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(TryLockError::Error(e)) => return Err(failed(&path, "locked")(e)),
                    Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                        return Err(Error::Busy { directory: self.shown(), waited: wait });
                    }
                    Err(TryLockError::WouldBlock) => std::thread::park_timeout(PAUSE),
                }
            }
            // A file that was deleted meanwhile is locked by nobody else any more.
            let locked = file.metadata().map_err(failed(&path, "locked"))?;
            if fs::metadata(&path).is_ok_and(|m| (m.dev(), m.ino()) == (locked.dev(), locked.ino())) {
                return Ok(file);
            }
        }
    }
}

fn failed(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |source| Error::Io { path, what, source }
}

/// A key as one name of a file, different keys as different names.
fn plain(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

/// Digits and a line end; anything else was not written here.
fn parse_term(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.strip_suffix(b"\n")?;
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if is_plain { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
