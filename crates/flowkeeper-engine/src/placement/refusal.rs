//! One sentence about why no node takes an instance: how many nodes for which reason, and what to do.

use super::filter::Obstacle;
use crate::model::Closed;

/// Reasons in the order in which they are told: what a person can change soonest comes first.
const KINDS: [(&str, &str); 11] = [
    ("full", "add an agent or raise its slots"),
    ("short of processors", "add an agent or ask for less"),
    ("short of memory", "add an agent or ask for less"),
    ("not fulfilling its criteria", "correct the criteria or the labels of nodes"),
    ("with a copy of the app on the same host", "add a host or let copies share one"),
    ("cordoned", "uncordon one"),
    ("being drained", "uncordon one or add an agent"),
    ("in quarantine", "see why they come and go, or uncordon one"),
    ("unfit", "see what they lack"),
    ("just arrived", "wait a moment"),
    ("with an earlier order for it", "wait a moment or add an agent"),
];

pub(super) fn sentence(obstacles: &[Obstacle]) -> String {
    let mut counts = [0usize; KINDS.len()];
    let mut lost = 0;
    for obstacle in obstacles {
        match kind(obstacle) {
            Some(kind) => counts[kind] += 1,
            None => lost += 1,
        }
    }
    if counts.iter().all(|count| *count == 0) {
        return "no node is alive; start an agent with 'flowkeeper agent'".to_owned();
    }
    let told = KINDS.iter().zip(counts).filter(|(_, count)| *count > 0);
    let mut reasons: Vec<_> = told.map(|((what, _), count)| format!("{count} {what}")).collect();
    if lost > 0 {
        reasons.push(format!("{lost} not answering"));
    }
    // What most of them lack is what helps most; of equals, the first.
    let most = (0..KINDS.len()).rev().max_by_key(|kind| counts[*kind]).unwrap_or_default();
    format!("no node can take it: {}; {}", reasons.join(", "), KINDS[most].1)
}

fn kind(obstacle: &Obstacle) -> Option<usize> {
    Some(match obstacle {
        Obstacle::Lost => return None,
        Obstacle::Slots { .. } => 0,
        Obstacle::Cpu { .. } => 1,
        Obstacle::Memory { .. } => 2,
        Obstacle::Criteria(_) => 3,
        Obstacle::Apart(_) => 4,
        Obstacle::Closed(Closed::Cordoned) => 5,
        Obstacle::Closed(Closed::Draining) | Obstacle::Left => 6,
        Obstacle::Closed(Closed::Quarantined(_)) => 7,
        Obstacle::Closed(Closed::Unfit(_)) => 8,
        Obstacle::Closed(Closed::Settling) => 9,
        Obstacle::Held => 10,
    })
}
