//! D: members of the ensemble, or all of them, die, stop, are cut off from each other.

use std::time::{Duration, Instant};

use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::torture::proxy::Proxy;
use crate::torture::{Ensemble, Plan, System, Ticks};
use crate::wait::{pause, until};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "D1",
        about: "the ensemble's leader and a follower are killed in turn: no app restarts",
        is_short: true,
        run: member_killed,
    },
    Scenario {
        name: "D2",
        about: "the ensemble's leader is stopped for three seconds: nothing that is strict is frozen for good",
        is_short: false,
        run: leader_stopped,
    },
    Scenario {
        name: "D3",
        about: "all of ZooKeeper is gone: shared apps go on, reads are marked stale, changes get 503; afterwards all agree",
        is_short: true,
        run: all_gone,
    },
    Scenario {
        name: "D4",
        about: "the ensemble is restarted member by member under load: no change fails for good",
        is_short: true,
        run: rolling,
    },
    Scenario {
        name: "D5",
        about: "a follower is cut off from the ensemble's leader only, agents on it: never two, nothing expires for long",
        is_short: true,
        run: follower_isolated,
    },
    Scenario {
        name: "D5-stock",
        about: "the same with the ticks of ZooKeeper's sample configuration, and no other member to go to: frozen in time",
        is_short: false,
        run: isolated_with_its_clients,
    },
    Scenario {
        name: "D6",
        about: "the ensemble's leader is left alone with its clients, the others elect another: never two, nothing is lost",
        is_short: false,
        run: old_leader_alone,
    },
    Scenario {
        name: "I18",
        about: "a cluster at rest writes nothing into ZooKeeper",
        is_short: false,
        run: at_rest,
    },
    Scenario {
        name: "D1-embedded",
        about: "our own ZooKeeper is killed and started again under load: no app restarts, no change is lost",
        is_short: true,
        run: embedded_restarted,
    },
];

fn ensemble(system: &mut System) -> Result<&mut Ensemble, Failure> {
    system.ensemble.as_mut().ok_or_else(|| Failure::Broken("no ensemble".to_owned()))
}

