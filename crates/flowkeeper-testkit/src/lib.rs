//! For development only: what tests need that look at the whole instead of one crate.
//!
//! Its test binary, `tests/it`, holds the suites that belong to no single crate:
//!
//! * `tidy` reads the workspace as text and holds the rules that no compiler holds: how a file begins and how long it may
//!   get, which crate may use which, what is documented;
//! * suites that start whole systems, in this process or as processes of the real binary, and look at them only from
//!   outside: REST, ZooKeeper, the broker, logs, signals.
//!
//! This crate may use every other one, and only the tests of the binary and of the server may use it. It is never part of a release. What does not need the whole is
//! tested beside its code instead: a test here is the slowest kind. Start with `tests/it/main.rs`.
//!
//! The library part is what those suites share: [`dev`] runs the binary as a user does, [`http`] speaks to its apps, [`wait`]
//! waits for conditions, [`zookeeper`] speaks to ZooKeeper servers without a
//! client, [`golden`] compares a server with what SCDF answered. The end-to-end suites themselves lie in `crates/flowkeeper/tests/it`, because only there does Cargo
//! hand over the binary it built.

pub mod dev;
pub mod golden;
pub mod http;
pub mod torture;
pub mod wait;
pub mod zookeeper;

use std::path::{Path, PathBuf};

/// Folder of the workspace.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // crates/flowkeeper-testkit lies two folders deep.
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
