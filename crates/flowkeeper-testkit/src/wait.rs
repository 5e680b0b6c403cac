//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Long enough for a busy machine; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `is_true`; panics with `what` when it does not come true.
#[track_caller]
pub fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_true() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        pause();
    }
}

/// Waits until `get` gives a value that `is_right`; panics with the last one.
#[track_caller]
pub fn until_value<T: std::fmt::Debug>(
    what: &str,
    mut get: impl FnMut() -> T,
    is_right: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let value = get();
        if is_right(&value) {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}; last: {value:?}");
        pause();
    }
}

/// A short pause between two looks.
#[expect(clippy::disallowed_methods, reason = "between two looks at a condition")]
pub fn pause() {
    std::thread::sleep(PAUSE);
}
