//! G: changes that meet each other or a fault: exactly one wins, the other is told why, and everything ends as the last one said.

use std::time::Duration;

use serde_json::{Value, json};

use super::leader::leader;
use super::node::fullest;
use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::http::Answer;
use crate::torture::{Plan, System, Wanted};
use crate::wait::{pause, until};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "G2",
        about: "leader and a node's agent are killed together in the middle of operations, and started again: all of them end well",
        is_short: false,
        run: both_killed,
    },
    Scenario {
        name: "G3",
        about: "pairs of changes of one stream at once, through two servers: one wins, the other is refused with a reason",
        is_short: true,
        run: pairs,
    },
    Scenario {
        name: "G4",
        about: "updates that do not become healthy, that are given up, that lose a node: the release that worked runs on",
        is_short: false,
        run: updates,
    },
];

/// Two requests at the same moment, at two servers.
fn race(
    system: &System,
    one: (&str, &str, Option<Value>),
    other: (&str, &str, Option<Value>),
) -> Result<[Answer; 2], Failure> {
    let apis = system.apis();
    let ask = |api: &str, (method, path, body): &(&str, &str, Option<Value>)| {
        system.ask(api, method, path, body.as_ref())
    };
    let answers = std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&apis[0], &one));
        let second = ask(&apis[1 % apis.len()], &other);
        [first.join().ok().flatten(), second]
    });
    let [Some(first), Some(second)] = answers else {
        return Err(Failure::Broken(format!("no answer to {} {} or {} {}", one.0, one.1, other.0, other.1)));
    };
    Ok([first, second])
}

fn is_won(answer: &Answer) -> bool {
    answer.status < 300
}

/// A refusal that tells why.
fn is_told(answer: &Answer) -> bool {
    matches!(answer.status, 404 | 409) && answer.body.contains("message")
}

