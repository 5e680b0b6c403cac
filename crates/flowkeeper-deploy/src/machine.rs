//! What a machine has, how busy it is, and whether its disk has room.

use std::path::Path;

/// Instances are not started when less than this is free, in bytes.
const LEAST_FREE: u64 = 200 << 20;
/// Neither when less than this is free, in percent of the disk.
const LEAST_PERCENT: u64 = 2;

/// What must stay free on the disk of a node for instances to be started there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimit {
    pub bytes: u64,
    pub percent: u64,
}

impl Default for DiskLimit {
    fn default() -> Self {
        DiskLimit { bytes: LEAST_FREE, percent: LEAST_PERCENT }
    }
}

/// Thousandths of processors and MiB of memory that this machine has; 0 where it does not tell.
pub fn capacity() -> (u32, u32) {
    let processors = processors();
    let memory = read("/proc/meminfo").and_then(|text| kibibytes(&text, "MemTotal")).unwrap_or_default();
    (u32::try_from(processors * 1_000).unwrap_or(u32::MAX), u32::try_from(memory / 1_024).unwrap_or(u32::MAX))
}

/// How many processors this program may use; 1 when that is not known.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Measures how busy the machine is, from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    last: Option<Ticks>,
}

/// Time of all processors since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Meter {
    /// Percent of processors and of memory in use; `None` at the first look, and where the machine does not tell.
    pub(crate) fn look(&mut self) -> Option<(u8, u8)> {
        let now = read("/proc/stat").and_then(|text| ticks(&text))?;
        let last = self.last.replace(now)?;
        let memory = read("/proc/meminfo")?;
        let total = kibibytes(&memory, "MemTotal").filter(|total| *total > 0)?;
        let free = kibibytes(&memory, "MemAvailable")?.min(total);
        let all = now.all.saturating_sub(last.all).max(1);
        let idle = now.idle.saturating_sub(last.idle).min(all);
        Some((percent(all - idle, all), percent(total - free, total)))
    }
}

/// Bytes that are room enough on any disk, whatever share of it they are.
const ENOUGH: u64 = 1 << 30;

/// Why there is too little room at `path`, if so. A disk that cannot be asked has room: a write will tell.
pub(crate) fn lacks_room(path: &Path, limit: DiskLimit) -> Option<String> {
    let disk = rustix::fs::statvfs(path).ok()?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    // A share of a large disk is more than anybody needs.
    let least = limit.bytes.max((all / 100 * limit.percent).min(ENOUGH));
    (free < least).then(|| {
        format!(
            "disk is full: {} MiB are free at {}, less than {} MiB; make room there",
            free >> 20,
            path.display(),
            least >> 20
        )
    })
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn percent(part: u64, whole: u64) -> u8 {
    u8::try_from(part.saturating_mul(100) / whole.max(1)).unwrap_or(100).min(100)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The first line of `/proc/stat`: user, nice, system, idle, waiting for disks, …
fn ticks(text: &str) -> Option<Ticks> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    // What guests use is contained in the first two.
    let numbers: Vec<u64> = numbers.take(8).map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let all = numbers.iter().fold(0_u64, |all, number| all.saturating_add(*number));
    let idle = numbers.get(3)?.saturating_add(numbers.get(4).copied().unwrap_or_default());
    Some(Ticks { all, idle })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_machine_has_something_and_is_somehow_busy() {
        let (cpu_m, mem_mib) = capacity();
        assert!(cpu_m >= 1_000 && mem_mib > 100);
        let mut meter = Meter::default();
        assert_eq!(meter.look(), None);
        let (cpu, memory) = meter.look().expect("told");
        assert!(cpu <= 100 && (1..=100).contains(&memory));
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 2 3 4\n";
        assert_eq!(ticks(stat), Some(Ticks { all: 1_000, idle: 850 }));
        assert_eq!(kibibytes("MemFree: 1 kB\nMemTotal:       2048 kB\n", "MemTotal"), Some(2_048));
    }

    #[test]
    fn a_full_disk_is_told_with_its_place() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(lacks_room(folder.path(), DiskLimit { bytes: 1, percent: 0 }), None);
        let told =
            lacks_room(folder.path(), DiskLimit { bytes: u64::MAX, percent: 0 }).expect("nobody has that");
        assert!(told.starts_with("disk is full: ") && told.contains(&folder.path().display().to_string()));
        assert_eq!(lacks_room(Path::new("/no/such/place"), DiskLimit::default()), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            ticks(&text);
            ticks(&format!("cpu {text}"));
            kibibytes(&format!("MemTotal:{text}"), "MemTotal");
        }
    }
}
