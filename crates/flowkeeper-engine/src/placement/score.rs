//! How well a node that can take an instance suits it.

use super::filter::{Site, load, share_host, takes};
use crate::model::{NodeView, Resources};

/// Scores are whole numbers of hundredths of a point, so that two processes never differ in the last digit.
pub const POINT: i32 = 100;

const FIT: i32 = 40;
const SPREAD_HOST: i32 = 20;
const SPREAD_ZONE: i32 = 10;
const STICKY: i32 = 15;
const TOGETHER: i32 = 10;
/// Busier than this, in percent, a node is avoided.
const BUSY: u8 = 80;
/// Hundredths of a point. Little, because what nodes say is old and swings, and a percent must not outweigh many instances.
const PER_BUSY_PERCENT: i32 = 10;

pub(super) type Parts = [(&'static str, i32); 6];

/// How well a node suits an instance, in hundredths of a point ([`POINT`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    pub total: i32,
    /// What it consists of; parts that add nothing are left out.
    pub parts: Vec<(&'static str, i32)>,
}

impl Score {
    pub(super) fn of(parts: &Parts) -> Score {
        Score {
            total: parts.iter().map(|(_, points)| points).sum(),
            parts: parts.iter().filter(|(_, points)| *points != 0).copied().collect(),
        }
    }
}

pub(super) fn parts(site: &Site<'_>, node: &NodeView) -> Parts {
    let ask = site.ask;
    let after = load(site, node).with(takes(ask.app));
    let given = |is_given: bool, points: i32| if is_given { points * POINT } else { 0 };
    [
        ("fit", FIT * POINT - FIT * POINT * dominant_share(after, node.capacity).min(1000) / 1000),
        ("busy", -(PER_BUSY_PERCENT * i32::from(node.busy.min(100).saturating_sub(BUSY)))),
        ("spread", spread(site, node)),
        ("sticky", given(ask.previous == Some(&node.id), STICKY)),
        ("together", given(ask.app.needs.together && ask.neighbours.contains(&node.id), TOGETHER)),
        ("penalty", -POINT * i32::from(node.penalty.min(50))),
    ]
}

/// The largest share of any resource that `used` is of `capacity`, in thousandths. Unlimited ones do not count.
pub(crate) fn dominant_share(used: Resources, capacity: Resources) -> i32 {
    let share = |used: u32, capacity: u32| match capacity {
        0 => 0,
        capacity => i32::try_from(u64::from(used) * 1000 / u64::from(capacity)).unwrap_or(i32::MAX),
    };
    share(used.slots, capacity.slots)
        .max(share(used.cpu_m, capacity.cpu_m))
        .max(share(used.mem_mib, capacity.mem_mib))
}

/// Fewer points the more copies of the app are on the same host, and in the same zone.
fn spread(site: &Site<'_>, node: &NodeView) -> i32 {
    let copies = || site.ask.copies.iter().filter_map(|copy| site.nodes.get(copy));
    let zone = &node.traits.zone;
    let on_host = copies().filter(|copy| share_host(copy, node)).count();
    let in_zone = if zone.is_empty() { 0 } else { copies().filter(|copy| copy.traits.zone == *zone).count() };
    let share =
        |points: i32, copies: usize| points * POINT / (1 + i32::try_from(copies).unwrap_or(i32::MAX - 1));
    share(SPREAD_HOST, on_host) + share(SPREAD_ZONE, in_zone)
}
