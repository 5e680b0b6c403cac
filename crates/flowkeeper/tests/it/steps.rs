//! Every operation on a stream, interrupted at every step: the server dies before or after each of its writes reaches ZooKeeper,
//! another one takes over, and everything is either as before or as asked for, with nothing left over.
//!
//! A proxy stands between the server and ZooKeeper. It counts the writes that pass, and at the chosen one kills the server with
//! SIGKILL: before the write is handed on, or right after, so that its answer never arrives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use flowkeeper_testkit::dev::{is_alive, signal};
use flowkeeper_testkit::http::exchange;
use flowkeeper_testkit::wait::{until, until_value};

use rustix::process::Signal;

use crate::PROGRAM;

/// ZooKeeper's request type of a transaction.
const MULTI: i32 = 14;

/// A role as a process; killed with the value.
struct Role {
    child: Child,
    addr: String,
}

impl Role {
    fn start(args: &[&str], data: &Path) -> Role {
        let child = Command::new(PROGRAM)
            .args(args)
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut role = Role { child, addr: String::new() };
        for line in BufReader::new(role.child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            if let Some((_, found)) = line.split_once(" listening on ") {
                found.clone_into(&mut role.addr);
            }
            if line == "flowkeeper: ready" {
                return role;
            }
        }
        panic!("{args:?} ended before it was ready");
    }

    fn is_dead(&self) -> bool {
        !is_alive(self.child.id())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts down the server's writes and kills it.
#[derive(Default)]
struct Trap {
    /// Writes that may still pass; below zero: disarmed.
    left: AtomicI64,
    /// Whether the last write is handed on before the kill.
    after: std::sync::atomic::AtomicBool,
    victim: AtomicU32,
}

impl Trap {
    fn arm(&self, writes: i64, after: bool, victim: u32) {
        self.victim.store(victim, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
        self.left.store(writes, Ordering::SeqCst);
    }

    fn has_sprung(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// Called for each write.
    fn on_write(&self, hand_on: impl FnOnce()) {
        if self.left.load(Ordering::SeqCst) < 0 || self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return hand_on();
        }
        let victim = self.victim.load(Ordering::SeqCst);
        if self.after.load(Ordering::SeqCst) {
            hand_on();
        }
        signal(victim, Signal::KILL);
    }
}

/// A way to ZooKeeper on which the trap stands.
fn proxy(zookeeper: &str, trap: Arc<Trap>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = listener.local_addr().expect("an address");
    let zookeeper = zookeeper.to_owned();
    drop(std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&zookeeper) else { continue };
            let (mut back, mut front) =
                (server.try_clone().expect("cloned"), client.try_clone().expect("cloned"));
            drop(std::thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut front);
                let _ = front.shutdown(Shutdown::Both);
            }));
            let trap = trap.clone();
            drop(std::thread::spawn(move || forward(client, server, &trap)));
        }
    }));
    addr
}

/// Hands on packet by packet.
fn forward(mut client: TcpStream, mut server: TcpStream, trap: &Trap) {
    let mut is_first = true;
    loop {
        let mut head = [0; 4];
        if client.read_exact(&mut head).is_err() {
            break;
        }
        let mut packet = vec![0; u32::from_be_bytes(head) as usize];
        if client.read_exact(&mut packet).is_err() {
            break;
        }
        // After the handshake each packet begins with the number and the type of the request.
        let kind = packet.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
        let mut hand_on = || {
            let _ = server.write_all(&head).and_then(|()| server.write_all(&packet));
        };
        if !is_first && kind == Some(MULTI) {
            trap.on_write(hand_on);
        } else {
            hand_on();
        }
        is_first = false;
    }
    let _ = server.shutdown(Shutdown::Both);
}

/// ZooKeeper, broker and an agent that live on; servers come and go.
struct World {
    _zookeeper: Role,
    broker: Role,
    agent: Role,
    trap: Arc<Trap>,
    /// Address of the proxy.
    through: String,
    folder: tempfile::TempDir,
}

