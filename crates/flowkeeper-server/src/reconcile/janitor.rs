//! Keeps small what grows by itself: old audit records, and marks that a server left behind when it died.

use std::collections::BTreeSet;
use std::time::Duration;

use flowkeeper_deploy::record::encode;
use flowkeeper_zk::recipes::{Leadership, Txn, TxnError};

use crate::app::fsck;
use crate::meta::record::AppRecord;
use crate::meta::{AppKey, Meta, Model, paths};
use crate::metrics::Metrics;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(60);
/// Audit records that are kept, and how many bytes of them.
const MAX_RECORDS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;
/// Records removed in one transaction.
const PER_TXN: usize = 500;

/// The janitor, for one leadership.
#[derive(Debug)]
pub(crate) struct Janitor<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) metrics: &'a Metrics,
    pub(crate) leadership: &'a Leadership,
}

impl Janitor<'_> {
    /// Runs until the leadership is lost. May be dropped at any await.
    pub(crate) async fn run(&self) {
        let mut timer = tokio::time::interval(ROUND);
        let mut retired = BTreeSet::new();
        let mut suspected = BTreeSet::new();
        loop {
            timer.tick().await;
            suspected = self.look(&suspected);
            let marked = retired_apps(&self.meta.model());
            // A mark lasts for two writes; one that was there a round ago was left behind.
            let left_behind: Vec<_> = marked.intersection(&retired).cloned().collect();
            retired = marked;
            for txn in self.sweep(&left_behind) {
                match self.meta.connection().commit(txn).await {
                    Ok(_) => {}
                    Err(error) if self.leadership.is_deposed_by(&error) => return,
                    Err(error @ (TxnError::Unknown { .. } | TxnError::Unavailable(_))) => {
                        tracing::debug!(%error, "sweeping is left to the next round");
                    }
                    Err(error) => tracing::warn!(%error, "something could not be swept up"),
                }
            }
        }
    }

    /// Tells of what does not fit together and did not do so a round ago either; gives back what does not fit now.
    fn look(&self, suspected: &BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
        let found = fsck::check(&self.meta.model()).problems;
        let found: BTreeSet<_> = found.into_iter().map(|problem| (problem.path, problem.what)).collect();
        let lasting: Vec<_> = found.intersection(suspected).collect();
        self.metrics.leader.fsck_findings.set(i64::try_from(lasting.len()).unwrap_or(i64::MAX));
        if let Some((path, what)) = lasting.first() {
            tracing::warn!(
                findings = lasting.len(),
                path,
                what,
                "the metadata does not fit together; see 'flowkeeper cluster fsck'"
            );
        }
        found
    }

    fn sweep(&self, left_behind: &[(AppKey, String)]) -> Vec<Txn> {
        let model = self.meta.model();
        let old = outdated(model.audit.iter().map(|(number, record)| (*number, record.data.len())));
        let records = old.chunks(PER_TXN).map(|numbers| {
            numbers
                .iter()
                .fold(self.leadership.fence(), |txn, number| txn.delete(paths::audit(*number), None))
        });
        let marks = left_behind.iter().filter_map(|(key, version)| {
            let found = model.apps.get(key)?.versions.get(version)?;
            let record = AppRecord { retired: false, ..AppRecord::clone(&found.record) };
            let path = paths::app_version(key, version);
            Some(self.leadership.fence().set(path, encode(&record), found.version))
        });
        records.chain(marks).collect()
    }
}

fn retired_apps(model: &Model) -> BTreeSet<(AppKey, String)> {
    let versions =
        model.apps.iter().flat_map(|(key, entry)| entry.versions.iter().map(move |found| (key, found)));
    let retired = versions.filter(|(_, (_, found))| found.record.retired);
    retired.map(|(key, (version, _))| (key.clone(), version.clone())).collect()
}

/// The oldest of records, given by number and length, that are too many or too long together.
fn outdated(records: impl DoubleEndedIterator<Item = (u32, usize)>) -> Vec<u32> {
    let (mut kept, mut bytes) = (0, 0);
    let mut old = Vec::new();
    for (number, length) in records.rev() {
        kept += 1;
        bytes += length;
        if kept > MAX_RECORDS || bytes > MAX_BYTES {
            old.push(number);
        }
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_records_are_kept() {
        assert!(outdated((0..10_000).map(|number| (number, 100))).is_empty());
        let mut old = outdated((0..10_003).map(|number| (number, 100)));
        old.sort_unstable();
        assert_eq!(old, [0, 1, 2]);
        assert_eq!(outdated((0..3).map(|number| (number, 9 << 20))), [1, 0]);
    }
}
