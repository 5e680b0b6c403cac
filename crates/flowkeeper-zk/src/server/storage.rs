//! The data folder: who may use it, and which files it holds.
//!
//! | file | content |
//! | --- | --- |
//! | `format` | number of the folder's format; a newer one is refused |
//! | `lock` | locked while a server runs; names its process |
//! | `log-folder` | names the folder of the log, if that is another one |
//! | `log.<zxid>` | transactions from that zxid on, see [`segment`] |
//! | `snapshot.<zxid>` | the whole state after that zxid, see [`snapshot`] |
//!
//! Zxids in names are 16 hexadecimal digits. The newest snapshots stay, at least two, and the log from the oldest of
//! them on; everything before is deleted as soon as a new snapshot is safe.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use disk::Disk;

use super::error::{Error, is_no_space};

pub(crate) mod disk;
pub(crate) mod log;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod snapshot;
pub(crate) mod space;
#[cfg(test)]
pub(crate) mod tests;

/// Format this release writes, and the newest it reads. 2: log records carry a cxid.
const FORMAT: u32 = 2;
/// Snapshots that are kept at least: the newest, and one more in case it turns out unreadable.
const LEAST_KEPT: usize = 2;
/// File of the data folder that names the folder of the log, if that is another one.
const LOG_FOLDER: &str = "log-folder";

/// A data folder, locked for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Where the log is, which may be another disk.
    log: PathBuf,
    disk: Disk,
    /// Snapshots that are kept.
    kept: usize,
    /// Whether nothing may be changed, not even what every start tidies up.
    is_read_only: bool,
    /// Released when they are dropped.
    locks: Vec<File>,
}

