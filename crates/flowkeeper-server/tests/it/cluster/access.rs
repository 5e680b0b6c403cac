//! Who may use the tree, and who may not.

use flowkeeper_deploy::access;
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::NodeId;
use flowkeeper_server::meta::LayoutError;
use flowkeeper_server::run::{Access, StartError};
use flowkeeper_zk::recipes::{Auth, Connection, Options, Txn};
use serde_json::Value;
use zookeeper_client::Error;

use super::Cluster;

fn auth(text: &str) -> Auth {
    text.parse().unwrap()
}

fn credentials(servers: &str) -> Access {
    let agents = Some(auth("agents:of-all"));
    Access { servers: Some(auth(servers)), agents, ..Access::default() }
}

async fn refused(cluster: &Cluster, chroot: &str, access: Access) -> String {
    match cluster.try_join("refused", chroot, access).await {
        Err(error) => {
            assert!(error.is_refusal(), "{error}");
            error.to_string()
        }
        Ok(_) => panic!("it may not start"),
    }
}

async fn agent(cluster: &Cluster, node: &str) -> (Connection, NodeId) {
    let id = NodeId(node.to_owned());
    let own = access::node_auth(&id, &format!("secret of {node}")).unwrap();
    let connection = cluster.connect("/flowkeeper", vec![auth("agents:of-all"), own.clone()]).await;
    access::adopt(&connection, &own).await.unwrap();
    (connection, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_tree_is_open_to_servers_and_agents_and_nobody_else() {
    let cluster = Cluster::start().await;
    let one = cluster.try_join("one", "flowkeeper", credentials("servers:right")).await.unwrap();
    one.sees(|model| model.leader.is_some()).await;
    one.register_apps().await;
    one.create("s").await.expect(201);
    for wrong in [Access::default(), credentials("servers:wrong"), credentials("others:right")] {
        let told = refused(&cluster, "flowkeeper", wrong).await;
        assert!(told.contains("--zookeeper-auth-file"), "{told}");
    }
    let two = cluster.try_join("two", "flowkeeper", credentials("servers:right")).await.unwrap();
    two.get("/streams/definitions/s").await.expect(200);
    // Agents join, and what each one says is its own.
    let (a, node_a) = agent(&cluster, "a").await;
    let (b, node_b) = agent(&cluster, "b").await;
    for (connection, node) in [(&a, &node_a), (&b, &node_b)] {
        let join = Txn::new()
            .create(znode::node_registration(node), "{}")
            .create(znode::assignments(node), "")
            .create(znode::statuses(node), "")
            .create(znode::status_bucket(node, 0), "{}")
            .create_ephemeral(znode::node_live(node), "{}");
        connection.commit(join).await.unwrap();
    }
    a.commit(Txn::new().set(znode::status_bucket(&node_a, 0), "{}", 0)).await.unwrap();
    let not_mine = [
        Txn::new().set(znode::status_bucket(&node_a, 0), "{}", None),
        Txn::new().set(znode::node_registration(&node_a), "{}", None),
        Txn::new().delete(znode::node_registration(&node_a), None),
        Txn::new().create(znode::status_bucket(&node_a, 1), "{}"),
        Txn::new().set(znode::stream("s"), "{}", None),
        Txn::new().set(access::META, "{}", None),
        Txn::new().create(format!("{}/x", znode::assignments(&node_a)), "{}"),
        Txn::new().set("/leader/epoch", "9", None),
    ];
    for txn in not_mine {
        let error = b.commit(txn.clone()).await.unwrap_err().to_string();
        assert!(error.ends_with("not authorized"), "{txn:?}: {error}");
    }
    // The leader orders, and the agent reads its orders.
    let servers = two.server.meta().connection();
    let order = format!("{}/x", znode::assignments(&node_b));
    servers.commit(Txn::new().create(&order, "{}")).await.unwrap();
    assert_eq!(b.client().get_data(&order).await.unwrap().0, b"{}");
    b.client().get_data(&znode::stream("s")).await.unwrap();
    assert_eq!(b.client().get_data("/leader/epoch").await, Err(Error::NoAuth));
    // A stranger, with or without a name, sees and touches nothing.
    for auth in [Vec::new(), vec![auth("agents:guess")]] {
        let strange = Options {
            hosts: format!("{}/flowkeeper", cluster.zookeeper.local_addr()),
            auth,
            ..Options::default()
        };
        assert_eq!(Connection::open(strange).await.map(drop), Err(Error::NoAuth));
    }
    let stranger = cluster.connect("", Vec::new()).await;
    let live = format!("/flowkeeper{}", znode::node_live(&node_a));
    assert_eq!(stranger.client().delete(&live, None).await, Err(Error::NoAuth));
    assert_eq!(stranger.client().list_children("/flowkeeper").await.map(drop), Err(Error::NoAuth));
    one.server.stop().await;
    two.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_tree_is_closed_by_the_first_server_with_credentials() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one").await;
    one.register_apps().await;
    one.server.stop().await;
    let stranger = cluster.connect("", Vec::new()).await;
    stranger.client().get_data("/flowkeeper/meta").await.unwrap();
    let two = cluster.try_join("two", "flowkeeper", credentials("servers:right")).await.unwrap();
    two.sees(|model| model.leader.as_ref().is_some_and(|leader| leader.id == "two")).await;
    two.create("s").await.expect(201);
    for path in ["/flowkeeper/meta", "/flowkeeper/apps/sink/log", "/flowkeeper/leader/epoch"] {
        assert_eq!(stranger.client().get_data(path).await.map(drop), Err(Error::NoAuth), "{path}");
    }
    two.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_is_not_ours_or_too_new_is_left_alone() {
    let cluster = Cluster::start().await;
    let own = cluster.connect("", Vec::new()).await;
    for path in ["/kafka", "/kafka/brokers", "/kafka/consumers"] {
        own.mkdir(path).await.unwrap();
    }
    let told = refused(&cluster, "kafka", Access::default()).await;
    assert!(told.contains("brokers, consumers") && told.contains("choose another"), "{told}");
    assert_eq!(own.client().list_children("/kafka").await.unwrap().len(), 2, "nothing was added");
    // One that an interrupted start left half made is ours.
    own.mkdir("/half/streams").await.unwrap();
    let one = cluster.try_join("one", "half", Access::default()).await.unwrap();
    one.server.stop().await;
    let meta = own.client().get_data("/half/meta").await.unwrap().0;
    let mut meta: Value = serde_json::from_slice(&meta).unwrap();
    assert_eq!((&meta["min_writer"], &meta["features"]), (&1.into(), &Value::Array(Vec::new())));
    assert!(meta["migrating"].is_null() && meta.get("migrating").is_some());
    meta["min_writer"] = 2.into();
    own.client().set_data("/half/meta", meta.to_string().as_bytes(), None).await.unwrap();
    let error = cluster.try_join("two", "half", Access::default()).await.err().unwrap();
    assert!(matches!(error, StartError::Layout(LayoutError::TooNew { needed: 2, .. })), "{error}");
    // What a later version noted survives a server that writes the record.
    meta["min_writer"] = 1.into();
    meta["later"] = "kept".into();
    own.client().set_data("/half/meta", meta.to_string().as_bytes(), None).await.unwrap();
    let three = cluster.try_join("three", "half", credentials("servers:right")).await.unwrap();
    let data = three.server.meta().connection().client().get_data("/meta").await.unwrap().0;
    let now: Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(now["later"], "kept");
    assert!(now["access"]["servers"].as_str().unwrap().starts_with("servers:"));
    three.server.stop().await;
}
