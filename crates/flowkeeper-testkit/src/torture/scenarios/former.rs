//! B: those that led once. Whatever a former leader still has on its way, it has no effect.

use std::time::{Duration, Instant};

use super::leader::{check_epochs, leader, next_leader};
use super::{Context, Failure, Outcome, Over, REST, Scenario, ensure, is_source, last};
use crate::torture::proxy::Flow;
use crate::torture::{Hand, Plan, System};
use crate::wait::until;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "B2-held",
        about: "writes of the leader are held on the wire until another leads, and arrive then: all are refused",
        is_short: true,
        run: held_writes,
    },
    Scenario {
        name: "B5",
        about: "the leader's session expires between the order to stop and the move: the next one goes on",
        is_short: false,
        run: between_steps,
    },
    Scenario {
        name: "B6",
        about: "a former leader gets its line back with work left to do: it does nothing, the new one has done it",
        is_short: false,
        run: back_with_work,
    },
    Scenario {
        name: "B7",
        about: "documents that cannot be read lie among good ones: the others are taken care of, those are told",
        is_short: false,
        run: poison,
    },
    Scenario {
        name: "B8",
        about: "the next leader's ZooKeeper lags behind when it is elected: it does not act on what is old",
        is_short: false,
        run: lagging_follower,
    },
];

fn hand(system: &System) -> Result<Hand, Failure> {
    let ensemble = system.ensemble.as_ref().ok_or_else(|| Failure::Broken("no ensemble".to_owned()))?;
    let member = ensemble.leader().unwrap_or(0);
    Hand::at(ensemble.client(member))
        .map_err(|error| Failure::Broken(format!("no hand in the tree: {error}")))
}

fn broken(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::Broken(format!("{what}: {error}"))
}

/// The number of the present leadership, as it lies in the tree.
fn epoch(hand: &mut Hand) -> Result<u64, Failure> {
    let data = hand.get("/flowkeeper/leader/epoch").map_err(broken("the epoch cannot be read"))?;
    let text = String::from_utf8(data.unwrap_or_default()).unwrap_or_default();
    text.trim().parse().map_err(|_| Failure::Broken(format!("the epoch is '{text}'")))
}

fn held_writes(context: &Context) -> Outcome {
    let (system, mut wanted) = context.busy(&Plan { agents: 2, ..Plan::default() }, 2)?;
    let before = system.pids();
    let rounds = if context.is_long { 20 } else { 6 };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let made = std::sync::Mutex::new(Vec::new());
    let outcome = std::thread::scope(|scope| {
        // Somebody always has something to do for the leader.
        for client in 0..3_u32 {
            let (system, is_over, made) = (&system, &is_over, &made);
            scope.spawn(move || {
                for number in 0..1_000 {
                    if is_over.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("h{client}-{number}");
                    if system.deploy(&name, &[]).is_ok() {
                        made.lock().expect("lock").push(name.clone());
                    }
                    if number % 4 != 0
                        && system.request("DELETE", &format!("/streams/definitions/{name}"), None).is_ok()
                    {
                        made.lock().expect("lock").retain(|known| *known != name);
                    }
                }
            });
        }
        let _over = Over(&is_over);
        let mut outcome = Ok(());
        for round in 0..rounds {
            outcome = one_held(context, &system, round);
            if outcome.is_err() {
                break;
            }
        }
        outcome
    });
    outcome?;
    for name in made.into_inner().expect("lock") {
        wanted = wanted.stream(&name, 1, 1);
    }
    check_epochs(&system)?;
    system.converge(&wanted, REST * 2)?;
    ensure(system.pids().is_superset(&before), || "I12: apps were restarted".to_owned())?;
    check_epochs(&system)?;
    Ok(system.check_ledger(is_source)?)
}

/// Holds what the leader sends, has an operator take its leadership away, and lets what was held go once another leads.
fn one_held(context: &Context, system: &System, round: u64) -> Outcome {
    let (own, before) = leader(system)?;
    let mut hand = hand(system)?;
    last(Duration::from_millis(200 + context.choose(round, 500) as u64));
    system.servers[own].lines.iter().for_each(|line| line.set(Flow::Hold, Flow::Pass));
    // What is under way meets the held line.
    last(Duration::from_millis(100));
    hand.delete("/flowkeeper/leader/holder").map_err(broken("the holder cannot be deleted"))?;
    let deadline = Instant::now() + Duration::from_secs(3);
    while epoch(&mut hand)? <= before && Instant::now() < deadline {}
    system.servers[own].cut_off(false);
    next_leader(system, before).map(drop)
}

fn between_steps(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 4)?;
    let rounds = if context.is_long { 20 } else { 3 };
    for round in 0..rounds {
        let (own, epoch) = leader(&system)?;
        let node = super::node::fullest(&system);
        let name = system.agents[node].name.clone();
        system.request("POST", &format!("/api/v1/nodes/{name}/drain"), None)?;
        last(Duration::from_millis(context.choose(round, 250) as u64));
        system.servers[own].cut_off(true);
        // Longer than its session.
        last(Duration::from_secs(8));
        system.servers[own].cut_off(false);
        next_leader(&system, epoch)?;
        until("the node is empty", || {
            system.placement().is_ok_and(|placement| placement.values().all(|node| *node != name))
        });
        system.converge(&wanted, REST)?;
        // A drained node stays until it is opened, or its agent was told to end with it.
        if !system.agents[node].is_running() {
            system.start_agent(node);
        }
        system.request("POST", &format!("/api/v1/nodes/{name}/uncordon"), None)?;
        check_epochs(&system)?;
        system.check_ledger(is_source)?;
    }
    Ok(())
}