impl Folder {
    /// Creates or opens a folder with its log inside, locks it and checks its format.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_log(path, None)
    }

    /// Creates or opens a folder whose log is in the folder `log`.
    pub(crate) fn open_with_log(path: &Path, log: Option<&Path>) -> Result<Self, Error> {
        let log = log.unwrap_or(path);
        create_folder(path, "dataDir")?;
        create_folder(log, "dataLogDir")?;
        let mut locks = vec![lock(path)?];
        if !same(path, log) {
            locks.push(lock(log)?);
        }
        let disk = Disk::of(path);
        let folder = Self {
            path: path.to_owned(),
            log: log.to_owned(),
            disk,
            kept: LEAST_KEPT,
            is_read_only: false,
            locks,
        };
        folder.check_format()?;
        folder.check_log_folder()?;
        for name in folder.leftovers()? {
            folder.remove_path(&name)?;
        }
        Ok(folder)
    }

    /// Opens a folder to look at it; nothing in it is changed.
    ///
    /// # Errors
    /// It is no data folder, or a server uses it.
    pub(crate) fn inspect(path: &Path) -> Result<Self, Error> {
        let mut folder = Self::peek(path)?;
        match lock(path) {
            Ok(lock) => folder.locks.push(lock),
            // Who may only read locks as far as that goes.
            Err(Error::Disk { source, .. }) if is_forbidden(&source) => {
                folder.locks.extend(lock_to_read(path)?);
            }
            Err(error) => return Err(error),
        }
        Ok(folder)
    }

    /// Opens a folder to look at it, though a server may use it and change it meanwhile.
    pub(crate) fn peek(path: &Path) -> Result<Self, Error> {
        let log = named_log_folder(path)?.unwrap_or_else(|| path.to_owned());
        // Other folders may have a file named format.
        if numbered(path, "snapshot.")?.is_empty() && numbered(&log, "log.")?.is_empty() {
            let elsewhere = match log == path {
                true => String::new(),
                false => format!(" (the log is in {})", log.display()),
            };
            return Err(Error::Config(format!(
                "{} holds no data of this server, neither a snapshot.* nor a log.* file of its kind{elsewhere}; name the folder that \
                 the server got as --data or dataDir, or the folder zookeeper in it",
                path.display()
            )));
        }
        let disk = Disk::of(path);
        let kept = LEAST_KEPT;
        let folder = Self { path: path.to_owned(), log, disk, kept, is_read_only: true, locks: Vec::new() };
        folder.check_format()?;
        Ok(folder)
    }

    /// The same folder, in which more snapshots are kept than it takes.
    pub(crate) fn keeping(mut self, snapshots: usize) -> Self {
        self.kept = snapshots.max(LEAST_KEPT);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Files that a crash left half-written, which the next start removes.
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>, Error> {
        let names = names(&self.path)?;
        Ok(names.iter().filter(|name| name.ends_with(".tmp")).map(|name| self.path.join(name)).collect())
    }

    /// First zxids of the log's files, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<i64>, Error> {
        numbered(&self.log, "log.")
    }

    /// Zxids of the snapshots, oldest first.
    pub(crate) fn snapshots(&self) -> Result<Vec<i64>, Error> {
        numbered(&self.path, "snapshot.")
    }

    pub(crate) fn segment_path(&self, first: i64) -> PathBuf {
        self.log.join(format!("log.{first:016x}"))
    }

    pub(crate) fn snapshot_path(&self, zxid: i64) -> PathBuf {
        self.path.join(format!("snapshot.{zxid:016x}"))
    }

    /// Makes created, renamed and deleted files durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.disk.sync_folder(&self.path).map_err(Error::disk("sync folder", &self.path))?;
        if self.log == self.path {
            return Ok(());
        }
        self.disk.sync_folder(&self.log).map_err(Error::disk("sync folder", &self.log))
    }

    /// Deletes the snapshots and log files that are not needed any more.
    pub(crate) fn purge(&self) -> Result<(), Error> {
        for file in self.superfluous()? {
            self.remove_path(&file)?;
        }
        Ok(())
    }

    /// Snapshots and log files that are not needed any more.
    pub(crate) fn superfluous(&self) -> Result<Vec<PathBuf>, Error> {
        let snapshots = self.snapshots()?;
        let Some(oldest) = snapshots.len().checked_sub(self.kept) else { return Ok(Vec::new()) };
        let mut files: Vec<PathBuf> =
            snapshots[..oldest].iter().map(|zxid| self.snapshot_path(*zxid)).collect();
        for pair in self.segments()?.windows(2) {
            // A file ends where the next one begins.
            if pair[1] <= snapshots[oldest] + 1 {
                files.push(self.segment_path(pair[0]));
            }
        }
        Ok(files)
    }

    pub(crate) fn remove_path(&self, path: &Path) -> Result<(), Error> {
        self.disk.remove(path).map_err(Error::disk("delete", path))
    }

    fn check_format(&self) -> Result<(), Error> {
        let file = self.path.join("format");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return if self.is_read_only {
                    Ok(())
                } else {
                    self.write_small("format", &FORMAT.to_string())
                };
            }
            Err(e) => return Err(Error::disk("read", &file)(e)),
        };
        match text.trim().parse::<u32>() {
            // From here on an older release would not understand all files.
            Ok(found) if found < FORMAT && !self.is_read_only => {
                self.write_small("format", &FORMAT.to_string())
            }
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(Error::NewerFormat { folder: self.path.clone(), found, known: FORMAT }),
            Err(_) => Err(Error::corrupt(&file, 0, "it does not hold a format number")
                .advise(format!("write {FORMAT} into it if no newer release has used the folder"))),
        }
    }

    /// Makes sure that no log stays behind in a folder that was used for it before.
    fn check_log_folder(&self) -> Result<(), Error> {
        let named = named_log_folder(&self.path)?;
        let other = (!same(&self.path, &self.log)).then_some(&self.log);
        let data = self.path.display();
        match (named, other) {
            (None, None) => Ok(()),
            (Some(named), Some(log)) if same(&named, log) => Ok(()),
            (None, Some(log)) => {
                if !numbered(&self.path, "log.")?.is_empty() {
                    return Err(Error::Config(format!(
                        "the log of data folder {data} is in it, not in {log}; move its log.* files to {log}, or leave dataLogDir \
                         away",
                        log = log.display()
                    )));
                }
                self.write_small(LOG_FOLDER, &log.display().to_string())
            }
            (Some(named), _) => Err(Error::Config(format!(
                "the log of data folder {data} is in {}; set dataLogDir to that, or move its log.* files and delete {}",
                named.display(),
                self.path.join(LOG_FOLDER).display()
            ))),
        }
    }

    /// Writes a small file, whole or not at all.
    fn write_small(&self, name: &str, text: &str) -> Result<(), Error> {
        let file = self.path.join(name);
        let fresh = self.path.join(format!("{name}.tmp"));
        self.disk
            .create(&fresh)
            .and_then(|mut f| f.write_all(format!("{text}\n").as_bytes()).and_then(|()| f.sync_all()))
            .and_then(|()| self.disk.rename(&fresh, &file))
            .map_err(Error::disk("write", &file))?;
        self.disk.sync_folder(&self.path).map_err(Error::disk("sync folder", &self.path))
    }
}

