//! B: the leader dies, stops, loses its line, hands over.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::http::Answer;
use crate::torture::txnlog::{late_leaders, leader_epoch, read};
use crate::torture::{Plan, System};
use crate::wait::{pause, until};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "B1",
        about: "the leader is killed while streams are being deployed: no accepted deployment is lost, no app restarts",
        is_short: true,
        run: killed_in_work,
    },
    Scenario {
        name: "B2",
        about: "the leader is stopped for longer than its session and goes on: its late writes are refused",
        is_short: true,
        run: stopped_and_continued,
    },
    Scenario {
        name: "B3",
        about: "the leader loses ZooKeeper but not its clients: it refuses changes, another leads",
        is_short: true,
        run: cut_off,
    },
    Scenario {
        name: "B4",
        about: "leaders are killed one after the other, each a second after it was elected",
        is_short: false,
        run: killed_in_turn,
    },
    Scenario {
        name: "B9",
        about: "the leadership is transferred again and again under load: no request fails, nothing moves",
        is_short: true,
        run: transferred,
    },
    Scenario {
        name: "B10",
        about: "all servers are down while a node dies: apps go on; after a start the lost ones run elsewhere",
        is_short: false,
        run: nobody_leads,
    },
];

/// The session of a server lasts 6 s.
const TAKE_OVER: Duration = Duration::from_secs(7);

pub(super) fn leader(system: &System) -> Result<(usize, u64), Failure> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match system.leader() {
            Some(found) => return Ok(found),
            None if Instant::now() > deadline => return Err(Failure::Broken("nobody leads".to_owned())),
            None => pause(),
        }
    }
}

/// Waits until somebody leads under a higher epoch; tells how long it took.
pub(super) fn next_leader(system: &System, before: u64) -> Result<(usize, u64, Duration), Failure> {
    let began = Instant::now();
    loop {
        match system.leader() {
            Some((own, epoch)) if epoch > before => return Ok((own, epoch, began.elapsed())),
            _ if began.elapsed() > Duration::from_secs(30) => {
                return Err(Failure::Broken(format!("nobody took over from epoch {before} within 30 s")));
            }
            _ => pause(),
        }
    }
}

/// I6: nothing was written under an epoch after a higher one had written.
pub(super) fn check_epochs(system: &System) -> Outcome {
    let Some(ensemble) = &system.ensemble else { return Ok(()) };
    let writes = read(&ensemble.log(0));
    let late = late_leaders(&writes, leader_epoch);
    ensure(!writes.is_empty(), || "the transaction log could not be read".to_owned())?;
    ensure(late.is_empty(), || format!("I6: a former leader wrote: {:?}", late[0]))
}

fn killed_in_work(context: &Context) -> Outcome {
    let (mut system, mut wanted) = context.busy(&Plan::default(), 4)?;
    let before = system.pids();
    let (own, epoch) = leader(&system)?;
    let more = if context.is_long { 50 } else { 12 };
    for number in 0..more {
        let name = format!("w{number}");
        system.deploy(&name, &[])?;
        wanted = wanted.stream(&name, 1, 1);
        if number == more / 2 {
            system.servers[own].kill();
        }
    }
    let (_, _, took) = next_leader(&system, epoch)?;
    ensure(took <= TAKE_OVER, || format!("the next leader took {took:?}"))?;
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "I12: apps were restarted".to_owned())?;
    system.start_server(own);
    system.converge(&wanted, REST)?;
    check_epochs(&system)?;
    Ok(system.check_ledger(is_source)?)
}

fn stopped_and_continued(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 3)?;
    let before = system.pids();
    let (own, epoch) = leader(&system)?;
    // Work is under way when it is stopped.
    system.create("late")?;
    system.deploy_existing("late", &[])?;
    system.servers[own].signal(Signal::STOP);
    let others: Vec<String> =
        system.apis().into_iter().filter(|api| system.servers[own].addr.as_ref() != Some(api)).collect();
    let led = |api: &String| {
        let answer = system.ask(api, "GET", "/api/v1/cluster", None)?;
        serde_json::from_str::<serde_json::Value>(&answer.body).ok()?["leader"]["epoch"].as_u64()
    };
    until("another server leads", || others.iter().filter_map(led).any(|found| found > epoch));
    last(Duration::from_secs(if context.is_long { 20 } else { 8 }));
    system.servers[own].signal(Signal::CONT);
    let wanted = wanted.stream("late", 1, 1);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "I12: apps were restarted".to_owned())?;
    check_epochs(&system)?;
    Ok(system.check_ledger(is_source)?)
}

