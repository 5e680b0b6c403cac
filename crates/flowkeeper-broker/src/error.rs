//! Why the broker cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failure of the whole broker; what concerns one request is answered to its client instead.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the broker cannot listen on {addr}: {source}; free the port or choose another address")]
    Listen { addr: SocketAddr, source: Arc<io::Error> },
    #[error(
        "the broker's data folder {folder} is in use by another process; stop that one or use another folder"
    )]
    InUse { folder: PathBuf },
    #[error("the broker cannot {what} {path}: {source}; {} and start again", remedy(source))]
    Disk { what: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// Something other than records is damaged. `advice` says how to go on without a backup.
    #[error("{path} is damaged at byte {offset}: {what}; restore the folder from a backup, or {advice}")]
    Corrupt { path: PathBuf, offset: u64, what: String, advice: String },
    /// Records that were on the disk are missing or damaged.
    #[error(
        "records are missing from the broker's data: {lost}; restore the folder {folder} from a backup, or, to go on \
         without these records, create an empty file {accept} and start again"
    )]
    Lost { folder: PathBuf, lost: String, accept: PathBuf },
    /// The journal is missing though topics are there.
    #[error(
        "{journal} is missing or empty, but {n_folders} topic folders are in {topics}, which cannot be told apart without it; \
         restore it from a backup, or move {topics} away to begin anew without topics, records and committed offsets"
    )]
    JournalMissing { journal: PathBuf, topics: PathBuf, n_folders: usize },
    #[error(
        "{path} has format {found} of a newer release, this one reads up to {known}; start the newer release again"
    )]
    TooNew { path: PathBuf, found: u32, known: u32 },
}

impl Error {
    pub(crate) fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Disk { what, path, source: Arc::new(source) }
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on that disk",
        io::ErrorKind::PermissionDenied => "give this user access to it",
        io::ErrorKind::ReadOnlyFilesystem => "make that disk writable",
        _ => "mend the disk",
    }
}
