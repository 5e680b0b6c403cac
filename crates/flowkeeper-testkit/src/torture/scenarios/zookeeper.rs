//! D: members of the ensemble, or all of them, die, stop, are cut off from each other.

use std::time::Duration;

use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::torture::{Ensemble, Plan, System};

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
    let ensemble = ensemble(&mut system)?;
    let leader = ensemble.leader().unwrap_or(0);
    ensemble.pause(leader, true);
    last(Duration::from_secs(3));
    ensemble.pause(leader, false);
    ensemble.until_serving();
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "apps were restarted".to_owned())?;
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
    last(Duration::from_secs(if context.is_long { 600 } else { 40 }));
    ensure(shared(&system) == before, || "I13: shared apps changed while ZooKeeper was gone".to_owned())?;
    let ensemble = ensemble(&mut system)?;
    ensemble.up_all();
    ensemble.until_serving();
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
