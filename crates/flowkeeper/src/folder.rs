//! The data folder of a role: found, marked with its format, locked.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::exit::Failure;
use crate::settings::Settings;

/// Format of the folder's layout that this program writes; higher ones are refused.
const FORMAT: u32 = 1;

/// A data folder in use by this process.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held while the process lives; the kernel releases it.
    _lock: File,
    /// Removed at the end, with everything in it.
    ephemeral: Option<tempfile::TempDir>,
}

impl Folder {
    /// Opens the folder of `role` as the settings say.
    ///
    /// # Errors
    /// When it cannot be used, is in use, or was written by a newer program.
    pub(crate) fn open(
        role: &str,
        settings: &Settings,
        env: &BTreeMap<String, String>,
    ) -> Result<Folder, Failure> {
        if settings.is_on("ephemeral") && settings.text("data").is_some() {
            return Err(Failure::usage(
                "--ephemeral keeps nothing and --data says where to keep it: give one of them",
            ));
        }
        let ephemeral = if settings.is_on("ephemeral") {
            Some(tempfile::Builder::new().prefix("flowkeeper-").tempdir().map_err(Failure::failed)?)
        } else {
            None
        };
        let path = match &ephemeral {
            Some(folder) => folder.path().to_owned(),
            None => settings.path("data").map_or_else(|| default_path(role, env), Ok)?,
        };
        Ok(Folder { ephemeral, ..Folder::at(path)? })
    }

    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub(crate) fn at(path: PathBuf) -> Result<Folder, Failure> {
        let path = std::path::absolute(path).map_err(Failure::failed)?;
        fs::create_dir_all(&path).map_err(|error| unusable(&path, &error))?;
        let lock = lock(&path)?;
        check_format(&path)?;
        Ok(Folder { path, _lock: lock, ephemeral: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral.is_some()
    }

    /// A word kept in the folder, made by `make` when there is none yet.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub(crate) fn word(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
        let path = self.path.join(name);
        if let Ok(word) = fs::read_to_string(&path) {
            return Ok(word.trim().to_owned());
        }
        let word = make();
        fs::write(&path, format!("{word}\n")).map_err(|error| unusable(&path, &error))?;
        Ok(word)
    }
}

/// How long a lock is waited for, and the pause between two looks.
const DYING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// Where `role` keeps its data when nobody says where.
///
/// # Errors
/// When there is no home.
pub(crate) fn default_path(role: &str, env: &BTreeMap<String, String>) -> Result<PathBuf, Failure> {
    let home = env.get("HOME").filter(|home| !home.is_empty());
    let home =
        home.ok_or_else(|| Failure::usage("there is no HOME to keep data in; say where with --data DIR"))?;
    Ok(Path::new(home).join(".flowkeeper").join(role))
}

fn lock(path: &Path) -> Result<File, Failure> {
    let name = path.join("lock");
    let open = File::options().create(true).truncate(false).read(true).write(true).open(&name);
    let mut file = open.map_err(|error| unusable(path, &error))?;
    // A process that was killed holds its lock until the kernel has cleared it away.
    let deadline = Instant::now() + DYING;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => pause(),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(Failure::failed(format!(
                    "the data folder {} is in use by process {}; stop that one, or give this one another --data",
                    path.display(),
                    pid.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(path, &error)),
        }
    }
    let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    write.map_err(|error| unusable(path, &error))?;
    Ok(file)
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at a condition with a deadline, before there is a runtime"
)]
fn pause() {
    std::thread::sleep(LOOK);
}

fn check_format(path: &Path) -> Result<(), Failure> {
    let name = path.join("format");
    match fs::read_to_string(&name) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(Failure::failed(format!(
                "the data folder {} was written by a newer flowkeeper (format {found}, this one knows up to {FORMAT}); \
                 start that one again, or give this one another --data",
                path.display()
            ))),
            Err(_) => Err(Failure::failed(format!(
                "{} holds '{}' instead of a number; restore the folder from a backup, or give another --data",
                name.display(),
                text.trim()
            ))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::write(&name, format!("{FORMAT}\n")).map_err(|error| unusable(path, &error))
        }
        Err(error) => Err(unusable(&name, &error)),
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "{} cannot be used: {error}; mend it, or say where to keep data with --data DIR",
        path.display()
    ))
}
