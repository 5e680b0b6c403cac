//! Standard output of a pipeline in the foreground, and the end of its reader.
//!
//! `flowkeeper run … | head -1` must end when `head` has, whichever app writes. An app that runs as a process of its own does
//! not use this: what it cannot log is lost, and the app goes on.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::app::Error;

/// Tells that standard output takes nothing more. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct OutputEnd {
    is_reached: CancellationToken,
    failure: Arc<OnceLock<Error>>,
}

impl OutputEnd {
    /// Waits for the end; [`Error::Closed`] when the reader has gone, which is no failure. Cancel safe.
    pub async fn reached(&self) -> Error {
        self.is_reached.cancelled().await;
        self.failure.get().cloned().unwrap_or(Error::Closed)
    }

    fn note(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::Interrupted {
            return;
        }
        // Set before the token, so that whoever wakes finds it; the first failure is the one that counts.
        let _ = self.failure.set(match error.kind() {
            io::ErrorKind::BrokenPipe => Error::Closed,
            _ => Error::Fatal(format!("standard output cannot be written: {error}")),
        });
        self.is_reached.cancel();
    }
}

/// A writer whose failures are noted.
#[derive(Debug)]
pub struct Watched<W> {
    pub inner: W,
    pub end: OutputEnd,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).inspect_err(|error| self.end.note(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().inspect_err(|error| self.end.note(error))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_the_end_and_a_full_disk_is_a_failure() {
        let end = OutputEnd::default();
        assert!(Watched { inner: Vec::new(), end: end.clone() }.write_all(b"x").is_ok());
        assert!(Watched { inner: Fails(io::ErrorKind::Interrupted), end: end.clone() }.write(b"x").is_err());
        assert!(end.reached().now_or_never().is_none());
        assert!(Watched { inner: Fails(io::ErrorKind::BrokenPipe), end: end.clone() }.write(b"x").is_err());
        assert!(matches!(end.reached().now_or_never(), Some(Error::Closed)));
        let end = OutputEnd::default();
        assert!(Watched { inner: Fails(io::ErrorKind::StorageFull), end: end.clone() }.write(b"x").is_err());
        assert!(matches!(end.reached().now_or_never(), Some(Error::Fatal(_))));
    }
}
