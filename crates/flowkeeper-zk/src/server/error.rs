//! Why the server does not start, or had to stop.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What keeps the server from running. Cheap to clone, so that every handle can be told.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; free the port or choose another address")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// Another server uses the data folder.
    #[error("data folder {} is in use by {holder}; stop that server or use another folder", folder.display())]
    FolderInUse {
        /// The folder.
        folder: PathBuf,
        /// The process that holds it, as far as it is known.
        holder: String,
    },
    /// The data folder was written by a newer release.
    #[error(
        "data folder {} has format {found}, this release knows up to {known}; start the newer release again",
        folder.display()
    )]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// Format number found.
        found: u32,
        /// Newest format this release reads.
        known: u32,
    },
    /// A file is damaged in a place where no crash can have damaged it.
    #[error("{} is damaged at byte {offset}: {what}; restore the data folder from a backup{advice}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// How to go on without a backup and what is lost then: the message's last words.
        advice: String,
    },
    /// The log does not begin where the newest readable snapshot ends.
    #[error(
        "{} goes on at transaction 0x{found:x}, but 0x{wanted:x} comes next: a log file is missing or was cut; \
         restore the data folder from a backup{advice}",
        file.display()
    )]
    MissingLog {
        /// The file that was found instead.
        file: PathBuf,
        /// The transaction the file begins with.
        found: i64,
        /// The transaction that is needed.
        wanted: i64,
        /// How to go on without a backup and what is lost then: the message's last words.
        advice: String,
    },
    /// A snapshot cannot be read, and the log ends before it.
    #[error(
        "{} cannot be read ({why}), and what can be read ends with transaction 0x{last:x}{end}: transactions 0x{:x} to \
         0x{named:x} are missing; restore the data folder from a backup{advice}",
        snapshot.display(),
        last + 1
    )]
    MissingEnd {
        /// The snapshot.
        snapshot: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The last transaction that can be read.
        last: i64,
        /// Where the log ends, if not as a server leaves it: words behind the last transaction.
        end: String,
        /// The transaction the snapshot is named after.
        named: i64,
        /// How to go on without a backup and what is lost then: the message's last words.
        advice: String,
    },
    /// Reading or writing the data folder failed.
    #[error(
        "cannot {what} {}: {source}; {} and start the server again: everything it acknowledged is there",
        path.display(),
        remedy(source)
    )]
    Disk {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// A thread could not be started, or ended in a bug.
    #[error("the server's {0} thread is gone; start the server again and report this as a bug")]
    Thread(&'static str),
}

impl Error {
    pub(crate) fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { what, path, source: Arc::new(source) }
    }

    pub(crate) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what: what.into(), advice: String::new() }
    }

    /// Whether there is no space on the disk, so that the same may succeed later.
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if is_no_space(source))
    }

    /// Puts in how to go on without a backup, where the error has a place for it.
    pub(crate) fn advise(mut self, how: String) -> Self {
        if let Self::Corrupt { advice, .. }
        | Self::MissingLog { advice, .. }
        | Self::MissingEnd { advice, .. } = &mut self
        {
            *advice = format!(", or {how}");
        }
        self
    }

    /// How to go on without a backup, if the error says it.
    pub(crate) fn advice(&self) -> Option<&str> {
        match self {
            Self::Corrupt { advice, .. }
            | Self::MissingLog { advice, .. }
            | Self::MissingEnd { advice, .. } => advice.strip_prefix(", or "),
            _ => None,
        }
    }

    /// What is wrong with the file, without its name and advice.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Corrupt { what, offset, .. } => format!("{what}, at byte {offset}"),
            other => other.to_string(),
        }
    }
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => "the disk is full: free space on it",
        io::ErrorKind::QuotaExceeded => "the disk quota is used up: free space",
        io::ErrorKind::ReadOnlyFilesystem => "make the disk writable",
        io::ErrorKind::PermissionDenied => "give this user access to it",
        _ => "make the disk work",
    }
}
