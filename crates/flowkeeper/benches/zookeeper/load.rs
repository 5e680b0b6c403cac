//! Load on a server: threads with a session each, and a window of requests on their way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flowkeeper_testkit::zookeeper::raw::Connection;
use flowkeeper_zk::proto::acl::{Acl, put_acl};
use flowkeeper_zk::proto::op::{self, create_flags};
use flowkeeper_zk::proto::{Encoder, ErrorCode};

use crate::server::rest;

/// Bytes of each node.
const DATA: [u8; 100] = [b'x'; 100];
/// Nodes per client on which gets and sets fall.
const NODES: u64 = 1_000;
/// Before anything is counted: caches, and the compiler of the JVM.
const WARM_UP: Duration = Duration::from_secs(2);
const SESSION_MS: i32 = 30_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Set,
    Create,
}

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) clients: usize,
    /// Requests of a client that are not answered yet.
    pub(crate) depth: usize,
    pub(crate) lasts: Lasts,
}

/// How long a load lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// After a warm-up, for so long.
    For(Duration),
    /// Until so many requests of each client are answered; nothing is measured.
    Until(u64),
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p99_ms: f64,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

fn open(addr: &str) -> Connection {
    Connection::open(addr, SESSION_MS, None).expect("a session")
}

fn put_create(connection: &mut Connection, path: &str, data: &[u8]) {
    connection.put(op::CREATE, |e: &mut Encoder<'_>| {
        e.string(path);
        e.buffer(Some(data));
        put_acl(e, &[Acl::open()]);
        e.i32(create_flags::PERSISTENT);
    });
}

/// A folder that nobody used before.
fn folder(addr: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = format!("/load{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = open(addr);
    put_create(&mut connection, &path, b"");
    connection.flush().expect("sent");
    let made = connection.receive_header().expect("answered");
    assert_eq!(made.err, ErrorCode::Ok.code(), "{path}");
    path
}

/// Runs a load and measures it.
pub(crate) fn run(addr: &str, load: &Load) -> Measured {
    let folder = folder(addr);
    let phase = AtomicU8::new(WARMING);
    let (mut times, mut took) = (Vec::new(), Duration::ZERO);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients)
            .map(|number| {
                let (phase, path) = (&phase, format!("{folder}/{number}"));
                scope.spawn(move || client(addr, load, &path, phase))
            })
            .collect();
        if let Lasts::For(time) = load.lasts {
            took = pass_through(&phase, time);
        }
        for client in clients {
            times.append(&mut client.join().expect("a client"));
        }
    });
    times.sort_unstable();
    let p99 = times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    Measured { per_second: times.len() as f64 / took.as_secs_f64(), p99_ms: f64::from(p99) / 1e3 }
}

/// Lets clients warm up, be measured for `time`, and end; gives how long was measured.
fn pass_through(phase: &AtomicU8, time: Duration) -> Duration {
    rest(WARM_UP);
    phase.store(MEASURING, Ordering::SeqCst);
    let began = Instant::now();
    rest(time);
    phase.store(OVER, Ordering::SeqCst);
    began.elapsed()
}

/// Keeps the window full until the end; gives the times of what was answered while it counted, in microseconds.
fn client(addr: &str, load: &Load, path: &str, phase: &AtomicU8) -> Vec<u32> {
    let mut connection = open(addr);
    put_create(&mut connection, path, b"");
    let nodes = if load.kind == Kind::Create { 0 } else { NODES };
    for number in 0..nodes {
        put_create(&mut connection, &format!("{path}/n{number}"), &DATA);
    }
    connection.flush().expect("sent");
    for _ in 0..=nodes {
        assert_eq!(connection.receive_header().expect("answered").err, ErrorCode::Ok.code());
    }
    let paths: Vec<String> = (0..nodes).map(|number| format!("{path}/n{number}")).collect();
    let mut sent = VecDeque::with_capacity(load.depth);
    let mut times = Vec::with_capacity(1 << 20);
    let mut count = 0u64;
    loop {
        let is_over = match load.lasts {
            Lasts::For(_) => phase.load(Ordering::Relaxed) == OVER,
            Lasts::Until(limit) => count >= limit,
        };
        if is_over && sent.is_empty() {
            return times;
        }
        while !is_over && sent.len() < load.depth {
            count += 1;
            // A step that meets all nodes, and no two in a row that lie side by side.
            let at = usize::try_from(count * 389 % NODES).unwrap_or(0);
            match load.kind {
                Kind::Create => put_create(&mut connection, &format!("{path}/c{count}"), &DATA),
                Kind::Get => drop(connection.put(op::GET_DATA, |e| {
                    e.string(&paths[at]);
                    e.bool(false);
                })),
                Kind::Set => drop(connection.put(op::SET_DATA, |e| {
                    e.string(&paths[at]);
                    e.buffer(Some(&DATA));
                    e.i32(-1);
                })),
            }
            sent.push_back(Instant::now());
        }
        connection.flush().expect("sent");
        loop {
            let answer = connection.receive_header().expect("answered");
            assert_eq!(answer.err, ErrorCode::Ok.code());
            let took = sent.pop_front().map(|at: Instant| at.elapsed()).unwrap_or_default();
            if phase.load(Ordering::Relaxed) == MEASURING {
                times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            }
            if !connection.has_answer() {
                break;
            }
        }
    }
}

/// Sessions opened and closed one after the other by each client, per second.
pub(crate) fn sessions(addr: &str, clients: usize, time: Duration) -> f64 {
    let phase = AtomicU8::new(WARMING);
    let count = AtomicU64::new(0);
    let mut took = Duration::ZERO;
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while phase.load(Ordering::Relaxed) != OVER {
                    let closed = open(addr).call(op::CLOSE_SESSION, |_| {}).expect("closed");
                    assert_eq!(closed.header.err, ErrorCode::Ok.code());
                    if phase.load(Ordering::Relaxed) == MEASURING {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        took = pass_through(&phase, time);
    });
    count.into_inner() as f64 / took.as_secs_f64()
}

/// Makes so many nodes of 100 bytes with paths of some 20, a thousand in each folder.
pub(crate) fn fill(addr: &str, nodes: usize) {
    const EACH: usize = 1_000;
    let folder = folder(addr);
    let mut connection = open(addr);
    for at in (0..nodes).step_by(EACH) {
        let path = format!("{folder}/{:05}", at / EACH);
        put_create(&mut connection, &path, b"");
        for number in 1..EACH {
            put_create(&mut connection, &format!("{path}/n{number:06}"), &DATA);
        }
        connection.flush().expect("sent");
        for _ in 0..EACH {
            assert_eq!(connection.receive_header().expect("answered").err, ErrorCode::Ok.code());
        }
    }
}
