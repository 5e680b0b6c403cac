//! C: apps that misbehave, and what is left of apps: children that will not end, crashes, killed shims, pids that belong to
//! somebody else, orders to stop in the middle of a start.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::node::fullest;
use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::dev::{is_alive, signal};
use crate::torture::{Plan, System, Wanted};
use crate::wait::until;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "C5",
        about: "apps with children and grandchildren that do not hear the signal to end: gone when the stream is undeployed",
        is_short: false,
        run: stubborn,
    },
    Scenario {
        name: "C6",
        about: "an app crashes again and again: told with a reason, others untouched, undeployed like any other",
        is_short: false,
        run: crashing,
    },
    Scenario {
        name: "C7",
        about: "shims are killed, apps are killed: everything runs once again, nothing is left over",
        is_short: true,
        run: killed_parts,
    },
    Scenario {
        name: "C7-cut",
        about: "a strict app dies on a node that is cut off: it is not started there again while it runs elsewhere",
        is_short: true,
        run: dead_while_cut,
    },
    Scenario {
        name: "C7-outage",
        about: "a shared app is killed while ZooKeeper is gone: its node starts it again by itself",
        is_short: false,
        run: dead_without_zookeeper,
    },
    Scenario {
        name: "C8",
        about: "pids in a node's files belong to strangers now, after a restart or a reboot: strangers are left alone",
        is_short: false,
        run: strangers,
    },
    Scenario {
        name: "C13",
        about: "streams are undeployed at any moment of their start: nothing is left of them",
        is_short: false,
        run: stopped_while_starting,
    },
];

