//! Which node an instance goes to: those that may take it are filtered, the best of them by score is chosen, and a hash
//! decides between equals. A function of its arguments: two leaders that see the same nodes choose the same one, and whoever
//! asks why an instance is where it is gets the very figures that decided.
//!
//! | part of the score | points | what it rewards |
//! | --- | --- | --- |
//! | `fit` | 0 … 40 | room: the share of the scarcest of slots, processors and memory that stays free |
//! | `busy` | −2 … 0 | a tenth of a point off for each percent above 80 that the node says it is busy |
//! | `spread` | 0 … 30 | few copies of the same app on its host (20) and in its zone (10) |
//! | `sticky` | 15 | the instance was there last, so that caches and downloads are there |
//! | `together` | 10 | another app of the stream is there, if the app asked for it |
//! | `penalty` | −50 … 0 | the node came and went lately |

mod filter;
mod refusal;
mod score;
mod surroundings;

use std::collections::BTreeMap;

pub use filter::takes;
use filter::{Obstacle, Site, obstacle};
pub(crate) use score::dominant_share;
pub use score::{POINT, Score};
use score::{Parts, parts};
pub use surroundings::Surroundings;

use crate::model::{InstanceId, NodeId, NodeView, ReleaseApp, Resources};

/// Above so many nodes that can take an instance, only a sample of them is scored.
const SCORE_ALL: usize = 200;
const SAMPLE: usize = 100;

/// An instance that wants a place, and what is to be considered.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub instance: &'a InstanceId,
    pub app: &'a ReleaseApp,
    /// The node it was on last.
    pub previous: Option<&'a NodeId>,
    /// Where the other copies of this app are.
    pub copies: &'a [NodeId],
    /// Where the other apps of the stream are.
    pub neighbours: &'a [NodeId],
    /// The node that it is to leave.
    pub not_on: Option<&'a NodeId>,
}

/// All nodes, judged for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    pub chosen: Option<NodeId>,
    /// Best first; then those that cannot take it, by name.
    pub candidates: Vec<Candidate>,
    obstacles: Vec<Obstacle>,
}

/// One node, judged for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub node: NodeId,
    /// Its score, or why it cannot take the instance, for people.
    pub verdict: Result<Score, String>,
}

/// Judges `nodes` for what is asked. `taken` is what is planned to go to nodes beyond what they hold already.
pub fn rank(
    ask: &Ask<'_>,
    nodes: &BTreeMap<NodeId, NodeView>,
    taken: &BTreeMap<NodeId, Resources>,
) -> Ranking {
    let site = Site { ask, barred: &[], nodes, taken };
    let (scored, left_out) = scored(&site);
    let chosen = scored.first().map(|scored| scored.node.id.clone());
    let mut candidates: Vec<_> = scored
        .iter()
        .map(|scored| Candidate { node: scored.node.id.clone(), verdict: Ok(Score::of(&scored.parts)) })
        .collect();
    let mut obstacles = Vec::new();
    for node in nodes.values() {
        let reason = match obstacle(&site, node) {
            Some(obstacle) => {
                let reason = obstacle.to_string();
                obstacles.push(obstacle);
                reason
            }
            None if left_out.contains(&&node.id) => {
                format!(
                    "could take it, but is not in the sample of {SAMPLE} that is compared where more than {SCORE_ALL} can"
                )
            }
            None => continue,
        };
        candidates.push(Candidate { node: node.id.clone(), verdict: Err(reason) });
    }
    Ranking { chosen, candidates, obstacles }
}

impl Ranking {
    /// Why nothing was chosen, in one sentence, with what to do. Of no meaning when something was.
    pub fn refusal(&self) -> String {
        refusal::sentence(&self.obstacles)
    }
}

/// The node that [`rank`] chooses, or why there is none. `barred` nodes hold another order for this very instance and cannot get
/// a second one.
pub(crate) fn choose(
    ask: &Ask<'_>,
    barred: &[NodeId],
    nodes: &BTreeMap<NodeId, NodeView>,
    taken: &BTreeMap<NodeId, Resources>,
) -> Result<NodeId, String> {
    let site = Site { ask, barred, nodes, taken };
    match scored(&site).0.first() {
        Some(best) => Ok(best.node.id.clone()),
        None => Err(refusal::sentence(
            &nodes.values().filter_map(|node| obstacle(&site, node)).collect::<Vec<_>>(),
        )),
    }
}

struct Scored<'a> {
    node: &'a NodeView,
    parts: Parts,
    total: i32,
    hash: u64,
}

#[cfg(test)]
thread_local! {
    /// How often nodes were compared in this thread: planning what is at rest must not.
    pub(crate) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Nodes that can take it, best first, and those that can and were not compared.
fn scored<'a>(site: &Site<'a>) -> (Vec<Scored<'a>>, Vec<&'a NodeId>) {
    #[cfg(test)]
    COMPARISONS.set(COMPARISONS.get() + 1);
    let mut feasible: Vec<&NodeView> =
        site.nodes.values().filter(|node| obstacle(site, node).is_none()).collect();
    let half = half_hash(site.ask.instance);
    let mut left_out = Vec::new();
    if feasible.len() > SCORE_ALL {
        // The same instance sees the same sample each time, and different instances see different ones.
        feasible.sort_by_cached_key(|node| (scatter(fnv(half, &node.id.0)), &node.id));
        left_out = feasible.split_off(SAMPLE).into_iter().map(|node| &node.id).collect();
    }
    let mut scored: Vec<_> = feasible
        .into_iter()
        .map(|node| {
            let parts = parts(site, node);
            let total = parts.iter().map(|(_, points)| points).sum();
            Scored { node, parts, total, hash: fnv(half, &node.id.0) }
        })
        .collect();
    scored.sort_by_key(|scored| (-scored.total, scored.hash));
    (scored, left_out)
}

/// Highest-random-weight hash: the same pair gives the same weight in every process and version. The release is no part of
/// it, so that copies of two releases prefer the same node. This is the half that all nodes share.
fn half_hash(instance: &InstanceId) -> u64 {
    let InstanceId { stream, app, index, .. } = instance;
    fnv(0xcbf2_9ce4_8422_2325, &format!("{stream}~{app}~{index}@"))
}

/// FNV-1a.
fn fnv(start: u64, text: &str) -> u64 {
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads hashes of similar names, which FNV leaves close to each other, over the whole range (the end of splitmix64).
fn scatter(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
