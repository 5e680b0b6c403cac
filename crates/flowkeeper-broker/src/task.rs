//! The only place that spawns tasks and threads.

use std::future::Future;
use std::thread::JoinHandle;

use tokio_util::task::TaskTracker;

/// Runs `future` on `tracker`.
pub(crate) fn spawn(tracker: &TaskTracker, future: impl Future<Output = ()> + Send + 'static) {
    tracker.spawn(future);
}

/// Runs `work` on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Runs blocking `work` beside the runtime's own threads.
///
/// # Errors
/// When `work` panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}
