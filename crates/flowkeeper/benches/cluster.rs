//! The figures of a cluster: how long nobody leads, how long instances of a lost node are missing, how long a change takes until
//! every server shows it, and what ten thousand streams cost.
//!
//! `cargo bench -p flowkeeper --bench cluster` prints them as a table; `docs/benchmarks.md` keeps them. Real processes on an
//! Apache ensemble of three, all on one machine that should do nothing else. Names of parts (`leader`, `node`, `update`, `scale`,
//! `definitions`) choose what is measured. The probe is built by `cargo build -p flowkeeper-testkit --bins --profile bench`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "cluster/populate.rs"]
mod populate;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flowkeeper_testkit::http::exchange;
use flowkeeper_testkit::torture::{Plan, System, Wanted};
use flowkeeper_testkit::wait::{pause, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowkeeper");
const ROUNDS: usize = 5;
/// Changes per second, and for how long.
const RATE: u64 = 100;
const LOAD: Duration = Duration::from_secs(20);
const STREAMS: usize = 10_000;
const NODES: usize = 100;
const DEFINITIONS: usize = 100_000;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    println!("| figure | target | measured |\n| --- | --- | --- |");
    if is_asked("leader") {
        leader();
    }
    if is_asked("node") {
        node();
    }
    if is_asked("update") {
        update();
    }
    if is_asked("scale") {
        scale();
    }
    if is_asked("definitions") {
        definitions();
    }
}

fn row(figure: &str, target: &str, measured: &str) {
    println!("| {figure} | {target} | {measured} |");
}

/// The probe, beside which Cargo puts it.
fn probe() -> PathBuf {
    let folder = Path::new(PROGRAM).parent().expect("a folder");
    let probe = folder.join("probe");
    assert!(
        probe.exists(),
        "build the probe first: cargo build -p flowkeeper-testkit --bins --profile bench"
    );
    probe
}

fn system(folder: &Path, plan: &Plan) -> System {
    let system = System::start(Path::new(PROGRAM), &probe(), folder, plan).expect("Apache ZooKeeper");
    system.register_probe().expect("registered");
    system
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    format!("{} median, {} worst of {}", ms(times[times.len() / 2]), ms(times[times.len() - 1]), times.len())
}

/// Kills the leader and transfers the leadership; what counts is the first order that the next leader writes.
fn leader() {
    let folder = tempfile::tempdir().expect("folder");
    let mut system = system(folder.path(), &Plan { agents: 1, ..Plan::default() });
    let (mut kills, mut transfers) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        until("somebody leads", || system.leader().is_some());
        let (own, _) = system.leader().expect("leads");
        system.servers[own].kill();
        let began = Instant::now();
        let name = format!("k{round}");
        system.deploy(&name, &[]).expect("accepted");
        until("the next leader acts", || {
            system.placement().is_ok_and(|placed| placed.keys().any(|id| id.starts_with(&format!("{name}."))))
        });
        kills.push(began.elapsed());
        system.start_server(own);
    }
    for _ in 0..ROUNDS {
        let began = Instant::now();
        system.request("POST", "/api/v1/cluster/transfer-leadership", None).expect("transferred");
        transfers.push(began.elapsed());
    }
    row("leader killed to first order of the next (session 6 s)", "<= 7 s", &spread(&mut kills));
    row("clean transfer of the leadership", "< 1 s", &spread(&mut transfers));
}

/// Cuts the power of a node: until all that it ran runs elsewhere.
fn node() {
    let mut times = Vec::new();
    for _ in 0..3 {
        let folder = tempfile::tempdir().expect("folder");
        let mut system = system(folder.path(), &Plan { servers: 2, agents: 4, ..Plan::default() });
        let mut wanted = Wanted::default();
        for number in 0..6 {
            let name = format!("s{number}");
            system.deploy(&name, &[("deployer.out.count", "2")]).expect("deployed");
            wanted = wanted.stream(&name, 1, 2);
        }
        system.converge(&wanted, Duration::from_secs(60)).expect("at rest");
        let fullest = (0..4).max_by_key(|node| system.agents[*node].instance_pids().len()).expect("nodes");
        // Sources are strict; sinks, of which another copy runs, are given ten seconds for their node's return.
        let lost = |system: &System| system.probes().keys().filter(|id| id.contains(".in-")).count();
        system.kill_node(fullest);
        let began = Instant::now();
        until("all sources run again", || lost(&system) == 6);
        times.push(began.elapsed());
    }
    row(
        "power cut to strict instances running elsewhere (session 6 s, `fast` profile)",
        "<= 9 s + app start",
        &spread(&mut times),
    );
}

