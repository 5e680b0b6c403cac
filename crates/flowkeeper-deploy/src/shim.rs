//! The process between the agent and an app instance, so that either may die without the other.
//!
//! A shim is started in the folder of its instance with a [`Spec`]; it leads a session of its own, so signals meant for the
//! agent's terminal do not reach it. It runs the program in a process group of its own, copies its output to rotating
//! files, and writes a [`State`] so that any later agent can find both processes and learn how the program ended. SIGTERM to
//! the shim means: stop the program politely, then by force after the grace time; the shim ends after its program.

mod logs;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;

pub use run::main;

const SPEC_FILE: &str = "spec.json";
const STATE_FILE: &str = "state.json";

/// What a shim is to run. Written by the agent before it starts the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Identity of the instance's life: an agent adopts a shim only when both are as ordered.
    pub uid: String,
    pub term: u64,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// The whole environment of the program.
    pub env: BTreeMap<String, String>,
    /// Time between a polite and a forced stop; zero: at once by force.
    pub grace_ms: u64,
    /// Size at which an output file is rotated.
    pub log_bytes: u64,
    /// What the agent wants to remember of this instance.
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub restarts: u32,
    /// What is reported about the instance, so that an agent that adopts it says the same.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What a shim leaves for whoever comes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub shim: ProcessId,
    /// The program, once started; leader of its process group.
    #[serde(default)]
    pub app: Option<ProcessId>,
    /// How it ended: `exit code 1`, `signal 9`, or why it could not be started.
    #[serde(default)]
    pub ended: Option<String>,
    /// True when the program could not even be started.
    #[serde(default)]
    pub start_failed: bool,
}

/// The folder of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the program's standard output goes.
    pub fn stdout(&self) -> PathBuf {
        self.path.join("stdout.log")
    }

    /// Where the program's standard error goes.
    pub fn stderr(&self) -> PathBuf {
        self.path.join("stderr.log")
    }

    /// The spec, if there is a readable one.
    pub fn spec(&self) -> Option<Spec> {
        self.read(SPEC_FILE)
    }

    /// The state, if there is a readable one.
    pub fn state(&self) -> Option<State> {
        self.read(STATE_FILE)
    }

    /// Prepares the folder for a new shim: the new spec, no state.
    ///
    /// # Errors
    /// The system's, when the folder cannot be written.
    pub fn prepare(&self, spec: &Spec) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        match fs::remove_file(self.path.join(STATE_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.write(SPEC_FILE, spec)
    }

    fn write_state(&self, state: &State) -> io::Result<()> {
        self.write(STATE_FILE, state)
    }

    /// The last `limit` bytes of the output, standard error after standard output, cut at a line.
    pub fn last_output(&self, limit: usize) -> String {
        let parts = [self.stdout(), self.stderr()].map(|path| logs::tail(&path, limit / 2));
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.path.join(name)).ok()?).ok()
    }

    /// Written beside and renamed, so that a reader sees the old or the new document and never half of one.
    fn write<T: Serialize>(&self, name: &str, document: &T) -> io::Result<()> {
        let beside = self.path.join(format!("{name}.new"));
        // The environment may hold secrets: readable by the owner only.
        let options = &mut fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
        let file = options.write(true).create(true).truncate(true).open(&beside)?;
        serde_json::to_writer(&file, document)?;
        fs::rename(beside, self.path.join(name))
    }
}
