//! The client recipes against the embedded server, over disconnections, expiries and restarts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flowkeeper_zk::recipes::{Connection, Election, LinkState, Options, TreeFollower, Txn, TxnError};
use flowkeeper_zk::server::{self, Config, Server};

use crate::proxy::{Mode, Proxy};

/// Nothing here takes this long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn start(listen: SocketAddr, data: Option<&Path>) -> Server {
    let config = Config {
        listen,
        data: data.map(Path::to_owned),
        tick: Duration::from_millis(100),
        min_session_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    server::start(config).await.expect("started")
}

pub(crate) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn options(server: SocketAddr) -> Options {
    Options {
        hosts: format!("{server}/root"),
        session_timeout: Duration::from_secs(2),
        open_timeout: DEADLINE,
        ..Options::default()
    }
}

pub(crate) async fn connect(server: SocketAddr) -> Connection {
    connect_as(options(server)).await
}

pub(crate) async fn connect_as(options: Options) -> Connection {
    let (connection, driver) = Connection::open(options).await.expect("connected");
    #[expect(clippy::disallowed_methods, reason = "a test has no task module")]
    tokio::spawn(driver.run());
    connection
}

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

/// Applies batches to a copy until `is_right`.
async fn follow_until(
    tree: &mut TreeFollower,
    copy: &mut BTreeMap<String, Vec<u8>>,
    is_right: impl Fn(&BTreeMap<String, Vec<u8>>) -> bool,
) {
    while !is_right(copy) {
        for change in in_time(tree.next()).await.expect("open").changes {
            match change.node {
                Some(node) => drop(copy.insert(change.path, node.data)),
                None => drop(copy.remove(&change.path)),
            }
        }
    }
}

