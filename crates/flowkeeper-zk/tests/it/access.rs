//! Access lists: who may not, cannot.

use std::net::SocketAddr;

use flowkeeper_zk::recipes::{AclClass, AclPolicy, Auth, Connection, Options, TreeFollower, Txn};
use zookeeper_client::Error;

use crate::recipes::{any, connect_as, in_time, options, start};

fn class(path: &str) -> AclClass {
    match path {
        "/" | "/nodes" | "/read" => AclClass::Readable,
        "/nodes/status" => AclClass::Joinable,
        "/nodes/live" => AclClass::Presence,
        path if path.starts_with("/nodes/") => AclClass::Own,
        _ => AclClass::Servers,
    }
}

fn tree(addr: SocketAddr) -> Options {
    Options { hosts: format!("{addr}/tree"), ..options(addr) }
}

fn auth(user: &str) -> Auth {
    Auth::new(user, "secret").expect("valid")
}

/// A connection with these identities; the last one is the node's.
async fn with(addr: SocketAddr, users: &[&str], node: Option<&str>) -> Connection {
    let policy = AclPolicy {
        class,
        servers: auth("servers").id(),
        agents: Some(auth("agents").id()),
        node: node.map(|node| auth(node).id()),
    };
    let auth = users.iter().map(|user| auth(user)).collect();
    let acls = (!users.is_empty()).then_some(policy);
    connect_as(Options { auth, acls, ..tree(addr) }).await
}

async fn until_gone(connection: &Connection, path: &str) {
    in_time(async {
        while connection.client().check_stat(path).await.expect("asked").is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn refused(connection: &Connection, txn: Txn) {
    match connection.commit(txn.clone()).await {
        Err(error) if error.to_string().ends_with("not authorized") => {}
        other => panic!("{txn:?}: {other:?}"),
    }
}

#[tokio::test]
async fn servers_agents_nodes_and_strangers_may_what_they_may() {
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let servers = with(addr, &["servers"], None).await;
    for path in ["/nodes/status", "/nodes/live", "/read", "/secret"] {
        servers.mkdir(path).await.expect("made");
    }
    let one = with(addr, &["agents", "one"], Some("one")).await;
    let two = with(addr, &["agents", "two"], Some("two")).await;
    // Strangers do not even get to see the chroot, so they come without one.
    let strange = Connection::open(tree(addr)).await.map(drop);
    assert_eq!(strange, Err(Error::NoAuth));
    let stranger = connect_as(Options { hosts: addr.to_string(), ..tree(addr) }).await;
    // Each node joins and says what it has to say.
    let join = |name: &str| {
        Txn::new()
            .create(format!("/nodes/status/{name}"), "")
            .create(format!("/nodes/status/{name}/00"), "")
            .create_ephemeral(format!("/nodes/live/{name}"), "")
    };
    one.commit(join("one")).await.expect("joined");
    two.commit(join("two")).await.expect("joined");
    one.commit(Txn::new().set("/nodes/status/one/00", "mine", None)).await.expect("written");
    // Not what another one says.
    refused(&two, Txn::new().set("/nodes/status/one/00", "not mine", None)).await;
    refused(&two, Txn::new().create("/nodes/status/one/01", "")).await;
    refused(&two, Txn::new().delete("/nodes/status/one/00", None)).await;
    // Reading is another matter.
    assert_eq!(two.client().get_data("/nodes/status/one/00").await.expect("read").0, b"mine");
    two.client().get_data("/read").await.expect("read");
    assert_eq!(two.client().get_data("/secret").await, Err(Error::NoAuth));
    refused(&two, Txn::new().set("/read", "x", None)).await;
    refused(&two, Txn::new().create("/else", "")).await;
    // A stranger gets nothing at all.
    for path in ["/tree", "/tree/read", "/tree/secret", "/tree/nodes/live/one"] {
        assert_eq!(stranger.client().get_data(path).await.map(drop), Err(Error::NoAuth), "{path}");
    }
    refused(&stranger, Txn::new().delete("/tree/nodes/live/one", None)).await;
    refused(&stranger, Txn::new().create("/tree/x", "")).await;
    // Servers may everything, whoever made it.
    servers.commit(Txn::new().set("/nodes/status/one/00", "", None)).await.expect("written");
    servers.commit(Txn::new().delete("/nodes/status/two/00", None)).await.expect("deleted");
    // But a presence ends with its session and in no other way, its owner's wish included.
    for connection in [&servers, &one, &two] {
        refused(connection, Txn::new().delete("/nodes/live/two", None)).await;
    }
    two.close();
    drop(two);
    until_gone(&servers, "/nodes/live/two").await;
    // The wrong password is a stranger's.
    let mut wrong = tree(addr);
    wrong.auth = vec![Auth::new("servers", "guess").expect("valid")];
    assert_eq!(Connection::open(wrong).await.map(drop), Err(Error::NoAuth));
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn what_cannot_be_read_does_not_keep_a_follower_from_the_rest() {
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let (servers, agent) = (with(addr, &["servers"], None).await, with(addr, &["agents"], None).await);
    servers.commit(Txn::new().create("/read", "r").create("/secret", "s")).await.expect("made");
    let mut tree = TreeFollower::new(agent, "/", |_| true);
    let batch = in_time(tree.next()).await.expect("open");
    let seen: Vec<_> = batch.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(seen, ["/", "/read"]);
    assert_eq!(batch.fingerprint.znodes, 2);
    let mut whole = TreeFollower::new(servers.clone(), "/", |_| true);
    let before = in_time(whole.next()).await.expect("open").fingerprint;
    servers.commit(Txn::new().set("/read", "r", None)).await.expect("written");
    let after = in_time(whole.next()).await.expect("open").fingerprint;
    assert_ne!(before, after);
    let mut other = TreeFollower::new(servers, "/", |_| true);
    assert_eq!(in_time(other.next()).await.expect("open").fingerprint, after);
    server.stop().await.expect("stopped");
}