fn stubborn(context: &Context) -> Outcome {
    let system = context.system(&Plan { agents: 2, ..Plan::default() })?;
    let properties = [
        ("app.in.stubborn", "true"),
        ("app.out.stubborn", "true"),
        ("deployer.in.local.shutdown-timeout", "2"),
        ("deployer.out.local.shutdown-timeout", "2"),
    ];
    let rounds = if context.is_long { 5 } else { 1 };
    for _ in 0..rounds {
        if system.status("s").is_empty() {
            system.deploy("s", &properties)?
        } else {
            system.deploy_existing("s", &properties)?
        }
        system.converge(&Wanted::default().stream("s", 1, 1), REST)?;
        until("each app has its child and its grandchild", || {
            system.children().values().map(Vec::len).sum::<usize>() == 4
        });
        system.request("DELETE", "/streams/deployments/s", None)?;
        // An order goes only after the node has said that nothing of the instance is left.
        until("no order is left", || {
            system.agents.iter().all(|agent| {
                system
                    .get(&format!("/api/v1/nodes/{}", agent.name))
                    .is_ok_and(|node| node["instances"] == serde_json::json!([]))
            })
        });
        ensure(system.pids().is_empty() && system.children().is_empty(), || {
            format!(
                "C5: said to be stopped, and there are still {:?} and {:?}",
                system.probes(),
                system.children()
            )
        })?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn crashing(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan { agents: 3, ..Plan::default() }, 3)?;
    let before = system.pids();
    system.deploy("bad", &[("app.out.crash", "true")])?;
    until("the crashing stream is told to be partial or failed", || {
        ["partial", "failed"].contains(&&*system.status("bad"))
    });
    let told = system.get("/api/v1/streams/bad")?.to_string();
    ensure(told.contains("exit") || told.contains("ended"), || format!("no reason is told: {told}"))?;
    last(Duration::from_secs(if context.is_long { 60 } else { 5 }));
    ensure(system.pids().is_superset(&before), || "other streams were touched".to_owned())?;
    system.request("DELETE", "/streams/definitions/bad", None)?;
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "other streams were touched".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn killed_parts(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan { agents: 3, ..Plan::default() }, 4)?;
    let rounds = if context.is_long { 20 } else { 3 };
    for round in 0..rounds {
        let node = fullest(&system);
        let instances: Vec<_> = system.agents[node].instances().into_iter().collect();
        let (name, pids) = &instances[context.choose(round, instances.len())];
        // Shim, app, or both: shims come first.
        let victims: Vec<u32> = match round % 3 {
            0 => pids.iter().take(1).copied().collect(),
            1 => pids.iter().skip(1).copied().collect(),
            _ => pids.clone(),
        };
        let before = system.pids();
        victims.iter().for_each(|pid| signal(*pid, Signal::KILL));
        // A shim takes its app along.
        let app = pids.iter().skip(1).copied().collect::<Vec<_>>();
        until("the app is another process", || app.iter().all(|pid| !is_alive(*pid)));
        system.converge(&wanted, REST)?;
        let gone = before.difference(&system.pids()).count();
        ensure(gone == 1, || format!("killing parts of {name} cost {gone} apps"))?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn dead_while_cut(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 5)?;
    let rounds = if context.is_long { 5 } else { 1 };
    for _ in 0..rounds {
        let holds_source =
            |node: &usize| system.agents[*node].instances().keys().any(|name| name.contains("~in~"));
        let Some(node) = (0..system.agents.len()).find(holds_source) else {
            return Err(Failure::Broken("no node holds a strict app".to_owned()));
        };
        let own = system.agents[node].instances();
        let (name, pids) = own.iter().find(|(name, _)| name.contains("~in~")).expect("one that was found");
        let stream = name.split('~').next().unwrap_or_default();
        let guid = system.probes().into_iter().find(|(guid, _)| guid.starts_with(&format!("{stream}.in-")));
        let (guid, before) = guid.ok_or_else(|| Failure::Broken(format!("{name} does not run")))?;
        system.agents[node].cut_off(true);
        until("it runs elsewhere too", || {
            system.probes().get(&guid).is_some_and(|now| now.iter().any(|pid| !before.contains(pid)))
        });
        // What is frozen here dies, and an agent starts what died. Not this one, not now.
        pids.iter().skip(1).for_each(|pid| signal(*pid, Signal::KILL));
        last(Duration::from_secs(6));
        system.check_ledger(is_source)?;
        system.agents[node].cut_off(false);
        system.converge(&wanted, REST)?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn dead_without_zookeeper(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan { agents: 2, ..Plan::default() }, 2)?;
    let before = system.probes();
    system.ensemble.as_mut().ok_or_else(|| Failure::Broken("no ensemble".to_owned()))?.kill_all();
    last(Duration::from_secs(3));
    let victim = before.iter().find(|(name, _)| name.contains(".out-"));
    let (name, pids) = victim.ok_or_else(|| Failure::Broken("no shared app runs".to_owned()))?;
    pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
    let began = std::time::Instant::now();
    let is_back = || system.probes().get(name).is_some_and(|now| now.iter().any(|pid| !pids.contains(pid)));
    while !is_back() {
        ensure(began.elapsed() < Duration::from_secs(15), || {
            format!("I13: {name} was killed while ZooKeeper was gone and is not started again")
        })?;
        crate::wait::pause();
    }
    let ensemble = system.ensemble.as_mut().ok_or_else(|| Failure::Broken("no ensemble".to_owned()))?;
    ensemble.up_all();
    ensemble.until_serving();
    system.converge(&wanted, REST)?;
    Ok(system.check_ledger(is_source)?)
}

/// A process of somebody else.
struct Stranger(Child);

impl Stranger {
    fn start() -> Result<Stranger, Failure> {
        let child = Command::new("sleep").arg("600").spawn();
        child.map(Stranger).map_err(|error| Failure::Broken(format!("no stranger can be had: {error}")))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Field 22 of a process's `stat`: when it began.
fn start_time(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Rewrites what a node remembers of the processes of its instances.
fn rewrite(system: &System, node: usize, change: impl Fn(&mut Value)) -> Outcome {
    let folders = fs::read_dir(system.agents[node].instances_folder()).into_iter().flatten().flatten();
    let states: Vec<PathBuf> =
        folders.map(|entry| entry.path().join("state.json")).filter(|path| path.exists()).collect();
    ensure(!states.is_empty(), || "the node remembers nothing".to_owned())?;
    for path in states {
        let text = fs::read(&path).unwrap_or_default();
        let mut state: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        for part in ["shim", "app"] {
            if state[part].is_object() {
                change(&mut state[part]);
            }
        }
        fs::write(&path, state.to_string()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn strangers(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan { agents: 2, ..Plan::default() }, 3)?;
    let stranger = Stranger::start()?;
    let node = fullest(&system);
    // The pid was given to a stranger who began later.
    system.kill_node(node);
    rewrite(&system, node, |process| process["pid"] = stranger.pid().into())?;
    system.start_agent(node);
    system.converge(&wanted, REST)?;
    ensure(is_alive(stranger.pid()), || "a stranger with the pid of an app was killed".to_owned())?;
    // The machine was started again, and a stranger has pid and start time of an app of the last time.
    let start = start_time(stranger.pid()).ok_or_else(|| Failure::Broken("no start time".to_owned()))?;
    system.kill_node(node);
    rewrite(&system, node, |process| {
        process["pid"] = stranger.pid().into();
        process["start"] = start.into();
        process["boot"] = "another-boot".into();
    })?;
    system.start_agent(node);
    system.converge(&wanted, REST)?;
    ensure(is_alive(stranger.pid()), || "a stranger of another boot was killed".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn stopped_while_starting(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan { agents: 3, ..Plan::default() }, 2)?;
    let before = system.pids();
    let rounds = if context.is_long { 100 } else { 12 };
    for round in 0..rounds {
        let name = format!("short{round}");
        let is_crashing = round % 3 == 0;
        let properties: &[(&str, &str)] = if is_crashing {
            &[("app.out.crash", "true"), ("deployer.out.count", "2")]
        } else {
            &[("deployer.out.count", "2")]
        };
        system.deploy(&name, properties)?;
        last(Duration::from_millis(context.choose(round, if is_crashing { 3_000 } else { 600 }) as u64));
        let how = if round % 2 == 0 { "definitions" } else { "deployments" };
        system.request("DELETE", &format!("/streams/{how}/{name}"), None)?;
    }
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "other streams were touched".to_owned())?;
    until("nothing is left of them on the nodes", || {
        let left = system.agents.iter().flat_map(|agent| agent.instances().into_keys());
        left.filter(|name| name.starts_with("short")).count() == 0
    });
    Ok(system.check_ledger(is_source)?)
}
