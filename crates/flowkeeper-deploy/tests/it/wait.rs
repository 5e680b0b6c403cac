//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Long enough for a busy machine; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `get` gives a value; panics with `what` when it does not.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = get() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        pause();
    }
}

/// Waits until `is_true`, which may ask a server.
pub(crate) async fn until_async(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_true().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A short pause between two looks.
#[expect(clippy::disallowed_methods, reason = "between two looks at a condition")]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}
