//! The embedded ZooKeeper server against Apache's, in the same run on the same machine.
//!
//! `cargo bench -p flowkeeper --bench zookeeper` prints a table with both and their ratio; `docs/benchmarks.md` keeps it. Both
//! are processes of their own on empty folders, with every write on the disk before it is acknowledged; the load comes from
//! threads of this program on the same machine, over loopback. They take turns, and the best of three counts. Names of parts
//! (`start`, `load`, `sessions`, `watchers`, `memory`) choose what is measured. Apache's server comes from `peers/zookeeper`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "zookeeper/load.rs"]
mod load;
#[path = "zookeeper/server.rs"]
mod server;
#[path = "zookeeper/watchers.rs"]
mod watchers;

use std::time::Duration;

use load::{Kind, Lasts, Load};
use server::{Own, Peer, Server};

const TURNS: usize = 3;
const MEASURED: Duration = Duration::from_secs(4);
/// Nodes of 100 bytes for the figures of memory and restart.
const NODES: usize = 600_000;

/// How two figures are compared.
#[derive(Clone, Copy)]
enum Target {
    /// Ours is to be so many times as high.
    Times(f64),
    /// Ours is to be such a share.
    Share(f64),
    /// Ours is to be no more than this, whatever the peer's is.
    Most(f64),
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    if Peer::fresh().is_none() {
        println!("skipped: Apache ZooKeeper cannot be had here");
        return;
    }
    println!("| figure | target | Apache 3.9.5 | ours | ratio |\n| --- | --- | --- | --- | --- |");
    if is_asked("start") {
        start();
    }
    if is_asked("load") {
        loads();
    }
    if is_asked("sessions") {
        let sessions = |server: &dyn Server| load::sessions(server.addr(), 8, MEASURED);
        best_of("sessions opened and closed, 8 clients, per second", Target::Times(3.0), &sessions, "");
    }
    if is_asked("watchers") {
        let lag = |server: &dyn Server| watchers::lag_ms(server.addr());
        best_of("1,000 watchers of one tree, 100 changes/s: p99 lag", Target::Share(0.5), &lag, " ms");
    }
    if is_asked("memory") {
        memory();
    }
}

fn row(figure: &str, target: Target, peer: f64, own: f64, unit: &str) {
    let (ratio, wanted, is_met) = match target {
        Target::Times(times) => (own / peer, format!(">= {times} x"), own >= peer * times),
        Target::Share(share) => (own / peer, format!("<= 1/{:.1}", 1.0 / share), own <= peer * share),
        Target::Most(most) => (own / peer, format!("<= {most}{unit}"), own <= most),
    };
    let show = |value: f64| match value {
        value if value >= 1_000.0 => format!("{value:.0}{unit}"),
        value if value >= 10.0 => format!("{value:.1}{unit}"),
        value => format!("{value:.2}{unit}"),
    };
    let shown = if ratio < 1.0 { format!("1/{:.1}", 1.0 / ratio) } else { format!("{ratio:.1} x") };
    let mark = if is_met { "" } else { " (missed)" };
    println!("| {figure} | {wanted} | {} | {} | {shown}{mark} |", show(peer), show(own));
}

/// Measures both in turns, each turn on fresh servers, and compares the best.
fn best_of(figure: &str, target: Target, measure: &dyn Fn(&dyn Server) -> f64, unit: &str) {
    let better = match target {
        Target::Times(_) => f64::max,
        Target::Share(_) | Target::Most(_) => f64::min,
    };
    let (mut peers, mut owns) = (None, None);
    for _ in 0..TURNS {
        let note =
            |best: &mut Option<f64>, value: f64| *best = Some(best.map_or(value, |best| better(best, value)));
        note(&mut peers, measure(&Peer::fresh().expect("it was had before")));
        note(&mut owns, measure(&Own::fresh()));
    }
    if let (Some(peer), Some(own)) = (peers, owns) {
        row(figure, target, peer, own, unit);
    }
}

/// From the start of the process to the first answer in a new session; and what it occupies when nothing happens.
fn start() {
    let started = |server: &dyn Server| server.started_ms();
    best_of("start to first answer, empty folder", Target::Share(1.0 / 25.0), &started, " ms");
    let idle = |server: &dyn Server| {
        server::rest(Duration::from_secs(2));
        server.resident_mb()
    };
    best_of("idle, resident memory", Target::Share(0.1), &idle, " MB");
}

fn loads() {
    let rate = |kind, clients, depth| {
        move |server: &dyn Server| {
            load::run(server.addr(), &Load { kind, clients, depth, lasts: Lasts::For(MEASURED) }).per_second
        }
    };
    for (figure, kind, clients, depth, times) in [
        ("get, 8 clients x 128 in flight, per second", Kind::Get, 8, 128, 2.5),
        ("set, 8 clients x 128 in flight, per second", Kind::Set, 8, 128, 2.5),
        ("create, 8 clients x 128 in flight, per second", Kind::Create, 8, 128, 2.5),
        ("set, one client, one in flight, per second", Kind::Set, 1, 1, 1.3),
    ] {
        best_of(figure, Target::Times(times), &rate(kind, clients, depth), "");
    }
    let p99 = |server: &dyn Server| {
        let load = Load { kind: Kind::Set, clients: 32, depth: 64, lasts: Lasts::For(MEASURED) };
        load::run(server.addr(), &load).p99_ms
    };
    best_of("set, 32 clients x 64 in flight: p99", Target::Share(1.0 / 3.0), &p99, " ms");
    let after = |server: &dyn Server| {
        // The same for both, however fast they are.
        for (kind, each) in [(Kind::Set, 50_000), (Kind::Get, 50_000), (Kind::Create, 20_000)] {
            load::run(server.addr(), &Load { kind, clients: 8, depth: 128, lasts: Lasts::Until(each) });
        }
        server.resident_mb()
    };
    best_of(
        "after 400,000 sets, 400,000 gets and 160,000 creates, resident memory",
        Target::Share(0.2),
        &after,
        " MB",
    );
}

/// What a node costs while the server lives, and how long it takes to read all of them again.
fn memory() {
    let (mut peer, mut own) = (Peer::fresh().expect("it was had before"), Own::fresh());
    let (peer_empty, own_empty) = (peer.live_bytes(), own.live_bytes());
    load::fill(peer.addr(), NODES);
    load::fill(own.addr(), NODES);
    let each = |full: f64, empty: f64| (full - empty) / NODES as f64;
    let (peer_each, own_each) = (each(peer.live_bytes(), peer_empty), each(own.live_bytes(), own_empty));
    row("live memory per node of 100 bytes", Target::Most(260.0), peer_each, own_each, " B");
    let (peer_restart, own_restart) = (peer.restart_ms(), own.restart_ms());
    row(
        "restart with 600,000 nodes, to the first answer",
        Target::Share(1.0 / 3.0),
        peer_restart,
        own_restart,
        " ms",
    );
    row("the same: resident memory", Target::Share(0.5), peer.resident_mb(), own.resident_mb(), " MB");
}