#[tokio::test]
async fn a_transaction_happens_whole_or_names_what_stopped_it() {
    let server = start(any(), None).await;
    let connection = connect(server.local_addr()).await;
    let made = connection.commit(Txn::new().create("/a", "1").create("/a/b", "2")).await.expect("committed");
    assert!(made.zxid > 0 && made.stats.iter().all(Option::is_some));
    let refused =
        connection.commit(Txn::new().create("/c", "").set("/a", "x", 7)).await.expect_err("wrong version");
    assert!(refused.is_refused("/a", &zookeeper_client::Error::BadVersion), "{refused}");
    assert_eq!(refused.to_string(), "/a: mismatch version");
    assert!(connection.client().check_stat("/c").await.expect("read").is_none(), "nothing of it happened");
    let deleted = connection.commit(Txn::new().delete("/a/b", None)).await.expect("committed");
    assert!(deleted.zxid > made.zxid, "a delete has an id too");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_follower_sees_everything_even_what_happens_while_it_is_away() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(any(), Some(folder.path())).await;
    let addr = server.local_addr();
    let (watcher, writer) = (connect(addr).await, connect(addr).await);
    writer
        .commit(Txn::new().create("/t", "").create("/t/a", "1").create("/t/skip", ""))
        .await
        .expect("written");
    let mut tree = TreeFollower::new(watcher.clone(), "/t", |path| !path.ends_with("/skip"));
    let mut copy = BTreeMap::new();
    follow_until(&mut tree, &mut copy, |copy| copy.len() == 2).await;
    writer
        .commit(Txn::new().set("/t/a", "2", None).create("/t/b", "").create("/t/b/c", "3"))
        .await
        .expect("written");
    follow_until(&mut tree, &mut copy, |copy| copy.len() == 4 && copy["/t/a"] == b"2").await;
    // The server goes away and comes back with changes that no watch told.
    server.stop().await.expect("stopped");
    in_time(watcher.watch_link().wait_for(|link| link.state == LinkState::Suspended)).await.expect("noticed");
    let server = start(addr, Some(folder.path())).await;
    let other = connect(addr).await;
    other.commit(Txn::new().delete("/t/b/c", None).set("/t/a", "4", None)).await.expect("written");
    follow_until(&mut tree, &mut copy, |copy| !copy.contains_key("/t/b/c") && copy["/t/a"] == b"4").await;
    other.commit(Txn::new().create("/t/d", "5")).await.expect("written");
    follow_until(&mut tree, &mut copy, |copy| copy.contains_key("/t/d")).await;
    assert_eq!(copy.keys().collect::<Vec<_>>(), ["/t", "/t/a", "/t/b", "/t/d"]);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_new_session_is_opened_when_the_old_one_expired() {
    // Without a data folder a restarted server knows no session: ours is expired.
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let connection = connect(addr).await;
    let old = connection.link();
    server.stop().await.expect("stopped");
    let server = start(addr, None).await;
    let mut link = connection.watch_link();
    let new = *in_time(link.wait_for(|link| link.incarnation > old.incarnation)).await.expect("open");
    assert!(new.connects > old.connects);
    // The chroot was made again: the new session can be used at once.
    connection.commit(Txn::new().create("/x", "")).await.expect("committed");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn one_leads_and_the_next_takes_over_with_a_higher_epoch() {
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let (first, second) = (connect(addr).await, connect(addr).await);
    Election::prepare(&first, "/leader").await.expect("laid out");
    let election =
        |connection: &Connection, id: &str| Election::new(connection.clone(), "/leader", id, String::new());
    let (of_first, of_second) = (election(&first, "one"), election(&second, "two"));
    let led = in_time(of_first.campaign()).await.expect("an epoch").expect("open");
    assert_eq!(led.epoch, 1);
    let waiting = tokio::time::timeout(Duration::from_millis(300), of_second.campaign()).await;
    assert!(waiting.is_err(), "the other waits");
    first.commit(led.fence().create("/by-one", "")).await.expect("the leader writes");
    of_first.resign(&led).await.expect("resigned");
    let next = in_time(of_second.campaign()).await.expect("an epoch").expect("open");
    assert_eq!(next.epoch, 2);
    in_time(of_first.lost(&led)).await;
    let late = first.commit(led.fence().create("/too-late", "")).await.expect_err("fenced");
    assert!(led.is_deposed_by(&late), "{late}");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_restarted_candidate_takes_over_from_its_dead_self_at_once() {
    let server = start(any(), None).await;
    let addr = server.local_addr();
    let before = connect(addr).await;
    Election::prepare(&before, "/leader").await.expect("laid out");
    let election =
        |connection: &Connection| Election::new(connection.clone(), "/leader", "one", String::new());
    let led = in_time(election(&before).campaign()).await.expect("an epoch").expect("open");
    // Its session lives on, as after a kill; the same candidate comes back in another session.
    let after = connect(addr).await;
    let again = in_time(election(&after).campaign()).await.expect("an epoch").expect("open");
    assert_eq!(again.epoch, led.epoch + 1);
    let late = before.commit(led.fence().create("/x", "")).await.expect_err("fenced");
    assert!(led.is_deposed_by(&late), "{late}");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_lost_connection_does_not_end_a_leadership() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(any(), Some(folder.path())).await;
    let addr = server.local_addr();
    let connection = connect(addr).await;
    Election::prepare(&connection, "/leader").await.expect("laid out");
    let election = Election::new(connection.clone(), "/leader", "one", String::new());
    let led = in_time(election.campaign()).await.expect("an epoch").expect("open");
    server.stop().await.expect("stopped");
    in_time(connection.watch_link().wait_for(|link| link.state == LinkState::Suspended))
        .await
        .expect("noticed");
    let away = connection.commit(led.fence().create("/x", "")).await.expect_err("nobody there");
    assert!(matches!(away, TxnError::Unknown { .. } | TxnError::Unavailable(_)), "{away}");
    let server = start(addr, Some(folder.path())).await;
    in_time(connection.connected()).await.expect("back");
    connection.commit(led.fence().create("/x", "")).await.expect("still leads");
    server.stop().await.expect("stopped");
}

/// The line breaks again and again while hundreds of znodes change, so that reads of many of them are cut off in the middle: what
/// was read before the cut must not be forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_line_breaks_again_and_again_misses_nothing() {
    const ZNODES: usize = 1_000;
    let server = start(any(), None).await;
    let proxy = Proxy::start(server.local_addr()).await;
    let (watcher, writer) = (connect(proxy.addr).await, connect(server.local_addr()).await);
    let path = |number: usize| format!("/t/n{number:04}");
    let made = (0..ZNODES).fold(Txn::new().create("/t", "0"), |txn, number| txn.create(path(number), "0"));
    writer.commit(made).await.expect("written");
    let (batches, mut followed) = tokio::sync::mpsc::unbounded_channel();
    let mut tree = TreeFollower::new(watcher, "/t", |_| true);
    #[expect(clippy::disallowed_methods, reason = "a test has no task module")]
    let following = tokio::spawn(async move {
        while let Some(batch) = tree.next().await {
            if batches.send(batch).is_err() {
                return;
            }
        }
    });
    let mut copy = BTreeMap::new();
    for round in 1..=20_u64 {
        let value = round.to_string();
        let changed = (0..ZNODES).fold(Txn::new(), |txn, number| txn.set(path(number), value.as_str(), None));
        let zxid = writer.commit(changed).await.expect("written").zxid;
        // Each round is cut at another moment of the reads that follow the change.
        tokio::time::sleep(Duration::from_millis(2 * round)).await;
        proxy.set(Mode::Refuse);
        tokio::time::sleep(Duration::from_millis(1)).await;
        proxy.set(Mode::Pass);
        // Until the copy claims to contain it: then it must.
        loop {
            let batch = in_time(followed.recv()).await.expect("open");
            for change in batch.changes {
                copy.insert(change.path, change.node.expect("nothing is deleted").data);
            }
            if batch.zxid >= zxid {
                break;
            }
        }
        copy.remove("/t");
        let late = copy.values().filter(|data| **data != value.as_bytes()).count();
        assert_eq!((late, copy.len()), (0, ZNODES), "round {round}");
    }
    following.abort();
    server.stop().await.expect("stopped");
}
