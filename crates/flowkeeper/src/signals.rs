//! Waits for the user's wish to end.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Failure;

/// Signals that end a role.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over; from here on they do not kill the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> Result<Signals, Failure> {
        let take = |kind| signal(kind).map_err(Failure::failed);
        Ok(Signals { interrupt: take(SignalKind::interrupt())?, terminate: take(SignalKind::terminate())? })
    }

    /// Waits for Ctrl-C or SIGTERM. Cancel safe.
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
