//! The folder of what was fetched: files appear whole or not at all, and what many ask for is fetched once.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::error::ArtifactError;
use super::http::Answer;

/// Largest program that is fetched.
const MAX_BYTES: u64 = 1 << 30;
/// Ending of files that are being fetched, and the age from which on they were left by a process that died.
const PARTIAL: &str = ".part";
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The last failure to fetch, for those who waited for that fetch.
type Flight = tokio::sync::Mutex<Option<(Instant, ArtifactError)>>;

/// Fetched files of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    flights: Arc<Mutex<HashMap<PathBuf, Weak<Flight>>>>,
}

/// Why a body was not received.
#[derive(Debug)]
pub(super) enum ReceiveError {
    /// The network's or the server's fault.
    Answer(String),
    /// This node's fault.
    Write(ArtifactError),
}

/// A received file that is not in its place yet; removed when dropped.
#[derive(Debug)]
pub(super) struct Partial {
    path: tempfile::TempPath,
}

impl Cache {
    /// Keeps files in `folder`, which is created when needed.
    pub(super) fn new(folder: PathBuf) -> Cache {
        Cache { folder, flights: Arc::default() }
    }

    /// Where a file lies or would lie; `name` must be made of names that cannot leave the folder.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs `fetch`, which puts a file to `path`, unless it is there. Of many callers at a time one fetches; the others wait
    /// and get the same.
    ///
    /// Cancel safe: if the one that fetches is cancelled, the next one does.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) async fn once(
        &self,
        path: PathBuf,
        fetch: impl Future<Output = Result<(), ArtifactError>>,
    ) -> Result<PathBuf, ArtifactError> {
        let asked = Instant::now();
        let flight = self.flight(&path);
        let mut last = flight.lock().await;
        if path.is_file() {
            return Ok(path);
        }
        if let Some((at, error)) = &*last
            && *at >= asked
        {
            return Err(error.clone());
        }
        if let Err(error) = fetch.await {
            *last = Some((Instant::now(), error.clone()));
            return Err(error);
        }
        Ok(path)
    }

    fn flight(&self, path: &Path) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(path).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::new(Flight::default());
        flights.insert(path.to_owned(), Arc::downgrade(&flight));
        flight
    }
}

/// Receives the body of `answer` into a file beside `path`.
///
/// # Errors
/// When the answer breaks off or is too large, or the disk is full.
pub(super) async fn receive(mut answer: Answer, path: &Path) -> Result<Partial, ReceiveError> {
    let too_large = || ReceiveError::Answer(format!("it is larger than {MAX_BYTES} bytes"));
    if answer.length().is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    let write = |error: std::io::Error| ReceiveError::Write(write_error(path, &error));
    let (file, partial) = create(path).map_err(write)?.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await.map_err(|error| ReceiveError::Answer(error.to_string()))? {
        bytes += chunk.as_ref().len() as u64;
        if bytes > MAX_BYTES {
            return Err(too_large());
        }
        file.write_all(chunk.as_ref()).await.map_err(write)?;
    }
    file.flush().await.map_err(write)?;
    file.sync_all().await.map_err(write)?;
    // Closed for certain before anybody executes it: a file that is open for writing cannot be.
    drop(file.into_std().await);
    Ok(Partial { path: partial })
}

impl Partial {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the file to `path`, replacing what is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn keep(self, path: &Path) -> Result<(), ArtifactError> {
        make_executable(&self.path).map_err(|error| write_error(path, &error))?;
        self.path.persist(path).map_err(|error| write_error(path, &error.error))
    }
}

/// Writes a small file, whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let failed = |error: std::io::Error| write_error(path, &error);
    let mut partial = create(path).map_err(failed)?;
    std::io::Write::write_all(&mut partial, bytes).map_err(failed)?;
    partial.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Name for what an address names: unique, and still readable: hash, then the last segment of the path.
pub(super) fn name_of(uri: &str) -> String {
    let hash = Sha256::digest(uri.as_bytes());
    let mut name = hash.iter().take(16).fold(String::new(), |mut name, byte| {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    });
    let last = uri.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    name.push('-');
    name.extend(last.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(100));
    name
}

fn create(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    sweep(folder);
    tempfile::Builder::new().prefix("fetch-").suffix(PARTIAL).tempfile_in(folder)
}

/// Removes what a process that died left half fetched. Failing to is no reason to fetch nothing.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_string_lossy().ends_with(PARTIAL);
        let modified = entry.metadata().and_then(|found| found.modified()).ok();
        let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if is_partial && age.is_some_and(|age| age > STALE) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

fn write_error(path: &Path, error: &std::io::Error) -> ArtifactError {
    ArtifactError::Write { path: path.to_owned(), reason: error.to_string() }
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_cache() {
        let name = name_of("http://h/../../etc/passwd?x=/../y");
        assert!(name.ends_with("-passwd") && !name.contains('/'), "{name}");
    }

    #[test]
    fn what_died_long_ago_is_swept_and_what_is_young_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            let file = std::fs::File::create(&path).expect("file");
            file.set_modified(SystemTime::now() - age).expect("age");
            path
        };
        let old = file("fetch-a.part", STALE * 2);
        let young = file("fetch-b.part", Duration::ZERO);
        let kept = file("x.jar", STALE * 2);
        write(&folder.path().join("new"), b"x").expect("written");
        assert!(!old.exists() && young.exists() && kept.exists());
    }
}
