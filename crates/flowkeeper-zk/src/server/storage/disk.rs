//! The only place that changes files of a data folder, operation by operation.
//!
//! In tests each operation can be recorded, and made to fail, by the `script` of its folder. A recorded run tells
//! what is on the disk after a crash between any two operations. Outside of tests nothing of that is compiled.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

#[cfg(test)]
pub(crate) mod script;

/// The disk of a data folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    script: Option<std::sync::Arc<script::Script>>,
}

/// A file open for writing.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    /// Where [`Write`] goes on.
    at: u64,
    #[cfg(test)]
    tape: Option<script::Tape>,
}

impl Disk {
    /// The disk of the folder at `path`.
    #[cfg_attr(not(test), expect(unused_variables, reason = "only tests tell folders apart"))]
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            #[cfg(test)]
            script: script::of(path),
        }
    }

    /// Creates a file, or empties the one there is.
    pub(crate) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        #[cfg(test)]
        let tape = script::record(self.script.as_ref(), |tape| script::Op::Create {
            file: tape,
            path: path.into(),
        })?;
        Ok(DiskFile {
            file: File::create(path)?,
            at: 0,
            #[cfg(test)]
            tape,
        })
    }

    /// Opens a file to cut it.
    pub(crate) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        #[cfg(test)]
        let tape =
            script::record(self.script.as_ref(), |tape| script::Op::Open { file: tape, path: path.into() })?;
        Ok(DiskFile {
            file: File::options().write(true).open(path)?,
            at: 0,
            #[cfg(test)]
            tape,
        })
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        script::record(self.script.as_ref(), |_| script::Op::Rename { from: from.into(), to: to.into() })?;
        fs::rename(from, to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        script::record(self.script.as_ref(), |_| script::Op::Remove { path: path.into() })?;
        fs::remove_file(path)
    }

    /// Makes created, renamed and removed files durable.
    pub(crate) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        script::record(self.script.as_ref(), |_| script::Op::SyncFolder)?;
        File::open(path)?.sync_all()
    }
}

impl DiskFile {
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        #[cfg(test)]
        script::record_file(self.tape.as_ref(), |file| script::Op::Write {
            file,
            at,
            bytes: bytes.to_vec(),
        })?;
        self.file.write_all_at(bytes, at)
    }

    /// Makes sure that the file can be written up to `end` without more space. False if the file system does not
    /// promise that.
    pub(crate) fn reserve(&self, from: u64, end: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        #[cfg(test)]
        script::record_file(self.tape.as_ref(), |file| script::Op::Reserve { file, end })?;
        match fallocate(&self.file, FallocateFlags::empty(), from, end - from) {
            Ok(()) => Ok(true),
            Err(e) if e == rustix::io::Errno::OPNOTSUPP || e == rustix::io::Errno::NOSYS => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(test)]
        script::record_file(self.tape.as_ref(), |file| script::Op::SetLen { file, len })?;
        self.file.set_len(len)
    }

    /// Makes the content durable, and the size if it changed.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        script::record_file(self.tape.as_ref(), |file| script::Op::Sync { file })?;
        self.file.sync_data()
    }

    /// Makes content and all that is known of the file durable.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        #[cfg(test)]
        script::record_file(self.tape.as_ref(), |file| script::Op::Sync { file })?;
        self.file.sync_all()
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
