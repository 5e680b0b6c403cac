//! Bringing the state back at start: newest readable snapshot, then the log behind it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::segment::{self, Scan};
use super::{Folder, snapshot};
use crate::proto::Decoder;
use crate::server::error::Error;
use crate::server::journal::Record;
use crate::server::state::{ReplayError, State};

/// What a start found in the data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Zxid of the snapshot that was loaded.
    pub snapshot: Option<i64>,
    /// Newer snapshots that could not be read; the log made up for them.
    pub unreadable_snapshots: Vec<PathBuf>,
    /// Transactions replayed from the log.
    pub replayed: u64,
    /// Last transaction known.
    pub zxid: i64,
    /// A write that a crash cut off, and that was removed. Nothing in it had been acknowledged.
    pub torn: Option<TornTail>,
    /// Nodes in the tree.
    pub nodes: usize,
    /// Sessions that may be re-attached, each with its full timeout.
    pub sessions: usize,
    /// Bytes of log that were read.
    pub log_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// A torn write at the end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The log file.
    pub file: PathBuf,
    /// Where the file was cut.
    pub offset: u64,
    /// Bytes removed.
    pub bytes: u64,
}

/// Recovers the state of a folder. `tick` in milliseconds, `wall` the wall clock.
pub(crate) fn recover(folder: &Folder, tick: u64, wall: i64) -> Result<(State, Recovery), Error> {
    let started = Instant::now();
    let mut recovery = Recovery::default();
    let mut state = load_snapshot(folder, tick, wall, &mut recovery)?;
    replay_log(folder, &mut state, &mut recovery)?;
    recovery.zxid = state.last.zxid;
    recovery.nodes = state.tree.len();
    recovery.sessions = state.sessions.len();
    recovery.took = started.elapsed();
    Ok((state, recovery))
}

/// Recovers the state of a folder from one of its snapshots, though there are newer ones.
pub(crate) fn recover_from(folder: &Folder, zxid: i64, tick: u64, wall: i64) -> Result<State, Error> {
    let mut state = snapshot::read(&folder.snapshot_path(zxid), tick, wall)?;
    replay_log(folder, &mut state, &mut Recovery::default())?;
    Ok(state)
}