fn cut_off(context: &Context) -> Outcome {
    let (system, wanted) = context.busy(&Plan::default(), 3)?;
    let before = system.pids();
    let (own, epoch) = leader(&system)?;
    let api = system.servers[own].addr.clone().unwrap_or_default();
    system.servers[own].cut_off(true);
    until("the cut off server refuses changes", || {
        let answer = system.ask(&api, "POST", "/streams/deployments/s0", Some(&serde_json::json!({})));
        answer.is_some_and(|answer| answer.status == 503 && !answer.header("retry-after").is_empty())
    });
    // Two seconds without a connection are no news.
    let since = Instant::now();
    let is_marked = |read: &Answer| read.status == 200 && !read.header("warning").is_empty();
    loop {
        let read = system.ask(&api, "GET", "/streams/definitions", None);
        if read.as_ref().is_some_and(is_marked) {
            break;
        }
        let is_answered = read.as_ref().is_some_and(|read| read.status == 200);
        ensure(is_answered && since.elapsed() < Duration::from_millis(2_500), || {
            format!("reads of a server that is cut off must be answered and marked stale: {read:?}")
        })?;
        pause();
    }
    let others: Vec<usize> = (0..system.servers.len()).filter(|other| *other != own).collect();
    let led = |other: &usize| {
        let answer = system.ask(system.servers[*other].addr.as_ref()?, "GET", "/api/v1/cluster", None)?;
        serde_json::from_str::<serde_json::Value>(&answer.body).ok()?["leader"]["epoch"].as_u64()
    };
    until("another server leads", || others.iter().filter_map(led).any(|found| found > epoch));
    system.servers[own].cut_off(false);
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "I12: apps were restarted".to_owned())?;
    check_epochs(&system)?;
    Ok(system.check_ledger(is_source)?)
}

fn killed_in_turn(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 4)?;
    let before = system.pids();
    let (_, first) = leader(&system)?;
    let rounds = if context.is_long { 10 } else { 4 };
    let mut epoch = first;
    for _ in 0..rounds {
        let (own, found) = leader(&system)?;
        epoch = found;
        last(Duration::from_secs(1));
        system.servers[own].kill();
        next_leader(&system, epoch)?;
        system.start_server(own);
    }
    system.converge(&wanted, REST)?;
    ensure(epoch >= first + rounds - 1, || format!("the epoch went from {first} to {epoch} only"))?;
    ensure(system.pids() == before, || "I12: apps were restarted".to_owned())?;
    check_epochs(&system)?;
    Ok(system.check_ledger(is_source)?)
}

fn transferred(context: &Context) -> Outcome {
    let (system, mut wanted) = context.busy(&Plan::default(), 3)?;
    let before = system.pids();
    let rounds = if context.is_long { 20 } else { 4 };
    for round in 0..rounds {
        let (_, epoch) = leader(&system)?;
        let api = system.apis()[context.choose(round, system.apis().len())].clone();
        let answer = system.ask(&api, "POST", "/api/v1/cluster/transfer-leadership", None);
        ensure(answer.as_ref().is_some_and(|answer| answer.status == 202), || {
            format!("no transfer: {answer:?}")
        })?;
        let name = format!("t{round}");
        // No second try: not one request may fail.
        let made = system.ask(
            &api,
            "POST",
            &format!("/streams/definitions?name={name}&definition=time%7Clog"),
            None,
        );
        ensure(made.as_ref().is_some_and(|answer| answer.status < 300), || {
            format!("a request failed: {made:?}")
        })?;
        let (_, _, took) = next_leader(&system, epoch)?;
        ensure(took < Duration::from_secs(1), || format!("a clean transfer took {took:?}"))?;
        system.deploy(&format!("d{round}"), &[])?;
        wanted = wanted.stream(&format!("d{round}"), 1, 1);
    }
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "something moved".to_owned())?;
    check_epochs(&system)
}

fn nobody_leads(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan::default(), 5)?;
    (0..system.servers.len()).for_each(|own| system.servers[own].kill());
    let victim = context.choose(1, system.agents.len());
    let lost: Vec<u32> = system.agents[victim].instance_pids();
    let kept: std::collections::BTreeSet<u32> =
        system.pids().into_iter().filter(|pid| !lost.contains(pid)).collect();
    system.kill_node(victim);
    last(Duration::from_secs(if context.is_long { 60 } else { 15 }));
    ensure(system.pids() == kept, || "I13: apps changed while no server ran".to_owned())?;
    (0..system.servers.len()).for_each(|own| system.start_server(own));
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&kept), || "I12: more than the lost apps was restarted".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}