fn back_with_work(context: &Context) -> Outcome {
    let (mut system, mut wanted) = context.busy(&Plan::default(), 3)?;
    let rounds = if context.is_long { 10 } else { 2 };
    for round in 0..rounds {
        let (own, epoch) = leader(&system)?;
        system.servers[own].cut_off(true);
        // While it cannot be reached: streams come, streams go, a node dies.
        for number in 0..4 {
            let name = format!("f{round}-{number}");
            system.deploy(&name, &[])?;
            wanted = wanted.stream(&name, 1, 1);
        }
        let node = super::node::fullest(&system);
        system.kill_node(node);
        last(Duration::from_secs(9));
        system.servers[own].cut_off(false);
        next_leader(&system, epoch)?;
        system.converge(&wanted, REST)?;
        let before = system.pids();
        // Its sweeps, if it had any left, would come within this.
        last(Duration::from_secs(3));
        ensure(system.pids() == before, || "a former leader moved something".to_owned())?;
        system.start_agent(node);
        check_epochs(&system)?;
    }
    system.converge(&wanted, REST)?;
    Ok(system.check_ledger(is_source)?)
}

fn poison(context: &Context) -> Outcome {
    let (system, mut wanted) = context.busy(&Plan::default(), 3)?;
    let before = system.pids();
    let mut hand = hand(&system)?;
    // The definition of one stream, the placement of another, an order: each with something that is no document.
    let victim = "/flowkeeper/streams";
    let shard = |name: &str| shard_of(&system, name);
    let path = format!("{victim}/{}/s0", shard("s0")?);
    let good = hand.get(&path).map_err(broken("a definition cannot be read"))?;
    let Some(good) = good else { return Err(Failure::Broken(format!("{path} is not there"))) };
    hand.set(&path, b"{\"v\":1,\"name\":").map_err(broken("a definition cannot be spoiled"))?;
    until("the servers tell of it", || {
        system
            .get("/api/v1/cluster/fsck")
            .is_ok_and(|found| found["problems"].to_string().contains("unreadable"))
    });
    for number in 0..3 {
        let name = format!("p{number}");
        system.deploy(&name, &[])?;
        wanted = wanted.stream(&name, 1, 1);
    }
    until("other streams are deployed", || {
        (0..3).all(|number| system.status(&format!("p{number}")) == "deployed")
    });
    // A new leader reads it first of all.
    let (_, epoch) = leader(&system)?;
    system.request("POST", "/api/v1/cluster/transfer-leadership", None)?;
    next_leader(&system, epoch)?;
    last(Duration::from_secs(3));
    ensure(system.pids().is_superset(&before), || {
        "what runs of a stream whose definition cannot be read must go on".to_owned()
    })?;
    hand.set(&path, &good).map_err(broken("a definition cannot be mended"))?;
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "apps were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

/// The directory a stream's definition lies in: the first byte of SHA-256 of its name, in hex. Found by looking, so that this
/// needs no second implementation.
fn shard_of(system: &System, name: &str) -> Result<String, Failure> {
    let mut hand = hand(system)?;
    for shard in 0..=u8::MAX {
        let shard = format!("{shard:02x}");
        let found = hand.get(&format!("/flowkeeper/streams/{shard}/{name}"));
        if found.map_err(broken("the streams cannot be read"))?.is_some() {
            return Ok(shard);
        }
    }
    Err(Failure::Broken(format!("the definition of {name} is nowhere")))
}

fn lagging_follower(context: &Context) -> Outcome {
    let (mut system, mut wanted) = context.busy(&Plan::default(), 3)?;
    let rounds = if context.is_long { 20 } else { 3 };
    for round in 0..rounds {
        let (own, epoch) = leader(&system)?;
        let Some(ensemble) = system.ensemble.as_ref() else { return Ok(()) };
        let (top, members) = (ensemble.leader().unwrap_or(0), ensemble.len());
        let follower = (top + 1 + context.choose(round, members - 1)) % members;
        // The candidates talk to the follower that is about to lag, the leader to all.
        for (_, role) in system.servers.iter().enumerate().filter(|(server, _)| *server != own) {
            role.lines.iter().enumerate().for_each(|(member, line)| line.cut(member != follower));
        }
        let name = format!("l{round}");
        system.deploy(&name, &[])?;
        wanted = wanted.stream(&name, 1, 1);
        // Shorter than the time after which it would notice: it answers with what it has.
        if let Some(ensemble) = &system.ensemble {
            ensemble.cut(top, follower, true);
        }
        system.servers[own].kill();
        last(Duration::from_millis(1_200));
        if let Some(ensemble) = &system.ensemble {
            ensemble.cut(top, follower, false);
        }
        next_leader(&system, epoch)?;
        system.servers.iter().for_each(|role| role.lines.iter().for_each(|line| line.cut(false)));
        system.start_server(own);
        system.converge(&wanted, REST)?;
        check_epochs(&system)?;
    }
    Ok(system.check_ledger(is_source)?)
}
