//! Making the log of a new partition, and opening one with a look whether everything is still there.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::producers::Producers;
use super::segment::{Segment, Tail};
use super::{Log, START_FILE, sync_folder};
use crate::error::Error;
use crate::health::Writing;
use crate::loss::{self, Losses};
use crate::signal::SyncSignal;

/// What a partition's log is told when it is made or opened.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How messages call it: "topic orders partition 3".
    pub(crate) name: String,
    pub(crate) segment_bytes: u64,
    pub(crate) signal: Arc<SyncSignal>,
}

impl Log {
    /// Makes the log of a new partition, durably: what is missing later was lost.
    ///
    /// # Errors
    /// When the folder cannot be made or filled.
    pub(crate) fn create(folder: PathBuf, options: Options) -> io::Result<Log> {
        fs::create_dir_all(&folder)?;
        let segment = Segment::create(&folder, 0)?;
        loss::create_mark(&folder, 0)?;
        sync_folder(&folder)?;
        Ok(Log::new(folder, options, VecDeque::from([segment]), Producers::default()))
    }

    /// Opens the log in `folder`. The end of the last segment, torn by a crash, is cut off with a warning. What is missing
    /// otherwise goes to `losses`; `None`: it is not accepted. After an accepted loss the log goes on at its mark or at
    /// `least`, an offset that is known to have been used up.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(crate) fn open(
        folder: PathBuf,
        options: Options,
        least: i64,
        losses: &mut Losses,
    ) -> Result<Option<Log>, Error> {
        let mut segments = VecDeque::new();
        let mut producers = Producers::default();
        let gaps = loss::gaps(&folder);
        let mark = loss::mark(&folder).unwrap_or(0);
        let bases = segment_bases(&folder)?;
        let sealed = bases.as_deref().unwrap_or_default();
        for pair in sealed.windows(2) {
            let end = gaps.iter().find(|gap| gap.end == pair[1]).map_or(pair[1], |gap| gap.start);
            segments.push_back(Segment::open_sealed(&folder, pair[0], end)?);
        }
        let mut tail = Tail { bytes: 0, sound_at: None };
        if let Some(base) = sealed.last() {
            let (last, behind) = Segment::recover(&folder, *base, |header| producers.replay(header))?;
            segments.push_back(last);
            tail = behind;
        }
        let lost = what_is_lost(&folder, bases.is_some(), segments.back(), tail, mark);
        if let Some(lost) = &lost
            && !losses.report(format!("{}: {lost}", options.name))
        {
            return Ok(None);
        }
        if let Some(last) = segments.back().filter(|_| tail.bytes > 0) {
            cut(last, tail, lost.is_some())?;
        }
        let mut log = Log::new(folder, options, segments, producers);
        log.gaps = gaps;
        if lost.is_some() {
            log.go_on_at(mark.max(least))?;
        }
        if loss::mark(&log.folder).is_none() {
            loss::create_mark(&log.folder, 0).map_err(Error::disk("write the mark in", &log.folder))?;
        }
        // What a crash left unsynced is synced by the first round, and marked then.
        log.is_dirty = log.end() > mark;
        Ok(Some(log))
    }

    fn new(folder: PathBuf, options: Options, segments: VecDeque<Segment>, producers: Producers) -> Log {
        let Options { name, segment_bytes, signal } = options;
        let first = segments.front().map_or(0, Segment::base);
        let start = loss::number(&folder.join(START_FILE)).unwrap_or(0).max(first);
        Log {
            writing: Writing::new(name, "producers wait and nothing is acknowledged"),
            folder,
            segments,
            start,
            gaps: Vec::new(),
            producers,
            segment_bytes,
            is_dirty: false,
            signal,
            waiting: Vec::new(),
        }
    }

    /// After an accepted loss: no offset that was used before is given again.
    fn go_on_at(&mut self, offset: i64) -> Result<(), Error> {
        fs::create_dir_all(&self.folder).map_err(Error::disk("create", &self.folder))?;
        let offset = offset.max(self.start).max(self.end());
        let failed = || Error::disk("write", &self.folder);
        if offset > self.end() || self.segments.is_empty() {
            if !self.segments.is_empty() {
                self.gaps.push(self.end()..offset);
                loss::write_gaps(&self.folder, &self.gaps).map_err(failed())?;
            }
            self.segments.push_back(Segment::create(&self.folder, offset).map_err(failed())?);
        }
        self.start = self.start.max(self.segments.front().map_or(0, Segment::base));
        loss::create_mark(&self.folder, offset).map_err(failed())?;
        sync_folder(&self.folder).map_err(failed())
    }
}

/// The sentence that says what is missing, if something is.
fn what_is_lost(
    folder: &Path,
    is_there: bool,
    last: Option<&Segment>,
    tail: Tail,
    mark: i64,
) -> Option<String> {
    let Some(last) = last else {
        let what = if is_there { "holds no segment file any more" } else { "is missing" };
        return Some(format!("its folder {} {what}", folder.display()));
    };
    let (file, end) = (last.path().display(), last.end());
    if let Some(at) = tail.sound_at {
        let from = last.size();
        return Some(format!(
            "{file} has a damaged record batch at byte {from}, and a sound one after it at byte {at}"
        ));
    }
    (end < mark).then(|| format!("the records with offsets {end} to {} are gone from {file}", mark - 1))
}

fn cut(last: &Segment, tail: Tail, is_lost: bool) -> Result<(), Error> {
    let file = last.path().display();
    if is_lost {
        let copy = last.keep_copy()?;
        tracing::warn!(
            "{file} is cut behind its last sound record; the whole file is kept as {}",
            copy.display()
        );
    } else {
        tracing::warn!(
            file = %file,
            bytes = tail.bytes,
            "a crash interrupted the last write to this file; its unfinished end was removed: what was synced before is all there"
        );
    }
    last.cut_tail()
}

/// The offsets at which the folder's segments begin, in order; `None`: there is no folder.
fn segment_bases(folder: &Path) -> Result<Option<Vec<i64>>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::disk("list", folder)(error)),
    };
    let mut bases = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::disk("list", folder))?.file_name();
        bases.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<i64>().ok()));
    }
    bases.sort_unstable();
    Ok(Some(bases))
}
