//! Bringing the state back at start: newest readable snapshot, then the log behind it.

use std::fs;
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
    /// Last transaction in the log, if there is one; a snapshot may go beyond it.
    pub log_zxid: Option<i64>,
    /// What was removed from the end of the log because it is not whole. If only a crash explains it, nothing in it
    /// had been acknowledged.
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
    /// The snapshot was made after what was removed, and covers it.
    pub is_covered: bool,
    /// The file is shorter than a crash leaves it: what lacks may have been acknowledged.
    pub is_short: bool,
}

/// The end of the log.
struct LogEnd {
    path: PathBuf,
    scan: Scan,
    is_short: bool,
}

/// Recovers the state of a folder. `tick` in milliseconds, `wall` the wall clock.
pub(crate) fn recover(folder: &Folder, tick: u64, wall: i64) -> Result<(State, Recovery), Error> {
    let started = Instant::now();
    let mut recovery = Recovery::default();
    let (mut state, unread) = load_snapshot(folder, tick, wall, &mut recovery)?;
    let end = replay_log(folder, &mut state, &mut recovery)?;
    // Before anything is changed.
    check_reach(folder, state.last.zxid, unread, end.as_ref(), &recovery)?;
    if let Some(end) = end {
        trim(folder, end, &mut recovery)?;
    }
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

/// The newest snapshot that can be read, or an empty state without any; and why a newer one cannot be.
fn load_snapshot(
    folder: &Folder,
    tick: u64,
    wall: i64,
    recovery: &mut Recovery,
) -> Result<(State, Option<Error>), Error> {
    let mut first_error = None;
    for zxid in folder.snapshots()?.into_iter().rev() {
        let path = folder.snapshot_path(zxid);
        match snapshot::read(&path, tick, wall) {
            Ok(state) if state.last.zxid == zxid => {
                recovery.snapshot = Some(zxid);
                return Ok((state, first_error));
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
    let Some(error) = first_error else { return Ok((State::new(tick, wall), None)) };
    Err(error.advise(without_snapshots(folder, State::new(tick, wall), recovery)?))
}

/// Makes sure that what was read goes as far as every snapshot's name: that much was acknowledged.
fn check_reach(
    folder: &Folder,
    last: i64,
    unread: Option<Error>,
    end: Option<&LogEnd>,
    recovery: &Recovery,
) -> Result<(), Error> {
    let Some(named) = folder.snapshots()?.last().copied().filter(|named| *named > last) else {
        return Ok(());
    };
    let why = unread.map_or_else(|| "it came while others were read".to_owned(), |error| error.reason());
    let end = end.filter(|end| end.scan.torn > 0).map_or_else(String::new, |end| {
        format!(", where {} is cut off or damaged at byte {}", end.path.display(), end.scan.end)
    });
    let error = Error::MissingEnd {
        snapshot: folder.snapshot_path(named),
        why,
        last,
        end,
        named,
        advice: String::new(),
    };
    Err(error.advise(without_end(&recovery.unreadable_snapshots, last, named)))
}

/// How to go on with what ends before a snapshot.
fn without_end(unreadable: &[PathBuf], last: i64, named: i64) -> String {
    format!(
        "move {} away to go on without them: transactions 0x{:x} to 0x{named:x} are lost; restart all clients then, because \
         they may have seen what is lost",
        list(unreadable),
        last + 1
    )
}

/// How to go on when no snapshot can be read: what the log makes of an `empty` state is tried.
fn without_snapshots(folder: &Folder, empty: State, recovery: &Recovery) -> Result<String, Error> {
    let unreadable = &recovery.unreadable_snapshots;
    let named = folder.snapshots()?.last().copied().unwrap_or(0);
    let logs = folder.segments()?;
    if logs.first() == Some(&1) {
        let mut state = empty;
        let mut trial = recovery.clone();
        match replay_log(folder, &mut state, &mut trial) {
            Ok(end) if state.last.zxid >= named => {
                let cost = match end {
                    Some(LogEnd { path, is_short: true, .. }) => format!(
                        "but {} is shorter than a crash leaves it, so what came behind that may be lost",
                        path.display()
                    ),
                    _ => "nothing is lost".to_owned(),
                };
                return Ok(format!(
                    "move {} away: the log goes from the first transaction to 0x{:x} and makes up for it, {cost}",
                    list(unreadable),
                    state.last.zxid
                ));
            }
            Ok(_) if state.last.zxid > 0 => return Ok(without_end(unreadable, state.last.zxid, named)),
            Ok(_) => {}
            Err(error) => match error.advice() {
                Some(advice) => return Ok(format!("{advice} ({})", error.reason())),
                None => return Err(error),
            },
        }
    }
    let mut files = unreadable.clone();
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

/// Replays the log behind a state; returns where it ends. Nothing is changed.
fn replay_log(folder: &Folder, state: &mut State, recovery: &mut Recovery) -> Result<Option<LogEnd>, Error> {
    let segments = folder.segments()?;
    let wanted = state.last.zxid + 1;
    // Files that end before the snapshot are on their way out.
    let from = segments.partition_point(|first| *first <= wanted).saturating_sub(1);
    let mut end = None;
    for (at, first) in segments.iter().enumerate().skip(from) {
        // A file is begun after everything before it is on the disk, also one in which nothing is left.
        if *first > state.last.zxid + 1 {
            let error = missing(&folder.segment_path(*first), *first, state.last.zxid + 1);
            return Err(without_log_from(folder, *first, recovery, error)?);
        }
        let is_last = at + 1 == segments.len();
        match replay_file(folder, *first, is_last, state, recovery) {
            Ok(found) => end = Some(found),
            Err(error) => return Err(without_log_from(folder, *first, recovery, error)?),
        }
    }
    Ok(end)
}

fn replay_file(
    folder: &Folder,
    first: i64,
    is_last: bool,
    state: &mut State,
    recovery: &mut Recovery,
) -> Result<LogEnd, Error> {
    let path = folder.segment_path(first);
    let size = fs::metadata(&path).map_err(Error::disk("read log", &path))?.len();
    let bytes = segment::read(&path).map_err(Error::disk("read log", &path))?;
    let scan = segment::scan(&bytes, is_last)
        .map_err(|damage| Error::corrupt(&path, damage.offset as u64, damage.what))?;
    recovery.log_zxid = Some(first - 1);
    for group in &scan.groups {
        let records = Records { version: scan.version, path: &path, offset: group.start as u64 };
        replay_group(&records, &bytes[group.clone()], state, recovery)?;
    }
    recovery.log_bytes += scan.end as u64;
    let is_short = scan.is_short(size);
    Ok(LogEnd { path, scan, is_short })
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
        recovery.log_zxid = Some(record.stamp.zxid);
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
fn trim(folder: &Folder, end: LogEnd, recovery: &mut Recovery) -> Result<(), Error> {
    let LogEnd { path, scan, is_short } = end;
    if scan.torn > 0 {
        recovery.torn = Some(TornTail {
            file: path.clone(),
            offset: scan.end as u64,
            bytes: scan.torn as u64,
            is_covered: recovery.log_zxid < recovery.snapshot,
            is_short,
        });
    }
    if folder.is_read_only() {
        return Ok(());
    }
    if scan.groups.is_empty() {
        folder.remove_path(&path)?;
        return folder.sync();
    }
    folder
        .disk()
        .open(&path)
        .and_then(|file| file.set_len(scan.end as u64).and_then(|()| file.sync_all()))
        .map_err(Error::disk("trim log", &path))
}