/// The folder of the log that a data folder names.
fn named_log_folder(path: &Path) -> Result<Option<PathBuf>, Error> {
    let file = path.join(LOG_FOLDER);
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(PathBuf::from(text.trim_end()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::disk("read", &file)(e)),
    }
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = || Error::disk("list folder", folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        names.extend(entry.map_err(failed())?.file_name().into_string());
    }
    Ok(names)
}

fn numbered(folder: &Path, prefix: &str) -> Result<Vec<i64>, Error> {
    let names = names(folder)?;
    let digits = names.iter().filter_map(|name| name.strip_prefix(prefix)).filter(|d| d.len() == 16);
    let mut numbers: Vec<i64> = digits.filter_map(|d| i64::from_str_radix(d, 16).ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes sure that there is a folder; `key` is the setting that names it.
fn create_folder(path: &Path, key: &str) -> Result<(), Error> {
    let shown = path.display();
    match fs::create_dir_all(path) {
        Ok(()) => Ok(()),
        Err(e) if is_no_space(&e) => Err(Error::disk("create folder", path)(e)),
        Err(_) if path.exists() => {
            Err(Error::Config(format!("{shown} is not a folder; name a folder in {key}, or delete the file")))
        }
        Err(e) => Err(Error::Config(format!(
            "cannot create the folder {shown}: {e}; check its name in {key} and that this user may write there"
        ))),
    }
}

fn is_forbidden(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Locks a folder in which this user may not write. Nothing if no server ever used it, or its lock may not be read.
fn lock_to_read(folder: &Path) -> Result<Option<File>, Error> {
    match File::open(folder.join("lock")) {
        Ok(mut file) => try_lock(folder, &mut file).map(|()| Some(file)),
        Err(e) if is_forbidden(&e) || e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::disk("lock", folder)(e)),
    }
}

fn try_lock(folder: &Path, file: &mut File) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder may not have written its number yet; the refusal stands all the same.
            let holder = match file.read_to_string(&mut pid).map(|_| pid.trim()) {
                Ok(pid) if !pid.is_empty() => format!("process {pid}"),
                _ => "another process".to_owned(),
            };
            Err(Error::FolderInUse { folder: folder.to_owned(), holder })
        }
        Err(TryLockError::Error(e)) => Err(Error::disk("lock", &folder.join("lock"))(e)),
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = || Error::disk("lock", &path);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
    try_lock(folder, &mut file)?;
    let pid = format!("{}\n", std::process::id());
    let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| file.write_all(pid.as_bytes()));
    match written {
        // The number is for people; a full disk does not keep a server from serving reads.
        Err(error) if !is_no_space(&error) => Err(failed()(error)),
        _ => Ok(file),
    }
}
