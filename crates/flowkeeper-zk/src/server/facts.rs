//! What can be told about a server without asking its core: settings, machine, files.

use std::fs;
use std::time::UNIX_EPOCH;

use super::config::{Config, VERSION};

/// Bytes in the data folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FolderSizes {
    pub(crate) snapshots: u64,
    pub(crate) logs: u64,
}

/// The newest snapshot on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastSnapshot {
    pub(crate) zxid: i64,
    /// Milliseconds since 1970.
    pub(crate) written: i64,
}

/// Settings in the words of `conf`.
pub(crate) fn configuration(c: &Config) -> Vec<(String, String)> {
    let sizes = folder_sizes(c);
    let folder = c.data.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut pairs = Vec::new();
    let mut put = |key: &str, value: String| pairs.push((key.to_owned(), value));
    let port = |plain: Option<u16>| plain.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    put("clientPort", port(Some(c.listen.port()).filter(|_| c.plain)));
    let secure = c.tls.as_ref().and_then(|tls| tls.listen);
    put("secureClientPort", port(secure.map(|at| at.port())));
    put("dataDir", folder.clone());
    put("dataDirSize", sizes.snapshots.to_string());
    put("dataLogDir", c.log.as_ref().map_or(folder, |path| path.display().to_string()));
    put("dataLogSize", sizes.logs.to_string());
    put("tickTime", c.tick.as_millis().to_string());
    put("maxClientCnxns", c.max_connections_per_client.to_string());
    put("minSessionTimeout", c.min_session_timeout.as_millis().to_string());
    put("maxSessionTimeout", c.max_session_timeout.as_millis().to_string());
    put("clientPortListenBacklog", "-1".into());
    put("serverId", "0".into());
    pairs
}

/// The machine and the process in the words of `envi`. Apache tells of its Java here, which there is none of.
pub(crate) fn environment() -> Vec<(String, String)> {
    let kernel = |what: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{what}")).unwrap_or_default();
        text.trim().to_owned()
    };
    // As Java calls it.
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH };
    let folder = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
    [
        // kazoo reads the version here.
        ("zookeeper.version", VERSION.to_owned()),
        ("host.name", kernel("hostname")),
        ("os.name", kernel("ostype")),
        ("os.arch", arch.to_owned()),
        ("os.version", kernel("osrelease")),
        ("user.dir", folder),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// How much of the data folder is snapshots and how much is log.
pub(crate) fn folder_sizes(c: &Config) -> FolderSizes {
    let mut sizes = FolderSizes::default();
    let folders = c.data.iter().chain(c.log.iter().filter(|log| Some(*log) != c.data.as_ref()));
    for entry in folders.filter_map(|path| fs::read_dir(path).ok()).flatten().flatten() {
        let bytes = entry.metadata().map_or(0, |file| file.len());
        match entry.file_name().to_string_lossy() {
            name if name.starts_with("snapshot.") => sizes.snapshots += bytes,
            name if name.starts_with("log.") => sizes.logs += bytes,
            _ => {}
        }
    }
    sizes
}

/// The newest snapshot in the data folder, if there is one.
pub(crate) fn last_snapshot(c: &Config) -> Option<LastSnapshot> {
    let entries = c.data.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten();
    let found = entries.filter_map(|entry| {
        let name = entry.file_name();
        let zxid = i64::from_str_radix(name.to_str()?.strip_prefix("snapshot.")?, 16).ok()?;
        let written = entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(LastSnapshot { zxid, written: written.as_millis() as i64 })
    });
    found.max_by_key(|snapshot| snapshot.zxid)
}

/// A moment for people, from milliseconds since 1970.
pub(crate) fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_names() {
        let folder = tempfile::tempdir().expect("folder");
        let write =
            |name: &str, bytes: usize| fs::write(folder.path().join(name), vec![0; bytes]).expect("written");
        write("snapshot.000000000000000a", 5);
        write("snapshot.0000000000000010", 7);
        write("snapshot.0000000000000011.tmp", 1);
        write("log.0000000000000001", 3);
        write("format", 9);
        let path = Some(folder.path().to_owned());
        let c = Config { data: path.clone(), log: path, ..Config::default() };
        assert_eq!(folder_sizes(&c), FolderSizes { snapshots: 13, logs: 3 });
        assert_eq!(last_snapshot(&c).map(|found| found.zxid), Some(16));
        assert_eq!(last_snapshot(&Config::default()), None);
    }

    #[test]
    fn the_environment_names_the_version_and_the_machine() {
        let pairs = environment();
        assert_eq!(pairs[0], ("zookeeper.version".into(), VERSION.into()));
        assert!(pairs.iter().all(|(_, value)| !value.is_empty()), "{pairs:?}");
    }

    #[test]
    fn moments_are_readable() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
