//! The only place of this crate that spawns. A panic in a task is told, never silent.

use std::future::Future;

use tokio_util::task::TaskTracker;

/// Runs `future` on `tracker` and logs a panic under `name`.
pub(crate) fn spawn(
    tracker: &TaskTracker,
    name: &'static str,
    future: impl Future<Output = ()> + Send + 'static,
) {
    let task = tracker.spawn(future);
    tracker.spawn(async move {
        if let Err(error) = task.await
            && error.is_panic()
        {
            tracing::error!(task = name, "a task panicked: this is a bug");
        }
    });
}
