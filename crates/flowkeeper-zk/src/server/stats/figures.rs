//! The figures by the names that Apache gives them, for `mntr`, the HTTP side and Prometheus.
//!
//! A name of Apache's is used only where the figure means the same.

use std::fs;
use std::sync::atomic::Ordering;

use super::{Counters, Summary};

/// How a figure behaves.
pub(crate) enum Value<'a> {
    /// Goes up and down.
    Gauge(f64),
    /// Only grows.
    Counter(u64),
    /// Times in milliseconds, and the quantiles that are told of them.
    Times(&'a Summary, &'static [f64]),
}

/// A figure, its name, and what it is, in a few words.
pub(crate) struct Figure<'a> {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) value: Value<'a>,
}

const MANY: &[f64] = &[0.5, 0.9, 0.99];
const ONE: &[f64] = &[0.5];

/// All figures. `uptime` in milliseconds.
pub(crate) fn all(counters: &Counters, uptime: u64) -> Vec<Figure<'_>> {
    let s = counters.snapshot();
    let millis = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
    let gauge = |name, value: u64, help| Figure { name, help, value: Value::Gauge(value as f64) };
    let real = |name, value: f64, help| Figure { name, help, value: Value::Gauge(value) };
    let count = |name, field: &std::sync::atomic::AtomicU64, help| Figure {
        name,
        help,
        value: Value::Counter(field.load(Ordering::Relaxed)),
    };
    let times =
        |name, summary, quantiles, help| Figure { name, help, value: Value::Times(summary, quantiles) };
    let mut figures = vec![
        gauge("znode_count", s.nodes, "Nodes in the tree"),
        gauge("watch_count", s.watches, "Pairs of path and connection that watches it"),
        gauge("ephemerals_count", s.ephemerals, "Ephemeral nodes"),
        gauge("approximate_data_size", s.data_bytes, "Bytes of names and data"),
        gauge("global_sessions", s.sessions, "Live sessions"),
        gauge("num_alive_connections", s.connections, "Open connections"),
        gauge("outstanding_requests", s.outstanding, "Requests received and not yet answered"),
        gauge("packets_received", s.received, "Requests received since the start or the last reset"),
        gauge("packets_sent", s.sent, "Replies and notifications sent since the start or the last reset"),
        gauge("min_latency", s.min_latency.as_millis() as u64, "Shortest time of a round of requests, in ms"),
        real("avg_latency", millis(s.mean_latency), "Mean time of a round of requests, in ms"),
        gauge("max_latency", s.max_latency.as_millis() as u64, "Longest time of a round of requests, in ms"),
        gauge("uptime", uptime, "Milliseconds of service"),
        count("connection_request_count", &counters.accepted, "Connections taken"),
        count("connection_rejected", &counters.rejected, "Connections refused because there were too many"),
        count("auth_failed_count", &counters.auth_failed, "Attempts to authenticate that failed"),
        count("unsuccessful_handshake", &counters.bad_handshakes, "TLS handshakes that failed"),
        count("stale_sessions_expired", &counters.expired, "Sessions that expired"),
        times("readlatency", &counters.reads, MANY, "Time of rounds of requests that only read, in ms"),
        times("updatelatency", &counters.updates, MANY, "Time of rounds of requests that wrote, in ms"),
        times("fsynctime", &counters.syncs, ONE, "Time of a sync of the log, in ms"),
        times("snapshottime", &counters.snapshots, ONE, "Time of writing a snapshot, in ms"),
    ];
    if let Some(open) = open_files() {
        figures.push(gauge("open_file_descriptor_count", open, "Files and sockets that are open"));
    }
    if let Some(most) = most_files() {
        figures.push(gauge("max_file_descriptor_count", most, "Files and sockets that may be open"));
    }
    figures
}

/// All figures as plain numbers, those of times with a prefix each, as `mntr` has them.
pub(crate) fn flat(counters: &Counters, uptime: u64) -> Vec<(String, f64)> {
    let mut numbers = Vec::new();
    for figure in all(counters, uptime) {
        let name = figure.name;
        match figure.value {
            Value::Gauge(value) => numbers.push((name.to_owned(), value)),
            Value::Counter(value) => numbers.push((name.to_owned(), value as f64)),
            Value::Times(summary, quantiles) => {
                let of = summary.of();
                let parts = [
                    ("avg", of.mean()),
                    ("min", of.min),
                    ("max", of.max),
                    ("cnt", of.count as f64),
                    ("sum", of.sum),
                ];
                numbers.extend(parts.map(|(part, value)| (format!("{part}_{name}"), value)));
                // Prometheus gets others; both are as Apache has them.
                let shares = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];
                let shares = shares.into_iter().filter(|_| quantiles.len() > 1);
                numbers.extend(shares.map(|(part, share)| {
                    (format!("{part}_{name}"), summary.quantile(share).unwrap_or_default())
                }));
            }
        }
    }
    numbers
}

/// Files and sockets this process has open.
fn open_files() -> Option<u64> {
    // The folder itself is open while it is read.
    fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1))
}

/// How many this process may have.
fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Writes a number without a fraction it does not have.
pub(crate) fn plain(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_files_are_counted() {
        let counters = Counters::default();
        let figures = all(&counters, 1);
        let mut names: Vec<_> = figures.iter().map(|figure| figure.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), figures.len());
        let of = |name| match figures.iter().find(|figure| figure.name == name).map(|figure| &figure.value) {
            Some(Value::Gauge(value)) => *value,
            _ => panic!("{name} is no gauge"),
        };
        assert!(of("open_file_descriptor_count") >= 3.0);
        assert!(of("max_file_descriptor_count") >= of("open_file_descriptor_count"));
    }

    #[test]
    fn numbers_have_a_fraction_only_when_they_have_one() {
        assert_eq!((plain(3.0).as_str(), plain(0.12345).as_str()), ("3", "0.1235"));
    }
}
