//! Reads what is appended to an output file, across rotations.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// How much is read at once, and the length from which a line without end is passed on.
const CHUNK: u64 = 64 << 10;

/// A reader that stays at the end of a file that grows and is put aside.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end was not written yet.
    begun: Vec<u8>,
}

impl Follower {
    /// Follows `path` from its present end; a file that is made later is read from its beginning.
    pub(crate) fn from_end(path: PathBuf) -> Follower {
        let file = File::open(&path).ok().and_then(|mut file| {
            file.seek(SeekFrom::End(0)).ok()?;
            Some(file)
        });
        Follower { path, file, begun: Vec::new() }
    }

    /// Whole lines that were appended since the last call; empty when there are none. At most about two chunks, so that a
    /// caller asks again at once after an answer that is not empty.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        // A file that cannot be read now may be later.
        let _ = self.fill();
        let end = match self.begun.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.begun.len() as u64 >= CHUNK => self.begun.len(),
            None => 0,
        };
        let rest = self.begun.split_off(end);
        std::mem::replace(&mut self.begun, rest)
    }

    /// What is left when the program has ended, with the last line whether it has an end or not.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let lines = self.read();
            if lines.is_empty() {
                break;
            }
            all.extend(lines);
        }
        if !self.begun.is_empty() {
            all.append(&mut self.begun);
            all.push(b'\n');
        }
        all
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(File::open(&self.path)?);
        }
        if self.append()? == 0 && self.is_put_aside()? {
            // Between the two looks at the old file it may have grown for the last time.
            while self.append()? > 0 {}
            self.file = Some(File::open(&self.path)?);
            self.append()?;
        }
        Ok(())
    }

    fn append(&mut self) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.take(CHUNK).read_to_end(&mut self.begun),
            None => Ok(0),
        }
    }

    /// Whether another file has the name now.
    fn is_put_aside(&self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let (open, named) = (file.metadata()?, std::fs::metadata(&self.path)?);
        Ok((open.dev(), open.ino()) != (named.dev(), named.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::logs::RotatingFile;
    use super::*;

    #[test]
    fn every_line_is_read_once_across_rotations() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("stdout.log");
        std::fs::write(&path, "of yesterday\n").expect("written");
        let mut follower = Follower::from_end(path.clone());
        let mut file = RotatingFile::open(&path, 50).expect("opened");
        let mut read = Vec::new();
        for n in 0..40 {
            file.append(format!("line {n}\n").as_bytes());
            read.extend(follower.read());
        }
        let expected: String = (0..40).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(read).expect("text"), expected);
        assert!(follower.read().is_empty());
    }

    #[test]
    fn half_a_line_waits_for_its_end_and_a_late_file_is_read_from_its_start() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("stderr.log");
        let mut follower = Follower::from_end(path.clone());
        assert!(follower.read().is_empty());
        std::fs::write(&path, "one\ntw").expect("written");
        assert_eq!(follower.read(), b"one\n");
        assert!(follower.read().is_empty());
        std::fs::write(&path, "one\ntwo\nthree").expect("written");
        assert_eq!(follower.read(), b"two\n");
        assert_eq!(follower.rest(), b"three\n");
        assert!(follower.rest().is_empty());
    }

    #[test]
    fn a_line_without_end_does_not_grow_without_bound() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("out");
        let long = vec![b'x'; 3 * usize::try_from(CHUNK).expect("small")];
        std::fs::write(&path, &long).expect("written");
        let mut follower = Follower { path, file: None, begun: Vec::new() };
        let mut read = Vec::new();
        while read.len() < long.len() {
            let part = follower.read();
            assert!(!part.is_empty() && follower.begun.is_empty());
            read.extend(part);
        }
        assert_eq!(read, long);
    }
}
