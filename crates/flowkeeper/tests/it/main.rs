//! The binary as its users run it: whole systems as processes.

mod access;
mod applications;
mod bad_input;
mod commands;
mod crashes;
mod golden;
mod local_deployer;
mod releases;
mod roles;
mod run;
mod secrets;
mod steps;
mod streams;
mod survival;
mod tls;
mod watch;
mod zookeeper;

use std::path::Path;

use flowkeeper_testkit::dev::Dev;

/// The binary under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_flowkeeper");

/// A system on a folder of its own.
struct System {
    dev: Dev,
    folder: tempfile::TempDir,
}

impl System {
    fn start() -> System {
        let folder = tempfile::tempdir().expect("folder");
        System { dev: Dev::start(PROGRAM, &folder.path().join("data")), folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Creates and deploys a stream and waits until it runs.
    #[track_caller]
    fn deploy(&self, name: &str, definition: &str) {
        self.dev.run(["stream", "create", name, "--definition", definition, "--deploy", "--wait"]).ok();
    }
}
