//! Control groups (version 2): one per app instance, where the system lets us make them.
//!
//! A group holds a program and everything it starts, however often that forks and whatever session it flees to. So it tells
//! when really nothing of an instance runs any more, and freezes or kills all of it at once. Where there is none, because the
//! hierarchy is not mounted, not writable or of version 1, its owner does the same with signals as well as that goes.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

/// Directory below our own group that holds the groups of instances.
const DIRECTORY: &str = "flowkeeper";
/// Longest name that is used as it is; longer ones are replaced by a part of them and a hash.
const LONGEST: usize = 200;
/// An empty group that is older than this belongs to no start under way.
const STALE: Duration = Duration::from_secs(600);
/// Rounds of killing one by one, where the kernel cannot kill a group at once.
const ROUNDS: u32 = 100;

/// Where the groups of this node's instances are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups {
    path: PathBuf,
    /// Tells this node's groups from those of other nodes on the machine.
    prefix: String,
}

/// The group of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    path: PathBuf,
}

impl Groups {
    /// The place for groups below our own one; `None` where none can be made. `prefix` must be unique on this machine.
    pub(crate) fn find(prefix: String) -> Option<Groups> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = place(&mounts, &own)?.join(DIRECTORY);
        let groups = Groups { path, prefix };
        // Only trying tells whether it may be written.
        let probe = groups.group("probe");
        fs::create_dir_all(&probe.path).ok()?;
        let works = fs::OpenOptions::new().write(true).open(probe.path.join("cgroup.procs")).is_ok()
            && probe.path.join("cgroup.freeze").exists();
        probe.remove();
        groups.clear();
        works.then_some(groups)
    }

    /// Removes what shims that were killed left behind, of any node: groups without a process that are not being filled.
    fn clear(&self) {
        let found = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in found {
            let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && age.is_some_and(|age| age > STALE) {
                // The kernel refuses while anything is in it.
                Group::at(entry.path()).remove();
            }
        }
    }

    /// The group for an instance, which need not exist.
    pub(crate) fn group(&self, instance: &str) -> Group {
        Group { path: self.path.join(short(format!("{}-{instance}", self.prefix))) }
    }
}

fn short(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let hash = Sha256::digest(name.as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // Names are made of ASCII characters.
    format!("{}-{hash}", name.get(..LONGEST).unwrap_or_default())
}

impl Group {
    pub(crate) fn at(path: PathBuf) -> Group {
        Group { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the group, thawed.
    pub(crate) fn make(&self) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(&self.path)?,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.freeze(false)
    }

    /// Moves this process into the group; what it starts from now on is in it too.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.write("cgroup.procs", "0")
    }

    /// Freezes all of it, or lets it go on. Freezing takes a moment: see [`Group::is_frozen`].
    pub(crate) fn freeze(&self, freeze: bool) -> io::Result<()> {
        self.write("cgroup.freeze", if freeze { "1" } else { "0" })
    }

    /// Whether all of it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.event("frozen") == Some(true)
    }

    /// Whether nothing is in it, or the group is gone. A process that nobody has waited for yet does not count.
    pub(crate) fn is_empty(&self) -> bool {
        match self.event("populated") {
            Some(populated) => !populated,
            None => !self.path.exists(),
        }
    }

    /// Whether `pid` is in it.
    pub(crate) fn holds(&self, pid: u32) -> bool {
        self.processes().contains(&pid)
    }

    /// Kills all of it, frozen or not.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match self.write("cgroup.kill", "1") {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
            done => return done,
        }
        if !self.path.exists() {
            return Ok(());
        }
        // Kernels before 5.14. A frozen group cannot grow, and a killed process leaves it though it is frozen.
        self.freeze(true)?;
        for _ in 0..ROUNDS {
            let processes = self.processes();
            if processes.is_empty() {
                break;
            }
            for pid in processes {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    // It may have ended by itself.
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            std::thread::yield_now();
        }
        self.freeze(false)
    }

    /// Removes the group if it is empty.
    pub(crate) fn remove(&self) {
        // Groups that the program made within.
        let inner = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            Group::at(entry.path()).remove();
        }
        drop(fs::remove_dir(&self.path));
    }

    fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    fn event(&self, name: &str) -> Option<bool> {
        let text = fs::read_to_string(self.path.join("cgroup.events")).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.trim() == "1")
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        // Not `fs::write`, which would make a file where there is none.
        let mut file = fs::OpenOptions::new().write(true).open(self.path.join(file))?;
        io::Write::write_all(&mut file, text.as_bytes())
    }
}

/// The directory of our own group, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn place(mounts: &str, own: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (root, point) = mounts.lines().find_map(unified)?;
    // A mount may show a part of the hierarchy only; `..` says that our group is not in it.
    let below = if root == "/" { Some(own) } else { own.strip_prefix(&*root) }?;
    if below.split('/').any(|part| part == "..") {
        return None;
    }
    Some(Path::new(&point).join(below.trim_start_matches('/')))
}

/// Root and mount point of a line that is about the unified hierarchy.
fn unified(line: &str) -> Option<(String, String)> {
    let (place, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = place.split(' ').skip(3);
    Some((unescape(fields.next()?), unescape(fields.next()?)))
}

/// Blanks, line breaks and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let octal = (*byte == b'\\').then(|| tail.get(..3)).flatten();
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &str = "31 20 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                          40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const OWN: &str = "9:name=systemd:/\n4:memory:/x\n0::/system.slice/flowkeeper.service\n";

    #[test]
    fn our_own_group_is_found_in_every_kind_of_mount() {
        assert_eq!(
            place(HYBRID, OWN),
            Some(PathBuf::from("/sys/fs/cgroup/unified/system.slice/flowkeeper.service"))
        );
        assert_eq!(place(HYBRID, "0::/\n"), Some(PathBuf::from("/sys/fs/cgroup/unified/")));
        let part = "41 31 0:38 /system.slice /my\\040groups rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(place(part, OWN), Some(PathBuf::from("/my groups/flowkeeper.service")));
        assert_eq!(place(part, "0::/user.slice\n"), None);
        assert_eq!(place(HYBRID, "0::/../other\n"), None);
        assert_eq!(place("", OWN), None);
        assert_eq!(place(HYBRID, "1:cpu:/\n"), None);
    }

    #[test]
    fn names_stay_short_and_different() {
        let groups = Groups { path: PathBuf::from("/g"), prefix: "n".into() };
        assert_eq!(groups.group("a~b~v1~0").path(), Path::new("/g/n-a~b~v1~0"));
        let long = "x".repeat(300);
        let (one, other) = (groups.group(&format!("{long}1")), groups.group(&format!("{long}2")));
        assert_ne!(one, other);
        assert!(one.path().file_name().is_some_and(|name| name.len() < 255));
    }

    proptest! {
        #[test]
        fn any_text_names_a_place_or_none(mounts in any::<String>(), own in any::<String>()) {
            place(&mounts, &own);
            place(HYBRID, &format!("0::/{own}"));
            unescape(&mounts);
        }
    }
}
