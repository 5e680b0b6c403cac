//! Free ports for app instances, and the name of whoever holds a busy one.

use std::collections::VecDeque;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Ports for app instances: the lower end of SCDF's range, below the kernel's own ephemeral ports.
pub const USUAL: RangeInclusive<u16> = 20_000..=29_999;
/// A port handed out lately may not be bound yet: it is not offered again until this many others were, unless there is no
/// other.
const REMEMBER: usize = 1_000;

/// How many are drawn before the range is searched from its beginning.
const DRAWS: usize = 64;

/// Hands out ports of this machine. They are drawn at random: other agents of the machine choose, too, and two that search in
/// order meet again and again between the choice of a port and its use.
#[derive(Debug, Default)]
pub struct Ports {
    recent: Mutex<VecDeque<u16>>,
    /// Its keys are the system's randomness.
    chance: RandomState,
    drawn: AtomicU64,
}

impl Ports {
    /// A port of the usual range; see [`Ports::allocate_in`].
    pub fn allocate(&self) -> Option<u16> {
        self.allocate_in(&USUAL)
    }

    /// A port of `range` on which nothing listens and, if there is such a one, that was not handed out lately. `None`: all
    /// are taken.
    pub fn allocate_in(&self, range: &RangeInclusive<u16>) -> Option<u16> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = range.clone();
        let mut drawn = (0..DRAWS).filter_map(|_| self.draw(range));
        let port = drawn
            .find(|port| !recent.contains(port) && is_free(*port))
            .or_else(|| all.clone().find(|port| !recent.contains(port) && is_free(*port)))
            .or_else(|| all.find(|port| is_free(*port)))?;
        recent.push_back(port);
        if recent.len() > REMEMBER {
            recent.pop_front();
        }
        Some(port)
    }

    /// Any port of the range; `None` when it is empty.
    fn draw(&self, range: &RangeInclusive<u16>) -> Option<u16> {
        let count = u64::from(range.end().checked_sub(*range.start())?) + 1;
        let number = self.chance.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed));
        u16::try_from(u64::from(*range.start()) + number % count).ok()
    }
}

/// True when `port` can be bound on this machine's addresses.
pub fn is_free(port: u16) -> bool {
    [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST]
        .into_iter()
        .all(|ip| TcpListener::bind(SocketAddr::new(IpAddr::V4(ip), port)).is_ok())
}

/// Who listens on `port`: `process 4711 (java)`. `None` when nobody does, or when we may not know.
pub fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_inode(line, port)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| inodes.iter().any(|inode| inode == target)))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("process {pid} ({})", name.trim()))
}

/// The inode of a line of `/proc/net/tcp` that describes a listening socket (state 0A) on `port`.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let local_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (local_port == port && *state == "0A").then(|| (*inode).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_offers_the_same_port_twice_in_a_row() {
        let ports = Ports::default();
        let first = ports.allocate().expect("a port");
        let second = ports.allocate().expect("a port");
        assert_ne!(first, second);
        assert!(USUAL.contains(&first));
    }

    #[test]
    fn two_agents_seldom_choose_the_same() {
        let (one, two) = (Ports::default(), Ports::default());
        let both = |_| one.allocate() == two.allocate();
        assert!((0..100).filter(|number| both(*number)).count() < 5);
    }

    #[test]
    fn a_small_range_is_used_up_and_used_again() {
        let held = TcpListener::bind("127.0.0.1:0").expect("bound");
        let taken = held.local_addr().expect("address").port();
        let ports = Ports::default();
        assert_eq!(ports.allocate_in(&(taken..=taken)), None);
        drop(held);
        assert_eq!(ports.allocate_in(&(taken..=taken)), Some(taken));
        assert_eq!(ports.allocate_in(&(taken..=taken)), Some(taken));
    }

    #[test]
    fn names_the_holder_of_a_busy_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("address").port();
        assert!(!is_free(port));
        let holder = holder(port).expect("we hold it");
        assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    }
}
