//! How nodes come and go, and what follows for everything that runs on them: a state machine that the leader feeds with who
//! is live, and that tells it what to hold back.
//!
//! Four things are found out. All of them err on the side of leaving things where they are, because moving in the middle
//! of a storm makes it worse:
//!
//! * **The brake.** When many nodes are lost at once it is more likely that something between them and us broke than that
//!   all of them died, and what runs there runs on. So nothing is moved while it is on. It comes on when at least three nodes
//!   and 30 % of all were lost within a minute, or three nodes and 80 % within ten minutes. It goes off when fewer than 10 % of
//!   them are still lost for two minutes, or when an operator says so.
//! * **Quarantine.** A node that left three times within ten minutes gets nothing new for five minutes, the next time for ten,
//!   up to an hour. What left in a storm does not count, and the last node that is open is never put there: better a restless
//!   node than none.
//! * **Settling.** A node that joins others gets nothing until 15 s passed without another one joining, so that a rack that
//!   starts is filled evenly. One that was away for less than a minute is no newcomer.
//! * **Penalty.** Each departure takes points off a node's score in placement; half of them are forgotten every ten minutes.
//!
//! Time is an argument: milliseconds that never go back, from any origin. Nodes that were there before the first look have
//! not arrived; whoever takes over a leadership replays what it saw of departures, and seeds what was written down.

mod brake;
mod restless;

use std::collections::{BTreeMap, BTreeSet};

use brake::Brake;
use restless::Restless;

use crate::model::NodeId;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// Quiet time after which those that arrived are filled.
const QUIET_MS: u64 = 15 * SECOND;
/// No node settles for longer than this, however many follow it.
const LONGEST_SETTLING_MS: u64 = MINUTE;
/// Back within this time, a node is no newcomer.
const ABSENCE_MS: u64 = MINUTE;

/// What the leader knows of the comings and goings of nodes.
#[derive(Clone, Debug, Default)]
pub struct NodeWatch {
    /// Whether it was told yet who is live.
    has_looked: bool,
    live: BTreeSet<NodeId>,
    /// When those left that are not live.
    departed: BTreeMap<NodeId, u64>,
    /// When those arrived that have not settled yet.
    arrived: BTreeMap<NodeId, u64>,
    restless: BTreeMap<NodeId, Restless>,
    brake: Brake,
}

/// Whether the brake comes on, and nothing moves at first, when `lost` of `of` live nodes go at once.
pub fn puts_brake_on(lost: usize, of: usize) -> bool {
    brake::comes_on(lost, of)
}

/// What an operator decides about the brake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// By how many nodes are lost.
    #[default]
    Auto,
    /// Nothing is moved.
    Hold,
    /// Everything is moved.
    Release,
}

/// What is to be held back at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// Why nothing is moved off lost nodes, if so.
    pub brake: Option<String>,
    /// Nodes that get nothing new because they came and went too often.
    pub quarantined: BTreeMap<NodeId, Quarantine>,
    /// Nodes that get nothing yet because they, or others, arrived a moment ago.
    pub settling: BTreeSet<NodeId>,
    /// What nodes lose of their score, 1 to 50.
    pub penalties: BTreeMap<NodeId, u8>,
    /// Milliseconds until it is to be looked at again although no node comes or goes.
    pub wake_ms: Option<u64>,
}

/// A node came and went too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub left_ms: u64,
    /// How many times in a row; each lasts twice as long as the one before.
    pub times: u32,
    pub reason: String,
}

impl NodeWatch {
    /// Notes who is live at a moment.
    pub fn observe(&mut self, at_ms: u64, live: &BTreeSet<NodeId>) {
        let had_nodes = !self.live.is_empty();
        for node in live.difference(&self.live) {
            let absent = self.departed.remove(node).map(|since| at_ms.saturating_sub(since));
            if self.has_looked && had_nodes && absent.is_none_or(|absent| absent >= ABSENCE_MS) {
                self.arrived.insert(node.clone(), at_ms);
            }
        }
        let gone: Vec<NodeId> = self.live.difference(live).cloned().collect();
        for node in &gone {
            self.departed.insert(node.clone(), at_ms);
            self.arrived.remove(node);
            self.restless.entry(node.clone()).or_default().leave(at_ms);
        }
        self.live.clone_from(live);
        self.has_looked = true;
        self.brake.judge(at_ms, &self.live, &self.departed);
        if self.brake.is_storm() {
            self.restless.values_mut().for_each(|restless| restless.forgive(at_ms));
        }
        for node in gone {
            let is_last = !self.live.iter().any(|other| *other != node && !self.is_quarantined(other, at_ms));
            if let Some(restless) = self.restless.get_mut(&node) {
                restless.judge(at_ms, is_last);
            }
        }
        self.tidy(at_ms);
    }

