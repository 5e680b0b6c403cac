//! A: definitions under many clients, with servers and members of the ensemble dying: no acknowledged change is lost, none that
//! was refused happened, and all answers are those of one sequential store.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

use super::{Context, Failure, Outcome, Over, Scenario, ensure, last};
use crate::http::{Answer, exchange};
use crate::torture::ledger::now_ns;
use crate::torture::linear::{Call, Op, Outcome as Ended, check};
use crate::torture::{Plan, System};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "A1",
        about: "clients create, deploy, undeploy, delete and read a few names on three servers: linearizable",
        is_short: true,
        run: |context| histories(context, Nemesis::None),
    },
    Scenario {
        name: "A2",
        about: "the same while servers are killed and started again: linearizable",
        is_short: true,
        run: |context| histories(context, Nemesis::Servers),
    },
    Scenario {
        name: "A3",
        about: "the same while the ensemble's leader is killed again and again: linearizable",
        is_short: false,
        run: |context| histories(context, Nemesis::Leaders),
    },
    Scenario {
        name: "A4",
        about: "the same while a follower is cut off from its leader, with clients on it: linearizable",
        is_short: false,
        run: |context| histories(context, Nemesis::Follower),
    },
    Scenario {
        name: "A5",
        about: "the same while lines to ZooKeeper are cut after requests were sent: linearizable",
        is_short: true,
        run: |context| histories(context, Nemesis::Lines),
    },
];

/// Who does harm meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nemesis {
    None,
    Servers,
    Leaders,
    Follower,
    Lines,
}

const CLIENTS: u64 = 6;
/// Few names, so that clients meet.
const NAMES: usize = 8;

fn histories(context: &Context, nemesis: Nemesis) -> Outcome {
    // Without agents nothing runs, so that a deletion is not waited for.
    let mut system = context.system(&Plan { agents: 0, ..Plan::default() })?;
    let took = Duration::from_secs(if context.is_long { 120 } else { 12 });
    let history: Mutex<BTreeMap<String, Vec<Call>>> = Mutex::default();
    let is_over = AtomicBool::new(false);
    let apis = Mutex::new(system.apis());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (history, is_over, apis) = (&history, &is_over, &apis);
            let definition = definition(&system);
            scope.spawn(move || {
                let mut step = 0;
                while !is_over.load(Ordering::Relaxed) {
                    step += 1;
                    let salt = client << 32 | step;
                    let api = {
                        let apis = apis.lock().expect("lock");
                        if apis.is_empty() {
                            continue;
                        }
                        apis[context.choose(salt, apis.len())].clone()
                    };
                    let name = format!("n{}", context.choose(salt ^ 0xa5, NAMES));
                    let call = act(
                        &api,
                        &name,
                        &format!("{client}-{step}"),
                        &definition,
                        context.choose(salt ^ 0x77, 10),
                    );
                    if let Some(call) = call {
                        if call.outcome == Ended::Unknown {
                            // What is asked again and again while nobody can know only makes the search longer.
                            last(Duration::from_millis(200));
                        }
                        history.lock().expect("lock").entry(name).or_default().push(call);
                    }
                }
            });
        }
        let _over = Over(&is_over);
        harm(context, &mut system, nemesis, took, &apis);
    });
    let mut history = history.into_inner().expect("lock");
    let done = history.values().flatten().filter(|call| call.outcome == Ended::Done).count();
    ensure(done > 50, || format!("only {done} changes were made: nothing was proved"))?;
    for (name, calls) in &mut history {
        // A read without an answer tells nothing.
        calls.retain(|call| call.op != Op::Read || call.outcome != Ended::Unknown);
        let Err(what) = check(calls) else { continue };
        calls.retain(|call| call.outcome != Ended::Refused);
        let kind = if check(calls).is_ok() { "a refusal was wrong" } else { "even without refusals" };
        return Err(Failure::Broken(format!("I4: {name}, {kind}: {what}")));
    }
    Ok(())
}

