//! Checking a data folder: every file, and what they say together.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use super::{Error, TICK};
use crate::proto::{Decoder, path};
use crate::server::apache;
use crate::server::core::wall;
use crate::server::error;
use crate::server::journal::Record;
use crate::server::state::State;
use crate::server::storage::recovery::{self, Recovery};
use crate::server::storage::{Folder, segment, snapshot};
use crate::server::tree::Owner;

/// What a check has found so far.
struct Findings<'a> {
    out: &'a mut dyn Write,
    problems: usize,
}

impl Findings<'_> {
    /// Something is wrong.
    fn problem(&mut self, text: impl std::fmt::Display) -> std::io::Result<()> {
        self.problems += 1;
        writeln!(self.out, "problem: {text}")
    }

    /// Nothing to worry about.
    fn note(&mut self, text: impl std::fmt::Display) -> std::io::Result<()> {
        writeln!(self.out, "note: {text}")
    }
}

/// Checks a data folder and writes a sentence for each finding, with what to do. Returns the number of problems;
/// what a crash leaves behind, and the next start tidies up, is none.
///
/// # Errors
/// The folder is in use or cannot be read, or `out` fails.
pub fn fsck(data: &Path, out: &mut dyn Write) -> Result<usize, Error> {
    let folder = Folder::inspect(data)?;
    let mut findings = Findings { out, problems: 0 };
    for file in folder.leftovers()? {
        findings.note(format_args!(
            "{} was not finished before a crash; the next start removes it",
            file.display()
        ))?;
    }
    for file in folder.superfluous()? {
        findings
            .note(format_args!("{} is not needed any more; the next snapshot removes it", file.display()))?;
    }
    if !folder.path().join("format").exists() {
        findings.note(format_args!(
            "{} has no file named format; the next start writes it",
            folder.path().display()
        ))?;
    }
    let recovered = recovery::recover(&folder, TICK.as_millis() as u64, wall());
    let snapshots = check_snapshots(&folder, recovered.is_ok(), &mut findings)?;
    check_log(&folder, &snapshots, &mut findings)?;
    match recovered {
        Err(error) => findings.problem(format_args!("a server would not start: {error}"))?,
        Ok((state, recovery)) => {
            check_end(&folder, &recovery, &mut findings)?;
            check_state(&state, &mut findings)?;
            check_older(&folder, &snapshots, &state, &mut findings)?;
            writeln!(
                findings.out,
                "{}: zxid 0x{:x}, {} nodes, {} sessions, {} snapshots, {} log files, {} problems",
                folder.path().display(),
                recovery.zxid,
                recovery.nodes,
                recovery.sessions,
                folder.snapshots()?.len(),
                folder.segments()?.len(),
                findings.problems
            )?;
        }
    }
    findings.out.flush()?;
    Ok(findings.problems)
}

/// The end of the log.
fn check_end(folder: &Folder, recovery: &Recovery, findings: &mut Findings<'_>) -> Result<(), Error> {
    if let Some(torn) = &recovery.torn {
        let (file, at) = (torn.file.display(), torn.offset);
        if torn.is_short {
            findings.problem(format_args!(
                "{file} ends in the middle of a write, behind byte {at}, and is shorter than a crash leaves it: unless its file \
                 system reserves no space or was full, something has cut it, {}",
                if torn.is_covered {
                    "but the newest snapshot covers what lacks, so nothing is lost; check the disk and make a backup"
                } else {
                    "and acknowledged transactions are lost; restore the data folder from a backup if they are in it"
                }
            ))?;
        } else if torn.is_covered {
            findings.note(format_args!(
                "{file} is damaged or cut off at byte {at}; the newest snapshot covers what lacks, so nothing is lost"
            ))?;
        } else {
            findings.note(format_args!(
                "a crash cut off the last write to {file} at byte {at}; the next start removes its {} bytes, of which nothing was \
                 acknowledged",
                torn.bytes
            ))?;
        }
    }
    let Some(snapshot) = recovery.snapshot else { return Ok(()) };
    let end = match recovery.log_zxid {
        Some(end) if end < snapshot => format!("the log ends with transaction 0x{end:x}"),
        None if folder.snapshots()?.len() > 1 => "there is no log".to_owned(),
        _ => return Ok(()),
    };
    findings.note(format_args!(
        "{end}, before the newest snapshot, {}: nothing is lost while that is whole, but no older snapshot can take its place. \
         'restore' leaves a folder so, and a crash while a snapshot was made; otherwise a log file is missing or was cut: make a backup",
        folder.snapshot_path(snapshot).display()
    ))?;
    Ok(())
}

