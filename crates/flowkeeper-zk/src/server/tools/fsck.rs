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
use crate::server::storage::{Folder, recovery, segment, snapshot};
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
    let snapshots = check_snapshots(&folder, &mut findings)?;
    check_log(&folder, &snapshots, &mut findings)?;
    match recovery::recover(&folder, TICK.as_millis() as u64, wall()) {
        Err(error) => findings.problem(format_args!("a server would not start: {error}"))?,
        Ok((state, recovery)) => {
            if let Some(torn) = &recovery.torn {
                findings.note(format_args!(
                    "a crash cut off the last write to {} at byte {}; the next start removes its {} bytes, of which nothing was \
                     acknowledged",
                    torn.file.display(),
                    torn.offset,
                    torn.bytes
                ))?;
            }
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

/// Reads every snapshot; returns the zxids of those that can be read.
fn check_snapshots(folder: &Folder, findings: &mut Findings<'_>) -> Result<Vec<i64>, Error> {
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
            Err(error @ error::Error::Corrupt { .. }) => findings.problem(format_args!(
                "{error}; as long as an older snapshot and the log behind it are whole, moving this file away loses nothing"
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
                findings.problem(format_args!(
                    "{} is damaged at byte {}: {}; restore the data folder from a backup",
                    file.display(),
                    damage.offset,
                    damage.what
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
        let Ok(state) = recovery::recover_from(folder, *zxid, TICK.as_millis() as u64, wall()) else {
            findings.note(format_args!(
                "{} and the log behind it do not lead to the newest state; it is no reserve for the newest snapshot",
                folder.snapshot_path(*zxid).display()
            ))?;
            continue;
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
