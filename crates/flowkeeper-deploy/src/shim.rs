//! The process between the agent and an app instance, so that either may die without the other.
//!
//! A shim is started in the folder of its instance with a [`Spec`]; it leads a session of its own, so signals meant for the
//! agent's terminal do not reach it. It runs the program in a process group and, where there are any, a control group of its
//! own, copies its output to rotating files, and writes a [`State`] so that any later agent can find both processes and learn
//! how the program ended. SIGTERM to the shim means: stop the program politely, then by force after the grace time; the shim
//! ends after its program and everything that this started.
//!
//! A strict instance, of which there must never be two, has a [`Fence`]: its shim freezes the program when its lease
//! ([`crate::lease`]) ends, and kills it when the lease is not renewed in time. That works without the agent, and when the shim
//! itself dies the kernel kills the program.

mod complaint;
mod exec;
mod fence;
mod follow;
mod logs;
mod program;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::health::Probe;
use crate::process::ProcessId;

pub use exec::exec_main;
pub use fence::Fence;
pub(crate) use follow::Follower;
pub use run::main;

const SPEC_FILE: &str = "spec.json";
const STATE_FILE: &str = "state.json";
const LEASE_FILE: &str = "lease";
/// Says that the files of an instance stay although it was undeployed.
const KEPT_FILE: &str = "kept";

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
    /// Where the program works and its output goes, when it is not the folder of the instance.
    #[serde(default)]
    pub place: Option<Place>,
    /// How the agent asks whether it is ready.
    #[serde(default)]
    pub probe: Probe,
    /// Whether the agent repeats its output.
    #[serde(default)]
    pub inherits_output: bool,
    /// Whether its files stay when it is undeployed.
    #[serde(default)]
    pub keeps_files: bool,
    /// The `flowkeeper` binary, when the program must arrange itself before it runs; see [`exec_main`].
    #[serde(default)]
    pub launcher: Option<PathBuf>,
    /// Directory of the control group it is to run in.
    #[serde(default)]
    pub group: Option<PathBuf>,
    /// For a strict instance: how it is kept from running longer than its lease.
    #[serde(default)]
    pub fence: Option<Fence>,
}

/// A working directory of the user's choice, shared by the copies of one app, with the files of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The working directory.
    pub directory: PathBuf,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

impl Place {
    /// `<root>/<made>/<deployment id>` with files by `index`, as SCDF's local deployer names them; `made` tells one deployment
    /// from the next: milliseconds since 1970.
    pub fn new(root: &Path, made: i64, deployment_id: &str, index: u32) -> Place {
        let directory = root.join(made.to_string()).join(deployment_id);
        let file = |name: &str| directory.join(format!("{name}_{index}.log"));
        Place { stdout: file("stdout"), stderr: file("stderr"), directory }
    }

    /// Removes the output, and the directories when nothing else is in them: other files are the app's, and may be data.
    fn remove(&self) {
        for path in [&self.stdout, &self.stderr].into_iter().flat_map(|path| logs::files(path)) {
            drop(fs::remove_file(path));
        }
        if fs::remove_dir(&self.directory).is_ok()
            && let Some(parent) = self.directory.parent()
        {
            drop(fs::remove_dir(parent));
        }
    }
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
    /// Lengths of standard output and standard error when it was started: what is before was said by earlier ones.
    #[serde(default)]
    pub began: [u64; 2],
    /// Directory of the control group it runs in.
    #[serde(default)]
    pub group: Option<PathBuf>,
    /// True while it is frozen because its lease ended.
    #[serde(default)]
    pub frozen: bool,
    /// True when it was killed because its lease was not renewed.
    #[serde(default)]
    pub fenced: bool,
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

    /// The file with the deadline of a strict instance.
    pub(crate) fn lease(&self) -> PathBuf {
        self.path.join(LEASE_FILE)
    }

    /// Where a program works and its standard output and standard error go, unless its spec names another place.
    pub fn place(&self) -> Place {
        Place {
            directory: self.path.clone(),
            stdout: self.path.join("stdout.log"),
            stderr: self.path.join("stderr.log"),
        }
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
        for name in [STATE_FILE, KEPT_FILE] {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if let Some(place) = &spec.place {
            fs::create_dir_all(&place.directory)?;
        }
        self.write(SPEC_FILE, spec)
    }

    /// Removes what an instance left that will not run again, or of it only what is ours, when its files are to stay.
    pub fn remove(&self) {
        let spec = self.spec();
        if self.path.join(KEPT_FILE).exists() {
            return;
        }
        if spec.as_ref().is_some_and(|spec| spec.keeps_files)
            && fs::write(self.path.join(KEPT_FILE), "").is_ok()
        {
            // The spec may hold secrets.
            for name in [SPEC_FILE, STATE_FILE, LEASE_FILE] {
                drop(fs::remove_file(self.path.join(name)));
            }
            return;
        }
        if let Some(place) = spec.and_then(|spec| spec.place) {
            place.remove();
        }
        drop(fs::remove_dir_all(&self.path));
    }

    /// Whether anything of the last program may still run.
    pub(crate) fn is_occupied(&self) -> bool {
        self.state().is_some_and(|state| {
            let is_alive = |id: &ProcessId| id.is_alive();
            let group = state.group.clone().filter(|_| state.shim.is_of_this_boot()).map(Group::at);
            is_alive(&state.shim)
                || state.app.as_ref().is_some_and(is_alive)
                || group.is_some_and(|group| !group.is_empty())
        })
    }

    /// How long ago the program was started, as far as the folder tells.
    pub fn age(&self) -> Duration {
        let written = fs::metadata(self.path.join(STATE_FILE)).and_then(|state| state.modified());
        written.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }

    fn write_state(&self, state: &State) -> io::Result<()> {
        self.write(STATE_FILE, state)
    }

    /// The last `limit` bytes that the last program printed, standard error after standard output, cut at a line.
    pub fn last_output(&self, limit: usize) -> String {
        self.outputs(limit / 2).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// What the last program complained about last, as far as the last `limit` bytes of its output tell.
    pub fn last_complaint(&self, limit: usize) -> Option<String> {
        let [out, err] = self.outputs(limit / 2);
        complaint::last(&out).or_else(|| complaint::last(&err))
    }

    /// The last `limit` bytes of standard output and of standard error.
    fn outputs(&self, limit: usize) -> [String; 2] {
        let place = self.spec().and_then(|spec| spec.place).unwrap_or_else(|| self.place());
        let began = self.state().map(|state| state.began).unwrap_or_default();
        let parts = [(place.stdout, began[0]), (place.stderr, began[1])];
        parts.map(|(path, began)| logs::tail(&path, began, limit))
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
