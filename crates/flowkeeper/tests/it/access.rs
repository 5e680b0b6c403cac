//! A protected cluster: who gets in, who does not, and what ZooKeeper's disk tells.
//!
//! Runs against the embedded ZooKeeper, or against the servers (`HOST:PORT`) that `FLOWKEEPER_TEST_ZOOKEEPER` names.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flowkeeper_deploy::access::node_auth;
use flowkeeper_deploy::seal::covers;
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::NodeId;
use flowkeeper_testkit::dev::{Dev, Ran, run};
use flowkeeper_testkit::wait::{until, until_value};
use flowkeeper_zk::recipes::{Auth, Connection, KeyId, Keyring, Options, Txn, new_key, sealed_by};

use crate::PROGRAM;
use crate::roles::{Role, refused};

const SECRET: &str = "hush-4711";

/// ZooKeeper and a broker, and a folder for secrets.
struct Cluster {
    folder: tempfile::TempDir,
    embedded: Option<Role>,
    broker: Role,
    zookeeper: String,
    chroot: String,
}

impl Cluster {
    fn start() -> Cluster {
        let folder = tempfile::tempdir().expect("folder");
        #[expect(clippy::disallowed_methods, reason = "whoever has an ensemble at hand names it here")]
        let outside = std::env::var("FLOWKEEPER_TEST_ZOOKEEPER").ok();
        let embedded = outside.is_none().then(|| {
            Role::start(folder.path(), "zookeeper", "zookeeper", &["--zookeeper-listen", "127.0.0.1:0"])
        });
        let zookeeper =
            outside.or_else(|| embedded.as_ref().map(|role| role.addr.clone())).expect("one of both");
        let broker = Role::start(folder.path(), "broker", "broker", &["--broker-listen", "127.0.0.1:0"]);
        let name = folder.path().file_name().expect("named").to_string_lossy();
        let chroot = format!("/test-{}", name.trim_start_matches('.'));
        Cluster { folder, embedded, broker, zookeeper, chroot }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that only its owner can read.
    fn file(&self, name: &str, text: &str) -> String {
        use std::io::Write;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))
            .expect("made");
        file.write_all(text.as_bytes()).expect("written");
        self.path(name).display().to_string()
    }

    fn hosts(&self) -> String {
        format!("{}{}", self.zookeeper, self.chroot)
    }

    fn server_flags<'a>(&'a self, hosts: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["--listen", "127.0.0.1:0", "--zookeeper", hosts, "--broker", &self.broker.addr], more].concat()
    }

    fn server(&self, more: &[&str]) -> Role {
        let hosts = self.hosts();
        let server = Role::start(self.folder.path(), "server", "server", &self.server_flags(&hosts, more));
        let info = ["app", "info", "log", "--type", "sink"];
        until("the bundled apps are there", || self.shell(&server, &info).code == 0);
        server
    }

    fn agent(&self, name: &str, more: &[&str]) -> Role {
        let hosts = self.hosts();
        let flags = ["--zookeeper", &hosts, "--name", name];
        Role::start(self.folder.path(), name, "agent", &[&flags, more].concat())
    }

    fn refused_server(&self, more: &[&str]) -> Ran {
        let hosts = self.hosts();
        refused(self.folder.path(), "refused", "server", &self.server_flags(&hosts, more))
    }

    fn refused_agent(&self, more: &[&str]) -> Ran {
        let hosts = self.hosts();
        refused(
            self.folder.path(),
            "refused",
            "agent",
            &[&["--zookeeper", &hosts, "--name", "refused"], more].concat(),
        )
    }

    fn shell(&self, server: &Role, args: &[&str]) -> Ran {
        let url = format!("http://{}", server.addr);
        run(PROGRAM, self.folder.path(), &[args, &["--server", &url]].concat())
    }

    /// A connection to ZooKeeper as somebody.
    async fn come_as(&self, auth: Vec<Auth>) -> Connection {
        let options =
            Options { hosts: self.zookeeper.clone(), auth, create_chroot: false, ..Options::default() };
        let (connection, driver) = Connection::open(options).await.expect("answers");
        #[expect(clippy::disallowed_methods, reason = "lives as long as the test")]
        tokio::spawn(driver.run());
        connection
    }

    /// Every document that is to be sealed, by path below the chroot, with the key that seals it.
    async fn documents(&self, reader: &Connection) -> Vec<(String, Option<KeyId>)> {
        let mut found = Vec::new();
        let mut level = vec![String::new()];
        while let Some(path) = level.pop() {
            let at = format!("{}{path}", self.chroot);
            let Ok((data, _)) = reader.client().get_data(&at).await else { continue };
            let names = reader.client().list_children(&at).await.unwrap_or_default();
            level.extend(names.into_iter().map(|name| format!("{path}/{name}")));
            if covers(&path) && !data.is_empty() {
                found.push((path, sealed_by(&data)));
            }
        }
        found
    }
}

