//! Shims and agents as real processes, against the embedded ZooKeeper server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agents;
mod cluster;
mod faults;
mod proxy;
mod roles;
mod shims;
mod wait;
