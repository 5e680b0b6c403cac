//! The independent client crate against the server.

use std::future::Future;
use std::time::Duration;

use flowkeeper_zk::server::Server;
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, CreateOptions, Error, EventType, MultiWriteError, SessionState,
};

use crate::wire::{DEADLINE, at, in_memory};

const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const SEQUENTIAL: CreateOptions<'static> = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
const CONTAINER: CreateOptions<'static> = CreateMode::Container.with_acls(Acls::anyone_all());

async fn connect(server: &Server) -> Client {
    within(Client::connect(&server.local_addr().to_string())).await.unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("done in time")
}

#[tokio::test]
async fn nodes_are_created_read_changed_and_deleted() {
    let server = in_memory().await;
    let client = connect(&server).await;
    let (created, _) = client.create("/a", b"one", &PERSISTENT).await.unwrap();
    assert_eq!(client.get_data("/a").await.unwrap(), (b"one".to_vec(), created));
    let changed = client.set_data("/a", b"two!", Some(0)).await.unwrap();
    assert_eq!((changed.version, changed.data_length), (1, 4));
    assert!(changed.mzxid > created.mzxid);
    assert_eq!(client.set_data("/a", b"three", Some(0)).await, Err(Error::BadVersion));
    client.create("/a/b", b"", &PERSISTENT).await.unwrap();
    client.create("/a/c", b"", &PERSISTENT).await.unwrap();
    let (children, stat) = client.get_children("/a").await.unwrap();
    assert_eq!((children, stat.num_children, stat.cversion), (vec!["b".to_owned(), "c".to_owned()], 2, 2));
    assert_eq!(client.count_descendants_number("/a").await.unwrap(), 2);
    assert_eq!(client.delete("/a", None).await, Err(Error::NotEmpty));
    client.delete("/a/b", Some(0)).await.unwrap();
    assert_eq!(client.check_stat("/a/b").await.unwrap(), None);
    assert_eq!(client.create("/x/y", b"", &PERSISTENT).await.map(|_| ()), Err(Error::NoNode));
    client.sync("/").await.unwrap();
    assert_eq!(client.get_config().await.unwrap().0, b"");
}

#[tokio::test]
async fn sequences_and_containers() {
    let server = in_memory().await;
    let client = connect(&server).await;
    client.create("/q", b"", &CONTAINER).await.unwrap();
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(client.create("/q/n-", b"", &SEQUENTIAL).await.unwrap().1.into_i64());
    }
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(client.list_children("/q").await.unwrap()[2], "n-0000000002");
}