#[track_caller]
fn says(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.stderr.contains(words), "{ran:?}");
    assert_eq!(ran.stderr.trim().lines().count(), 1, "one sentence: {ran:?}");
}

fn auth(text: &str) -> Auth {
    text.parse().expect("a credential")
}

fn key_of(line: &str) -> KeyId {
    line.parse::<Keyring>().expect("a key").first().expect("there")
}

/// True when some file below `folder` holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("listed").flatten().any(|entry| match entry.path() {
        path if path.is_dir() => holds(&path, text),
        path => fs::read(path).expect("read").windows(text.len()).any(|window| window == text.as_bytes()),
    })
}

async fn denied(connection: &Connection, txn: Txn) {
    let told = connection.commit(txn.clone()).await.expect_err("denied").to_string();
    assert!(told.ends_with("not authorized"), "{txn:?}: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_cluster_works_and_lets_nobody_else_in() {
    let cluster = Cluster::start();
    let servers = cluster.file("servers", "servers:long and random\n");
    let agents = cluster.file("agents", "agents:random and long\n");
    let key = new_key().expect("key");
    let keys = cluster.file("keys", &format!("# ours\n{key}\n"));
    let server_flags =
        ["--zookeeper-auth-file", &servers, "--agents-auth-file", &agents, "--cluster-key-file", &keys];
    let agent_flags = ["--zookeeper-auth-file", &agents, "--cluster-key-file", &keys];
    let server = cluster.server(&server_flags);
    let agent = cluster.agent("one", &agent_flags);
    let other = cluster.agent("two", &agent_flags);
    let definition = format!("time --spring.my.password={SECRET} | log");
    cluster
        .shell(&server, &["stream", "create", "s", "--definition", &definition, "--deploy", "--wait"])
        .ok();

    // Wrong or missing credentials and keys: one sentence, and exit code 5.
    let guess = cluster.file("guess", "servers:guess\n");
    let guess_agents = cluster.file("guess-agents", "agents:guess\n");
    let stray = cluster.file("stray", &new_key().expect("key"));
    says(&cluster.refused_server(&["--zookeeper-auth-file", &guess]), 5, "--zookeeper-auth-file are wrong");
    says(&cluster.refused_server(&[]), 5, "--zookeeper-auth-file are wrong or missing");
    says(
        &cluster.refused_agent(&["--zookeeper-auth-file", &guess_agents]),
        5,
        "--zookeeper-auth-file are not those",
    );
    says(&cluster.refused_agent(&[]), 5, "--zookeeper-auth-file");
    says(&cluster.refused_server(&server_flags[..4]), 5, "--cluster-key-file");
    says(&cluster.refused_agent(&agent_flags[..2]), 5, "--cluster-key-file");
    let with_stray = [&server_flags[..4], &["--cluster-key-file", &stray]].concat();
    says(&cluster.refused_server(&with_stray), 5, &key_of(&key).to_string());

    // A stranger sees and changes nothing.
    let stranger = cluster.come_as(Vec::new()).await;
    let at = |path: &str| format!("{}{path}", cluster.chroot);
    let (one, two) = (NodeId("one".into()), NodeId("two".into()));
    let live = at(&znode::node_live(&one));
    for path in [at(""), at(&znode::stream("s")), at(znode::STREAMS), live.clone()] {
        let told = stranger.client().get_data(&path).await.expect_err("denied").to_string();
        assert!(told.ends_with("not authorized"), "{path}: {told}");
    }
    denied(&stranger, Txn::new().create(at("/streams/xx"), "{}")).await;
    denied(&stranger, Txn::new().set(at(&znode::stream("s")), "{}", None)).await;
    denied(&stranger, Txn::new().delete(&live, None)).await;
    // A node writes what it says of itself and nothing else, and nobody ends a presence but its session.
    let secret = fs::read_to_string(cluster.path("two").join("node/node-secret")).expect("a secret");
    let as_two = vec![auth("agents:random and long"), node_auth(&two, secret.trim()).expect("valid")];
    let as_two = cluster.come_as(as_two).await;
    denied(&as_two, Txn::new().set(at(&znode::status_bucket(&one, 0)), "{}", None)).await;
    denied(&as_two, Txn::new().set(at(&znode::node_registration(&one)), "{}", None)).await;
    denied(&as_two, Txn::new().set(at(&znode::stream("s")), "{}", None)).await;
    let as_server = cluster.come_as(vec![auth("servers:long and random")]).await;
    for connection in [&as_two, &as_server] {
        denied(connection, Txn::new().delete(&live, None)).await;
    }
    // What the documents hold is sealed, and the disk does not tell the secret.
    let documents = cluster.documents(&as_server).await;
    assert!(documents.len() > 20, "{}", documents.len());
    for (path, key_in_use) in &documents {
        assert_eq!(*key_in_use, Some(key_of(&key)), "{path}");
    }
    if cluster.embedded.is_some() {
        assert!(!holds(&cluster.path("zookeeper"), SECRET));
        assert!(holds(&cluster.path("zookeeper"), "FKS1"), "it is the right folder");
    }
    // An agent that is killed takes its session up again, and its apps, though nobody may delete its presence.
    let before = [agent.app_pids(), other.app_pids()];
    assert_eq!(before.concat().len(), 2);
    agent.kill();
    other.kill();
    let (agent, other) = (cluster.agent("one", &agent_flags), cluster.agent("two", &agent_flags));
    let phase = || cluster.shell(&server, &["stream", "info", "s"]).ok();
    until_value("it is still deployed", phase, |shown| shown.contains("deployed"));
    assert_eq!([agent.app_pids(), other.app_pids()], before, "nothing was restarted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_in_clear_is_sealed_and_its_key_is_replaced() {
    let cluster = Cluster::start();
    let (first, second) = (new_key().expect("key"), new_key().expect("key"));
    let keys = cluster.file("keys", &first);
    let with_keys = ["--cluster-key-file", keys.as_str()];
    let (server, agent) = (cluster.server(&[]), cluster.agent("one", &[]));
    cluster
        .shell(&server, &["stream", "create", "s", "--definition", "time | log", "--deploy", "--wait"])
        .ok();
    let reader = cluster.come_as(Vec::new()).await;
    assert!(cluster.documents(&reader).await.iter().all(|(_, key)| key.is_none()));
    says(&cluster.shell(&server, &["cluster", "reseal"]), 4, "--cluster-key-file");
    let before = agent.app_pids();
    assert_eq!(before.len(), 2);

    // The key comes into use when the last one has it, not before.
    server.stop();
    let server = cluster.server(&with_keys);
    cluster.shell(&server, &["stream", "create", "t", "--definition", "time | log"]).ok();
    assert!(cluster.documents(&reader).await.iter().all(|(_, key)| key.is_none()), "the agent lacks the key");
    agent.kill();
    let agent = cluster.agent("one", &with_keys);
    let reseal = |server: &Role, key: &str| {
        until("the new key is in use", || {
            let ran = cluster.shell(server, &["cluster", "reseal"]);
            ran.code == 0 && ran.stdout.contains(&key_of(key).to_string())
        });
    };
    reseal(&server, &first);
    let all_by = |documents: &[(String, Option<KeyId>)], key: &str| {
        for (path, by) in documents {
            assert_eq!(*by, Some(key_of(key)), "{path}");
        }
    };
    all_by(&cluster.documents(&reader).await, &first);

    // The next key: first in every file, then in use, then the only one.
    cluster.file("keys", &format!("{second}\n{first}\n"));
    agent.stop();
    let agent = cluster.agent("one", &with_keys);
    server.stop();
    let server = cluster.server(&with_keys);
    reseal(&server, &second);
    all_by(&cluster.documents(&reader).await, &second);
    let told = cluster.shell(&server, &["cluster", "reseal"]).ok();
    assert!(told.contains("0 documents"), "idempotent: {told}");
    cluster.file("keys", &second);
    agent.stop();
    let agent = cluster.agent("one", &with_keys);
    server.stop();
    let server = cluster.server(&with_keys);
    cluster.shell(&server, &["stream", "deploy", "t", "--wait"]).ok();
    let shown = cluster.shell(&server, &["stream", "info", "s"]).ok();
    assert!(shown.contains("deployed"), "{shown}");
    let pids = agent.app_pids();
    assert!(
        before.iter().all(|pid| pids.contains(pid)),
        "nothing was restarted by all this: {before:?} {pids:?}"
    );
    // The former key alone is of no use any more.
    let former = cluster.file("former", &first);
    says(&cluster.refused_server(&["--cluster-key-file", &former]), 5, &key_of(&second).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_out_too_early_is_missed_at_the_start() {
    let cluster = Cluster::start();
    let (first, second) = (new_key().expect("key"), new_key().expect("key"));
    let keys = cluster.file("keys", &first);
    let with_keys = ["--cluster-key-file", keys.as_str()];
    let server = cluster.server(&with_keys);
    cluster.shell(&server, &["stream", "create", "s", "--definition", "time | log"]).ok();
    server.stop();
    cluster.file("keys", &format!("{second}\n{first}\n"));
    let server = cluster.server(&with_keys);
    let reader = cluster.come_as(Vec::new()).await;
    let meta = || async {
        let (data, _) = reader.client().get_data(&format!("{}/meta", cluster.chroot)).await.expect("there");
        String::from_utf8_lossy(&data).into_owned()
    };
    while !meta().await.contains(&key_of(&second).to_string()) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.stop();
    cluster.file("keys", &second);
    let ran = cluster.refused_server(&with_keys);
    let last = ran.stderr.lines().last().unwrap_or_default();
    assert!(ran.code == 5 && last.contains("put the former key back"), "{ran:?}");
    // The follower, the leader if it got that far, and the end may each say a line; documents are dozens.
    assert!(ran.stderr.lines().count() <= 4, "not a line for each document: {ran:?}");
    cluster.file("keys", &format!("{second}\n{first}\n"));
    drop(cluster.server(&with_keys));
}

#[test]
fn dev_keeps_nothing_in_clear_and_its_key_to_itself() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let dev = Dev::start(PROGRAM, &data);
    let definition = format!("time --spring.my.password={SECRET} | log");
    dev.run(["stream", "create", "s", "--definition", &definition, "--deploy", "--wait"]).ok();
    dev.run([
        "app",
        "register",
        "--name",
        "far",
        "--type",
        "sink",
        "--uri",
        &format!("http://u:{SECRET}@127.0.0.1:1/far-1.0.jar"),
    ])
    .ok();
    assert!(!holds(&data.join("zookeeper"), SECRET));
    let mode = fs::metadata(data.join("cluster-key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(dev.interrupt().success());
    let dev = Dev::start(PROGRAM, &data);
    until("it runs again", || dev.app_pids().len() == 2);
    assert!(!holds(&data.join("zookeeper"), SECRET));
    drop(dev);
    // Without its key the folder is of no use to anybody.
    fs::write(data.join("cluster-key"), new_key().expect("key")).expect("written");
    let ports =
        ["--listen", "--zookeeper-listen", "--broker-listen"].map(|flag| [flag, "127.0.0.1:0"]).concat();
    let path = data.display().to_string();
    says(
        &run(PROGRAM, folder.path(), &[&["dev", "--data", &path], &ports[..]].concat()),
        5,
        "--cluster-key-file",
    );
}

#[test]
fn key_files_that_others_can_read_or_that_hold_something_else_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("keys");
    let file = path.display().to_string();
    let flags = ["--zookeeper", "127.0.0.1:1", "--cluster-key-file", &file];
    let refused = |role: &str| refused(folder.path(), "data", role, &flags);
    says(&refused("server"), 2, "No such file");
    fs::write(&path, new_key().expect("key")).expect("written");
    set_mode(&path, 0o644);
    says(&refused("server"), 2, "chmod 600");
    set_mode(&path, 0o600);
    fs::write(&path, "# a comment\nhush\n").expect("written");
    let ran = refused("agent");
    says(&ran, 2, "line 2 is no key");
    assert!(!ran.stderr.contains("hush"), "{ran:?}");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}
