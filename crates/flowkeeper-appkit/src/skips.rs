//! Messages that were skipped: each is said in the log, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The count of skipped messages; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Skips {
    label: Option<String>,
    count: Arc<AtomicU64>,
    /// How many are said one by one; `None`: all.
    spoken: Option<u64>,
}

impl Skips {
    /// Says no more than `spoken` of them one by one: in the foreground a flood would hide what it is about.
    pub fn limited(spoken: u64) -> Skips {
        Skips { spoken: Some(spoken), ..Skips::default() }
    }

    /// The same count for one app of several, which is named in the log.
    #[must_use]
    pub fn of(&self, label: &str) -> Skips {
        Skips { label: Some(label.to_owned()), ..self.clone() }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one and says why.
    pub fn note(&self, reason: &str) {
        let n = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let prefix = self.label.as_ref().map_or_else(String::new, |label| format!("{label}: "));
        match self.spoken {
            Some(limit) if n == limit + 1 => {
                tracing::error!("{prefix}another message was skipped; further ones are counted only");
            }
            Some(limit) if n > limit => tracing::debug!("{prefix}a message was skipped: {reason}"),
            _ => tracing::error!("{prefix}a message was skipped: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::logged;

    #[test]
    fn a_few_are_said_and_all_are_counted() {
        let skips = Skips::limited(2);
        let text = logged(|| (0..5).for_each(|n| skips.of("filter").note(&format!("reason {n}"))));
        let lines: Vec<&str> = text.lines().map(|l| l.split_once(" : ").unwrap().1).collect();
        let expected = [
            "filter: a message was skipped: reason 0",
            "filter: a message was skipped: reason 1",
            "filter: another message was skipped; further ones are counted only",
        ];
        assert_eq!(lines, expected);
        assert_eq!(skips.count(), 5);
    }
}
