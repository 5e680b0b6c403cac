//! C: agents, shims, apps and whole nodes die, stop, come back.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;

use super::{Context, Outcome, REST, Scenario, ensure, is_source, last};
use crate::torture::{Plan, System};
use crate::wait::until;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "C1-restart",
        about: "an agent is killed and started again at once: its apps keep their processes",
        is_short: true,
        run: agent_restarted,
    },
    Scenario {
        name: "C1-late",
        about: "an agent is killed and comes back after its session: strict apps moved, never twice; nothing else did",
        is_short: false,
        run: agent_late,
    },
    Scenario {
        name: "C2",
        about: "a node loses its power: what it ran runs elsewhere, nothing else is touched",
        is_short: true,
        run: power_cut,
    },
    Scenario {
        name: "C3",
        about: "an agent is stopped in its tracks, its shims are not: they freeze what is strict before it runs elsewhere",
        is_short: false,
        run: agent_stopped,
    },
    Scenario {
        name: "I15",
        about: "the only node dies: within its session and a few seconds no stream of it is said to be deployed",
        is_short: false,
        run: honest_status,
    },
    Scenario {
        name: "C10",
        about: "a second agent with the name of a live node is refused",
        is_short: false,
        run: second_agent,
    },
    Scenario {
        name: "C16",
        about: "an agent is asked to end without a drain: nothing moves while a successor comes in time",
        is_short: true,
        run: polite_exit,
    },
];

/// The fast profile: session 6 s, frozen after 4.5 s.
pub(super) const SESSION: Duration = Duration::from_secs(6);

/// The pids of all probes but those of one node.
pub(super) fn others(system: &System, node: usize) -> BTreeSet<u32> {
    let own = system.agents[node].instance_pids();
    system.pids().into_iter().filter(|pid| !own.contains(pid)).collect()
}

/// The node that holds most, so that there is something to lose.
pub(super) fn fullest(system: &System) -> usize {
    (0..system.agents.len()).max_by_key(|node| system.agents[*node].instance_pids().len()).unwrap_or(0)
}

fn agent_restarted(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let before = system.pids();
    let node = fullest(&system);
    for wait in [Duration::from_secs(1), Duration::from_millis(3_500)] {
        system.agents[node].kill();
        last(wait);
        system.start_agent(node);
        system.converge(&wanted, REST)?;
        ensure(system.pids() == before, || format!("after {wait:?} without an agent apps were restarted"))?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn agent_late(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let node = fullest(&system);
    let kept = others(&system, node);
    system.agents[node].kill();
    last(SESSION + Duration::from_secs(5));
    system.start_agent(node);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn power_cut(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let node = fullest(&system);
    let kept = others(&system, node);
    let elsewhere = kept.len();
    system.kill_node(node);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    let placement = system.placement()?;
    let name = &system.agents[node].name;
    ensure(placement.values().all(|node| node != name), || format!("something is still ordered to {name}"))?;
    let mut counts: Vec<usize> = Vec::new();
    for agent in system.agents.iter().filter(|agent| agent.name != *name) {
        counts.push(placement.values().filter(|node| **node == agent.name).count());
    }
    let (most, least) = (counts.iter().max().unwrap_or(&0), counts.iter().min().unwrap_or(&0));
    ensure(most - least <= 2, || format!("spread by load: {counts:?} ({elsewhere} stayed)"))?;
    Ok(system.check_ledger(is_source)?)
}

fn agent_stopped(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    let node = fullest(&system);
    let kept = others(&system, node);
    system.agents[node].signal(Signal::STOP);
    last(Duration::from_secs(if context.is_long { 60 } else { 15 }));
    system.agents[node].signal(Signal::CONT);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn second_agent(context: &Context) -> Outcome {
    let plan = Plan { agents: 2, ..Plan::default() };
    let (system, wanted) = context.busy(&plan, 2)?;
    let before = system.pids();
    let (code, said) = system.try_agent("n0", &context.folder.join("impostor"));
    ensure(code != 0 && said.contains("n0"), || format!("the second agent must be refused: {code}: {said}"))?;
    let (code, said) = system.try_agent("n0", system.agents[0].folder());
    ensure(code != 0, || format!("a second agent in one folder must be refused: {said}"))?;
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "apps were touched".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn polite_exit(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let before = system.pids();
    let node = fullest(&system);
    system.agents[node].stop();
    last(Duration::from_secs(1));
    system.start_agent(node);
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "I12: a restart of an agent moved or restarted apps".to_owned())?;
    // And without a successor: frozen at the deadline, moved after the session.
    let kept = others(&system, node);
    system.agents[node].stop();
    let name = system.agents[node].name.clone();
    until("what was there runs elsewhere", || {
        system.placement().is_ok_and(|placement| placement.values().all(|node| *node != name))
    });
    system.start_agent(node);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn honest_status(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan { agents: 1, ..Plan::default() }, 3)?;
    system.kill_node(0);
    let began = std::time::Instant::now();
    // T + 1.5 ticks + 1 s until it is noticed, and 2 s until it is told.
    let allowed = SESSION + Duration::from_millis(750 + 1_000 + 2_000);
    for name in wanted.names() {
        while system.status(name) == "deployed" {
            ensure(began.elapsed() < allowed, || {
                format!("I15: {name} is still said to be deployed after {allowed:?}")
            })?;
        }
    }
    system.start_agent(0);
    system.converge(&wanted, REST)?;
    Ok(system.check_ledger(is_source)?)
}
