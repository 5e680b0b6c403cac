//! A ZooKeeper server with a laid out tree, agents as processes, and a leader's pen.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flowkeeper_deploy::agent::saved_session;
use flowkeeper_deploy::process::ProcessId;
use flowkeeper_deploy::record::{
    AssignmentRecord, Exclusivity, LiveRecord, Manifest, NodeRecord, Order, StatusBucket, StatusEntry,
    StatusState, decode, encode,
};
use flowkeeper_deploy::shim::Folder;
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_zk::recipes::{self, Connection, Txn, TxnError};
use flowkeeper_zk::server::{self, Config, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use crate::roles::{Told, program};
use crate::wait::{pause, until, until_async};

const STREAM: &str = "s";
const APP: &str = "a";

/// A server and what is kept beside it.
pub(crate) struct Cluster {
    pub(crate) home: tempfile::TempDir,
    pub(crate) server: Server,
    /// The leader's session.
    pub(crate) connection: Connection,
    program: PathBuf,
}

/// An agent that runs as a process.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) folder: PathBuf,
    child: Child,
}

/// The one instance of these tests.
pub(crate) fn instance() -> InstanceId {
    InstanceId::new(STREAM, APP, 1, 0)
}

pub(crate) fn order(uid: &str, t: u64, x: Exclusivity) -> AssignmentRecord {
    AssignmentRecord {
        v: 1,
        uid: uid.to_owned(),
        t,
        rel: 1,
        want: Order::Run,
        x,
        le: 1,
        extra: Default::default(),
    }
}

impl Cluster {
    /// The app appends a line with its term to a file that all its copies share, again and again.
    pub(crate) async fn start() -> Cluster {
        Cluster::with_properties(&[]).await
    }

    pub(crate) async fn with_properties(deployer: &[(&str, &str)]) -> Cluster {
        let home = tempfile::tempdir().unwrap();
        let config = Config {
            tick: Duration::from_millis(100),
            min_session_timeout: Duration::from_millis(200),
            ..Config::default()
        };
        let server = server::start(config).await.unwrap();
        let connection = connect(recipes::Options {
            hosts: format!("{}/t", server.local_addr()),
            session_timeout: Duration::from_secs(20),
            ..recipes::Options::default()
        })
        .await;
        let directories = [
            "/streams".to_owned(),
            format!("/streams/{}", znode::shard(STREAM)),
            znode::stream(STREAM),
            "/nodes".to_owned(),
            znode::NODES_REG.to_owned(),
            znode::NODES_LIVE.to_owned(),
            znode::NODES_CFG.to_owned(),
            znode::NODES_ASSIGN.to_owned(),
            znode::NODES_STATUS.to_owned(),
        ];
        let txn = directories.into_iter().fold(Txn::new(), |txn, path| txn.create(path, []));
        connection.commit(txn).await.unwrap();
        let cluster = Cluster { program: program(home.path()), home, server, connection };
        cluster.write_release(deployer).await;
        cluster
    }