impl World {
    fn start() -> World {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        let zookeeper = Role::start(&["zookeeper", "--zookeeper-listen", "127.0.0.1:0"], &path("zookeeper"));
        let broker = Role::start(&["broker", "--broker-listen", "127.0.0.1:0"], &path("broker"));
        let trap = Arc::new(Trap::default());
        trap.left.store(-1, Ordering::SeqCst);
        let through = proxy(&zookeeper.addr, trap.clone()).to_string();
        // A server lays out the tree that the agent needs.
        let mut world = World {
            agent: Role::start(&["zookeeper", "--zookeeper-listen", "127.0.0.1:0"], &path("none")),
            _zookeeper: zookeeper,
            broker,
            trap,
            through,
            folder,
        };
        let server = world.server();
        let hosts = world._zookeeper.addr.clone();
        world.agent =
            Role::start(&["agent", "--zookeeper", &hosts, "--name", "n"], &world.folder.path().join("agent"));
        drop(server);
        world
    }

    fn server(&self) -> Role {
        let args = [
            "server",
            "--listen",
            "127.0.0.1:0",
            "--zookeeper",
            &self.through,
            "--broker",
            &self.broker.addr,
        ];
        Role::start(&args, &self.folder.path().join("server"))
    }

    fn look(&self, server: &Role) -> Look {
        let (_, state) = ask(server, "GET", "/api/v1/streams/s", None).expect("answers");
        let orders = state["active"].as_u64().unwrap_or(0);
        Look { running: self.running(), orders, is_replacing: !state["replaces"].is_null() }
    }

    /// Names of instances whose process runs.
    fn running(&self) -> Vec<String> {
        let is_running = |state: &&serde_json::Value| {
            let pid = state["app"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            pid.is_some_and(is_alive)
        };
        let states = self.states();
        let name = |state: &serde_json::Value| state["name"].as_str().unwrap_or_default().to_owned();
        let mut alive: Vec<String> = states.iter().filter(is_running).map(name).collect();
        alive.sort_unstable();
        alive
    }

    /// What the shims wrote down, with the names of their instances.
    fn states(&self) -> Vec<serde_json::Value> {
        let instances = self.folder.path().join("agent/node/instances");
        let entries = std::fs::read_dir(instances).into_iter().flatten().flatten();
        let read = |entry: std::fs::DirEntry| {
            let state = std::fs::read(entry.path().join("state.json")).ok()?;
            let mut state: serde_json::Value = serde_json::from_slice(&state).ok()?;
            state["name"] = entry.file_name().to_string_lossy().into();
            Some(state)
        };
        entries.filter_map(read).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Without their agent nobody else ends them.
        for state in self.states() {
            for role in ["shim", "app"] {
                let pid = state[role]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                pid.into_iter().for_each(|pid| signal(pid, Signal::KILL));
            }
        }
    }
}

/// What there is of the stream.
#[derive(Debug)]
struct Look {
    /// Instances whose process runs.
    running: Vec<String>,
    /// Orders that stand; none when there is no stream.
    orders: u64,
    is_replacing: bool,
}

impl Look {
    /// Just these instances run, and there are orders for them and no others.
    fn is_settled(&self, wanted: &[String]) -> bool {
        self.running == wanted && self.orders == wanted.len() as u64 && !self.is_replacing
    }
}

/// Counts the requests that changed what is wanted of the stream; `None` when it is gone.
fn generation(server: &Role) -> Option<u64> {
    let (status, state) = ask(server, "GET", "/api/v1/streams/s", None)?;
    (status == 200).then(|| state["generation"].as_u64()).flatten()
}

fn ask(server: &Role, method: &str, path: &str, json: Option<&str>) -> Option<(u16, serde_json::Value)> {
    let headers = [("Accept", "application/json"), ("Content-Type", "application/json")];
    let answer = exchange(&server.addr, method, path, &headers, json).ok()?;
    Some((answer.status, serde_json::from_str(&answer.body).unwrap_or_default()))
}

/// What is asked for, and what runs when it was done.
type Operation = (&'static str, &'static str, &'static str, Option<&'static str>, &'static [&'static str]);

