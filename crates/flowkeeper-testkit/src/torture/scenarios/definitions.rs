//! A: single definitions and sets of them, seen from several servers: what was written is read, what is too large is refused, what
//! is one change happens whole, and whoever comes back under an old name is somebody else.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Context, Failure, Outcome, Over, REST, Scenario, ensure, is_source, last};
use crate::torture::{Plan, System, Wanted};
use crate::wait::pause;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "A6",
        about: "what one server has written another shows: at once to whoever brings the token, soon to everybody",
        is_short: false,
        run: own_writes,
    },
    Scenario {
        name: "A7",
        about: "documents of 200 KB to 2 MB and an import of 5,000 apps: taken or refused, and no connection breaks",
        is_short: true,
        run: sizes,
    },
    Scenario {
        name: "A9",
        about: "an app is unregistered while a stream that uses it is deployed: one of both is refused",
        is_short: false,
        run: app_goes,
    },
    Scenario {
        name: "A10",
        about: "two hundred streams are applied as one application while a server is killed: all or nothing",
        is_short: true,
        run: all_or_nothing,
    },
    Scenario {
        name: "A11",
        about: "lines of the servers are cut again and again while much is changed: all copies are the same afterwards",
        is_short: false,
        run: lost_watches,
    },
    Scenario {
        name: "A12",
        about: "a stream is destroyed and made anew while a node does not hear of it: nothing old is taken for new",
        is_short: false,
        run: same_name,
    },
];

fn no_agents() -> Plan {
    Plan { agents: 0, ..Plan::default() }
}

fn own_writes(context: &Context) -> Outcome {
    let system = context.system(&no_agents())?;
    let apis = system.apis();
    let rounds: u32 = if context.is_long { 200 } else { 40 };
    let mut lags = Vec::new();
    for round in 0..rounds {
        let (writer, reader) = (round as usize % apis.len(), (round as usize + 1) % apis.len());
        let name = format!("t{round}");
        let path = format!("/streams/definitions?name={name}&definition=time%7Clog");
        let made = system.ask(&apis[writer], "POST", &path, None);
        let made = made.filter(|answer| answer.status < 300);
        let Some(made) = made else { return Err(Failure::Broken(format!("{name} could not be made"))) };
        let began = Instant::now();
        let token = made.header("x-flowkeeper-zxid").to_owned();
        ensure(!token.is_empty(), || "I14: a change must tell its transaction".to_owned())?;
        let path = format!("/streams/definitions/{name}");
        let headers = [("X-Flowkeeper-Zxid", &*token)];
        if round % 2 == 0 {
            let read = crate::http::exchange(&apis[reader], "GET", &path, &headers, None);
            ensure(read.as_ref().is_ok_and(|answer| answer.status == 200), || {
                format!("I14: with the token of its creation {name} must be there: {read:?}")
            })?;
            continue;
        }
        while system.ask(&apis[reader], "GET", &path, None).is_none_or(|answer| answer.status != 200) {
            ensure(began.elapsed() < Duration::from_secs(5), || format!("{name} does not appear elsewhere"))?;
        }
        lags.push(began.elapsed());
        let own = system.ask(&apis[writer], "GET", &path, None);
        ensure(own.is_some_and(|answer| answer.status == 200), || "I14: not even its own write".to_owned())?;
    }
    lags.sort_unstable();
    let slowest = lags[lags.len() * 99 / 100];
    ensure(slowest < Duration::from_millis(100), || format!("without a token the lag is {slowest:?} (p99)"))
}