fn member_killed(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let before = system.pids();
    for is_leader in [true, false] {
        let ensemble = ensemble(&mut system)?;
        let leader = ensemble.leader().unwrap_or(0);
        let victim = if is_leader { leader } else { (leader + 1) % ensemble.len() };
        ensemble.kill(victim);
        last(Duration::from_secs(3));
        system.converge(&wanted, REST)?;
        let ensemble = self::ensemble(&mut system)?;
        ensemble.up(victim);
        ensemble.until_serving();
        system.converge(&wanted, REST)?;
        ensure(system.pids() == before, || {
            format!("apps were restarted; the leader was killed: {is_leader}")
        })?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn leader_stopped(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 4)?;
    let before = system.pids();
    let lasts: &[u64] = if context.is_long { &[3, 8, 60] } else { &[3] };
    for seconds in lasts {
        let ensemble = ensemble(&mut system)?;
        let leader = ensemble.leader().unwrap_or(0);
        ensemble.pause(leader, true);
        last(Duration::from_secs(*seconds));
        ensemble.pause(leader, false);
        ensemble.until_serving();
        system.converge(&wanted, REST)?;
        ensure(system.pids() == before, || format!("a pause of {seconds} s restarted apps"))?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn all_gone(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let shared = |system: &System| -> Vec<u32> {
        let shared = system.probes().into_iter().filter(|(name, _)| name.contains(".out-"));
        shared.flat_map(|(_, pids)| pids).collect()
    };
    let before = shared(&system);
    ensemble(&mut system)?.kill_all();
    last(Duration::from_secs(4));
    for api in system.apis() {
        let read = system.ask(&api, "GET", "/streams/definitions", None);
        ensure(
            read.as_ref().is_some_and(|answer| answer.status == 200 && !answer.header("warning").is_empty()),
            || format!("reads must be answered and marked stale: {read:?}"),
        )?;
        let change = system.ask(&api, "DELETE", "/streams/definitions/s0", None);
        ensure(
            change
                .as_ref()
                .is_some_and(|answer| answer.status == 503 && !answer.header("retry-after").is_empty()),
            || format!("changes must get 503 and when to try again: {change:?}"),
        )?;
    }
    last(Duration::from_secs(if context.is_long { 600 } else { 26 }));
    ensure(shared(&system) == before, || "I13: shared apps changed while ZooKeeper was gone".to_owned())?;
    let ensemble = ensemble(&mut system)?;
    ensemble.up_all();
    ensemble.until_serving();
    system.agree(Duration::from_secs(5))?;
    system.converge(&wanted, REST)?;
    ensure(shared(&system) == before, || "I13: shared apps were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn rolling(context: &Context) -> Outcome {
    let (mut system, mut wanted) = context.busy(&Plan::default(), 3)?;
    let before = system.pids();
    let rounds = if context.is_long { 10 } else { 1 };
    for round in 0..rounds {
        for member in 0..3 {
            ensemble(&mut system)?.kill(member);
            let name = format!("r{round}-{member}");
            system.deploy(&name, &[])?;
            wanted = wanted.stream(&name, 1, 1);
            let ensemble = ensemble(&mut system)?;
            ensemble.up(member);
            ensemble.until_serving();
        }
    }
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "apps were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn follower_isolated(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    let ensemble = ensemble(&mut system)?;
    let leader = ensemble.leader().unwrap_or(0);
    let follower = (leader + 1) % ensemble.len();
    // All agents talk to the follower that will be cut off, and only to it at first.
    let agents = system.agents.len();
    for node in 0..agents {
        for (member, line) in system.agents[node].lines.iter().enumerate() {
            line.cut(member != follower);
        }
    }
    system.converge(&wanted, REST)?;
    for node in 0..agents {
        system.agents[node].lines.iter().for_each(|line| line.cut(false));
    }
    self::ensemble(&mut system)?.cut(leader, follower, true);
    last(Duration::from_secs(12));
    self::ensemble(&mut system)?.cut(leader, follower, false);
    system.converge(&wanted, REST)?;
    Ok(system.check_ledger(is_source)?)
}

/// Lets these lines reach one member only.
fn only_through(lines: &[Proxy], member: usize) {
    lines.iter().enumerate().for_each(|(number, line)| line.cut(number != member));
}

fn isolated_with_its_clients(context: &Context) -> Outcome {
    let plan = Plan {
        ticks: Ticks { tick_ms: 2_000, sync_limit: 5 },
        agent_flags: vec!["--lease-profile".into(), "stock".into()],
        agents: 3,
        ..Plan::default()
    };
    let (mut system, wanted) = context.busy(&plan, 4)?;
    let holds_source =
        |node: &usize| system.agents[*node].instances().keys().any(|name| name.contains("~in~"));
    let node = (0..system.agents.len()).find(holds_source).unwrap_or(0);
    let name = system.agents[node].name.clone();
    let leader = ensemble(&mut system)?.leader().unwrap_or(0);
    let follower = (leader + 1) % 3;
    only_through(&system.agents[node].lines, follower);
    system.converge(&wanted, REST)?;
    // A node writes its load once in a minute at most; a write that waits would hold up all reads behind it.
    until("the node has told its load", || {
        system.get(&format!("/api/v1/nodes/{name}")).is_ok_and(|node| node["load"].is_object())
    });
    last(Duration::from_secs(3));
    self::ensemble(&mut system)?.cut(leader, follower, true);
    // The third member belongs to the leader's side as well.
    self::ensemble(&mut system)?.cut(3 - leader - follower, follower, true);
    let moved = Instant::now();
    while system.placement()?.values().any(|node| *node == name) && moved.elapsed() < Duration::from_secs(60)
    {
        pause();
    }
    last(Duration::from_secs(6));
    let outcome = system.check_ledger(is_source);
    for other in [leader, 3 - leader - follower] {
        self::ensemble(&mut system)?.cut(other, follower, false);
    }
    system.agents[node].lines.iter().for_each(|line| line.cut(false));
    outcome?;
    system.converge(&wanted, REST * 2)?;
    Ok(system.check_ledger(is_source)?)
}

fn old_leader_alone(context: &Context) -> Outcome {
    let (mut system, mut wanted) = context.busy(&Plan::default(), 5)?;
    let rounds = if context.is_long { 10 } else { 1 };
    for round in 0..rounds {
        let ensemble = ensemble(&mut system)?;
        let leader = ensemble.leader().unwrap_or(0);
        for other in (0..3).filter(|other| *other != leader) {
            ensemble.cut(leader, other, true);
        }
        // Half of the nodes and one server know only the member that is alone.
        system.agents.iter().take(2).for_each(|agent| only_through(&agent.lines, leader));
        only_through(&system.servers[0].lines, leader);
        let name = format!("m{round}");
        system.deploy(&name, &[])?;
        wanted = wanted.stream(&name, 1, 1);
        last(Duration::from_secs(12));
        let ensemble = self::ensemble(&mut system)?;
        for other in (0..3).filter(|other| *other != leader) {
            ensemble.cut(leader, other, false);
        }
        let lines =
            system.agents.iter().take(2).chain(system.servers.iter().take(1)).flat_map(|role| &role.lines);
        lines.for_each(|line| line.cut(false));
        self::ensemble(&mut system)?.until_serving();
        system.converge(&wanted, REST)?;
        system.check_ledger(is_source)?;
    }
    Ok(())
}

fn embedded_restarted(context: &Context) -> Outcome {
    let (mut system, mut wanted) =
        context.busy(&Plan { zookeepers: 0, agent_flags: Vec::new(), ..Plan::default() }, 3)?;
    let before = system.pids();
    let rounds = if context.is_long { 20 } else { 3 };
    for round in 0..rounds {
        let name = format!("e{round}");
        system.deploy(&name, &[])?;
        wanted = wanted.stream(&name, 1, 1);
        if let Some(role) = &mut system.embedded {
            role.kill();
        }
        last(Duration::from_millis(context.choose(round, 1_500) as u64));
        system.start_embedded();
    }
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "apps were restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn at_rest(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    // Loads are told a minute after the start at most, and nodes that arrived settle.
    last(Duration::from_secs(if context.is_long { 90 } else { 20 }));
    let ensemble = ensemble(&mut system)?;
    let leader = ensemble.leader().unwrap_or(0);
    let before = ensemble.zxid(leader);
    let seconds = if context.is_long { 60 } else { 20 };
    last(Duration::from_secs(seconds));
    let (Some(before), Some(after)) = (before, ensemble.zxid(leader)) else {
        return Err(Failure::Broken("the ensemble does not tell its newest transaction".to_owned()));
    };
    ensure(after == before, || format!("I18: {} transactions in {seconds} s at rest", after - before))?;
    system.converge(&wanted, REST).map(drop)?;
    Ok(())
}