const OPERATIONS: [Operation; 7] = [
    ("deploy", "POST", "/streams/deployments/s", Some("{}"), &["s~log~v1~0", "s~time~v1~0"]),
    (
        "update",
        "POST",
        "/streams/deployments/update/s",
        Some(r#"{"updateProperties":{"app.log.logging.level.root":"WARN"}}"#),
        &["s~log~v2~0", "s~time~v1~0"],
    ),
    ("rollback", "POST", "/streams/deployments/rollback/s/0", None, &["s~log~v3~0", "s~time~v1~0"]),
    (
        "scale up",
        "POST",
        "/streams/deployments/scale/s/log/instances/2",
        None,
        &["s~log~v3~0", "s~log~v3~1", "s~time~v1~0"],
    ),
    (
        "scale down",
        "POST",
        "/streams/deployments/scale/s/log/instances/1",
        None,
        &["s~log~v3~0", "s~time~v1~0"],
    ),
    ("undeploy", "DELETE", "/streams/deployments/s", None, &[]),
    ("destroy", "DELETE", "/streams/definitions/s", None, &[]),
];

/// Writes of the server at which each operation is interrupted: its own, and those of the leader that follow from it.
const STEPS: i64 = 4;

#[test]
fn every_operation_may_lose_every_write() {
    let world = World::start();
    (0..STEPS).for_each(|step| interrupt_all(&world, step, false));
}

#[test]
fn every_operation_may_lose_the_answer_to_every_write() {
    let world = World::start();
    (0..STEPS).for_each(|step| interrupt_all(&world, step, true));
}

/// Runs all operations on one stream, each interrupted at its write number `step`.
fn interrupt_all(world: &World, step: i64, after: bool) {
    let mut server = world.server();
    // The leader registers the bundled apps.
    until("the stream is created", || {
        let created =
            ask(&server, "POST", "/streams/definitions?name=s&definition=time%20%7C%20log", Some("{}"));
        created.is_some_and(|(status, _)| status == 201)
    });
    let mut before: Vec<String> = Vec::new();
    for (name, method, path, body, expected) in OPERATIONS {
        let what = format!("{name}, write {step}, {}", if after { "handed on" } else { "lost" });
        let generation_before = generation(&server).expect("the stream is there");
        world.trap.arm(step, after, server.child.id());
        let answer = ask(&server, method, path, body);
        // What follows from an operation takes a while; some operations have fewer writes than others.
        let is_settled = || world.running() == *expected;
        until(&format!("{what}: the trap springs, or all is done after {answer:?}"), || {
            server.is_dead() || (!world.trap.has_sprung() && is_settled())
        });
        world.trap.left.store(-1, Ordering::SeqCst);
        drop(server);
        server = world.server();
        // Acknowledged means written; not acknowledged means written or not. What was written is carried out, whoever leads.
        let is_acknowledged = answer.is_some_and(|(status, _)| status < 300);
        let is_written = generation(&server) != Some(generation_before);
        assert!(is_written || !is_acknowledged, "{what}: acknowledged and not written");
        let wanted: &[String] =
            &if is_written { expected.iter().map(ToString::to_string).collect() } else { before.clone() };
        until_value(&what, || world.look(&server), |found| found.is_settled(wanted));
        if !is_written {
            let again = ask(&server, method, path, body);
            assert!(again.as_ref().is_some_and(|(status, _)| *status < 300), "{what}: again: {again:?}");
            until_value(
                &format!("{what}: the second time"),
                || world.running(),
                |running| running == expected,
            );
        }
        before = world.running();
    }
    let streams = || {
        ask(&server, "GET", "/streams/definitions", None)
            .map(|(_, page)| page["page"]["totalElements"].clone())
    };
    until_value("nothing is left", streams, |left| *left == Some(0.into()));
}
