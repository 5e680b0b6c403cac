//! Times summed up: how many, how long in all, and what most of the recent ones stayed below.
//!
//! Recording takes no lock. Quantiles come from buckets that double every eight, so they are right to an eighth; the
//! buckets hold the last half a minute to a minute.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Microseconds below this have a bucket each.
const EXACT: u64 = 16;
/// Buckets of each doubling, as a power of two.
const FINE: u32 = 3;
/// Doublings from [`EXACT`] up to more than an hour.
const DOUBLINGS: usize = 28;
const BUCKETS: usize = EXACT as usize + (DOUBLINGS << FINE);

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Summary {
    count: AtomicU64,
    /// Microseconds.
    sum: AtomicU64,
    /// Microseconds plus one; zero is none yet.
    min: AtomicU64,
    max: AtomicU64,
    /// The windows of recent times, one of which is being filled.
    windows: [Box<[AtomicU32]>; 2],
    filling: AtomicUsize,
}

impl Default for Summary {
    fn default() -> Self {
        let window = || (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(0),
            max: AtomicU64::new(0),
            windows: [window(), window()],
            filling: AtomicUsize::new(0),
        }
    }
}

/// A summary at a moment; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SummaryOf {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl SummaryOf {
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

impl Summary {
    pub(crate) fn record(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
        let min = self.min.load(Ordering::Relaxed);
        if min == 0 || micros + 1 < min {
            self.min.store(micros + 1, Ordering::Relaxed);
        }
        let window = &self.windows[self.filling.load(Ordering::Relaxed) & 1];
        window[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// Fills the other window from now on, and forgets what is in it.
    pub(super) fn age(&self) {
        let next = (self.filling.load(Ordering::Relaxed) + 1) & 1;
        for bucket in &self.windows[next] {
            bucket.store(0, Ordering::Relaxed);
        }
        self.filling.store(next, Ordering::Relaxed);
    }

    pub(crate) fn of(&self) -> SummaryOf {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let get = |field: &AtomicU64| field.load(Ordering::Relaxed);
        SummaryOf {
            count: get(&self.count),
            sum: ms(get(&self.sum)),
            min: ms(get(&self.min).saturating_sub(1)),
            max: ms(get(&self.max)),
        }
    }

    /// What this share of the recent times stayed below, in milliseconds; `None` if there were none.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let [a, b] = &self.windows;
        let counts: Vec<u64> = a
            .iter()
            .zip(b)
            .map(|(a, b)| u64::from(a.load(Ordering::Relaxed)) + u64::from(b.load(Ordering::Relaxed)))
            .collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(above(at) as f64 / 1000.0)
    }
}

fn bucket(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let doubling = micros.ilog2();
    let fine = (micros >> (doubling - FINE)) & ((1 << FINE) - 1);
    let at = EXACT as usize + (((doubling - EXACT.ilog2()) as usize) << FINE) + fine as usize;
    at.min(BUCKETS - 1)
}

/// The highest number of microseconds in a bucket.
fn above(bucket: usize) -> u64 {
    let Some(over) = bucket.checked_sub(EXACT as usize) else { return bucket as u64 };
    let doubling = EXACT.ilog2() + (over >> FINE) as u32;
    let fine = (over & ((1 << FINE) - 1)) as u64;
    (1 << doubling) + ((fine + 1) << (doubling - FINE)) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_of_what_is_recent() {
        let s = Summary::default();
        assert_eq!(s.quantile(0.5), None);
        for ms in 1..=100 {
            s.record(Duration::from_millis(ms));
        }
        let half = s.quantile(0.5).expect("some");
        assert!((50.0..57.0).contains(&half), "{half}");
        assert!(s.quantile(0.99).expect("some") >= 99.0);
        s.age();
        s.record(Duration::from_micros(5));
        assert!(s.quantile(0.99).expect("some") >= 99.0, "the window before counts");
        s.age();
        assert_eq!(s.quantile(0.99), Some(0.005));
        let of = s.of();
        assert_eq!((of.count, of.min, of.max), (101, 0.005, 100.0));
        assert!((of.mean() - 5050.005 / 101.0).abs() < 1e-9, "{of:?}");
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_below_its_end_and_above_the_one_before(micros in 0..1_u64 << 32) {
            let at = bucket(micros);
            if at < BUCKETS - 1 {
                prop_assert!(micros <= above(at));
            }
            prop_assert!(at == 0 || micros > above(at - 1));
        }
    }
}
