//! How long something takes that happens often: shortest, mean, longest, last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Times as they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Microseconds.
    sum: AtomicU64,
    count: AtomicU64,
    /// Microseconds plus one, so that zero says "none yet".
    min: AtomicU64,
    max: AtomicU64,
    last: AtomicU64,
}

/// Times of a moment; all are zero before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Times {
    pub(crate) min: Duration,
    pub(crate) mean: Duration,
    pub(crate) max: Duration,
    pub(crate) last: Duration,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        self.sum.fetch_add(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
        self.last.store(micros, Ordering::Relaxed);
        let min = self.min.load(Ordering::Relaxed);
        if min == 0 || micros + 1 < min {
            // Two connections may race here; then one of two nearly equal minima stands.
            self.min.store(micros + 1, Ordering::Relaxed);
        }
    }

    /// Begins anew.
    pub(crate) fn reset(&self) {
        for field in [&self.sum, &self.count, &self.min, &self.max, &self.last] {
            field.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn times(&self) -> Times {
        let get = |field: &AtomicU64| field.load(Ordering::Relaxed);
        Times {
            min: Duration::from_micros(get(&self.min).saturating_sub(1)),
            mean: Duration::from_micros(get(&self.sum).checked_div(get(&self.count)).unwrap_or_default()),
            max: Duration::from_micros(get(&self.max)),
            last: Duration::from_micros(get(&self.last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_since_the_reset() {
        let latency = Latency::default();
        assert_eq!(latency.times(), Times::default());
        latency.record(Duration::from_millis(90));
        latency.reset();
        for millis in [4, 0, 5] {
            latency.record(Duration::from_millis(millis));
        }
        let [min, mean, max, last] = [0, 3, 5, 5].map(Duration::from_millis);
        assert_eq!(latency.times(), Times { min, mean, max, last });
    }
}