fn load_snapshot(folder: &Folder, tick: u64, wall: i64, recovery: &mut Recovery) -> Result<State, Error> {
    let mut first_error = None;
    for zxid in folder.snapshots()?.into_iter().rev() {
        let path = folder.snapshot_path(zxid);
        match snapshot::read(&path, tick, wall) {
            Ok(state) if state.last.zxid == zxid => {
                recovery.snapshot = Some(zxid);
                return Ok(state);
            }
            Ok(_) => {
                let error = Error::corrupt(&path, 0, "its name and content disagree about the transaction");
                first_error.get_or_insert(error);
            }
            Err(error @ Error::Corrupt { .. }) => {
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        recovery.unreadable_snapshots.push(path);
    }
    let Some(error) = first_error else { return Ok(State::new(tick, wall)) };
    Err(error.advise(without_snapshots(folder, &recovery.unreadable_snapshots)?))
}

/// How to go on when no snapshot can be read.
fn without_snapshots(folder: &Folder, unreadable: &[PathBuf]) -> Result<String, Error> {
    let logs = folder.segments()?;
    if logs.first() == Some(&1) {
        return Ok(format!(
            "move {} away: the log is complete and makes up for it, nothing is lost",
            list(unreadable)
        ));
    }
    let mut files = unreadable.to_vec();
    files.extend(logs.iter().map(|first| folder.segment_path(*first)));
    Ok(format!(
        "move {} away to begin with an empty tree: everything is lost; restart all clients then",
        list(&files)
    ))
}

/// The error with the way to go on without the log from the file on that begins with `first`. Snapshots that cannot be read and
/// are newer than what is left must go too, or they would count among the newest again.
fn without_log_from(folder: &Folder, first: i64, recovery: &Recovery, error: Error) -> Result<Error, Error> {
    let logs = folder.segments()?;
    let mut files: Vec<_> =
        logs.iter().filter(|log| **log >= first).map(|log| folder.segment_path(*log)).collect();
    files.extend(recovery.unreadable_snapshots.iter().cloned());
    let mut lost = recovery.snapshot.map_or(first, |snapshot| first.max(snapshot + 1));
    if let Error::MissingLog { wanted, .. } = error {
        lost = lost.min(wanted);
    }
    Ok(error.advise(format!(
        "move {} away to go on without them: transactions from 0x{lost:x} on are lost; restart all clients then, because \
         they may have seen what is lost",
        list(&files)
    )))
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" and ")
}

fn replay_log(folder: &Folder, state: &mut State, recovery: &mut Recovery) -> Result<(), Error> {
    let segments = folder.segments()?;
    let wanted = state.last.zxid + 1;
    // Files that end before the snapshot are on their way out.
    let from = segments.partition_point(|first| *first <= wanted).saturating_sub(1);
    if let Some(found) = segments.first().copied().filter(|first| *first > wanted) {
        let error = missing(&folder.segment_path(found), found, wanted);
        return Err(without_log_from(folder, found, recovery, error)?);
    }
    for (at, first) in segments.iter().enumerate().skip(from) {
        let is_last = at + 1 == segments.len();
        match replay_file(folder, *first, is_last, state, recovery) {
            Ok(()) => {}
            Err(error) => return Err(without_log_from(folder, *first, recovery, error)?),
        }
    }
    Ok(())
}

fn replay_file(
    folder: &Folder,
    first: i64,
    is_last: bool,
    state: &mut State,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    let path = folder.segment_path(first);
    let bytes = segment::read(&path).map_err(Error::disk("read log", &path))?;
    let scan = segment::scan(&bytes, is_last)
        .map_err(|damage| Error::corrupt(&path, damage.offset as u64, damage.what))?;
    for group in &scan.groups {
        let records = Records { version: scan.version, path: &path, offset: group.start as u64 };
        replay_group(&records, &bytes[group.clone()], state, recovery)?;
    }
    recovery.log_bytes += scan.end as u64;
    if is_last { trim(folder, &path, &scan, recovery) } else { Ok(()) }
}

fn missing(file: &Path, found: i64, wanted: i64) -> Error {
    Error::MissingLog { file: file.to_owned(), found, wanted, advice: String::new() }
}

/// Where records come from.
struct Records<'a> {
    version: i32,
    path: &'a Path,
    offset: u64,
}

fn replay_group(
    from: &Records<'_>,
    payload: &[u8],
    state: &mut State,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    let Records { version, path, offset } = *from;
    let mut d = Decoder::new(payload);
    while let Some(record) =
        Record::next(&mut d, version).map_err(|e| Error::corrupt(path, offset, e.to_string()))?
    {
        if record.stamp.zxid <= state.last.zxid {
            continue;
        }
        state.replay(&record).map_err(|e| match e {
            ReplayError::Gap { last, found } => missing(path, found, last + 1),
            other => {
                let what = format!("transaction 0x{:x} does not fit: {other}", record.stamp.zxid);
                Error::corrupt(path, offset, what)
            }
        })?;
        recovery.replayed += 1;
    }
    Ok(())
}

/// Cuts a torn write and the zeros written ahead off the last file: a new one is begun after every start.
fn trim(folder: &Folder, path: &Path, scan: &Scan, recovery: &mut Recovery) -> Result<(), Error> {
    if scan.torn > 0 {
        recovery.torn =
            Some(TornTail { file: path.to_owned(), offset: scan.end as u64, bytes: scan.torn as u64 });
    }
    if folder.is_read_only() {
        return Ok(());
    }
    if scan.groups.is_empty() {
        folder.remove_path(path)?;
        return folder.sync();
    }
    folder
        .disk()
        .open(path)
        .and_then(|file| file.set_len(scan.end as u64).and_then(|()| file.sync_all()))
        .map_err(Error::disk("trim log", path))
}
