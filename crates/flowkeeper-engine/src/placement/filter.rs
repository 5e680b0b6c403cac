//! What keeps an instance off a node.

use std::collections::BTreeMap;
use std::fmt;

use super::Ask;
use crate::model::{Closed, NodeId, NodeView, Presence, ReleaseApp, Resources};

/// What one judgement looks at.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) barred: &'a [NodeId],
    pub(super) nodes: &'a BTreeMap<NodeId, NodeView>,
    pub(super) taken: &'a BTreeMap<NodeId, Resources>,
}

/// Why a node cannot take an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    Lost,
    Closed(Closed),
    Left,
    Held,
    Criteria(String),
    Slots { used: u32, of: u32 },
    Cpu { left: u32, needed: u32 },
    Memory { left: u32, needed: u32 },
    Apart(String),
}

/// What a copy of `app` takes of its node.
pub fn takes(app: &ReleaseApp) -> Resources {
    Resources { slots: 1, cpu_m: app.needs.cpu_m, mem_mib: app.needs.mem_mib }
}

/// The first reason why `node` cannot take what is asked; the lasting ones come first.
pub(super) fn obstacle(site: &Site<'_>, node: &NodeView) -> Option<Obstacle> {
    let Ask { app, copies, not_on, .. } = *site.ask;
    if node.presence != Presence::Live {
        return Some(Obstacle::Lost);
    }
    if let Some(criteria) = app.needs.criteria.as_ref().filter(|criteria| !criteria.admits(node)) {
        return Some(Obstacle::Criteria(criteria.to_string()));
    }
    if let Some(closed) = &node.closed {
        return Some(Obstacle::Closed(closed.clone()));
    }
    if not_on == Some(&node.id) {
        return Some(Obstacle::Left);
    }
    if site.barred.contains(&node.id) {
        return Some(Obstacle::Held);
    }
    let holds_copy =
        |copy: &NodeId| *copy == node.id || site.nodes.get(copy).is_some_and(|other| share_host(other, node));
    if app.needs.apart && copies.iter().any(holds_copy) {
        return Some(Obstacle::Apart(node.traits.host.clone()));
    }
    let (used, adds) = (load(site, node), takes(app));
    let Resources { slots, cpu_m, mem_mib } = node.capacity;
    if used.slots >= slots {
        return Some(Obstacle::Slots { used: used.slots, of: slots });
    }
    // A capacity of 0 is not known and not limited.
    let left = cpu_m.saturating_sub(used.cpu_m);
    if cpu_m > 0 && adds.cpu_m > left {
        return Some(Obstacle::Cpu { left, needed: adds.cpu_m });
    }
    let left = mem_mib.saturating_sub(used.mem_mib);
    (mem_mib > 0 && adds.mem_mib > left).then_some(Obstacle::Memory { left, needed: adds.mem_mib })
}

/// What is taken of a node, plans included.
pub(super) fn load(site: &Site<'_>, node: &NodeView) -> Resources {
    node.used.with(site.taken.get(&node.id).copied().unwrap_or_default())
}

pub(super) fn share_host(one: &NodeView, other: &NodeView) -> bool {
    one.id == other.id || (!one.traits.host.is_empty() && one.traits.host == other.traits.host)
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Lost => f.write_str("does not answer"),
            Obstacle::Closed(closed) => match closed {
                Closed::Cordoned => f.write_str("is cordoned"),
                Closed::Draining => f.write_str("is being drained"),
                Closed::Quarantined(why) => write!(f, "is in quarantine: {why}"),
                Closed::Unfit(why) => write!(f, "takes nothing more: {why}"),
                Closed::Settling => f.write_str("arrived a moment ago"),
            },
            Obstacle::Left => f.write_str("is the node that it is to leave"),
            Obstacle::Held => f.write_str("still holds an earlier order for it"),
            Obstacle::Criteria(criteria) => write!(f, "does not fulfil {criteria}"),
            Obstacle::Slots { used, of } => write!(f, "is full: holds {used} of {of} instances"),
            Obstacle::Cpu { left, needed } => {
                write!(f, "has {left} thousandths of a processor left and {needed} are needed")
            }
            Obstacle::Memory { left, needed } => {
                write!(f, "has {left} MiB of memory left and {needed} are needed")
            }
            Obstacle::Apart(host) => write!(f, "another copy of the app is on host {host}"),
        }
    }
}