    async fn write_release(&self, deployer: &[(&str, &str)]) {
        let app = self.home.path().join("app");
        let script = format!(
            "#!/bin/sh\nwhile :; do echo \"$FLOWKEEPER_FENCE_TERM\" >> '{}'; sleep 0.01; done\n",
            self.ledger_path().display()
        );
        let beside = self.home.path().join("app.new");
        std::fs::write(&beside, script).unwrap();
        std::fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(beside, &app).unwrap();
        let mut given = serde_json::Map::new();
        for (key, value) in
            [("health.alive-seconds", "0"), ("local.shutdown-timeout", "0")].iter().chain(deployer)
        {
            given.insert(format!("spring.cloud.deployer.{key}"), (*value).into());
        }
        let text = serde_json::json!({"v": 1, "n": 1, "from": "deploy", "dsl": "", "at": "2026-01-01T00:00:00Z", "apps": [{
            "label": APP, "type": "source", "app": "a", "ver": "1", "uri": format!("file:{}", app.display()), "count": 1,
            "props": {"spring.main.web-application-type": "none"}, "deployer": given,
        }]});
        let manifest: Manifest = serde_json::from_value(text).unwrap();
        self.connection
            .commit(Txn::new().create(znode::release(STREAM, 1), encode(&manifest)))
            .await
            .unwrap();
    }

    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.home.path().join("ledger")
    }

    /// Terms in the order in which copies with them did something.
    pub(crate) fn ledger(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.ledger_path()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits until a copy with this term has done something it had not done before.
    pub(crate) fn works(&self, term: u64) {
        let count = || self.ledger().iter().filter(|line| **line == term).count();
        let before = count();
        until("a copy works", || (count() > before).then_some(()));
    }

    /// No copy did anything after the first act of one with a higher term.
    pub(crate) fn assert_one_at_a_time(&self) {
        let ledger = self.ledger();
        assert!(ledger.is_sorted(), "two copies at once: {ledger:?}");
    }

    /// Starts the agent of the node `name` in the folder `folder`, without waiting for anything.
    pub(crate) fn spawn(&self, name: &str, folder: &str, hosts: Option<String>, disk: u64) -> Node {
        let folder = self.home.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["ready", "refused"] {
            drop(std::fs::remove_file(folder.join(file)));
        }
        let hosts = hosts.unwrap_or_else(|| self.server.local_addr().to_string());
        let told =
            Told { hosts: format!("{hosts}/t"), node: name.to_owned(), program: self.program.clone(), disk };
        std::fs::write(folder.join("agent.json"), serde_json::to_vec(&told).unwrap()).unwrap();
        let log = std::fs::File::create(folder.join("agent.log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("agent").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Node { id: NodeId(name.to_owned()), folder, child: command.spawn().unwrap() }
    }

    /// Starts the agent of the node `name` in a folder of that name and waits until it is registered.
    pub(crate) fn agent(&self, name: &str) -> Node {
        let node = self.spawn(name, name, None, 0);
        node.ready();
        node
    }

    pub(crate) async fn give(&self, node: &NodeId, order: &AssignmentRecord) {
        let path = znode::assignment(node, &instance());
        self.connection.commit(Txn::new().create(path, encode(order))).await.unwrap();
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str) -> Option<(T, zookeeper_client::Stat)> {
        let (data, stat) = self.connection.client().get_data(path).await.ok()?;
        Some((decode(path, &data).unwrap(), stat))
    }

    pub(crate) async fn live(&self, node: &NodeId) -> Option<(LiveRecord, zookeeper_client::Stat)> {
        self.read(&znode::node_live(node)).await
    }

    /// The node's epoch.
    pub(crate) async fn epoch(&self, node: &NodeId) -> i32 {
        self.read::<NodeRecord>(&znode::node_registration(node)).await.unwrap().1.version
    }

    /// What a live node reports about the instance.
    pub(crate) async fn status(&self, node: &NodeId) -> Option<StatusEntry> {
        self.status_of(node, &instance()).await
    }

    pub(crate) async fn status_of(&self, node: &NodeId, instance: &InstanceId) -> Option<StatusEntry> {
        let (live, _) = self.live(node).await?;
        let path = znode::status_bucket(node, znode::bucket_of(instance));
        let (bucket, _) = self.read::<StatusBucket>(&path).await?;
        (bucket.inc == live.inc).then(|| bucket.inst.get(&instance.to_string()).cloned())?
    }

    pub(crate) async fn until_state(&self, node: &NodeId, st: StatusState) -> StatusEntry {
        let mut found = None;
        until_async(&format!("{node} reports {st:?}"), async || {
            found = self.status(node).await.filter(|entry| entry.st == st);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub(crate) async fn until_lost(&self, node: &NodeId) {
        until_async("its presence has gone", async || self.live(node).await.is_none()).await;
    }

    /// What the leader does with an instance of a lost node: under the epoch it saw, the order moves.
    pub(crate) async fn transfer(
        &self,
        epoch: i32,
        from: &NodeId,
        to: &NodeId,
        order: &AssignmentRecord,
    ) -> Result<(), TxnError> {
        let txn = Txn::new()
            .check(znode::node_registration(from), epoch)
            .delete(znode::assignment(from, &instance()), None)
            .create(znode::assignment(to, &instance()), encode(order));
        self.connection.commit(txn).await.map(drop)
    }

    /// Ends the session of a node behind its back, as only its owner could. Both want the session then, so it may take some tries.
    pub(crate) async fn end_session(&self, node: &Node) {
        let owner = async || self.live(&node.id).await.map(|(_, stat)| stat.ephemeral_owner);
        // An agent keeps its session once it is registered, a moment after everybody sees that.
        let folder = node.folder.join("node");
        until_async("its session is kept", async || saved_session(&folder).is_some()).await;
        let before = owner().await;
        until_async("its session has ended", async || {
            let thief = connect(recipes::Options {
                hosts: format!("{}/t", self.server.local_addr()),
                session_timeout: Duration::from_secs(2),
                resume: saved_session(&folder),
                ..recipes::Options::default()
            })
            .await;
            thief.close();
            drop(thief);
            owner().await != before
        })
        .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "lives as long as the test's runtime")]
async fn connect(options: recipes::Options) -> Connection {
    let (connection, driver) = Connection::open(options).await.unwrap();
    tokio::spawn(driver.run());
    connection
}

impl Node {
    fn file(&self, name: &str) -> String {
        let path = self.folder.join(name);
        until(&format!("{} is there", path.display()), || {
            std::fs::read_to_string(&path).ok().filter(|text| !text.is_empty())
        })
    }

    /// Waits until it is registered; tells whether it took up an earlier session.
    pub(crate) fn ready(&self) -> bool {
        self.file("ready") == "resumed"
    }

    /// Waits until it refused to start, and says why.
    pub(crate) fn refused(&self) -> String {
        self.file("refused")
    }

    pub(crate) fn instance(&self) -> Folder {
        Folder::new(self.folder.join("node/instances").join(znode::instance_segment(&instance())))
    }

    pub(crate) fn app(&self) -> ProcessId {
        until("the app runs", || self.instance().state()?.app.filter(ProcessId::is_alive))
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.instance().state().is_some_and(|state| state.frozen)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills the agent and nothing else.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops the agent as an operator does.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let Ok(entries) = std::fs::read_dir(self.folder.join("node/instances")) else { return };
        for entry in entries.flatten() {
            let Some(state) = Folder::new(entry.path()).state() else { continue };
            // The shim sees to it that nothing of its program is left.
            let shim = i32::try_from(state.shim.pid).ok().and_then(Pid::from_raw);
            if let Some(shim) = shim.filter(|_| state.shim.is_alive()) {
                let _ = kill_process(shim, Signal::TERM);
            }
            while state.shim.is_alive() {
                pause();
            }
        }
    }
}