fn sizes(context: &Context) -> Outcome {
    let system = context.system(&no_agents())?;
    let api = system.apis()[0].clone();
    for kilobytes in [200_usize, 300, 511, 513, 2_000] {
        let name = format!("big{kilobytes}");
        system.create(&name)?;
        let body = json!({"app.out.text": "x".repeat(kilobytes << 10)});
        let answer = system.ask(&api, "POST", &format!("/streams/deployments/{name}"), Some(&body));
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let is_taken = (200..300).contains(&status);
        // A definition with its properties may have 256 KiB.
        let is_right = if kilobytes < 256 { is_taken } else { matches!(status, 400 | 413) };
        ensure(is_right, || {
            let said = answer.as_ref().map(|answer| answer.body.chars().take(300).collect::<String>());
            format!("a deployment with {kilobytes} KB: {status} {said:?}")
        })?;
        let word = system.status(&name);
        ensure((word != "undeployed") == is_taken, || {
            format!("{kilobytes} KB: {status}, and then it is {word}")
        })?;
        system.request("DELETE", &format!("/streams/definitions/{name}"), None)?;
    }
    let lines: Vec<String> = (0..5_000).map(|app| format!("source.many{app}=file:///many-1.0.jar")).collect();
    let body = format!("force=true&apps={}", lines.join("%0A"));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = crate::http::exchange(&api, "POST", "/apps", &headers, Some(&body));
    let status = answer.as_ref().map_or(0, |answer| answer.status);
    let listed = system.get("/apps?search=many&size=1")?["page"]["totalElements"].as_u64().unwrap_or(0);
    ensure((status < 300 && listed == 5_000) || ((400..500).contains(&status) && listed == 0), || {
        format!("an import of 5,000 apps: {status}, and {listed} of them are there")
    })?;
    for server in &system.servers {
        let log = server.log();
        let lost = log.lines().find(|line| line.contains("connection to zookeeper is lost"));
        ensure(lost.is_none(), || format!("a large document broke the line to ZooKeeper: {lost:?}"))?;
    }
    system.converge(&Wanted::default(), REST).map(drop)?;
    Ok(())
}

fn app_goes(context: &Context) -> Outcome {
    let system = context.system(&no_agents())?;
    let apis = system.apis();
    let rounds = if context.is_long { 1_000 } else { 60 };
    let (mut made, mut gone) = (0, 0);
    for round in 0..rounds {
        let app = format!("/apps/sink/brief/{round}");
        system.request("POST", &format!("{app}?uri=file://{}&force=true", system.probe.display()), None)?;
        system.request(
            "POST",
            &format!("/streams/definitions?name=b{round}&definition=time%7Cbrief"),
            None,
        )?;
        // What runs keeps its app; what was only defined may lose it, as in SCDF.
        let (stream, nothing) = (format!("/streams/deployments/b{round}"), json!({}));
        let (created, removed) = std::thread::scope(|scope| {
            let created = scope.spawn(|| system.ask(&apis[0], "POST", &stream, Some(&nothing)));
            last(Duration::from_millis(context.choose(round, 12) as u64));
            let removed = system.ask(&apis[1], "DELETE", &app, None);
            (created.join().ok().flatten(), removed)
        });
        let is_done = |answer: Option<crate::http::Answer>| answer.is_some_and(|answer| answer.status < 300);
        let (is_made, is_gone) = (is_done(created), is_done(removed));
        ensure(!is_made || !is_gone, || format!("A9: b{round} was deployed and its app was unregistered"))?;
        (made, gone) = (made + u32::from(is_made), gone + u32::from(is_gone));
        system.request("DELETE", &format!("/streams/definitions/b{round}"), None)?;
        // Where the stream was refused its app is gone already.
        let _ = system.request("DELETE", &app, None);
    }
    ensure(made > 0 && gone > 0, || format!("{made} made, {gone} gone: they never met"))
}

/// How many streams of the application `name` there are.
fn streams_of(system: &System, name: &str) -> Result<u64, String> {
    let path = format!("/streams/definitions?search={name}&size=1");
    Ok(system.get(&path)?["page"]["totalElements"].as_u64().unwrap_or(0))
}

