//! E: lines between nodes and ZooKeeper that are dead, dead in one direction, or dead for many nodes at once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::node::{SESSION, fullest, others};
use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::torture::proxy::Flow;
use crate::torture::{Plan, System};
use crate::wait::until;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "E1",
        about: "a node is cut off from ZooKeeper for longer than its session and healed: never two, nothing is left over",
        is_short: false,
        run: cut_and_healed,
    },
    Scenario {
        name: "E1-kernel",
        about: "the same, the line of the node's own network namespace taken down: never two, nothing is left over",
        is_short: false,
        run: unplugged,
    },
    Scenario {
        name: "E2",
        about: "a node is cut off from ZooKeeper only: shared apps run twice while it lasts and not after, strict ones never",
        is_short: false,
        run: only_zookeeper,
    },
    Scenario {
        name: "E3",
        about: "the line of a node is dead in one direction, then in the other: never two, nothing is left over",
        is_short: false,
        run: one_way,
    },
    Scenario {
        name: "E6",
        about: "more than 40 % of the nodes are cut off at once: the brake holds, nothing moves, after healing nothing restarted",
        is_short: true,
        run: many_at_once,
    },
];

fn cut_and_healed(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    let node = fullest(&system);
    let all = system.pids();
    // Shorter than the deadline: nothing happens.
    system.agents[node].cut_off(true);
    last(Duration::from_secs(2));
    system.agents[node].cut_off(false);
    system.converge(&wanted, REST)?;
    ensure(system.pids() == all, || "a short cut restarted apps".to_owned())?;
    let kept = others(&system, node);
    system.agents[node].cut_off(true);
    last(SESSION + Duration::from_secs(if context.is_long { 300 } else { 8 }));
    system.agents[node].cut_off(false);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn unplugged(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan { namespaced: (0..5).collect(), ..Plan::default() }, 5)?;
    let node = fullest(&system);
    let Some(line) = &system.agents[node].namespace else {
        return Err(Failure::Skipped("network namespaces need root and the program ip".to_owned()));
    };
    let kept = others(&system, node);
    for lasts in [2, 5, if context.is_long { 300 } else { 14 }] {
        line.unplug(true);
        last(Duration::from_secs(lasts));
        line.unplug(false);
        system.converge(&wanted, REST)?;
    }
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

/// Names of instances that run twice.
fn doubled(system: &System) -> Vec<String> {
    let probes = system.probes().into_iter();
    probes.filter(|(_, pids)| pids.len() > 1).map(|(name, _)| name).collect()
}

fn only_zookeeper(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    let node = fullest(&system);
    let kept = others(&system, node);
    let own = system.pids().difference(&kept).copied().collect::<BTreeSet<_>>();
    system.agents[node].cut_off(true);
    until("shared apps of the cut off node run elsewhere too", || {
        doubled(&system).iter().any(|name| name.contains(".out-"))
    });
    // Strict ones are frozen there meanwhile, or were killed, and run elsewhere; the ledger knows that they never beat together.
    let going_on: BTreeSet<u32> = system
        .probes()
        .into_iter()
        .filter(|(name, _)| name.contains(".out-"))
        .flat_map(|(_, pids)| pids)
        .filter(|pid| own.contains(pid))
        .collect();
    ensure(!going_on.is_empty(), || "I13: shared apps of the cut off node ended".to_owned())?;
    system.agents[node].cut_off(false);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn one_way(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    for (forth, back) in [(Flow::Hold, Flow::Pass), (Flow::Pass, Flow::Hold)] {
        let node = fullest(&system);
        let kept = others(&system, node);
        let all = system.pids();
        for lasts in [Duration::from_secs(2), SESSION + Duration::from_secs(6)] {
            system.agents[node].lines.iter().for_each(|line| line.set(forth, back));
            last(lasts);
            system.agents[node].cut_off(false);
            system.converge(&wanted, REST)?;
            ensure(lasts > SESSION || system.pids() == all, || {
                format!("a short loss of {forth:?}/{back:?} restarted apps")
            })?;
        }
        ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn many_at_once(context: &Context) -> Outcome {
    // Three of seven are 43 %.
    let plan = Plan { agents: 7, ..Plan::default() };
    let (system, wanted) = context.busy(&plan, 6)?;
    let (before, placed) = (system.pids(), system.placement()?);
    let cut = 0..3;
    cut.clone().for_each(|node| system.agents[node].cut_off(true));
    until("the brake holds", || {
        system.get("/api/v1/cluster/brake").is_ok_and(|brake| brake["held"].is_string())
    });
    last(Duration::from_secs(if context.is_long { 180 } else { 14 }));
    ensure(system.placement()? == placed, || "E6: something was moved although the brake held".to_owned())?;
    let shared = |system: &System| -> BTreeSet<u32> {
        let shared = system.probes().into_iter().filter(|(name, _)| name.contains(".out-"));
        shared.flat_map(|(_, pids)| pids).collect()
    };
    let shared_before = shared(&system);
    ensure(shared_before.is_subset(&before), || "E6: shared apps were started anew".to_owned())?;
    cut.for_each(|node| system.agents[node].cut_off(false));
    system.converge(&wanted, REST)?;
    ensure(system.placement()? == placed, || "E6: something moved after healing".to_owned())?;
    ensure(shared(&system) == shared_before, || "E6: shared apps restarted after healing".to_owned())?;
    // What is strict was frozen, and went on if the cut was shorter than it may stay frozen.
    ensure(context.is_long || system.pids() == before, || {
        "E6: strict apps restarted after healing".to_owned()
    })?;
    Ok(system.check_ledger(is_source)?)
}
