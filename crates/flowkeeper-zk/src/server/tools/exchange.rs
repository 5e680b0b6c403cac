//! Moving to Apache ZooKeeper, and from it.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use super::{Error, TICK, data_folder, read_state};
use crate::server::apache::{self, LogReader, Replay};
use crate::server::core::wall;
use crate::server::state::State;
use crate::server::storage::{Folder, snapshot};

mod running;

/// Where the log behind the snapshot of an Apache ZooKeeper server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource<'a> {
    /// Beside the snapshots.
    Beside,
    /// In another folder, the `dataLogDir`.
    Folder(&'a Path),
    /// Nowhere: the snapshot alone is taken, with what was written until then.
    Nowhere,
}

/// Name of the folder in which Apache ZooKeeper keeps its files.
const VERSION_FOLDER: &str = "version-2";

/// A snapshot that was written for Apache ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// Last transaction in it.
    pub zxid: i64,
    /// Nodes in it.
    pub nodes: usize,
    /// Sessions in it.
    pub sessions: usize,
}

/// What was taken over from Apache ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The snapshot that was read.
    pub snapshot: PathBuf,
    /// Newer snapshots that could not be read, and why; the log made up for them.
    pub unreadable: Vec<String>,
    /// Transactions read from the log.
    pub replayed: u64,
    /// Last transaction.
    pub zxid: i64,
    /// Nodes in the tree.
    pub nodes: usize,
    /// Sessions, each with its full timeout.
    pub sessions: usize,
    /// What looked odd and was passed over.
    pub warnings: Vec<String>,
}

/// Writes the state in a data folder as `to/version-2/snapshot.<zxid>`. No server may use the folder.
///
/// # Errors
/// The folder is in use or damaged, or `to` holds a state already, or cannot be written.
pub fn export(data: &Path, to: &Path) -> Result<Exported, Error> {
    let (_folder, state) = read_state(data)?;
    let into = version_folder(to)?;
    let cut = state.cut();
    let fresh = into.join("snapshot.tmp");
    let file = create(&fresh)?;
    let mut out = BufWriter::new(file);
    apache::write_snapshot(&cut, &mut out).map_err(cannot("write", &fresh))?;
    finish(out, &fresh, &into, &state)
}

/// Writes a snapshot that a running server streams (`/commands/snapshot`) as `to/version-2/snapshot.<zxid>`, after
/// checking that it is whole.
///
/// # Errors
/// The stream is no whole snapshot, or `to` holds a state already, or cannot be written.
pub fn export_stream(mut stream: impl Read, to: &Path) -> Result<Exported, Error> {
    let into = version_folder(to)?;
    let fresh = into.join("snapshot.tmp");
    let mut out = BufWriter::new(create(&fresh)?);
    std::io::copy(&mut stream, &mut out).map_err(cannot("write", &fresh))?;
    out.flush().map_err(cannot("write", &fresh))?;
    let state = File::open(&fresh)
        .map_err(apache::ApacheError::from)
        .and_then(|file| apache::read_snapshot(file, TICK.as_millis() as u64, wall()));
    match state {
        Ok(state) => finish(out, &fresh, &into, &state),
        Err(error) => {
            // It is of no use to anybody.
            let _ = fs::remove_file(&fresh);
            Err(Error::Exchange(format!("what the server sent is no whole snapshot: {error}; try again")))
        }
    }
}

fn version_folder(to: &Path) -> Result<PathBuf, Error> {
    let into = to.join(VERSION_FOLDER);
    fs::create_dir_all(&into).map_err(cannot("create", &into))?;
    let mut entries = fs::read_dir(&into).map_err(cannot("list", &into))?;
    let taken = entries.find_map(|entry| {
        entry.ok().map(|entry| entry.path()).filter(|path| !path.ends_with("snapshot.tmp"))
    });
    match taken {
        Some(file) => Err(Error::Exchange(format!(
            "{} is there already, and a server started on {} would mix the two states; name a folder without a {VERSION_FOLDER}",
            file.display(),
            to.display()
        ))),
        None => Ok(into),
    }
}

fn create(file: &Path) -> Result<File, Error> {
    File::create(file).map_err(cannot("create", file))
}

fn finish(out: BufWriter<File>, fresh: &Path, into: &Path, state: &State) -> Result<Exported, Error> {
    let file = into.join(format!("snapshot.{:x}", state.last.zxid));
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(fresh, &file))
        .and_then(|()| File::open(into)?.sync_all())
        .map_err(cannot("write", &file))?;
    Ok(Exported { file, zxid: state.last.zxid, nodes: state.tree.len(), sessions: state.sessions.len() })
}

