//! What changed lately, for those who follow a server instead of asking it again and again.
//!
//! Entries carry transaction ids, which are the same on every server: whoever lost its connection goes on at another server
//! with the last id it saw. An entry names what changed, not how: it is looked up when it is sent, so a slow reader is told the
//! newest state and never an old one. Readers that fall behind what is kept are told so and list everything anew.

use std::collections::{BTreeSet, VecDeque};

/// Batches of changes that are kept.
const KEPT: usize = 4096;

/// Something that people look at and that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Stream(String),
    /// Name of a stream application.
    Application(String),
    /// `type:name` of a registered app.
    App(String),
    Node(String),
    Server(String),
    /// Who leads.
    Leader,
}

/// What changed since some transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// These, each once, up to the transaction `zxid`.
    Changed { subjects: BTreeSet<Subject>, zxid: i64 },
    /// More than is kept: everything may have changed, up to `zxid`.
    Lost { zxid: i64 },
}

/// The newest changes.
#[derive(Debug, Default)]
pub(super) struct Feed {
    batches: VecDeque<(i64, BTreeSet<Subject>)>,
    /// Every change after this transaction is in the batches.
    complete_since: i64,
    newest: i64,
}

impl Feed {
    /// Adds what a batch changed, up to the transaction `zxid`.
    pub(super) fn push(&mut self, zxid: i64, subjects: BTreeSet<Subject>) {
        self.newest = self.newest.max(zxid);
        if subjects.is_empty() {
            return;
        }
        self.batches.push_back((self.newest, subjects));
        if self.batches.len() > KEPT
            && let Some((dropped, _)) = self.batches.pop_front()
        {
            self.complete_since = dropped;
        }
    }

    /// Everything was read anew: what changed before `zxid` is not known.
    pub(super) fn reset(&mut self, zxid: i64) {
        self.newest = self.newest.max(zxid);
        self.complete_since = self.newest;
        self.batches.clear();
    }

    /// What changed after the transaction `since`. What changed with it is told again: one transaction may come in two batches.
    pub(super) fn since(&self, since: i64) -> News {
        // A transaction that is still to come was made in another life of the metadata.
        if since < self.complete_since || since > self.newest {
            return News::Lost { zxid: self.newest };
        }
        let after = self.batches.partition_point(|(zxid, _)| *zxid < since);
        let subjects =
            self.batches.iter().skip(after).flat_map(|(_, subjects)| subjects.iter().cloned()).collect();
        News::Changed { subjects, zxid: self.newest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(names: &[&str]) -> BTreeSet<Subject> {
        names.iter().map(|name| Subject::Stream((*name).to_owned())).collect()
    }

    fn told(feed: &Feed, since: i64) -> Option<Vec<String>> {
        match feed.since(since) {
            News::Lost { .. } => None,
            News::Changed { subjects, .. } => {
                Some(subjects.iter().map(|subject| format!("{subject:?}")).collect())
            }
        }
    }

    #[test]
    fn each_change_is_told_once_and_the_last_transaction_again() {
        let mut feed = Feed::default();
        feed.reset(10);
        assert_eq!(feed.since(10), News::Changed { subjects: streams(&[]), zxid: 10 });
        feed.push(12, streams(&["a", "b"]));
        feed.push(13, streams(&["a"]));
        feed.push(14, streams(&[]));
        assert_eq!(feed.since(10), News::Changed { subjects: streams(&["a", "b"]), zxid: 14 });
        assert_eq!(feed.since(13), News::Changed { subjects: streams(&["a"]), zxid: 14 });
        assert_eq!(feed.since(14), News::Changed { subjects: streams(&[]), zxid: 14 });
    }

    #[test]
    fn who_was_away_for_too_long_is_told_so() {
        let mut feed = Feed::default();
        feed.reset(10);
        assert_eq!((told(&feed, 9), told(&feed, 11)), (None, None));
        for zxid in 11..=i64::try_from(KEPT).unwrap() + 11 {
            feed.push(zxid, streams(&["a"]));
        }
        assert_eq!(told(&feed, 10), None);
        assert_eq!(told(&feed, 11).map(|told| told.len()), Some(1));
        feed.reset(20_000);
        assert_eq!(told(&feed, 11), None);
    }
}
