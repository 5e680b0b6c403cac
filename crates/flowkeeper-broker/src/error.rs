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
    #[error("the broker cannot {what} {path}: {source}; mend the disk and start again")]
    Disk { what: &'static str, path: PathBuf, source: Arc<io::Error> },
    #[error(
        "{path} is damaged at byte {offset}: {what}; restore the folder from a backup, or move the file away to go on without it"
    )]
    Corrupt { path: PathBuf, offset: u64, what: String },
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

    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }
}
