//! What an app counts, under the names Data Flow's dashboards read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::skips::Skips;

/// The counters of one app.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    /// Messages processed from `input`.
    pub input: Channel,
    /// Messages sent to `output`.
    pub output: Channel,
    /// Messages that were skipped.
    pub skips: Skips,
}

/// Counts and times of one channel.
#[derive(Debug, Default)]
pub struct Channel {
    successes: AtomicU64,
    failures: AtomicU64,
    nanos: AtomicU64,
}

/// One named measurement.
pub struct Measurement {
    pub name: &'static str,
    pub description: &'static str,
    pub unit: Option<&'static str>,
    /// `COUNT`, `TOTAL_TIME` or `VALUE`, with the value.
    pub values: Vec<(&'static str, f64)>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(Skips::default())
    }
}

impl Channel {
    /// Counts one message.
    pub fn record(&self, is_success: bool, took: Duration) {
        if is_success { &self.successes } else { &self.failures }.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Messages so far: successes and failures.
    pub fn counts(&self) -> (u64, u64) {
        (self.successes.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    fn seconds(&self) -> f64 {
        self.nanos.load(Ordering::Relaxed) as f64 / 1e9
    }
}

impl Metrics {
    /// Counters that begin now; skipped messages are counted in `skips`.
    pub fn new(skips: Skips) -> Metrics {
        Metrics { started: Instant::now(), input: Channel::default(), output: Channel::default(), skips }
    }

    /// All measurements, as `/actuator/metrics` lists them.
    pub fn measurements(&self) -> Vec<Measurement> {
        let channels = [&self.input, &self.output];
        let count: u64 = channels.iter().map(|c| c.counts().0 + c.counts().1).sum();
        let seconds: f64 = channels.iter().map(|c| c.seconds()).sum();
        let value = |name, description, unit, value| Measurement {
            name,
            description,
            unit,
            values: vec![("VALUE", value)],
        };
        vec![
            value("jvm.memory.used", "Resident memory of the process", Some("bytes"), resident_bytes()),
            value("process.files.open", "Open files of the process", Some("files"), open_files()),
            value(
                "process.uptime",
                "Time since the app started",
                Some("seconds"),
                self.started.elapsed().as_secs_f64(),
            ),
            Measurement {
                name: "spring.integration.send",
                description: "Messages handled by the app's channels",
                unit: Some("seconds"),
                values: vec![("COUNT", count as f64), ("TOTAL_TIME", seconds)],
            },
        ]
    }

    /// The text of `/actuator/prometheus`; `tags` are common to all.
    pub fn prometheus(&self, tags: &[(String, String)]) -> String {
        let mut out = String::new();
        let common: String = tags.iter().map(|(k, v)| format!("{k}=\"{}\",", escape(v))).collect();
        out.push_str("# HELP spring_integration_send_seconds Messages handled by the app's channels\n");
        out.push_str("# TYPE spring_integration_send_seconds summary\n");
        for (name, channel) in [("input", &self.input), ("output", &self.output)] {
            let (successes, failures) = channel.counts();
            // Times are not kept apart by result; they belong to the successes.
            for (result, count, seconds) in
                [("success", successes, channel.seconds()), ("failure", failures, 0.0)]
            {
                let labels = format!("{{{common}name=\"{name}\",result=\"{result}\",type=\"channel\"}}");
                out.push_str(&format!("spring_integration_send_seconds_count{labels} {count}\n"));
                out.push_str(&format!("spring_integration_send_seconds_sum{labels} {seconds}\n"));
            }
        }
        let common = common.trim_end_matches(',');
        for (name, help, value) in [
            ("jvm_memory_used_bytes", "Resident memory of the process", resident_bytes()),
            ("process_files_open_files", "Open files of the process", open_files()),
            ("process_uptime_seconds", "Time since the app started", self.started.elapsed().as_secs_f64()),
        ] {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{common}}} {value}\n"));
        }
        out
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Resident memory; 0 where the system does not tell.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kbytes = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    kbytes.unwrap_or(0.0) * 1024.0
}

fn open_files() -> f64 {
    std::fs::read_dir("/proc/self/fd").map_or(0.0, |entries| entries.count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text_has_the_names_of_the_dashboards() {
        let metrics = Metrics::default();
        metrics.input.record(true, Duration::from_millis(500));
        metrics.input.record(false, Duration::ZERO);
        let text = metrics.prometheus(&[("stream_name".to_owned(), "a\"b".to_owned())]);
        let line = "spring_integration_send_seconds_count{stream_name=\"a\\\"b\",name=\"input\",result=\"failure\",\
                    type=\"channel\"} 1";
        assert!(text.lines().any(|l| l == line), "{text}");
        assert!(text.contains("jvm_memory_used_bytes{stream_name="));
    }
}
