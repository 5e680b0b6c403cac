//! How writers wake the syncer: it sleeps until something was written, so that an idle broker costs nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Shared by everything that writes and the one thread that syncs.
#[derive(Debug, Default)]
pub(crate) struct SyncSignal {
    /// Something was written, or failed to be, since the syncer last looked.
    is_wanted: AtomicBool,
    is_stopping: AtomicBool,
    syncer: OnceLock<Thread>,
}

impl SyncSignal {
    /// Makes the calling thread the one that is woken.
    pub(crate) fn register(&self) {
        // There is one syncer per broker, so nobody was registered before.
        drop(self.syncer.set(thread::current()));
    }

    /// Something was written and waits to be synced, or failed and waits to be tried again.
    pub(crate) fn raise(&self) {
        if !self.is_wanted.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Takes the signal back; what is written from now on raises it again.
    pub(crate) fn clear(&self) {
        self.is_wanted.store(false, Ordering::Release);
    }

    /// Sleeps until the signal is raised, the broker stops, or `at_most` is over.
    pub(crate) fn wait(&self, at_most: Option<Duration>) {
        let begun = Instant::now();
        while !self.is_wanted.load(Ordering::Acquire) && !self.is_stopping() {
            match at_most.map(|most| most.saturating_sub(begun.elapsed())) {
                None => thread::park(),
                Some(Duration::ZERO) => return,
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    /// Lets writes gather for `interval`; ends early when the broker stops.
    pub(crate) fn gather(&self, interval: Duration) {
        let begun = Instant::now();
        while !self.is_stopping() {
            let left = interval.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    fn wake(&self) {
        if let Some(syncer) = self.syncer.get() {
            syncer.unpark();
        }
    }
}