fn pairs(context: &Context) -> Outcome {
    let (mut system, _) = context.busy(&Plan { agents: 3, ..Plan::default() }, 1)?;
    let mut wanted = Wanted::default().stream("s0", 1, 2);
    let rounds = if context.is_long { 100 } else { 3 };
    for round in 0..rounds {
        let name = format!("g{round}");
        system.create(&name)?;
        let (deployment, definition) =
            (format!("/streams/deployments/{name}"), format!("/streams/definitions/{name}"));
        // Two deployments: exactly one.
        let answers =
            race(&system, ("POST", &deployment, Some(json!({}))), ("POST", &deployment, Some(json!({}))))?;
        let won = answers.iter().filter(|answer| is_won(answer)).count();
        let told = answers.iter().filter(|answer| answer.status == 409 && is_told(answer)).count();
        ensure(won == 1 && told == 1, || format!("G3: two deployments at once: {answers:?}"))?;
        until("it is deployed", || system.status(&name) == "deployed");
        // A deployment and an undeployment of what runs: the undeployment wins, or comes before the deployment.
        let answers = race(&system, ("POST", &deployment, Some(json!({}))), ("DELETE", &deployment, None))?;
        ensure(is_won(&answers[1]) && (is_won(&answers[0]) || is_told(&answers[0])), || {
            format!("G3: deployment and undeployment at once: {answers:?}")
        })?;
        let is_running = is_won(&answers[0]);
        let word = if is_running { "deployed" } else { "undeployed" };
        until("it is as the winner said", || system.status(&name) == word);
        if !is_running {
            system.deploy_existing(&name, &[])?;
            until("it is deployed again", || system.status(&name) == "deployed");
        }
        // An update and its destruction: destroyed in the end, whatever became of the update.
        let update = json!({"releaseName": name, "updateProperties": {"app.out.more": format!("{round}")}});
        let path = format!("/streams/deployments/update/{name}");
        let answers = race(&system, ("POST", &path, Some(update)), ("DELETE", &definition, None))?;
        ensure(is_won(&answers[1]) && (is_won(&answers[0]) || is_told(&answers[0])), || {
            format!("G3: update and destruction at once: {answers:?}")
        })?;
        until("it is destroyed", || {
            system.apis().iter().all(|api| {
                system.ask(api, "GET", &definition, None).is_some_and(|answer| answer.status == 404)
            })
        });
    }
    system.converge(&wanted, REST)?;
    // A scale while a node dies, and an update while one is drained.
    let node = fullest(&system);
    let path = "/streams/deployments/scale/s0/out/instances/4";
    std::thread::scope(|scope| {
        let asked = scope
            .spawn(|| system.apis().iter().find_map(|api| system.ask(api, "POST", path, Some(&json!({})))));
        let pids = system.agents[node].instance_pids();
        pids.into_iter().for_each(|pid| crate::dev::signal(pid, rustix::process::Signal::KILL));
        asked.join().ok().flatten()
    })
    .filter(is_won)
    .ok_or_else(|| Failure::Broken("G3: a scale was refused while a node died".to_owned()))?;
    system.kill_node(node);
    wanted = wanted.stream("s0", 1, 4);
    system.converge(&wanted, REST)?;
    system.start_agent(node);
    let drained = (node + 1) % system.agents.len();
    let drain = format!("/api/v1/nodes/{}/drain", system.agents[drained].name);
    let update = json!({"releaseName": "s0", "updateProperties": {"app.out.more": "at-drain"}});
    let answers =
        race(&system, ("POST", "/streams/deployments/update/s0", Some(update)), ("POST", &drain, None))?;
    ensure(answers.iter().all(is_won), || format!("G3: update and drain at once: {answers:?}"))?;
    system.converge(&wanted, REST)?;
    let name = &system.agents[drained].name;
    ensure(system.placement()?.values().all(|node| node != name), || "a drained node is in use".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn update(system: &System, name: &str, properties: &[(&str, &str)]) -> Outcome {
    let properties: serde_json::Map<String, Value> =
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let body = json!({"releaseName": name, "updateProperties": properties});
    Ok(system.request("POST", &format!("/streams/deployments/update/{name}"), Some(&body)).map(drop)?)
}

/// States of the releases of a stream, newest first.
fn releases(system: &System, name: &str) -> Vec<String> {
    let history = system.get(&format!("/streams/deployments/history/{name}")).unwrap_or_default();
    let releases = history.as_array().cloned().unwrap_or_default();
    releases
        .iter()
        .map(|one| one["info"]["status"]["statusCode"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn updates(context: &Context) -> Outcome {
    let (mut system, wanted) = context.busy(&Plan { agents: 3, ..Plan::default() }, 2)?;
    // Not healthy.
    let before = system.pids();
    update(&system, "s0", &[("app.out.sick", "true"), ("deployer.out.health.timeout-seconds", "4")])?;
    until("the update failed", || releases(&system, "s0").first().is_some_and(|state| state == "FAILED"));
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "G4: a failed update cost apps that ran".to_owned())?;
    // Given up half-way.
    update(&system, "s0", &[("app.out.sick", "true")])?;
    until("its apps are started", || system.pids().len() > before.len());
    system.request("POST", "/api/v1/streams/s0/cancel", None)?;
    system.converge(&wanted, REST)?;
    ensure(system.pids() == before, || "G4: an update that was given up cost apps that ran".to_owned())?;
    // Loses a node in the middle, again and again; strict apps are replaced too.
    let rounds = if context.is_long { 10 } else { 2 };
    for round in 0..rounds {
        let text = format!("r{round}");
        update(
            &system,
            "s1",
            &[("app.out.more", &text), ("app.in.more", &text), ("deployer.in.exclusive", "strict")],
        )?;
        last(Duration::from_millis(context.choose(round, 1_200) as u64));
        let node = fullest(&system);
        system.kill_node(node);
        system.converge(&wanted, REST * 2)?;
        let states = releases(&system, "s1");
        ensure(states.iter().filter(|state| *state == "DEPLOYED").count() == 1, || {
            format!("G4: exactly one release must be the present one: {states:?}")
        })?;
        system.start_agent(node);
        system.converge(&wanted, REST)?;
        system.check_ledger(is_source)?;
    }
    // Back, and back from that.
    for _ in 0..2 {
        system.request("POST", "/streams/deployments/rollback/s1/0", None)?;
        system.converge(&wanted, REST)?;
    }
    Ok(system.check_ledger(is_source)?)
}

fn both_killed(context: &Context) -> Outcome {
    let (mut system, mut wanted) = context.busy(&Plan { agents: 3, ..Plan::default() }, 3)?;
    let rounds = if context.is_long { 60 } else { 5 };
    for round in 0..rounds {
        let name = format!("g{round}");
        match round % 5 {
            0 => {
                system.deploy(&name, &[])?;
                wanted = wanted.stream(&name, 1, 1);
            }
            1 => update(&system, "s1", &[("app.out.more", &name)])?,
            2 => {
                let count = 1 + context.choose(round, 4) as u32;
                let path = format!("/streams/deployments/scale/s2/out/instances/{count}");
                system.request("POST", &path, Some(&json!({})))?;
                wanted = wanted.stream("s2", 1, count);
            }
            3 => {
                system.request("DELETE", "/streams/definitions/s0", None)?;
                wanted = wanted.without("s0");
            }
            _ => {
                let deadline = std::time::Instant::now() + REST;
                while system.create("s0").is_err() {
                    ensure(std::time::Instant::now() < deadline, || "s0 is not free again".to_owned())?;
                    pause();
                }
                system.deploy_existing("s0", &[("deployer.out.count", "2")])?;
                wanted = wanted.stream("s0", 1, 2);
            }
        }
        last(Duration::from_millis(context.choose(round ^ 0x99, 400) as u64));
        let (own, _) = leader(&system)?;
        let node = context.choose(round ^ 0x1234, system.agents.len());
        system.servers[own].kill();
        system.agents[node].kill();
        system.start_server(own);
        system.start_agent(node);
        system.converge(&wanted, REST)?;
        system.check_ledger(is_source)?;
    }
    Ok(())
}