/// Changes at a fixed rate through three servers in turn: from sending one until the last server shows it.
fn update() {
    let folder = tempfile::tempdir().expect("folder");
    let system = system(folder.path(), &Plan { agents: 0, ..Plan::default() });
    let apis = system.apis();
    let count = RATE * LOAD.as_secs();
    let began = Instant::now();
    let times = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let due = began + Duration::from_millis(number * 1000 / RATE);
                    // By the clock, and asleep: the machine belongs to what is measured.
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a rate, not a wait for something to happen"
                    )]
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let time = one_update(&apis, number);
                    times.lock().expect("lock").push(time);
                }
            });
        }
    });
    let mut times = times.into_inner().expect("lock");
    times.sort_unstable();
    let at = |share: f64| ms(times[((times.len() - 1) as f64 * share) as usize]);
    let took = began.elapsed().as_secs_f64();
    row(
        "T_update at 100 changes/s, three servers: sent until the last server shows it",
        "p50 < 15 ms, p99 < 80 ms",
        &format!("p50 {}, p99 {} at {:.0}/s", at(0.5), at(0.99), times.len() as f64 / took),
    );
}

fn one_update(apis: &[String], number: u64) -> Duration {
    let first = usize::try_from(number).unwrap_or(0) % apis.len();
    let began = Instant::now();
    let path = format!("/streams/definitions?name=u{number}&definition=time%7Clog");
    let made = exchange(&apis[first], "POST", &path, &[], None).expect("answered");
    assert!(made.status < 300, "{}", made.body);
    let zxid = made.header("x-flowkeeper-zxid").to_owned();
    for other in (0..apis.len()).filter(|other| *other != first) {
        let path = format!("/streams/definitions/u{number}");
        let seen =
            exchange(&apis[other], "GET", &path, &[("X-Flowkeeper-Zxid", &zxid)], None).expect("answered");
        assert_eq!(seen.status, 200, "{}", seen.body);
    }
    began.elapsed()
}

/// Ten thousand streams on a hundred simulated nodes.
fn scale() {
    let folder = tempfile::tempdir().expect("folder");
    let mut system = system(folder.path(), &Plan { agents: 0, servers: 2, ..Plan::default() });
    let ensemble = system.ensemble.as_ref().expect("an ensemble");
    let hosts = ensemble.client(0).to_string();
    let nodes = populate::deployed(&hosts, STREAMS, NODES);
    (0..2).for_each(|own| system.servers[own].kill());
    let began = Instant::now();
    system.start_server(0);
    row("10,000 streams, 100 nodes: cold start of a server", "< 5 s", &ms(began.elapsed()));
    system.start_server(1);
    until("somebody leads", || system.leader().is_some());
    let (own, epoch) = system.leader().expect("leads");
    until("the leader has looked at everything", || passes(&system, own).is_some());
    system.servers[own].kill();
    until("the other one leads", || system.leader().is_some_and(|(_, found)| found > epoch));
    let other = 1 - own;
    until("the next leader has looked at everything", || passes(&system, other).is_some());
    let (count, sum) = passes(&system, other).expect("measured");
    row("the same: take-over pass over all streams", "< 1 s", &ms(Duration::from_secs_f64(sum / count)));
    let settled = Duration::from_secs(5);
    rest(settled);
    let before = zxid(&system);
    rest(Duration::from_secs(60));
    row("the same: writes to ZooKeeper in 60 s at rest", "0", &(zxid(&system) - before).to_string());
    let pid = system.servers[other].pid().expect("runs");
    row("the same: resident memory of a server", "< 250 MB", &megabytes(pid));
    drop(nodes);
}

/// A hundred thousand definitions.
fn definitions() {
    let folder = tempfile::tempdir().expect("folder");
    let mut system = system(folder.path(), &Plan { agents: 0, servers: 1, ..Plan::default() });
    let hosts = system.ensemble.as_ref().expect("an ensemble").client(0).to_string();
    populate::defined(&hosts, DEFINITIONS);
    system.servers[0].kill();
    let began = Instant::now();
    system.start_server(0);
    row("100,000 definitions: start of a server", "< 10 s", &ms(began.elapsed()));
    let pid = system.servers[0].pid().expect("runs");
    row("the same: resident memory of the server", "", &megabytes(pid));
}

/// How many looks at all streams a server has made as a leader, and the seconds they took together.
fn passes(system: &System, own: usize) -> Option<(f64, f64)> {
    let api = system.servers[own].addr.clone()?;
    let text = exchange(&api, "GET", "/metrics", &[], None).ok()?.body;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse::<f64>().ok()
    };
    let count = value("flowkeeper_leader_pass_seconds_count").filter(|count| *count > 0.0)?;
    Some((count, value("flowkeeper_leader_pass_seconds_sum")?))
}

/// The newest transaction of the ensemble.
fn zxid(system: &System) -> i64 {
    let ensemble = system.ensemble.as_ref().expect("an ensemble");
    let answer = flowkeeper_testkit::torture::ensemble::four(ensemble.client(0), "srvr").expect("answers");
    let line = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).expect("a zxid");
    i64::from_str_radix(line.trim(), 16).expect("hex")
}

fn megabytes(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident");
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    format!("{:.1} MB", kib / 1024.0)
}

/// Lets time pass in which nothing is to happen.
fn rest(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        pause();
    }
}
