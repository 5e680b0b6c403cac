//! Who a node is: its machine, its folder, and the session that an earlier agent of it left behind.
//!
//! A node is its folder, because there its instances are. The folder has an id of its own; so that a copy of the folder, or of
//! the whole machine, is not mistaken for it, the machine's id, its last start and the folder's place on the disk are compared
//! as well.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use flowkeeper_engine::model::NodeId;
use flowkeeper_zk::recipes::SavedSession;

use crate::process::boot_id;
use crate::znode;

/// File with the id of a folder.
pub(super) const FOLDER_ID: &str = "folder-id";
/// File with id and password of the session.
const SESSION: &str = "session";
/// File with the name of the node.
const NAME: &str = "node-name";
/// File with the node's secret.
const SECRET: &str = "node-secret";

/// What tells one node from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// `<machine id>/<folder id>`.
    pub(super) machine: String,
    /// Boot id of the machine and the folder's place on its disk: with both equal it is this very folder, and its lock tells
    /// whether an agent lives in it.
    pub(super) place: String,
}

impl Identity {
    /// The identity of the folder `data`, which gets an id if it has none.
    pub(super) fn of(data: &Path) -> io::Result<Identity> {
        let id = word(data, FOLDER_ID)?;
        let inode = fs::metadata(data)?;
        Ok(Identity {
            machine: format!("{}/{id}", machine_id()),
            place: format!("{}/{}:{}", boot_id(), inode.dev(), inode.ino()),
        })
    }

    /// Names the control groups of this node, different from those of any other node of this machine.
    pub(super) fn group_prefix(&self, node: &NodeId) -> String {
        let id = self.machine.rsplit('/').next().unwrap_or_default();
        let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{}-{short}", znode::encode(&node.0))
    }
}

/// The name of the node that lives in the folder: `node` from now on, unless it has another already.
pub(super) fn name(data: &Path, node: &NodeId) -> io::Result<NodeId> {
    let path = data.join(NAME);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(NodeId(text.trim().to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            fs::write(path, format!("{node}\n"))?;
            Ok(node.clone())
        }
    }
}

/// The secret of the node, made if there is none.
pub(super) fn node_secret(data: &Path) -> io::Result<String> {
    word(data, SECRET)
}

/// A random word that the folder keeps, made if there is none.
fn word(data: &Path, name: &str) -> io::Result<String> {
    match fs::read_to_string(data.join(name)) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let word = uuid::Uuid::new_v4().simple().to_string();
    write_private(data, name, &format!("{word}\n"))?;
    Ok(word)
}

/// Keeps the session for the next agent; who has it can act as this node, so only its owner may read it.
pub(super) fn save_session(data: &Path, session: SavedSession) -> io::Result<()> {
    write_private(data, SESSION, &format!("{session}\n"))
}

pub(super) fn saved_session(data: &Path) -> Option<SavedSession> {
    let text = fs::read_to_string(data.join(SESSION)).ok()?;
    text.parse()
        .inspect_err(|error| tracing::warn!(%error, "the saved session in {} is ignored", data.display()))
        .ok()
}

/// Written beside and renamed: old or new, never half.
fn write_private(data: &Path, name: &str, text: &str) -> io::Result<()> {
    let beside = data.join(format!("{name}.new"));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(beside, data.join(name))
}

/// Identity of this machine; the boot id where there is no other.
fn machine_id() -> String {
    let id = fs::read_to_string("/etc/machine-id").map(|text| text.trim().to_owned()).unwrap_or_default();
    if id.is_empty() { boot_id() } else { id }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_keeps_its_identity_and_a_copy_is_another_place() {
        let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let identity = Identity::of(one.path()).expect("made");
        assert_eq!(Identity::of(one.path()).expect("read"), identity);
        fs::copy(one.path().join(FOLDER_ID), other.path().join(FOLDER_ID)).expect("copied");
        let copy = Identity::of(other.path()).expect("read");
        assert_eq!(copy.machine, identity.machine);
        assert_ne!(copy.place, identity.place);
    }

    #[test]
    fn a_session_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(saved_session(folder.path()), None);
        let session = SavedSession { id: -7, password: [9; 16] };
        save_session(folder.path(), session).expect("saved");
        assert_eq!(saved_session(folder.path()), Some(session));
        let mode = fs::metadata(folder.path().join(SESSION)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join(SESSION), "rubbish").expect("written");
        assert_eq!(saved_session(folder.path()), None);
    }
}