/// Reads every snapshot; returns the zxids of those that can be read.
fn check_snapshots(
    folder: &Folder,
    would_start: bool,
    findings: &mut Findings<'_>,
) -> Result<Vec<i64>, Error> {
    let mut readable = Vec::new();
    for zxid in folder.snapshots()? {
        let file = folder.snapshot_path(zxid);
        match snapshot::read(&file, TICK.as_millis() as u64, wall()) {
            Ok(state) if state.last.zxid == zxid => readable.push(zxid),
            Ok(state) => findings.problem(format_args!(
                "{} holds the state after transaction 0x{:x}, not the one in its name; rename it",
                file.display(),
                state.last.zxid
            ))?,
            // Only then everything up to the transaction in its name is there without it.
            Err(error @ error::Error::Corrupt { .. }) if would_start => findings.problem(format_args!(
                "{} cannot be read ({}); another snapshot and the log make up for it: moving this file away loses nothing",
                file.display(),
                error.reason()
            ))?,
            Err(error @ error::Error::Corrupt { .. }) => findings.problem(format_args!(
                "{} cannot be read ({}); leave it there for now, what to do is said below",
                file.display(),
                error.reason()
            ))?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(readable)
}

/// Reads every log file, record by record, and checks that no transaction is missing.
fn check_log(folder: &Folder, snapshots: &[i64], findings: &mut Findings<'_>) -> Result<(), Error> {
    let segments = folder.segments()?;
    let mut last: Option<i64> = None;
    for (at, first) in segments.iter().enumerate() {
        let file = folder.segment_path(*first);
        let bytes = segment::read(&file).map_err(error::Error::disk("read log", &file))?;
        let scan = match segment::scan(&bytes, at + 1 == segments.len()) {
            Ok(scan) => scan,
            Err(damage) => {
                let next = segments.get(at + 1);
                let is_covered =
                    next.is_some_and(|next| snapshots.last().is_some_and(|last| next - 1 <= *last));
                findings.problem(format_args!(
                    "{} is damaged at byte {}: {}; {}",
                    file.display(),
                    damage.offset,
                    damage.what,
                    if is_covered {
                        "the newest snapshot covers what lacks, so nothing is lost while that is whole; check the disk and make a backup"
                    } else {
                        "restore the data folder from a backup"
                    }
                ))?;
                last = None;
                continue;
            }
        };
        let mut expected_first = Some(*first);
        for group in &scan.groups {
            let mut d = Decoder::new(&bytes[group.clone()]);
            loop {
                let zxid = match Record::next(&mut d, scan.version) {
                    Ok(Some(record)) => record.stamp.zxid,
                    Ok(None) => break,
                    Err(error) => {
                        findings.problem(format_args!(
                            "{}: a record in the group at byte {} cannot be read: {error}; report this as a bug",
                            file.display(),
                            group.start
                        ))?;
                        break;
                    }
                };
                if expected_first.take().is_some_and(|first| first != zxid) {
                    findings.problem(format_args!(
                        "{} begins with transaction 0x{zxid:x}, not the one in its name; rename it",
                        file.display()
                    ))?;
                }
                // After a restored or imported state numbers go on where its snapshot ends.
                if let Some(last) = last.filter(|last| zxid != last + 1 && !snapshots.contains(&(zxid - 1))) {
                    findings.problem(format_args!(
                        "{}: transaction 0x{zxid:x} follows 0x{last:x}: a log file is missing or changed; restore the data folder \
                         from a backup",
                        file.display()
                    ))?;
                }
                last = Some(zxid);
            }
        }
    }
    Ok(())
}

/// What no single file shows.
fn check_state(state: &State, findings: &mut Findings<'_>) -> Result<(), Error> {
    let sessions: BTreeSet<i64> = state.sessions.timeouts().map(|(id, _)| id).collect();
    let checked: std::io::Result<()> = state.tree.cut().walk(|at, node| {
        let at = if at.is_empty() { "/" } else { at };
        if let Owner::Session(session) = node.owner() {
            if !sessions.contains(&session) {
                findings.problem(format_args!(
                    "{at} is ephemeral, but its session 0x{session:x} is over: nobody will delete it; delete it by hand"
                ))?;
            }
            if !node.children().is_empty() {
                findings.problem(format_args!("{at} is ephemeral and has children; delete them by hand"))?;
            }
        }
        if let Err(error) = path::validate(at) {
            findings.problem(format_args!("{at:?} may not exist: {error}; delete it by hand"))?;
        }
        for (what, zxid) in [("czxid", node.czxid), ("mzxid", node.mzxid), ("pzxid", node.pzxid())] {
            if zxid > state.last.zxid {
                findings.problem(format_args!(
                    "{at} has {what} 0x{zxid:x}, past the last transaction 0x{:x}; restore the data folder from a backup",
                    state.last.zxid
                ))?;
            }
        }
        Ok(())
    });
    Ok(checked?)
}

/// An older snapshot and the log behind it must lead to the same tree.
fn check_older(
    folder: &Folder,
    snapshots: &[i64],
    newest: &State,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    for zxid in snapshots.iter().rev().skip(1) {
        let end = match recovery::recover_from(folder, *zxid, TICK.as_millis() as u64, wall()) {
            Ok(state) if state.last.zxid == newest.last.zxid => Ok(state),
            Ok(state) => Err(format!("lead only to transaction 0x{:x}", state.last.zxid)),
            Err(error::Error::MissingLog { wanted, .. }) => {
                Err(format!("end before transaction 0x{wanted:x}"))
            }
            Err(error) => Err(format!("cannot be read ({})", error.reason())),
        };
        let state = match end {
            Ok(state) => state,
            Err(end) => {
                findings.note(format_args!(
                    "{} and the log behind it {end}, not to 0x{:x}; it is no reserve for the newest snapshot",
                    folder.snapshot_path(*zxid).display(),
                    newest.last.zxid
                ))?;
                continue;
            }
        };
        if apache::tree_digest(&state.cut()) != apache::tree_digest(&newest.cut()) {
            findings.problem(format_args!(
                "{} and the log behind it lead to another tree than the newest snapshot; compare both with 'dump', and report this \
                 as a bug",
                folder.snapshot_path(*zxid).display()
            ))?;
        }
    }
    Ok(())
}
