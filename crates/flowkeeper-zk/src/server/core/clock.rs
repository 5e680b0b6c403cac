//! The server's own clock, which stands still while the server does.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds of service, for sessions; and the wall clock, for stamps.
///
/// A process that was stopped or starved could not take its clients' pings. That time must not count against
/// their sessions, so one advance adds two ticks at most.
pub(crate) struct Clock {
    last: Instant,
    served: Duration,
    most: Duration,
    wall: i64,
}

impl Clock {
    pub(crate) fn new(tick: Duration) -> Self {
        Self { last: Instant::now(), served: Duration::ZERO, most: tick * 2, wall: wall() }
    }

    /// Reads the system's clocks; the time stays the same until the next call.
    pub(crate) fn advance(&mut self) {
        let now = Instant::now();
        self.served += now.duration_since(self.last).min(self.most);
        self.last = now;
        self.wall = wall();
    }

    /// Milliseconds of service.
    pub(crate) fn now(&self) -> u64 {
        self.served.as_millis() as u64
    }

    /// Milliseconds since 1970.
    pub(crate) fn wall(&self) -> i64 {
        self.wall
    }
}

/// Milliseconds since 1970; 0 if the system's clock is before that.
pub(crate) fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
