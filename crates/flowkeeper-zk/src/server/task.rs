//! The only place that spawns: tasks of the server by name, and its threads.
//!
//! Policy: connection tasks end alone and harm nobody. The acceptor and the ticker end with the stop token.
//! Core and log threads end with their queues; if one fails the server stops and [`Server::failed`] tells.
//!
//! [`Server::failed`]: super::Server::failed

use std::future::Future;
use std::thread::JoinHandle;

use tokio_util::task::TaskTracker;

use super::error::Error;

/// Spawns a task that the tracker waits for.
pub(crate) fn spawn(tracker: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
    drop(tracker.spawn(task));
}

/// Starts a named thread.
pub(crate) fn spawn_thread<R: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<JoinHandle<R>, Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|_| Error::Thread(name))
}

/// Runs work that blocks and ends by itself, with nobody waiting for it.
pub(crate) fn aside(work: impl FnOnce() + Send + 'static) {
    drop(tokio::task::spawn_blocking(work));
}

/// Runs work that blocks, away from the tasks.
pub(crate) async fn blocking<R: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Thread(name))
}
