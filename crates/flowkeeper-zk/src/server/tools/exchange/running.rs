//! Whether an Apache ZooKeeper server still runs on the files that are imported.

use std::fs;
use std::path::{Path, PathBuf};

/// File in the dataDir in which Apache's start script keeps the number of its process.
const PID_FILE: &str = "zookeeper_server.pid";

/// A process that uses a `dataDir` and its folder of logs, in words. Only processes this user may look into are found.
pub(super) fn user_of(data: &Path, logs: &Path) -> Option<String> {
    let named = fs::read_to_string(data.join(PID_FILE)).ok().filter(|pid| is_server(pid.trim()));
    if let Some(pid) = named {
        return Some(format!("process {} runs on {}", pid.trim(), data.display()));
    }
    let logs = logs.canonicalize().ok()?;
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        // Not the links to the process that looks.
        process.file_name().to_str()?.parse::<u32>().ok()?;
        let file = open_log(&process.path(), &logs)?;
        Some(format!("process {} has {} open", process.file_name().display(), file.display()))
    })
}

/// Whether the process is one of Apache ZooKeeper's: numbers are used again.
fn is_server(pid: &str) -> bool {
    let is_number = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    is_number
        && fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("zookeeper"))
}

/// A log in `logs` that a process has open.
fn open_log(process: &Path, logs: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(process.join("fd")).ok()?;
    files.flatten().filter_map(|fd| fs::read_link(fd.path()).ok()).find(|file| {
        let name = file.file_name().and_then(|name| name.to_str());
        file.parent() == Some(logs) && name.is_some_and(|name| name.starts_with("log."))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn whoever_has_a_log_open_or_is_named_by_the_start_script_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("version-2");
        fs::create_dir(&logs).unwrap();
        let snapshot = fs::File::create(logs.join("snapshot.1")).unwrap();
        assert_eq!(user_of(dir.path(), &logs), None);
        let log = fs::File::create(logs.join("log.1")).unwrap();
        let found = user_of(dir.path(), &logs).unwrap();
        assert!(found.starts_with(&format!("process {} has ", std::process::id())), "{found}");
        drop((snapshot, log));
        // A number that another program has got since, and no number at all.
        for pid in [std::process::id().to_string(), "../self".to_owned(), String::new()] {
            fs::write(dir.path().join(PID_FILE), pid).unwrap();
            assert_eq!(user_of(dir.path(), &logs), None);
        }
        let mut server = std::process::Command::new("sh")
            .args(["-c", "echo ready; read line", "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It has its own command line a moment after it was made.
        server.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
        fs::write(dir.path().join(PID_FILE), format!("{}\n", server.id())).unwrap();
        let found = user_of(dir.path(), &logs);
        drop(server.stdin.take());
        server.wait().unwrap();
        assert_eq!(found, Some(format!("process {} runs on {}", server.id(), dir.path().display())));
    }
}
