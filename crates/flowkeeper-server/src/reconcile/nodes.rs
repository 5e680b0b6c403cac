//! Watches nodes come and go, and decides what follows for all streams: whether moves are held back because too many nodes
//! are lost at once, which nodes are too restless to take anything new, and which arrived only a moment ago.
//!
//! The decisions are those of the pure [`NodeWatch`]; this loop tells it who is live, writes what everybody must know (the
//! brake, quarantines), and hands the rest to the planner through the model.

use std::collections::BTreeSet;
use std::time::Duration;

use flowkeeper_deploy::record::{NodeConfigRecord, QuarantineRecord, VERSION, encode};
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::NodeId;
use flowkeeper_engine::nodes::{Assessment, Command, NodeWatch, Quarantine};
use flowkeeper_zk::recipes::{Leadership, Txn};
use tokio::time::Instant;

use crate::clock;
use crate::meta::record::{BrakeMode, BrakeRecord};
use crate::meta::{Meta, Model, NodeEntry, paths};
use crate::metrics::Metrics;

/// Pause before a failed write is repeated.
const RETRY: Duration = Duration::from_millis(500);
/// What happened to nodes before this leadership counts as far back as this.
const MEMORY: Duration = Duration::from_secs(60);

/// The watch over all nodes, for one leadership.
#[derive(Debug)]
pub(crate) struct Nodes<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) metrics: &'a Metrics,
    pub(crate) leadership: &'a Leadership,
}

impl Nodes<'_> {
    /// Runs until the leadership is lost. May be dropped at any await.
    pub(crate) async fn run(&self) {
        let origin = Instant::now();
        // Times are told from the beginning of what is remembered.
        let now_ms = || millis(origin.elapsed() + MEMORY);
        let mut watch = recall(&self.meta.model(), now_ms());
        let mut changed = self.meta.watch_nodes();
        let mut mode = BrakeMode::Auto;
        // Nodes whose quarantine is known to everybody: when it is gone, somebody has lifted it.
        let mut announced = BTreeSet::new();
        loop {
            changed.borrow_and_update();
            let (live, asked, quarantined) = {
                let model = self.meta.model();
                let mode = model.brake.as_ref().map(|brake| brake.record.mode).unwrap_or_default();
                (live(&model), mode, quarantined(&model))
            };
            announced.difference(&quarantined).for_each(|id| watch.pardon(id));
            announced = quarantined;
            let now = now_ms();
            watch.observe(now, &live);
            if asked != mode {
                mode = asked;
                watch.command(command(mode), now);
            }
            let assessment = watch.assess(now);
            self.tell(&live, &assessment);
            let mut wake = assessment.wake_ms.map(Duration::from_millis);
            if self.meta.model().assessment.as_ref() != &assessment {
                self.meta.assess(assessment.clone());
            }
            if !self.write(&assessment).await {
                wake = Some(wake.map_or(RETRY, |wake| wake.min(RETRY)));
            }
            tokio::select! {
                // The sender lives in the metadata, so waiting cannot fail.
                _ = changed.changed() => {}
                () = sleep(wake) => {}
            }
        }
    }

    fn tell(&self, live: &BTreeSet<NodeId>, assessment: &Assessment) {
        let known = self.meta.model().nodes.len();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.leader.nodes_live.set(count(live.len()));
        self.metrics.leader.nodes_lost.set(count(known.saturating_sub(live.len())));
        self.metrics.leader.brake.set(i64::from(assessment.brake.is_some()));
    }

    /// Writes what everybody must know; false when something is to be tried again.
    async fn write(&self, assessment: &Assessment) -> bool {
        let txns: Vec<Txn> = {
            let model = self.meta.model();
            let quarantines =
                assessment.quarantined.iter().filter_map(|(id, found)| self.quarantine(&model, id, found));
            self.brake(&model, assessment.brake.as_ref()).into_iter().chain(quarantines).collect()
        };
        let mut is_done = true;
        for txn in txns {
            match self.meta.connection().commit(txn).await {
                Ok(committed) => {
                    self.meta.wait_applied(committed.zxid, Duration::from_secs(5)).await;
                }
                // A leader that was deposed is dropped at once; anything else is tried again.
                Err(error) => {
                    tracing::debug!(%error, "what was found about nodes is written again");
                    is_done = false;
                }
            }
        }
        is_done
    }

    fn brake(&self, model: &Model, held: Option<&String>) -> Option<Txn> {
        let old = model.brake.as_ref();
        if old.and_then(|old| old.record.held.as_ref()) == held {
            return None;
        }
        match held {
            Some(reason) => tracing::warn!(reason, "nothing is moved off lost nodes"),
            None => tracing::warn!("instances are moved off lost nodes again"),
        }
        let record = BrakeRecord {
            v: VERSION,
            held: held.cloned(),
            at: clock::now(),
            ..old.map(|old| BrakeRecord::clone(&old.record)).unwrap_or_default()
        };
        let fence = self.leadership.fence();
        Some(match old {
            None => fence.create(paths::BRAKE, encode(&record)),
            Some(old) => fence.set(paths::BRAKE, encode(&record), old.version),
        })
    }

    fn quarantine(&self, model: &Model, id: &NodeId, found: &Quarantine) -> Option<Txn> {
        let config = model.nodes.get(id)?.config.as_ref();
        let known = config.and_then(|config| config.record.quarantine.as_ref());
        // Written once; how long it lasts follows from when it began.
        if known.is_some_and(|known| known.times >= found.times && left_ms(&known.until) > 0) {
            return None;
        }
        let until = jiff::Timestamp::now() + Duration::from_millis(found.left_ms);
        tracing::warn!(node.name = %id, reason = found.reason, "a node is in quarantine");
        let record = NodeConfigRecord {
            v: VERSION,
            quarantine: Some(QuarantineRecord {
                until: format!("{until:.0}"),
                times: found.times,
                reason: found.reason.clone(),
            }),
            ..config.map(|config| NodeConfigRecord::clone(&config.record)).unwrap_or_default()
        };
        let fence = self.leadership.fence();
        Some(match config {
            None => fence.create(znode::node_config(id), encode(&record)),
            Some(config) => fence.set(znode::node_config(id), encode(&record), config.version),
        })
    }
}