/// Reads the newest whole snapshot in `from`, a `dataDir` of Apache ZooKeeper, and the log behind it, and makes of
/// them the fresh data folder `to`. The server must be stopped.
///
/// # Errors
/// No whole state is in `from`, or a server runs on it, or `to` is not empty, or cannot be written.
pub fn import(from: &Path, log: LogSource<'_>, to: &Path) -> Result<Imported, Error> {
    refuse_own(from)?;
    let snapshots_in = in_version_folder(from);
    let logs_in = match log {
        LogSource::Folder(log) => in_version_folder(log),
        LogSource::Beside | LogSource::Nowhere => snapshots_in.clone(),
    };
    let snapshots = apache_files(&snapshots_in, "snapshot.")?;
    let logs = match log {
        LogSource::Nowhere => Vec::new(),
        _ => apache_files(&logs_in, "log.")?,
    };
    if logs.is_empty() && log != LogSource::Nowhere {
        return Err(Error::Exchange(format!(
            "{} holds no log.* file, without which the snapshot alone may be old; name the dataLogDir with --log, or, if it is all \
             there is, like an export, say --without-log",
            logs_in.display()
        )));
    }
    if let Some(user) = running::user_of(from, &logs_in).filter(|_| log != LogSource::Nowhere) {
        return Err(Error::Exchange(format!(
            "{user}: what it writes from now on would be missing; stop that server, or name a copy of its folder"
        )));
    }
    refuse_used(to)?;
    let mut unreadable = Vec::new();
    let (snapshot, state, zxid) = newest(&snapshots_in, snapshots, &mut unreadable)?;
    let mut replay = Replay::new(state, zxid);
    let mut warnings = Vec::new();
    replay_logs(&logs, &mut replay, &mut warnings)?;
    let replayed = replay.replayed;
    let state = replay.finish();
    let folder = Folder::open(to)?;
    snapshot::write(&folder, &state.cut())?;
    Ok(Imported {
        snapshot,
        unreadable,
        replayed,
        zxid: state.last.zxid,
        nodes: state.tree.len(),
        sessions: state.sessions.len(),
        warnings,
    })
}

/// Files of the same names in another format.
fn refuse_own(from: &Path) -> Result<(), Error> {
    match Folder::peek(&data_folder(from)) {
        Ok(folder) if folder.path().join("format").is_file() => Err(Error::Exchange(format!(
            "{} holds the data of a Flowkeeper server, not of Apache ZooKeeper; start a server on it as it is, or make an export of it \
             first",
            folder.path().display()
        ))),
        _ => Ok(()),
    }
}

fn in_version_folder(folder: &Path) -> PathBuf {
    let inner = folder.join(VERSION_FOLDER);
    if inner.is_dir() { inner } else { folder.to_owned() }
}

/// Files of a kind and the zxids in their names, oldest first.
fn apache_files(folder: &Path, prefix: &str) -> Result<Vec<(i64, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot("list", folder))? {
        let path = entry.map_err(cannot("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        match i64::from_str_radix(rest, 16) {
            Ok(zxid) => files.push((zxid, path)),
            Err(_) if rest.contains('.') => {
                return Err(Error::Exchange(format!(
                    "{} is compressed, which is not read here; start its server once without snapshot.compression.method, let it write \
                     a snapshot, and stop it",
                    path.display()
                )));
            }
            Err(_) => {}
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn refuse_used(to: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(to) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // What an import leaves that was broken off.
        if name != "lock" && name != "format" && !name.to_string_lossy().ends_with(".tmp") {
            return Err(Error::Exchange(format!(
                "{} is not empty: it holds {}; name a fresh folder",
                to.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn newest(
    folder: &Path,
    snapshots: Vec<(i64, PathBuf)>,
    unreadable: &mut Vec<String>,
) -> Result<(PathBuf, State, i64), Error> {
    for (zxid, path) in snapshots.into_iter().rev() {
        let state = File::open(&path)
            .map_err(apache::ApacheError::from)
            .and_then(|file| apache::read_snapshot(file, TICK.as_millis() as u64, wall()));
        match state {
            Ok(state) => return Ok((path, state, zxid)),
            Err(error) => unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    Err(Error::Exchange(if unreadable.is_empty() {
        format!(
            "{} holds no snapshot.* file; name the dataDir of an Apache ZooKeeper server",
            folder.display()
        )
    } else {
        format!("no snapshot can be read: {}; restore the dataDir from a backup", unreadable.join("; "))
    }))
}

fn replay_logs(
    logs: &[(i64, PathBuf)],
    replay: &mut Replay,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    if logs.is_empty() {
        return Ok(());
    }
    let wanted = replay.last() + 1;
    let from = logs.partition_point(|(first, _)| *first <= wanted).saturating_sub(1);
    for (first, path) in &logs[from..] {
        if *first > replay.last() && is_gap(replay.last(), *first) {
            return Err(Error::Exchange(format!(
                "{} begins with transaction 0x{first:x}, but 0x{:x} comes next: a log file is missing; restore the folder from a \
                 backup, or take a newer snapshot",
                path.display(),
                replay.last() + 1
            )));
        }
        let bytes = fs::read(path).map_err(cannot("read", path))?;
        if bytes.iter().all(|byte| *byte == 0) {
            // Created just before a crash.
            continue;
        }
        let wrong = |error: apache::ApacheError| {
            Error::Exchange(format!("{}: {error}; restore the folder from a backup", path.display()))
        };
        let mut reader = LogReader::new(&bytes).map_err(wrong)?;
        loop {
            let offset = reader.offset();
            match reader.next() {
                Ok(Some(entry)) => {
                    let zxid = entry.stamp.zxid;
                    if zxid > replay.last() && is_gap(replay.last(), zxid) {
                        warnings.push(format!(
                            "{}: transaction 0x{zxid:x} follows 0x{:x}",
                            path.display(),
                            replay.last()
                        ));
                    }
                    replay.apply(&entry).map_err(|e| {
                        Error::Exchange(format!(
                            "{}: at byte {offset}, {e}; restore the folder from a backup",
                            path.display()
                        ))
                    })?;
                }
                Ok(None) => break,
                // If it was more than the last write before a crash, the next file does not go on where this one ends.
                Err(error) => {
                    warnings
                        .push(format!("{}: {error}; taken for a write that a crash cut off", path.display()));
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Whether transactions are missing between two. Numbers go up by one, and begin anew with each leader.
fn is_gap(last: i64, next: i64) -> bool {
    next != last + 1 && next >> 32 == last >> 32
}

fn cannot(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| {
        Error::Exchange(format!("cannot {what} {path}: {source}; check the name and who may use it"))
    }
}
