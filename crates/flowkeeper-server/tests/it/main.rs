//! A whole server over an embedded ZooKeeper, asked over a real socket.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod applications;
mod apps;
mod bundled;
mod client;
mod cluster;
mod completions;
mod deployments;
mod golden;
mod openapi;
mod proxy;
mod puppet;
mod releases;
mod resources;
mod support;
mod wire;
