//! Output files that rotate: `x.log`, `x.log.1`, `x.log.2`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Old files kept beside the current one.
const KEPT: u32 = 2;

/// An append-only file that is put aside when it grows over its limit.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl RotatingFile {
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<RotatingFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), file, size, limit })
    }

    /// Appends `bytes`. What cannot be written (a full disk) is dropped: the program must not be held up by its log.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.size > 0 && self.size + bytes.len() as u64 > self.limit {
            self.rotate();
        }
        if self.file.write_all(bytes).is_ok() {
            self.size += bytes.len() as u64;
        }
    }

    fn rotate(&mut self) {
        let numbered = |n: u32| numbered(&self.path, n);
        for n in (1..KEPT).rev() {
            drop(fs::rename(numbered(n), numbered(n + 1)));
        }
        let put_aside = fs::rename(&self.path, numbered(1));
        if let (Ok(()), Ok(fresh)) = (put_aside, RotatingFile::open(&self.path, self.limit)) {
            *self = fresh;
        }
    }
}

/// The file at `path` and the old ones that may be beside it.
pub(super) fn files(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let path = path.to_owned();
    (0..=KEPT).map(move |n| if n == 0 { path.clone() } else { numbered(&path, n) })
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// The last `limit` bytes of a file, from the start of a line and not before `began`, unless the file is a new one that is
/// not as long; empty when there is none.
pub(super) fn tail(path: &Path, began: u64, limit: usize) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let began = if began <= size { began } else { 0 };
        let from = size.saturating_sub(limit as u64).max(began);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        if from > began
            && let Some(newline) = bytes.iter().position(|byte| *byte == b'\n')
        {
            bytes.drain(..=newline);
        }
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotates_and_keeps_two() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("stdout.log");
        let mut file = RotatingFile::open(&path, 10).expect("opened");
        for n in 0..5 {
            file.append(format!("line {n}\n").as_bytes());
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("stdout.log").as_deref(), Some("line 4\n"));
        assert_eq!(read("stdout.log.1").as_deref(), Some("line 3\n"));
        assert_eq!(read("stdout.log.2").as_deref(), Some("line 2\n"));
        assert_eq!(read("stdout.log.3"), None);
    }

    #[test]
    fn tail_begins_at_a_line() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        fs::write(&path, "first line\nsecond\nthird\n").expect("written");
        assert_eq!(tail(&path, 0, 16), "second\nthird");
        assert_eq!(tail(&path, 0, 1000), "first line\nsecond\nthird");
        assert_eq!(tail(&folder.path().join("none"), 0, 10), "");
        assert_eq!(tail(&path, 11, 1000), "second\nthird");
        assert_eq!(tail(&path, 11, 8), "third");
        assert_eq!(tail(&path, 24, 1000), "");
        assert_eq!(tail(&path, 99, 1000), "first line\nsecond\nthird");
    }
}
