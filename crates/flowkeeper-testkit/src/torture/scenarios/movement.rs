//! G: copies are added and taken away, nodes are emptied: indices stay exact, and of what is shared there is never too little.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome, Over, REST, Scenario, ensure, is_source, last};
use crate::torture::{Plan, System, Wanted};
use crate::wait::{pause, until};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "G5",
        about: "strict copies are scaled up and down: exactly the wanted indices, none twice, those that stay are not touched",
        is_short: false,
        run: scaled,
    },
    Scenario {
        name: "G6",
        about: "all nodes are drained one after the other, then all at once: of shared apps never fewer run than wanted",
        is_short: false,
        run: drained,
    },
];

fn scaled(context: &Context) -> Outcome {
    let system = context.system(&Plan { agents: 4, ..Plan::default() })?;
    // Fixed partitions: every index has work of its own, and must not exist twice.
    system.deploy("p", &[("deployer.out.count", "3"), ("deployer.out.exclusive", "strict")])?;
    let is_strict = |label: &str| label == "in" || label == "out";
    let mut count = 3;
    system.converge(&Wanted::default().stream("p", 1, count), REST)?;
    let rounds = if context.is_long { 40 } else { 5 };
    for round in 0..rounds {
        let before = system.probes();
        let next = 1 + context.choose(round, 7) as u32;
        let path = format!("/streams/deployments/scale/p/out/instances/{next}");
        system.request("POST", &path, Some(&json!({})))?;
        system.converge(&Wanted::default().stream("p", 1, next), REST)?;
        let now = system.probes();
        let stays = |name: &&String| now.contains_key(*name);
        let touched: Vec<_> =
            before.keys().filter(stays).filter(|name| before[*name] != now[*name]).collect();
        ensure(touched.is_empty(), || format!("I11: from {count} to {next} copies restarted {touched:?}"))?;
        system.check_ledger(is_strict)?;
        count = next;
    }
    Ok(system.check_ledger(is_strict)?)
}

/// Fewest copies of each shared app that ran while `work` was done.
fn fewest(system: &System, is_over: &AtomicBool) -> usize {
    let mut fewest = usize::MAX;
    while !is_over.load(Ordering::Relaxed) {
        let probes = system.probes();
        let mut counts = BTreeMap::<&str, usize>::new();
        for name in probes.keys().filter(|name| name.contains(".out-")) {
            *counts.entry(name.split('.').next().unwrap_or_default()).or_default() += 1;
        }
        fewest = fewest.min(counts.values().copied().min().unwrap_or(0));
        pause();
    }
    fewest
}

fn drained(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan { agents: 4, ..Plan::default() }, 4)?;
    let names: Vec<String> = system.agents.iter().map(|agent| agent.name.clone()).collect();
    let is_over = AtomicBool::new(false);
    let ask = |name: &str, what: &str| {
        system.request("POST", &format!("/api/v1/nodes/{name}/{what}"), None).map(drop)
    };
    let rounds = if context.is_long { 5 } else { 1 };
    let (outcome, fewest) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| fewest(&system, &is_over));
        let work = || -> Outcome {
            for _ in 0..rounds {
                for name in &names {
                    ask(name, "drain")?;
                    until("the node is empty", || {
                        system.placement().is_ok_and(|placement| placement.values().all(|node| node != name))
                    });
                    ask(name, "uncordon")?;
                    system.converge(&wanted, REST)?;
                }
            }
            // All at once: there is nowhere to go in the end, so what is there stays.
            for name in &names {
                ask(name, "drain")?;
            }
            last(Duration::from_secs(4));
            for name in &names {
                ask(name, "uncordon")?;
            }
            Ok(system.converge(&wanted, REST).map(drop)?)
        };
        let outcome = {
            let _over = Over(&is_over);
            work()
        };
        (outcome, watching.join().unwrap_or(0))
    });
    outcome?;
    ensure(fewest >= 2, || {
        format!("G6: only {fewest} of 2 copies of a shared app ran while nodes were drained")
    })?;
    Ok(system.check_ledger(is_source)?)
}