fn harm(context: &Context, system: &mut System, nemesis: Nemesis, took: Duration, apis: &Mutex<Vec<String>>) {
    let began = std::time::Instant::now();
    let mut round = 0;
    while began.elapsed() < took {
        round += 1;
        let at = context.choose(1000 + round, 3);
        match nemesis {
            Nemesis::None => last(Duration::from_secs(1)),
            Nemesis::Servers => {
                last(Duration::from_secs(2));
                system.servers[at].kill();
                last(Duration::from_millis(500));
                system.start_server(at);
                *apis.lock().expect("lock") = system.apis();
            }
            Nemesis::Leaders => {
                last(Duration::from_secs(4));
                if let Some(ensemble) = &mut system.ensemble {
                    let leader = ensemble.leader().unwrap_or(0);
                    ensemble.kill(leader);
                    last(Duration::from_secs(2));
                    ensemble.up(leader);
                }
            }
            Nemesis::Follower => {
                if let Some(ensemble) = &system.ensemble {
                    let leader = ensemble.leader().unwrap_or(0);
                    let follower = (leader + 1) % ensemble.len();
                    ensemble.cut(leader, follower, true);
                    last(Duration::from_secs(8));
                    ensemble.cut(leader, follower, false);
                }
                last(Duration::from_secs(3));
            }
            Nemesis::Lines => {
                last(Duration::from_millis(700));
                system.servers[at].lines.iter().for_each(|line| line.cut(false));
            }
        }
    }
}

fn definition(system: &System) -> String {
    format!("in:%20probe%20--oracle={0}%7Cout:%20probe%20--oracle={0}", system.oracle().display())
}

/// One request, as one of the operations of the model; `None`: it says of itself that it changed nothing and tells nothing.
fn act(api: &str, name: &str, text: &str, definition: &str, choice: usize) -> Option<Call> {
    let from_ns = now_ns();
    let (op, answer) = match choice {
        0 | 1 => {
            let path = format!("/streams/definitions?name={name}&definition={definition}&description={text}");
            (Op::Create(text.to_owned()), send(api, "POST", &path))
        }
        2 | 3 => (Op::Deploy, send(api, "POST", &format!("/streams/deployments/{name}"))),
        4 => (Op::Undeploy, send(api, "DELETE", &format!("/streams/deployments/{name}"))),
        5 => (Op::Delete, send(api, "DELETE", &format!("/streams/definitions/{name}"))),
        _ => (Op::Read, send(api, "GET", &format!("/streams/definitions/{name}?consistency=strong"))),
    };
    // "Somebody else changes it at the same time", "somebody holds its lock" say nothing about the state.
    let says = |what: &str| answer.as_ref().is_some_and(|answer| answer.body.contains(what));
    if says("ConcurrentModificationException") || says("LockedException") {
        return None;
    }
    let outcome = outcome(&op, answer.as_ref());
    // A name that is still being removed is waited for half a minute, and then refused as one that exists.
    if outcome == Ended::Refused && now_ns() - from_ns > 29_000_000_000 {
        return None;
    }
    let why =
        answer.filter(|_| outcome == Ended::Refused).map(|answer| answer.body.chars().take(120).collect());
    Some(Call { op, outcome, from_ns, to_ns: now_ns(), why: why.unwrap_or_default() })
}

fn send(api: &str, method: &str, path: &str) -> Option<Answer> {
    let body = (method == "POST" && path.contains("deployments")).then_some("{}");
    let headers: &[_] = if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
    exchange(api, method, path, headers, body).ok()
}

fn outcome(op: &Op, answer: Option<&Answer>) -> Ended {
    let Some(answer) = answer else { return Ended::Unknown };
    match (op, answer.status) {
        (Op::Read, 200) => {
            let document: Json = serde_json::from_str(&answer.body).unwrap_or_default();
            let text = document["description"].as_str().unwrap_or_default().to_owned();
            Ended::Found(Some((text, document["status"] != "undeployed")))
        }
        (Op::Read, 404) => Ended::Found(None),
        (_, 200..=299) => Ended::Done,
        (_, 404 | 409) => Ended::Refused,
        _ => Ended::Unknown,
    }
}
