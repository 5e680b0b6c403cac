//! Whether moves are held back because too many nodes are lost at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, MINUTE};
use crate::model::NodeId;

/// Losses within this time are one event.
const SHORT_MS: u64 = MINUTE;
/// Losses within this time still are, when nearly all are lost.
pub(super) const LONG_MS: u64 = 10 * MINUTE;
const FEWEST: usize = 3;
const MANY_PERCENT: usize = 30;
const NEARLY_ALL_PERCENT: usize = 80;
/// The brake goes off when no more than so many, and one at least, are still lost for so long.
const FEW_PERCENT: usize = 10;
const CALM_MS: u64 = 2 * MINUTE;

/// Whether the brake comes on when `lost` of `of` live nodes go within a minute.
pub(super) fn comes_on(lost: usize, of: usize) -> bool {
    is_many(lost, of, MANY_PERCENT)
}

fn is_many(lost: usize, of: usize, percent: usize) -> bool {
    lost >= FEWEST && lost * 100 >= of * percent
}

#[derive(Clone, Debug, Default)]
pub(super) struct Brake {
    mode: Command,
    /// It came on by itself.
    on: Option<On>,
    /// Departures up to then are known to an operator, who wants moves.
    accepted: Option<u64>,
}

#[derive(Clone, Debug)]
struct On {
    /// Departures from then on belong to the event.
    from: u64,
    /// Why it came on.
    why: String,
    /// Nodes that are lost of it now, of how many.
    lost: (usize, usize),
    /// Since when only few are lost.
    calm_since: Option<u64>,
}

impl Brake {
    pub(super) fn command(&mut self, command: Command, at_ms: u64) {
        if command == Command::Release || self.mode == Command::Release {
            self.accepted = Some(at_ms);
            self.on = None;
        }
        self.mode = command;
    }

    pub(super) fn seed(&mut self, reason: &str, at_ms: u64) {
        let why = reason.split(';').next().unwrap_or_default().to_owned();
        self.on = Some(On { from: 0, why, lost: (0, 0), calm_since: None });
        self.accepted = self.accepted.filter(|accepted| *accepted > at_ms);
    }

    /// Comes on or goes off, as the nodes say.
    pub(super) fn judge(&mut self, at_ms: u64, live: &BTreeSet<NodeId>, departed: &BTreeMap<NodeId, u64>) {
        let accepted = self.accepted;
        let lost_since = |from: u64| {
            let counts = |since: &&u64| **since >= from && accepted.is_none_or(|accepted| **since > accepted);
            departed.values().filter(counts).count()
        };
        let of = |lost: usize| lost + live.len();
        let (short, long) = (at_ms.saturating_sub(SHORT_MS), at_ms.saturating_sub(LONG_MS));
        for (from, percent, why) in [
            (
                long,
                NEARLY_ALL_PERCENT,
                "nearly all nodes were lost, which looks like a fault of the network or of ZooKeeper",
            ),
            (short, MANY_PERCENT, "many nodes were lost within a minute"),
        ] {
            let lost = lost_since(from);
            if !is_many(lost, of(lost), percent) {
                continue;
            }
            if self.on.is_none() {
                self.on = Some(On { from, why: why.to_owned(), lost: (0, 0), calm_since: None });
            }
            break;
        }
        let Some(on) = &mut self.on else { return };
        let lost = lost_since(on.from);
        on.lost = (lost, of(lost));
        // In a small cluster one node is more than a tenth, and no storm by itself.
        if lost > 1 && lost * 100 > of(lost) * FEW_PERCENT {
            on.calm_since = None;
        } else if at_ms.saturating_sub(*on.calm_since.get_or_insert(at_ms)) >= CALM_MS {
            self.on = None;
        }
    }

    /// Why nothing is moved, if so.
    pub(super) fn reason(&self) -> Option<String> {
        match self.mode {
            Command::Auto => self.on.as_ref().map(|On { why, lost: (lost, of), .. }| {
                format!(
                    "{why}; {lost} of {of} are missing now; moves wait until no more than one, or {FEW_PERCENT} %, has been \
                     missing for 2 min, or an operator releases the brake"
                )
            }),
            Command::Hold => Some("an operator holds everything where it is".to_owned()),
            Command::Release => None,
        }
    }

    /// Milliseconds until it goes off if nothing changes.
    pub(super) fn left_ms(&self, at_ms: u64) -> Option<u64> {
        let since = self.on.as_ref()?.calm_since?;
        Some((since + CALM_MS).saturating_sub(at_ms))
    }

    /// So many are lost at once that a single node cannot be blamed for leaving.
    pub(super) fn is_storm(&self) -> bool {
        self.on.is_some()
    }

    pub(super) fn is_off(&self) -> bool {
        self.on.is_none()
    }
}
