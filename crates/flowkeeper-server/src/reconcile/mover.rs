//! Evens out nodes that hold far more than others, slowly: only when that has lasted for five minutes, nothing is lost or being
//! updated, and within a budget. What may not run twice is never moved for this.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use flowkeeper_engine::model::{InstanceId, NodeId, ReleaseApp};
use flowkeeper_engine::placement::Surroundings;
use flowkeeper_engine::planner::relocate;
use flowkeeper_engine::rebalance::{Movable, Proposal, propose};
use flowkeeper_engine::what_if;
use tokio::time::Instant;

use super::Streams;
use crate::app::placement::planned;
use crate::meta::{Meta, Model};

/// Time between two looks.
const ROUND: Duration = Duration::from_secs(60);
/// How long nodes must be uneven before anything moves.
const LASTING: Duration = Duration::from_secs(300);
/// The time for which the budget is: one of a hundred instances, and one at least.
const BUDGET_TIME: Duration = Duration::from_secs(600);
const ONE_OF: usize = 100;

/// The mover, for one leadership.
#[derive(Debug)]
pub(crate) struct Mover<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) streams: &'a Streams<'a>,
}

/// An instance that runs well.
struct Settled {
    instance: InstanceId,
    app: ReleaseApp,
    node: NodeId,
    around: Surroundings,
}

impl Mover<'_> {
    /// Runs until the leadership is lost. May be dropped at any await.
    pub(crate) async fn run(&self) {
        let mut timer = tokio::time::interval(ROUND);
        let mut uneven_since: Option<Instant> = None;
        let mut moved: VecDeque<Instant> = VecDeque::new();
        loop {
            timer.tick().await;
            let (proposals, total) = {
                let model = self.meta.model();
                if is_calm(&model) { proposals(&model) } else { (Vec::new(), 0) }
            };
            if proposals.is_empty() {
                uneven_since = None;
                continue;
            }
            if uneven_since.get_or_insert_with(Instant::now).elapsed() < LASTING {
                continue;
            }
            while moved.front().is_some_and(|at| at.elapsed() > BUDGET_TIME) {
                moved.pop_front();
            }
            let budget = (total / ONE_OF).max(1).saturating_sub(moved.len());
            for Proposal { instance, from, to } in proposals.into_iter().take(budget) {
                tracing::info!(%instance, %from, %to, "an instance is moved to even out nodes");
                moved.push_back(Instant::now());
                let plan = {
                    let model = self.meta.model();
                    let placement = model.states.get(&instance.stream).map(|state| state.record.placement());
                    placement.and_then(|placement| relocate(&placement, &instance, &to))
                };
                if let Some(plan) = plan {
                    self.streams.carry_out(&instance.stream, &plan).await;
                }
            }
        }
    }
}

/// Nothing is lost, held back or being replaced.
fn is_calm(model: &Model) -> bool {
    let is_lost = |node: &NodeId| model.nodes[node].live.is_none() && model.used(node).slots > 0;
    model.brake_reason().is_none()
        && !model.nodes.keys().any(is_lost)
        && !model.streams.keys().any(|name| model.replacing(name).is_some())
}

fn proposals(model: &Model) -> (Vec<Proposal>, usize) {
    let streams = model.streams.keys().filter_map(|name| planned(model, name));
    let settled: Vec<Settled> = streams.flat_map(|stream| settled(&stream)).collect();
    let movable: Vec<Movable<'_>> = settled
        .iter()
        .map(|Settled { instance, app, node, around }| Movable { instance, app, node, around })
        .collect();
    (propose(&model.views(), &movable, settled.len()), settled.len())
}

/// The instances of a stream that are ready and not on the move.
fn settled(stream: &what_if::Stream) -> Vec<Settled> {
    let moving: BTreeSet<&InstanceId> = stream.observed.leaving.keys().collect();
    let ready = stream.observed.reports.iter().filter(|(_, report)| report.is_ready());
    let ready = ready.filter(|(instance, _)| !moving.contains(instance));
    let settled = ready.filter_map(|(instance, _)| {
        let order = stream.observed.assignments.get(instance).filter(|order| !order.stop)?;
        Some(Settled {
            app: stream.app(instance)?.clone(),
            node: order.node.clone(),
            around: stream.neighbours(instance),
            instance: instance.clone(),
        })
    });
    settled.collect()
}
