//! A cluster whose lines to ZooKeeper are in TLS, with certificates on both sides.

use std::path::Path;

use flowkeeper_testkit::dev::run;
use flowkeeper_testkit::wait::until;

use crate::PROGRAM;
use crate::roles::{Role, refused};

/// A certificate of the tests of flowkeeper-zk.
fn pem(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flowkeeper-zk/tests/data/tls");
    folder.join(name).display().to_string()
}

#[test]
fn servers_and_agents_reach_zookeeper_by_tls_only() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zoo.cfg");
    let text = format!(
        "tickTime=500\nsecureClientPort=0\nssl.keyStore.location={}\nssl.trustStore.location={}\nssl.clientAuth=need\n",
        pem("server.pem"),
        pem("authority.pem")
    );
    std::fs::write(&file, text).expect("written");
    let zookeeper =
        Role::start(folder.path(), "zookeeper", "zookeeper", &["--config", &file.display().to_string()]);
    let broker = Role::start(folder.path(), "broker", "broker", &["--broker-listen", "127.0.0.1:0"]);
    let (ca, client) = (pem("authority.pem"), pem("client.pem"));
    let tls = [
        "--zookeeper",
        &zookeeper.addr,
        "--zookeeper-tls-ca",
        &ca,
        "--zookeeper-tls-cert",
        &client,
        "--zookeeper-tls-key",
        &client,
    ];
    let server = ["--listen", "127.0.0.1:0", "--broker", &broker.addr];
    let server = Role::start(folder.path(), "server", "server", &[&tls[..], &server].concat());
    let agent = ["--name", "n1", "--zookeeper-tick-ms", "500", "--zookeeper-sync-limit", "4"];
    let agent = Role::start(folder.path(), "agent", "agent", &[&tls[..], &agent].concat());
    let api = format!("http://{}", server.addr);
    let shell = |args: &[&str]| run(PROGRAM, folder.path(), &[args, &["--server", &api]].concat());
    until("the node is there", || shell(&["node", "list"]).stdout.contains("n1"));
    shell(&["stream", "create", "--name", "s", "--definition", "time | log", "--deploy", "--wait"]).ok();
    assert_eq!(agent.app_pids().len(), 2);

    // Without a certificate of our own, and without any protection.
    let bare = ["--zookeeper", &zookeeper.addr, "--listen", "127.0.0.1:0", "--broker", &broker.addr];
    for flags in [vec!["--zookeeper-tls-ca", &ca], vec![]] {
        let out = refused(folder.path(), "other", "server", &[&bare[..], &flags].concat());
        assert_eq!(out.code, 6, "{}", out.stderr);
        assert!(out.stderr.contains(&format!("zookeeper at {}", zookeeper.addr)), "{}", out.stderr);
    }
}
