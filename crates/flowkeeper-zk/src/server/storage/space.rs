//! Room on the disk for the log, promised before it is needed.
//!
//! The core applies a write before the log has it. So the log reserves space ahead, more than can be on its way from
//! the core. When the disk has no more to reserve, the log says so here; the core then refuses writes before it
//! applies them, and what is on its way still fits. Reads are served all the time, and writes again as soon as the
//! reserve is whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Tests, which make hundreds of folders, get by with less.
pub(super) const MIB: u64 = if cfg!(test) { 64 << 10 } else { 1 << 20 };
/// Bytes the core may have on their way to the disk; then it waits.
const MAX_WAITING: u64 = 8 * MIB;
/// Bytes the log keeps reserved: what may be on its way, and the last round of the core, which is not over a few of
/// the longest requests.
pub(crate) const RESERVE: u64 = MAX_WAITING + 8 * MIB;

/// Shared by the core and the log thread.
#[derive(Debug, Default)]
pub(crate) struct Space {
    is_full: AtomicBool,
    flow: Mutex<Flow>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Flow {
    /// Bytes on their way to the log's file.
    waiting: u64,
    /// Bytes reserved in it.
    room: u64,
    /// Nobody takes them any more.
    is_closed: bool,
}

impl Space {
    /// Whether writes must be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// Whether a record of a few bytes has room even so: the end of a session, of which there are not many.
    pub(crate) fn has_room_for_little(&self) -> bool {
        let flow = self.flow();
        flow.room > flow.waiting + (RESERVE - MAX_WAITING) / 2
    }

    /// Announces bytes for the log. Waits while too many are on their way.
    pub(crate) fn announce(&self, bytes: usize) {
        let mut flow = self.flow();
        while flow.waiting > MAX_WAITING && !flow.is_closed {
            flow = self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner);
        }
        flow.waiting += bytes as u64;
    }

    /// Announced bytes are in the log's file, in which `room` bytes are still reserved.
    pub(super) fn written(&self, bytes: u64, room: u64) {
        let mut flow = self.flow();
        flow.waiting = flow.waiting.saturating_sub(bytes);
        flow.room = room;
        self.changed.notify_all();
    }

    pub(super) fn set_full(&self, is_full: bool, room: u64) {
        self.flow().room = room;
        if self.is_full.swap(is_full, Ordering::AcqRel) == is_full {
            return;
        }
        if is_full {
            tracing::error!(
                "the disk of the data folder is full: writes are refused until there is space again"
            );
        } else {
            tracing::warn!("there is space on the disk again: writes are taken");
        }
    }

    /// The log takes nothing more.
    pub(crate) fn close(&self) {
        self.flow().is_closed = true;
        self.changed.notify_all();
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