    /// What is to be held back at a moment.
    pub fn assess(&self, at_ms: u64) -> Assessment {
        let mut wake = Wake::default();
        let quarantined = self.restless.iter().filter_map(|(node, restless)| {
            let quarantine = restless.quarantine(at_ms)?;
            wake.after(quarantine.left_ms);
            Some((node.clone(), quarantine))
        });
        let quarantined = quarantined.collect();
        let penalties = self.restless.iter().map(|(node, restless)| (node.clone(), restless.penalty(at_ms)));
        let penalties: BTreeMap<NodeId, u8> = penalties.filter(|(_, points)| *points > 0).collect();
        if !penalties.is_empty() {
            wake.after(MINUTE);
        }
        let settling = self.arrived.iter().filter_map(|(node, arrived)| {
            let left = self.settled_at(*arrived).checked_sub(at_ms).filter(|left| *left > 0)?;
            wake.after(left);
            Some(node.clone())
        });
        let settling = settling.collect();
        let mut brake = self.brake.clone();
        brake.judge(at_ms, &self.live, &self.departed);
        if let Some(left) = brake.left_ms(at_ms) {
            wake.after(left);
        }
        Assessment { brake: brake.reason(), quarantined, settling, penalties, wake_ms: wake.0 }
    }

    /// Notes what an operator decided about the brake.
    pub fn command(&mut self, command: Command, at_ms: u64) {
        self.brake.command(command, at_ms);
        self.brake.judge(at_ms, &self.live, &self.departed);
    }

    /// Notes a quarantine that an earlier leader decided on, over or not.
    pub fn seed(&mut self, node: &NodeId, times: u32, left_ms: u64, reason: &str, at_ms: u64) {
        self.restless.entry(node.clone()).or_default().seed(times, at_ms + left_ms, reason);
    }

    /// Notes that an earlier leader held everything back, for this reason, because these nodes are lost.
    pub fn seed_brake(&mut self, reason: &str, lost: &BTreeSet<NodeId>, at_ms: u64) {
        for node in lost.difference(&self.live) {
            self.departed.entry(node.clone()).or_insert(at_ms);
        }
        self.brake.seed(reason, at_ms);
    }

    /// Notes that an operator opened a node in spite of its quarantine.
    pub fn pardon(&mut self, node: &NodeId) {
        self.restless.remove(node);
    }

    fn is_quarantined(&self, node: &NodeId, at_ms: u64) -> bool {
        self.restless.get(node).is_some_and(|restless| restless.quarantine(at_ms).is_some())
    }

    /// When a node has settled that arrived then.
    fn settled_at(&self, arrived: u64) -> u64 {
        let newest = self.arrived.values().copied().max().unwrap_or(arrived);
        (newest + QUIET_MS).min(arrived + LONGEST_SETTLING_MS)
    }

    /// Forgets what does not matter any more, so that nodes that come once and never again cost nothing.
    fn tidy(&mut self, at_ms: u64) {
        let unsettled = self.arrived.iter().filter(|(_, arrived)| self.settled_at(**arrived) > at_ms);
        self.arrived = unsettled.map(|(node, arrived)| (node.clone(), *arrived)).collect();
        self.restless.retain(|_, restless| !restless.is_forgotten(at_ms));
        if self.brake.is_off() {
            self.departed.retain(|_, since| at_ms.saturating_sub(*since) <= brake::LONG_MS);
        }
    }
}

/// The earliest of several times.
#[derive(Default)]
struct Wake(Option<u64>);

impl Wake {
    fn after(&mut self, ms: u64) {
        self.0 = Some(self.0.map_or(ms, |other| other.min(ms)));
    }
}

#[cfg(test)]
mod tests;
