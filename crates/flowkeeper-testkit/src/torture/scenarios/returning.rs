//! C4, C17: nodes that come back just when they are given up.

use std::time::{Duration, Instant};

use super::leader::leader;
use super::node::{SESSION, fullest, others};
use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::torture::ledger::{now_ns, overlaps, read};
use crate::torture::proxy::Flow;
use crate::torture::{Plan, Sink, System};
use crate::wait::{pause, until};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "C4",
        about: "a whole node is paused and resumed after it was given up: its late effects are refused, it freezes at once",
        is_short: true,
        run: paused_node,
    },
    Scenario {
        name: "C17-hold",
        about: "a node registers again between the leader's decision to move its apps and the move: one of both fails",
        is_short: true,
        run: back_in_between,
    },
    Scenario {
        name: "C17-random",
        about: "a node is cut off again and again for about as long as its session lasts: never two",
        is_short: false,
        run: about_a_session,
    },
];

/// How long two processes may be able to act together after a pause in which no shim could run.
const ALLOWED_MS: u64 = 50;

fn paused_node(context: &Context) -> Outcome {
    let system = context.system(&Plan::default())?;
    let sink = Sink::start();
    let addr = sink.addr().to_string();
    let mut wanted = crate::torture::Wanted::default();
    for number in 0..5 {
        let name = format!("s{number}");
        system.deploy(&name, &[("deployer.out.count", "2"), ("app.in.sink", &addr)])?;
        wanted = wanted.stream(&name, 1, 2);
    }
    system.converge(&wanted, REST)?;
    let rounds = if context.is_long { 5 } else { 1 };
    for _ in 0..rounds {
        let holds_source =
            |node: &usize| system.agents[*node].instances().keys().any(|name| name.contains("~in~"));
        let node = (0..system.agents.len()).find(holds_source);
        let node = node.ok_or_else(|| Failure::Broken("no node holds a strict app".to_owned()))?;
        let kept = others(&system, node);
        system.pause_node(node, true);
        last(Duration::from_secs(if context.is_long { 60 } else { 15 }));
        let resumed = now_ns();
        system.pause_node(node, false);
        system.converge(&wanted, REST)?;
        ensure(system.pids().is_superset(&kept), || "I12: apps of other nodes were restarted".to_owned())?;
        // The bounded exception to I1: from the resumption until the shim was scheduled.
        let found = overlaps(&read(&system.oracle()), |key| key.split('.').nth(1) == Some("in"));
        for overlap in found.iter().filter(|overlap| overlap.one.last_ns > resumed) {
            let late_ms = (overlap.one.last_ns - resumed) / 1_000_000;
            ensure(late_ms <= ALLOWED_MS, || {
                format!("C4: an app that was given up acted for {late_ms} ms after the pause: {overlap:?}")
            })?;
        }
    }
    let effects = sink.effects();
    ensure(effects.values().all(|one| one.taken > 0), || format!("apps without effects: {effects:?}"))?;
    let mixed: Vec<_> = effects.iter().filter(|(_, one)| one.mixed > 0).collect();
    ensure(mixed.is_empty(), || format!("C4: two processes had effects under one term: {mixed:?}"))?;
    ensure(effects.len() == 5, || format!("effects of {} instances instead of 5", effects.len()))
}

fn nodes_say(system: &System, servers: &[usize], node: &str) -> Option<bool> {
    servers.iter().find_map(|server| {
        let api = system.servers[*server].addr.as_ref()?;
        let answer = system.ask(api, "GET", &format!("/api/v1/nodes/{node}"), None)?;
        serde_json::from_str::<serde_json::Value>(&answer.body).ok()?["live"].as_bool()
    })
}

fn back_in_between(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    let rounds = if context.is_long { 20 } else { 2 };
    for _ in 0..rounds {
        let holds_source =
            |node: &usize| system.agents[*node].instances().keys().any(|name| name.contains("~in~"));
        let node = (0..system.agents.len()).find(holds_source).unwrap_or_else(|| fullest(&system));
        let name = system.agents[node].name.clone();
        let (own, _) = leader(&system)?;
        let others: Vec<usize> = (0..system.servers.len()).filter(|server| *server != own).collect();
        system.agents[node].cut_off(true);
        until("the node is lost", || nodes_say(&system, &others, &name) == Some(false));
        // The leader has seen it as well, and moves its apps as soon as half a second is over: that move waits on the line.
        system.servers[own].lines.iter().for_each(|line| line.set(Flow::Hold, Flow::Pass));
        let held = Instant::now();
        system.agents[node].cut_off(false);
        while nodes_say(&system, &others, &name) != Some(true) && held.elapsed() < Duration::from_secs(3) {
            pause();
        }
        // Time for the move to be on its way, and for the node to prolong its leases; then it hears nothing for a while.
        while held.elapsed() < Duration::from_millis(1_500) {
            pause();
        }
        system.agents[node].cut_off(true);
        system.servers[own].cut_off(false);
        last(Duration::from_millis(2_500));
        system.agents[node].cut_off(false);
        system.converge(&wanted, REST)?;
        system.check_ledger(is_source)?;
    }
    Ok(())
}

fn about_a_session(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    let rounds = if context.is_long { 200 } else { 5 };
    for round in 0..rounds {
        let node = fullest(&system);
        let cut =
            SESSION - Duration::from_millis(400) + Duration::from_millis(context.choose(round, 1_600) as u64);
        system.agents[node].cut_off(true);
        last(cut);
        system.agents[node].cut_off(false);
        // Often nothing has come to rest when the next cut comes.
        last(Duration::from_millis(300 + context.choose(round ^ 0x51, 2_000) as u64));
        if round % 5 == 4 {
            system.converge(&wanted, REST * 2)?;
            // A node that left three times within ten minutes gets nothing new, which would end the game.
            for agent in &system.agents {
                system.request("POST", &format!("/api/v1/nodes/{}/uncordon", agent.name), None)?;
            }
        }
        system.check_ledger(is_source)?;
    }
    system.converge(&wanted, REST * 2)?;
    Ok(system.check_ledger(is_source)?)
}
