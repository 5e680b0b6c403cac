//! What proves who we are and keeps what we write secret, from the files that settings name.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use flowkeeper_zk::recipes::{Auth, Keyring, NotTls, Tls, new_key};

use crate::exit::Failure;
use crate::settings::Settings;

/// File with the key that `dev` makes for itself.
const OWN_KEY: &str = "cluster-key";
/// Others may do nothing with a key file; the group may read it.
const FORBIDDEN: u32 = 0o027;

/// The credentials in the file that a setting names, if it names one.
///
/// # Errors
/// When the file cannot be read or holds something else. What it holds is not repeated.
pub(super) fn credentials(settings: &Settings, key: &str) -> Result<Option<Auth>, Failure> {
    let Some(path) = settings.path(key) else { return Ok(None) };
    let text = fs::read_to_string(&path).map_err(|error| wrong(key, &path, &error))?;
    text.parse().map(Some).map_err(|error| wrong(key, &path, &error))
}

/// The keys of the cluster, if a file with them is named.
///
/// # Errors
/// When the file cannot be read, others can read it, or it holds something else.
pub(super) fn keyring(settings: &Settings) -> Result<Option<Arc<Keyring>>, Failure> {
    settings.path("cluster-key-file").map(|path| read_keyring("cluster-key-file", &path)).transpose()
}

/// As [`keyring`], with a key of its own in `folder` when no file is named: made at the first time.
///
/// # Errors
/// When it can neither be read nor made.
pub(super) fn own_keyring(settings: &Settings, folder: &Path) -> Result<Arc<Keyring>, Failure> {
    if let Some(keyring) = keyring(settings)? {
        return Ok(keyring);
    }
    let path = folder.join(OWN_KEY);
    let unusable = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    if !path.exists() {
        let key = new_key().map_err(|error| unusable(&error))?;
        let text = format!("# Seals what this folder's ZooKeeper holds; without it that is lost.\n{key}\n");
        // Beside and renamed: a key that is half written would be refused for ever.
        let beside = folder.join(format!("{OWN_KEY}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(|error| unusable(&error))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&beside, &path)).map_err(|error| unusable(&error))?;
    }
    read_keyring("cluster-key-file", &path)
}

fn read_keyring(key: &str, path: &Path) -> Result<Arc<Keyring>, Failure> {
    let mode = fs::metadata(path).map_err(|error| wrong(key, path, &error))?.permissions().mode();
    if mode & FORBIDDEN != 0 {
        let reason = format!(
            "others can read or change it (mode {:o}); chmod 600 it, and think about new keys",
            mode & 0o777
        );
        return Err(wrong(key, path, &reason));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(key, path, &error))?;
    text.parse().map(Arc::new).map_err(|error| wrong(key, path, &error))
}

/// How connections to ZooKeeper are protected, if they are to be.
///
/// # Errors
/// When a file cannot be read or holds something else, or settings are missing.
pub(super) fn tls(settings: &Settings) -> Result<Option<Tls>, Failure> {
    let (ca, certificate, key) = ("zookeeper-tls-ca", "zookeeper-tls-cert", "zookeeper-tls-key");
    let Some(ca_path) = settings.path(ca) else {
        return match [certificate, key].iter().find(|key| settings.path(key).is_some()) {
            Some(key) => {
                Err(Failure::usage(format!("--{key} is for TLS: say whom to trust with --{ca}, too")))
            }
            None => Ok(None),
        };
    };
    let identity = match (settings.path(certificate), settings.path(key)) {
        (Some(certificate_path), Some(key_path)) => {
            Some((read(certificate, &certificate_path)?, read(key, &key_path)?))
        }
        (None, None) => None,
        _ => {
            return Err(Failure::usage(format!(
                "--{certificate} and --{key} belong together: give both or none"
            )));
        }
    };
    let identity = identity.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
    Tls::new(&read(ca, &ca_path)?, identity).map(Some).map_err(|error| match error {
        NotTls::Ca => wrong(ca, &ca_path, &error),
        NotTls::Identity => Failure::usage(format!("--{certificate} and --{key}: {error}")),
    })
}

fn read(key: &str, path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| wrong(key, path, &error))
}

fn wrong(key: &str, path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("--{key} {}: {reason}", path.display()))
}
