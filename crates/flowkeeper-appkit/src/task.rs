//! The one place that spawns.
//!
//! Policy: a spawned task belongs to whoever holds its handle; when the handle is dropped the task is aborted. A task that
//! panics takes the app down through its handle.

use std::future::Future;

use tokio::task::JoinHandle;

/// A task that ends with its handle.
pub struct Task<T>(JoinHandle<T>);

/// Starts a task.
#[expect(clippy::disallowed_methods, reason = "this is the task module")]
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(tokio::spawn(future))
}

impl<T> Task<T> {
    /// Waits for the task's result.
    ///
    /// # Panics
    /// The task panicked.
    pub async fn join(mut self) -> T {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a thread that ends by itself; nobody waits for it.
///
/// # Errors
/// The system has no thread left.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Runs something that blocks, off the runtime.
///
/// # Panics
/// The closure panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down; whoever waits goes down with it.
            Err(_) => std::future::pending().await,
        },
    }
}
