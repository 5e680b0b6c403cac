//! Whether the disk takes what the broker must write: told once per change in the log, and to whoever asks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Most bytes a trial write needs room for.
const MAX_TRIAL: usize = 1 << 20;

/// How a broker is, see [`Broker::health`](crate::Broker::health).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes and gives records.
    Ok,
    /// Something cannot be written, or the broker had to stop serving. Records that are there can still be read unless it
    /// stopped. Once the disk takes writes again this ends by itself, within a few seconds.
    Failing {
        /// One sentence: what cannot be written, why, and what that means.
        reason: String,
    },
}

/// Whether one thing can be written.
#[derive(Debug)]
pub(crate) struct Writing {
    subject: String,
    /// What it means for clients when it cannot.
    effect: &'static str,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    /// Size of the write that failed.
    size: usize,
}

impl Writing {
    pub(crate) fn new(subject: impl Into<String>, effect: &'static str) -> Writing {
        Writing { subject: subject.into(), effect, failure: None }
    }

    /// Takes note of how a write of `size` bytes went; a change from good to bad or back is logged.
    pub(crate) fn note<T>(&mut self, size: usize, result: io::Result<T>) -> io::Result<T> {
        let subject = &self.subject;
        match &result {
            Ok(_) if self.failure.take().is_some() => tracing::warn!("{subject} can be written again"),
            Ok(_) => {}
            Err(error) => {
                let reason = format!("{subject} cannot be written: {error}; {}", self.effect);
                if self.failure.is_none() {
                    tracing::error!("{reason}; it goes on by itself once the disk takes writes again");
                }
                self.failure = Some(Failure { reason, size });
            }
        }
        result
    }

    /// Why it cannot be written, if so.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.reason.as_str())
    }

    /// After a failure: tries whether `folder` takes a new file of the size that failed, once `first` succeeded. Tells
    /// whether writing still fails.
    pub(crate) fn retry(&mut self, folder: &Path, first: impl FnOnce() -> io::Result<()>) -> bool {
        let Some(size) = self.failure.as_ref().map(|failure| failure.size) else { return false };
        match first().and_then(|()| try_write(folder, size.min(MAX_TRIAL))) {
            Ok(()) => self.note(size, Ok(())).is_err(),
            // The reason stays the one that clients were told.
            Err(_) => true,
        }
    }
}

fn try_write(folder: &Path, size: usize) -> io::Result<()> {
    let path = folder.join("trial");
    let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0; size]));
    written.and(fs::remove_file(&path)).inspect_err(|_| drop(fs::remove_file(&path)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_change_is_told_once() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(move || writer.clone());
        let folder = tempfile::tempdir().expect("folder");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        tracing::subscriber::with_default(subscriber.finish(), || {
            let mut writing = Writing::new("topic t partition 0", "producers wait");
            assert!(!writing.retry(folder.path(), || Err(full())), "nothing failed yet");
            for _ in 0..3 {
                writing.note::<()>(10, Err(full())).expect_err("full");
            }
            assert!(writing.retry(folder.path(), || Err(full())), "still full");
            assert!(writing.retry(&folder.path().join("none"), || Ok(())), "the folder does not take it");
            assert!(writing.reason().is_some_and(|why| why.starts_with("topic t partition 0 cannot be")));
            assert!(!writing.retry(folder.path(), || Ok(())), "good again");
            assert_eq!(writing.reason(), None);
            writing.note(10, Ok(())).expect("fine");
        });
        let text = String::from_utf8(lines.0.lock().expect("lock").clone()).expect("text");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("ERROR") && text.contains("cannot be written: "), "{text}");
        assert!(text.contains("topic t partition 0 can be written again"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0, "nothing is left behind");
    }
}
