//! Streams that were changed together, against a real ZooKeeper: what one pass writes, and what makes it fail.

use flowkeeper_engine::model::NodeId;
use flowkeeper_zk::recipes::{Connection, Leadership, Options};
use flowkeeper_zk::server::{Config, Server, start};
use serde_json::json;

use super::*;
use crate::leader::election;
use crate::meta::{paths, prepare};
use crate::task::Tasks;

/// Two streams, `a` and `b`, whose releases 2 are to replace their releases 1 together; all instances have places and orders.
struct World {
    meta: Meta,
    metrics: Metrics,
    leadership: Leadership,
    _tasks: Tasks,
    _server: Server,
}

impl World {
    async fn start() -> World {
        let server = start(Config::default()).await.expect("started");
        let tasks = Tasks::new();
        let timeout = Duration::from_secs(6);
        let hosts = format!("{}/root", server.local_addr());
        let options =
            Options { hosts, session_timeout: timeout, open_timeout: timeout, ..Options::default() };
        let (connection, driver) = Connection::open(options).await.expect("connected");
        tasks.spawn("session", driver.run());
        prepare(&connection).await.expect("laid out");
        let metrics = Metrics::new();
        let (meta, follower) = Meta::new(connection, metrics.clone());
        tasks.spawn("follower", follower.run());
        meta.ready().await;
        let leadership = election(&meta, "s1", "").campaign().await.expect("an epoch").expect("elected");
        let world = World { meta, metrics, leadership, _tasks: tasks, _server: server };
        world.lay_out().await;
        world
    }

    async fn lay_out(&self) {
        let node = node();
        let members = ["a", "b"].map(|name| json!({"name": name, "dsl": "log", "rel": 2}));
        let application = json!({"name": "x", "streams": ["a", "b"], "rel": 1, "op": "o", "at": ""});
        let release = json!({"n": 1, "from": "apply", "at": "", "streams": members});
        let live = json!({"inc": "one", "boot": "", "host": "", "slots": 9, "logs": "", "sw": ""});
        self.commit([
            (paths::application("x"), application),
            (paths::application_release("x", 1), release),
            (znode::assignments(&node), json!({})),
            (znode::statuses(&node), json!({})),
            (znode::node_live(&node), live),
        ])
        .await;
        for (order, name) in ["a", "b"].into_iter().enumerate() {
            let release = |n: u32| {
                let app = json!({"label": "log", "type": "app", "app": "log", "ver": "1", "uri": "builtin:sink/log", "count": 1});
                let mut release =
                    json!({"n": n, "from": "apply", "dsl": "log", "at": clock::now(), "apps": [app]});
                if n == 2 {
                    release["replaces"] = json!(1);
                    release["group"] = json!({"application": "x", "release": 1, "order": order});
                }
                (znode::release(name, n), release)
            };
            self.commit([(znode::stream(name), stream(name)), release(1), release(2)]).await;
            let uid = self.meta.model().streams[name].uid.clone();
            let slot = |n: u32| json!({"i": 0, "node": "n1", "t": n, "rel": n});
            let state = json!({"uid": uid, "gen": 2, "rel": 1, "le": 1, "apps": {"log": [slot(1), slot(2)]}});
            let assignment = |n: u32| {
                let record = json!({"uid": uid, "t": n, "rel": n, "want": "run", "le": 1});
                (znode::assignment(&node, &InstanceId::new(name, "log", n, 0)), record)
            };
            self.commit([(znode::state(name), state), assignment(1), assignment(2)]).await;
        }
    }

    /// Creates documents and waits until the model shows them.
    async fn commit<const N: usize>(&self, documents: [(String, serde_json::Value); N]) {
        let txn = documents
            .into_iter()
            .fold(Txn::new(), |txn, (path, document)| txn.create(path, encode(&document)));
        self.write(txn).await.expect("written");
    }

    async fn write(&self, txn: Txn) -> Result<(), TxnError> {
        let committed = self.meta.connection().commit(txn).await?;
        assert!(self.meta.wait_applied(committed.zxid, SETTLE).await);
        Ok(())
    }