fn all_or_nothing(context: &Context) -> Outcome {
    let mut system = context.system(&no_agents())?;
    const STREAMS: u64 = 200;
    let document = |name: &str, last: &str| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|number| {
                let definition = if number + 1 == STREAMS { last } else { "time | log" };
                json!({"name": format!("{name}-{number:03}"), "definition": definition})
            })
            .collect();
        json!({ "streams": streams })
    };
    // One bad item.
    let refused = system.request("PUT", "/api/v1/applications/bad", Some(&document("bad", "time | nobody")));
    ensure(refused.is_err(), || "an application with a wrong stream was taken".to_owned())?;
    let left = streams_of(&system, "bad-")?;
    ensure(left == 0, || format!("{left} streams of a refused application are there"))?;
    let rounds = if context.is_long { 30 } else { 6 };
    let (mut whole, mut nothing) = (0, 0);
    for round in 0..rounds {
        let name = format!("all{round:02}");
        let victim = context.choose(round, system.servers.len());
        let api = system.servers[victim].addr.clone().unwrap_or_default();
        let wait = Duration::from_millis(context.choose(round ^ 0xbeef, 120) as u64);
        let body = document(&name, "time | log").to_string();
        let headers = [("Content-Type", "application/json")];
        let answered = std::thread::scope(|scope| {
            let path = format!("/api/v1/applications/{name}");
            let request =
                scope.spawn(move || crate::http::exchange(&api, "PUT", &path, &headers, Some(&body)));
            last(wait);
            system.servers[victim].kill();
            request.join().ok().and_then(Result::ok).map(|answer| answer.status)
        });
        // What was on its way is committed by now or never, once its session is known to be gone or not: ask strongly.
        last(Duration::from_millis(300));
        let found = streams_of(&system, &format!("{name}-"))?;
        ensure(found == 0 || found == STREAMS, || format!("{found} of {STREAMS} streams are there"))?;
        ensure(answered != Some(201) || found == STREAMS, || {
            "an acknowledged application is gone".to_owned()
        })?;
        if found == STREAMS {
            whole += 1
        } else {
            nothing += 1
        }
        system.start_server(victim);
    }
    system.converge(&Wanted::default(), REST)?;
    ensure(whole + nothing == rounds, || format!("{whole} whole, {nothing} not at all"))
}

fn lost_watches(context: &Context) -> Outcome {
    let system = context.system(&no_agents())?;
    let rounds = if context.is_long { 50 } else { 12 };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let changes = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for client in 0..4_u64 {
            let (system, is_over, changes) = (&system, &is_over, &changes);
            scope.spawn(move || {
                let mut step = 0;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    step += 1;
                    let name = format!("w{client}-{}", context.choose(client << 32 | step, 30));
                    let (method, path) = if step % 2 == 0 {
                        ("DELETE", format!("/streams/definitions/{name}"))
                    } else {
                        ("POST", format!("/streams/definitions?name={name}&definition=time%7Clog"))
                    };
                    let api = &system.apis()[context.choose(step, system.servers.len())];
                    if system.ask(api, method, &path, None).is_some_and(|answer| answer.status < 300) {
                        changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
        let _over = Over(&is_over);
        for round in 0..rounds {
            last(Duration::from_millis(200 + context.choose(round, 400) as u64));
            let victim = context.choose(round ^ 7, system.servers.len());
            system.servers[victim].lines.iter().for_each(|line| line.cut(false));
        }
    });
    let changes = changes.into_inner();
    ensure(changes > 40, || format!("only {changes} changes were made: nothing was proved"))?;
    system.converge(&Wanted::default(), REST).map(drop)?;
    Ok(())
}

fn same_name(context: &Context) -> Outcome {
    let system = context.system(&Plan { agents: 3, ..Plan::default() })?;
    let rounds = if context.is_long { 20 } else { 4 };
    let properties = [("deployer.out.count", "3")];
    system.deploy("again", &properties)?;
    let wanted = Wanted::default().stream("again", 1, 3);
    for round in 0..rounds {
        system.converge(&wanted, REST)?;
        let before = system.pids();
        let deaf = context.choose(round, system.agents.len());
        system.agents[deaf].cut_off(true);
        system.request("DELETE", "/streams/definitions/again", None)?;
        // The name is free once nothing of the old one can run: not before the deaf node is given up, or hears again.
        last(Duration::from_millis(500 + context.choose(round ^ 3, 2_500) as u64));
        system.agents[deaf].cut_off(false);
        let deadline = Instant::now() + REST;
        while system.create("again").is_err() {
            ensure(Instant::now() < deadline, || {
                "the name of a destroyed stream does not become free".to_owned()
            })?;
            pause();
        }
        system.deploy_existing("again", &properties)?;
        system.converge(&wanted, REST)?;
        let kept: Vec<_> = system.pids().intersection(&before).copied().collect();
        ensure(kept.is_empty(), || format!("processes of the destroyed stream were taken over: {kept:?}"))?;
    }
    Ok(system.check_ledger(is_source)?)
}
