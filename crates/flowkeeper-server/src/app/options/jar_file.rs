//! Where the jar behind a URI lies: on this machine, or fetched for the moment it is read.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;

use super::jar::JarError;
use crate::app::uri;

/// Largest jar that is fetched to look into it, and how long that may take.
const MAX_BYTES: u64 = 512 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// By what a changed file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    modified: SystemTime,
    size: u64,
}

/// The state of the file that `source` names; `None` when it names none, or there is none.
pub(super) async fn state(source: &str) -> Option<FileState> {
    let found = tokio::fs::metadata(uri::file_path(source)?).await.ok()?;
    Some(FileState { modified: found.modified().ok()?, size: found.len() })
}

/// Opens the jar. `None`: this version cannot look into programs of this kind (`maven:`, `docker:`).
///
/// # Errors
/// When it cannot be opened or fetched.
pub(super) async fn open(client: &reqwest::Client, source: &str) -> Result<Option<File>, JarError> {
    if let Some(path) = uri::file_path(source) {
        return Ok(Some(open_file(path).await?));
    }
    let scheme = source.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => Ok(Some(fetch(client, source).await?)),
        _ => Ok(None),
    }
}

async fn open_file(path: PathBuf) -> std::io::Result<File> {
    Ok(tokio::fs::File::open(path).await?.into_std().await)
}

/// Fetches into a file without a name, which is gone when it is closed.
async fn fetch(client: &reqwest::Client, source: &str) -> Result<File, JarError> {
    let response = client.get(source).timeout(TIMEOUT).send().await?;
    let mut response = response.error_for_status()?;
    let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
    let mut left = MAX_BYTES;
    while let Some(chunk) = response.chunk().await? {
        left = left
            .checked_sub(chunk.len() as u64)
            .ok_or_else(|| JarError::TooLarge("the program".to_owned()))?;
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(file.into_std().await)
}