    /// Reports release 1 of both as healthy, and of release 2 what is said.
    async fn report(&self, a: &str, b: &str) {
        let node = node();
        for (name, state) in [("a", a), ("b", b)] {
            for (n, state) in [(1, "RUNNING"), (2, state)] {
                let instance = InstanceId::new(name, "log", n, 0);
                let status = json!({"t": n, "rel": n, "st": state, "ready": state == "RUNNING", "since": ""});
                let path = znode::status_bucket(&node, znode::bucket_of(&instance));
                // Some instances share a bucket.
                let client = self.meta.connection().client();
                let old = client.get_data(&path).await.ok();
                let mut bucket: serde_json::Value = old
                    .as_ref()
                    .and_then(|(data, _)| serde_json::from_slice(data).ok())
                    .unwrap_or(json!({"inc": "one", "inst": {}}));
                bucket["inst"][instance.to_string()] = status;
                let txn = match old {
                    Some(_) => Txn::new().set(path, encode(&bucket), None),
                    None => Txn::new().create(path, encode(&bucket)),
                };
                self.write(txn).await.expect("reported");
            }
        }
    }

    fn streams(&self) -> Streams<'_> {
        Streams {
            meta: &self.meta,
            metrics: &self.metrics,
            leadership: &self.leadership,
            deadlines: Mutex::default(),
            failures: Mutex::default(),
            unplaced: Mutex::default(),
            reservations: Reservations::default(),
        }
    }

    /// Release that runs and transaction of the last write, of each stream.
    async fn states(&self) -> [(u32, i64); 2] {
        let client = self.meta.connection().client();
        let mut states = [(0, 0); 2];
        for (name, found) in ["a", "b"].into_iter().zip(&mut states) {
            let (data, stat) = client.get_data(&znode::state(name)).await.expect("there");
            let state: StateRecord = flowkeeper_deploy::record::decode("/state", &data).expect("readable");
            *found = (state.rel, stat.mzxid);
        }
        states
    }

    async fn dirty(&self) -> BTreeSet<String> {
        // Something is always dirty after what the tests do.
        self.meta.next_dirty().await.streams
    }
}

fn node() -> NodeId {
    NodeId("n1".to_owned())
}

fn stream(name: &str) -> serde_json::Value {
    json!({"name": name, "original": "log", "want": {"state": "deployed", "gen": 2, "rel": 2}, "op": "o", "at": "",
        "application": "x"})
}

#[tokio::test]
async fn nothing_is_written_before_all_are_healthy() {
    let world = World::start().await;
    world.report("RUNNING", "STARTING").await;
    let streams = world.streams();
    assert!(streams.decide("a").is_none() && streams.decide("b").is_none());
}

#[tokio::test]
async fn one_transaction_lets_all_take_over() {
    let world = World::start().await;
    world.report("RUNNING", "RUNNING").await;
    let streams = world.streams();
    world.dirty().await;
    assert!(streams.decide("b").is_none(), "it leaves it to the first");
    assert_eq!(world.dirty().await, BTreeSet::from(["a".to_owned()]));
    let first =
        streams.decide("a").expect("something to write").txns.into_iter().next().expect("a transaction");
    world.write(first).await.expect("written");
    let [(a, written), (b, with)] = world.states().await;
    assert_eq!((a, b), (2, 2));
    assert_eq!(written, with, "in one transaction");
}

#[tokio::test]
async fn what_happens_to_a_peer_meanwhile_makes_it_fail_for_all() {
    let world = World::start().await;
    world.report("RUNNING", "RUNNING").await;
    let decided = world.streams().decide("a").expect("something to write").txns;
    let mut given_up = stream("b");
    given_up["want"]["cancelled"] = json!(2);
    world.write(Txn::new().set(znode::stream("b"), encode(&given_up), None)).await.expect("written");
    let first = decided.into_iter().next().expect("a transaction");
    assert!(matches!(world.write(first).await, Err(TxnError::Refused { .. })));
    assert_eq!(world.states().await.map(|state| state.0), [1, 1]);
}

#[tokio::test]
async fn one_that_fails_has_the_others_looked_at() {
    let world = World::start().await;
    world.report("RUNNING", "FAILED").await;
    let streams = world.streams();
    world.dirty().await;
    assert!(streams.reconcile("b".to_owned()).await.is_ok());
    assert!(world.dirty().await.contains("a"));
    assert!(streams.reconcile("a".to_owned()).await.is_ok());
    let model = world.meta.model();
    assert_eq!(model.failure("b", 2), Some("log-0 on node n1 failed"));
    assert_eq!(model.failure("a", 2), Some("Went back together with stream 'b': log-0 on node n1 failed"));
    assert_eq!(model.replacing_together("a"), Vec::<&str>::new());
}
