//! What operators do with a data folder while no server runs: look at it, check it, move it.
//!
//! * [`dump`] shows the tree, [`log`] who wrote what, [`fsck`] what is wrong.
//! * [`export`] writes a snapshot that Apache ZooKeeper starts from, [`import`] reads one, and the log behind it.
//!
//! Only [`import`] changes a data folder, a fresh one. All but [`log`] lock the folder, so a running server is
//! refused by name.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::core::wall;
use super::error;
use super::state::State;
use super::storage::{Folder, recovery};

mod dump;
mod exchange;
mod fsck;
mod log;
#[cfg(test)]
mod tests;

pub use dump::{Format, dump};
pub use exchange::{Exported, Imported, LogSource, export, export_stream, import};
pub use fsck::fsck;
pub use log::{LogRange, log};

/// Why a tool has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data folder cannot be used, or not be read.
    #[error("{}", told(.0))]
    Data(#[from] error::Error),
    /// The files of Apache ZooKeeper cannot be used, or there is no room for them.
    #[error("{0}")]
    Exchange(String),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// What went wrong with a data folder, to somebody who starts no server.
fn told(error: &error::Error) -> String {
    match error {
        error::Error::Disk { what, path, source } => format!(
            "cannot {what} {}: {source}; check the name, and that this user may read it and the disk works",
            path.display()
        ),
        other => other.to_string(),
    }
}

/// Any tick does: nobody's time runs here.
const TICK: Duration = Duration::from_secs(1);

/// The state in a folder that nobody uses.
fn read_state(data: &Path) -> Result<(Folder, State), error::Error> {
    let folder = Folder::inspect(data)?;
    let (state, _) = recovery::recover(&folder, TICK.as_millis() as u64, wall())?;
    Ok((folder, state))
}

/// Milliseconds since 1970 as people write it.
fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| format!("{time:.3}"))
}

/// Text between quotes, as JSON has it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                // Writing into a string does not fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The folder of a server in what the user named: the data folder itself, or the one of a role around it.
pub fn data_folder(named: &Path) -> PathBuf {
    let inner = named.join("zookeeper");
    if inner.is_dir() { inner } else { named.to_owned() }
}