#[tokio::test]
async fn ephemerals_go_with_their_session() {
    let server = in_memory().await;
    let (owner, other) = (connect(&server).await, connect(&server).await);
    let (stat, _) = owner.create("/e", b"", &EPHEMERAL).await.unwrap();
    assert_eq!(stat.ephemeral_owner, owner.session_id().0);
    assert_eq!(owner.list_ephemerals("/").await.unwrap(), ["/e"]);
    assert_eq!(other.list_ephemerals("/").await.unwrap(), Vec::<String>::new());
    assert_eq!(owner.create("/e/x", b"", &PERSISTENT).await.map(|_| ()), Err(Error::NoChildrenForEphemerals));
    let (_, watcher) = other.check_and_watch_stat("/e").await.unwrap();
    drop(owner);
    let event = within(watcher.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/e"));
}

#[tokio::test]
async fn a_session_moves_to_another_client() {
    let server = in_memory().await;
    let client = Client::connector().with_detached().connect(&server.local_addr().to_string()).await.unwrap();
    client.create("/e", b"", &EPHEMERAL).await.unwrap();
    let (id, session) = (client.session_id(), client.into_session());
    let addr = server.local_addr().to_string();
    let again = within(Client::connector().with_session(session).connect(&addr)).await.unwrap();
    assert_eq!(again.session_id(), id);
    assert_eq!(again.list_ephemerals("/").await.unwrap(), ["/e"]);
}

#[tokio::test]
async fn a_multi_is_all_or_nothing() {
    let server = in_memory().await;
    let client = connect(&server).await;
    client.create("/a", b"", &PERSISTENT).await.unwrap();
    let mut writer = client.new_multi_writer();
    writer.add_create("/a/b", b"", &PERSISTENT).unwrap();
    writer.add_set_data("/a", b"x", Some(0)).unwrap();
    writer.add_delete("/none", None).unwrap();
    let failed = writer.commit().await;
    assert_eq!(failed, Err(MultiWriteError::OperationFailed { index: 2, source: Error::NoNode }));
    assert_eq!(client.get_data("/a").await.unwrap().1.version, 0);
    assert_eq!(client.check_stat("/a/b").await.unwrap(), None);

    let mut writer = client.new_multi_writer();
    writer.add_check_version("/a", 0).unwrap();
    writer.add_create("/a/b", b"data", &PERSISTENT).unwrap();
    writer.add_set_data("/a", b"x", Some(0)).unwrap();
    assert_eq!(writer.commit().await.unwrap().len(), 3);
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/a/b").unwrap();
    reader.add_get_children("/a").unwrap();
    reader.add_get_data("/none").unwrap();
    assert_eq!(reader.commit().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_recursive_watch_sees_everything_below_in_order() {
    let server = in_memory().await;
    let (client, other) = (connect(&server).await, connect(&server).await);
    client.create("/w", b"", &PERSISTENT).await.unwrap();
    let mut watcher = client.watch("/w", AddWatchMode::PersistentRecursive).await.unwrap();
    other.create("/w/a", b"", &PERSISTENT).await.unwrap();
    other.create("/w/a/b", b"", &PERSISTENT).await.unwrap();
    other.set_data("/w/a/b", b"x", None).await.unwrap();
    other.delete("/w/a/b", None).await.unwrap();
    for (kind, path) in [
        (EventType::NodeCreated, "/w/a"),
        (EventType::NodeCreated, "/w/a/b"),
        (EventType::NodeDataChanged, "/w/a/b"),
        (EventType::NodeDeleted, "/w/a/b"),
    ] {
        let event = within(watcher.changed()).await;
        assert_eq!((event.event_type, event.path.as_str()), (kind, path));
    }
    drop(watcher);
}

#[tokio::test]
async fn acls_keep_strangers_out() {
    let server = in_memory().await;
    let (owner, stranger) = (connect(&server).await, connect(&server).await);
    owner.auth("digest", b"ann:secret").await.unwrap();
    owner.create("/mine", b"x", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.unwrap();
    assert_eq!(owner.get_data("/mine").await.unwrap().0, b"x");
    assert_eq!(stranger.get_data("/mine").await.map(|_| ()), Err(Error::NoAuth));
    assert_eq!(stranger.check_stat("/mine").await, Err(Error::NoAuth));
    assert_eq!(stranger.set_data("/mine", b"", None).await.map(|_| ()), Err(Error::NoAuth));
    let no_identity = CreateMode::Persistent.with_acls(Acls::creator_all());
    assert_eq!(stranger.create("/no", b"", &no_identity).await.map(|_| ()), Err(Error::InvalidAcl));
    let users = owner.list_auth_users().await.unwrap();
    assert!(users.iter().any(|user| user.scheme() == "digest" && user.user() == "ann"), "{users:?}");
    let mut watch = stranger.watch("/mine", AddWatchMode::Persistent).await.unwrap();
    let mut own_watch = owner.watch("/mine", AddWatchMode::Persistent).await.unwrap();
    owner.set_data("/mine", b"y", None).await.unwrap();
    owner.set_acl("/mine", &Acls::anyone_all(), None).await.unwrap();
    owner.set_data("/mine", b"z", None).await.unwrap();
    let first = within(own_watch.changed()).await.zxid;
    let heard = within(watch.changed()).await.zxid;
    assert!(heard > first, "the stranger hears only of what it may read");
}

#[tokio::test]
async fn clients_come_back_after_a_restart_with_sessions_nodes_and_watches() {
    let dir = tempfile::tempdir().unwrap();
    let server = at(dir.path(), 0).await;
    let port = server.local_addr().port();
    let client = Client::connector()
        .with_session_timeout(Duration::from_secs(30))
        .connect(&server.local_addr().to_string())
        .await
        .unwrap();
    client.create("/e", b"", &EPHEMERAL).await.unwrap();
    client.create("/p", b"kept", &PERSISTENT).await.unwrap();
    // One-shot: release 0.11.2 of the client does not ask for its persistent watches again.
    let (_, _, watch) = client.get_and_watch_children("/p").await.unwrap();
    let mut states = client.state_watcher();
    server.stop().await.unwrap();
    assert_eq!(within(states.changed()).await, SessionState::Disconnected);
    let server = at(dir.path(), port).await;
    assert_eq!((server.recovery().sessions, server.recovery().replayed), (1, 0));
    assert_eq!(within(states.changed()).await, SessionState::SyncConnected);
    assert_eq!(client.get_data("/p").await.unwrap().0, b"kept");
    assert_eq!(client.list_ephemerals("/").await.unwrap(), ["/e"]);
    client.create("/p/child", b"", &PERSISTENT).await.unwrap();
    let event = within(watch.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeChildrenChanged, "/p"));
    server.stop().await.unwrap();
}
