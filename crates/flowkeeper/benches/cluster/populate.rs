//! Fills the metadata of a cluster as if everything had been deployed long ago: definitions, releases, placements, orders, and
//! nodes that say that all of it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use flowkeeper_deploy::znode;
use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_zk::recipes::{Connection, Options, Txn};
use serde_json::{Value, json};

/// Documents per transaction.
const PER_TXN: usize = 200;
const LABELS: [&str; 3] = ["http", "transform", "log"];

/// Simulated nodes; they live as long as this.
pub(crate) struct Nodes {
    _runtime: tokio::runtime::Runtime,
    _connection: Connection,
}

/// Streams of three apps that run on nodes, spread evenly.
pub(crate) fn deployed(hosts: &str, streams: usize, nodes: usize) -> Nodes {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let connection = runtime.block_on(async {
        let connection = connect(hosts).await;
        let node = |number: usize| NodeId(format!("sim{number:03}"));
        for number in 0..nodes {
            let txn = Txn::new()
                    .create(znode::node_registration(&node(number)), text(&json!({"v": 1, "inc": "one", "machine": "sim"})))
                    .create(znode::assignments(&node(number)), [])
                    .create(znode::statuses(&node(number)), [])
                    .create_ephemeral(
                        znode::node_live(&node(number)),
                        text(&json!({"v": 1, "inc": "one", "boot": "", "host": format!("h{number}"), "slots": 1000, "logs": "", "sw": ""})),
                    );
            commit(&connection, txn).await;
        }
        let mut buckets: BTreeMap<(usize, u8), serde_json::Map<String, Value>> = BTreeMap::new();
        for first in (0..streams).step_by(PER_TXN / 4) {
            let names: Vec<String> = (first..streams.min(first + PER_TXN / 4)).map(|n| format!("stream{n:05}")).collect();
            let txn = names.iter().fold(Txn::new(), |txn, name| {
                txn.create(znode::stream(name), text(&definition(name, "deployed", 1)))
                    .create(znode::release(name, 1), text(&release()))
            });
            // One transaction, so one life for all.
            let uid = format!("{:x}", commit(&connection, txn).await);
            let mut txn = Txn::new();
            for (offset, name) in names.iter().enumerate() {
                let mut apps = serde_json::Map::new();
                for (place, label) in LABELS.iter().enumerate() {
                    let number = (3 * (first + offset) + place) % nodes;
                    let instance = InstanceId::new(name, *label, 1, 0);
                    apps.insert((*label).into(), json!([{"i": 0, "node": node(number).0, "t": 1, "rel": 1, "at": "2026-01-01T00:00:00Z"}]));
                    let order = json!({"v": 1, "uid": uid, "t": 1, "rel": 1, "want": "run", "le": 1,
                        "x": if place == 0 { "strict" } else { "shared" }});
                    txn = txn.create(znode::assignment(&node(number), &instance), text(&order));
                    let status = json!({"t": 1, "rel": 1, "st": "RUNNING", "ready": true, "since": "2026-01-01T00:00:00Z"});
                    let bucket = buckets.entry((number, znode::bucket_of(&instance))).or_default();
                    bucket.insert(instance.to_string(), status);
                }
                let state = json!({"v": 1, "uid": uid, "gen": 1, "rel": 1, "le": 1, "apps": apps});
                txn = txn.create(znode::state(name), text(&state));
            }
            commit(&connection, txn).await;
        }
        for ((number, bucket), inst) in buckets {
            let document = text(&json!({"v": 1, "inc": "one", "inst": inst}));
            commit(&connection, Txn::new().create(znode::status_bucket(&node(number), bucket), document)).await;
        }
        connection
    });
    Nodes { _runtime: runtime, _connection: connection }
}

/// Definitions that were never deployed.
pub(crate) fn defined(hosts: &str, count: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let connection = connect(hosts).await;
        for first in (0..count).step_by(PER_TXN) {
            let names = (first..count.min(first + PER_TXN)).map(|n| format!("stream{n:06}"));
            let txn = names.fold(Txn::new(), |txn, name| {
                txn.create(znode::stream(&name), text(&definition(&name, "none", 0)))
            });
            commit(&connection, txn).await;
        }
    });
}

async fn connect(hosts: &str) -> Connection {
    let options = Options {
        session_timeout: Duration::from_secs(30),
        open_timeout: Duration::from_secs(10),
        hosts: format!("{hosts}/flowkeeper"),
        ..Options::default()
    };
    let (connection, driver) = Connection::open(options).await.expect("connected");
    #[expect(clippy::disallowed_methods, reason = "a bench; it ends with its runtime")]
    drop(tokio::spawn(driver.run()));
    connection
}

async fn commit(connection: &Connection, txn: Txn) -> i64 {
    connection.commit(txn).await.expect("committed").zxid
}

fn text(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

fn definition(name: &str, state: &str, release: u32) -> Value {
    json!({"v": 1, "name": name, "op": "bench", "at": "2026-01-01T00:00:00Z",
        "original": "http --server.port=0 | transform --expression=payload.toUpperCase() | log --name=a",
        "desc": "one of many", "want": {"state": state, "gen": release, "rel": release}})
}

fn release() -> Value {
    let app = |label: &str, kind: &str| {
        json!({"label": label, "type": kind, "app": label, "ver": "0.1.0", "uri": format!("builtin:{kind}/{label}"), "count": 1,
            "props": {"spring.cloud.stream.bindings.output.destination": "a.b", "spring.cloud.stream.bindings.input.group": "g",
                "spring.cloud.dataflow.stream.app.label": label, "management.metrics.tags.application.type": kind}})
    };
    json!({"v": 1, "n": 1, "from": "deploy", "dsl": "http | transform | log", "at": "2026-01-01T00:00:00Z",
        "apps": [app("http", "source"), app("transform", "processor"), app("log", "sink")]})
}
