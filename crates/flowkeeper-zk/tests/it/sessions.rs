//! Sessions that outlive connections, clients and processes.

use std::time::Duration;

use flowkeeper_zk::recipes::{Connection, Election, LinkState, Options, SavedSession, Txn};
use flowkeeper_zk::server::{self, Config};

use crate::proxy::{Mode, Proxy};
use crate::recipes::{any, connect, connect_as, in_time, options, start};

#[tokio::test]
async fn a_detached_session_is_taken_up_by_the_next_process() {
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let detached = |resume| Options { detached: true, resume, ..options(addr) };
    let first = connect_as(detached(None)).await;
    assert!(!first.link().resumed);
    first.commit(Txn::new().create_ephemeral("/mine", "x")).await.expect("created");
    let saved = first.saved_session().await.expect("saved");
    assert_eq!(saved.id, first.link().session_id);
    first.close();
    in_time(first.watch_link().wait_for(|link| link.state == LinkState::Closed)).await.expect("closed");
    drop(first);
    let saved: SavedSession = saved.to_string().parse().expect("read back");
    let second = connect_as(detached(Some(saved))).await;
    assert!(second.link().resumed);
    assert_eq!(second.link().session_id, saved.id);
    let stat = second.client().check_stat("/mine").await.expect("read").expect("it is still there");
    assert_eq!(stat.ephemeral_owner, saved.id);
    // A wrong password, or a session that is gone, is a new session.
    let wrong = SavedSession { password: [7; 16], ..saved };
    let third = connect_as(detached(Some(wrong))).await;
    assert!(!third.link().resumed && third.link().session_id != saved.id);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_session_that_is_not_detached_ends_with_its_connection() {
    let server = start(any(), None).await;
    let (first, other) = (connect(server.local_addr()).await, connect(server.local_addr()).await);
    first.commit(Txn::new().create_ephemeral("/mine", "x")).await.expect("created");
    first.close();
    in_time(first.watch_link().wait_for(|link| link.state == LinkState::Closed)).await.expect("closed");
    drop(first);
    in_time(async {
        while other.client().check_stat("/mine").await.expect("read").is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    server.stop().await.expect("stopped");
}

/// A server that lets sessions live longer than clients think: the client asks for 2 s and counts to 2.8.
async fn patient_server() -> server::Server {
    let config = Config {
        listen: any(),
        tick: Duration::from_secs(20),
        min_session_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    server::start(config).await.expect("started")
}

#[tokio::test]
async fn a_leader_whose_client_gave_up_goes_on_in_the_same_session() {
    let server = patient_server().await;
    let proxy = Proxy::start(server.local_addr()).await;
    let connection = connect(proxy.addr).await;
    Election::prepare(&connection, "/leader").await.expect("laid out");
    let election = Election::new(connection.clone(), "/leader", "one", String::new());
    let led = in_time(election.campaign()).await.expect("an epoch").expect("open");
    let before = connection.link();
    let old = connection.client();
    proxy.set(Mode::Refuse);
    in_time(async {
        while !old.state().is_terminated() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(connection.link().lost.is_some());
    proxy.set(Mode::Pass);
    let lost = election.lost(&led);
    let after = in_time(connection.connected()).await.expect("open");
    assert_eq!((after.session_id, after.incarnation), (before.session_id, before.incarnation));
    assert!(after.connects > before.connects);
    connection.commit(led.fence().create("/still", "")).await.expect("still leads");
    assert!(tokio::time::timeout(Duration::from_millis(300), lost).await.is_err(), "not lost");
    assert_eq!(connection.sync_acknowledged("/").await.expect("acknowledged"), before.incarnation);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_sync_through_a_dead_connection_proves_nothing() {
    let server = start(any(), None).await;
    let proxy = Proxy::start(server.local_addr()).await;
    let connection = connect(proxy.addr).await;
    assert_eq!(connection.sync_acknowledged("/").await.expect("acknowledged"), 1);
    assert_eq!(connection.session_timeout(), Duration::from_secs(2));
    proxy.set(Mode::Hold);
    let acknowledged = tokio::time::timeout(Duration::from_secs(4), connection.sync_acknowledged("/")).await;
    assert!(!matches!(acknowledged, Ok(Ok(_))), "{acknowledged:?}");
    proxy.set(Mode::Pass);
    // The server expired the session meanwhile, or not: the incarnation tells.
    in_time(connection.connected()).await.expect("open");
    let incarnation = in_time(connection.sync_acknowledged("/")).await.expect("acknowledged");
    assert_eq!(incarnation, connection.link().incarnation);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_chroot_that_must_be_there_is_waited_for() {
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let guest = Options { create_chroot: false, open_timeout: Duration::from_millis(300), ..options(addr) };
    let refused = Connection::open(guest.clone()).await.map(drop).expect_err("nobody made it");
    assert_eq!(refused, zookeeper_client::Error::NoNode);
    connect(addr).await;
    Connection::open(guest).await.expect("it is there");
    server.stop().await.expect("stopped");
}