/// What this server saw of the nodes while it did not lead, as far as it matters.
fn recall(model: &Model, now: u64) -> NodeWatch {
    let mut watch = NodeWatch::default();
    for (id, entry) in &model.nodes {
        if let Some(found) = entry.config.as_ref().and_then(|config| config.record.quarantine.as_ref()) {
            watch.seed(id, found.times, left_ms(&found.until), &found.reason, now);
        }
    }
    let mut known = live(model);
    let mut departures: Vec<_> = model
        .nodes
        .iter()
        .filter_map(|(id, entry)| Some((now.checked_sub(entry.lost_ms()?)?, id.clone())))
        .collect();
    departures.sort();
    known.extend(departures.iter().map(|(_, id)| id.clone()));
    watch.observe(0, &known);
    for (at, id) in departures {
        known.remove(&id);
        watch.observe(at, &known);
    }
    if let Some(reason) = model.brake_reason() {
        let lost = model.nodes.iter().filter(|(_, entry)| entry.live.is_none()).map(|(id, _)| id.clone());
        watch.seed_brake(reason, &lost.collect(), now);
    }
    watch
}

fn live(model: &Model) -> BTreeSet<NodeId> {
    model.nodes.iter().filter(|(_, entry)| entry.live.is_some()).map(|(id, _)| id.clone()).collect()
}

fn quarantined(model: &Model) -> BTreeSet<NodeId> {
    let is_quarantined =
        |entry: &&NodeEntry| entry.config.as_ref().is_some_and(|config| config.record.quarantine.is_some());
    model.nodes.iter().filter(|(_, entry)| is_quarantined(entry)).map(|(id, _)| id.clone()).collect()
}

fn left_ms(until: &str) -> u64 {
    let until = until.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
    u64::try_from(until - jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

fn command(mode: BrakeMode) -> Command {
    match mode {
        BrakeMode::Auto => Command::Auto,
        BrakeMode::Hold => Command::Hold,
        BrakeMode::Release => Command::Release,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
