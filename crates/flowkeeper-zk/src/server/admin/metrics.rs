//! The figures in the text format of Prometheus.

use std::fmt::Write as _;

use crate::server::stats::Counters;
use crate::server::stats::figures::{self, Value};

/// What the text is, in HTTP's words.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures. `uptime` in milliseconds.
pub(super) fn exposition(counters: &Counters, uptime: u64) -> String {
    let mut text = String::new();
    for figure in figures::all(counters, uptime) {
        let name = figure.name;
        let kind = match figure.value {
            Value::Gauge(_) => "gauge",
            Value::Counter(_) => "counter",
            Value::Times(..) => "summary",
        };
        // Writing into a string does not fail.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", figure.help);
        match figure.value {
            Value::Gauge(value) => drop(writeln!(text, "{name} {value}")),
            Value::Counter(value) => drop(writeln!(text, "{name} {value}")),
            Value::Times(summary, quantiles) => {
                for share in quantiles {
                    // Nothing happened of late: Prometheus's word for that.
                    let value =
                        summary.quantile(*share).map_or_else(|| "NaN".to_owned(), |ms| ms.to_string());
                    let _ = writeln!(text, "{name}{{quantile=\"{share}\"}} {value}");
                }
                let of = summary.of();
                let _ = writeln!(text, "{name}_sum {}\n{name}_count {}", of.sum, of.count);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_figure_has_its_type_and_its_values() {
        let counters = Counters::default();
        counters.answered(1, false, Some(Duration::from_millis(2)));
        let text = exposition(&counters, 7);
        for line in [
            "# TYPE znode_count gauge",
            "znode_count 0",
            "uptime 7",
            "# TYPE connection_rejected counter",
            "# TYPE readlatency summary",
            "readlatency_count 1",
            "readlatency_sum 2",
            "updatelatency{quantile=\"0.99\"} NaN",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with('#') || line.split(' ').count() == 2), "{text}");
    }
}
