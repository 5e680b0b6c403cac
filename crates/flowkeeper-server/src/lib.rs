//! The server: REST API, use cases, metadata, and what the leader does.
//!
//! A request crosses three thin layers. [`http`] extracts, calls and maps; [`app`] holds the use cases, one file per
//! resource, free of HTTP and of ZooKeeper paths; [`meta`] holds typed records over ZooKeeper and a copy of them in memory.
//! A use case validates against the copy and writes *desired* state in one transaction; it never starts a process. The
//! leader's [`reconcile`]rs see the change and write orders; agents carry them out; their statuses come back into every
//! server's copy. So every server answers every request, and only the leader's writes need the leader.
//!
//! * [`run`]: the composition of one server; [`state`]: what handlers share;
//! * [`leader`]: election and what hangs on it;
//! * [`catalog`]: the bundled apps, handed in by whoever composes the process.
//!
//! What is absent on purpose: this crate does not parse command lines, does not run apps, does not link them, and no GET
//! reads ZooKeeper. Start with [`run`], then follow one route from [`http`] down.

pub mod app;
pub mod catalog;
mod clock;
mod ensemble;
pub mod http;
mod leader;
mod link;
pub mod meta;
mod metrics;
mod reconcile;
pub mod run;
pub mod state;
mod task;

pub use run::{Options, Server, StartError, start};
