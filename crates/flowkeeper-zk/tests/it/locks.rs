//! Locks, and leaderships that are handed over.

use std::time::Duration;

use flowkeeper_zk::recipes::{Connection, Election, ElectionError, Lock, LockError, Txn};

use crate::proxy::{Mode, Proxy};
use crate::recipes::{any, connect, in_time, start};

const DIR: &str = "/locks/s/00/stream";

fn lock(connection: &Connection, op: &str) -> Lock {
    Lock::new(connection.clone(), DIR, op, op.as_bytes().to_vec())
}

#[tokio::test]
async fn one_holds_it_the_next_waits_and_the_impatient_learn_who_it_is() {
    let server = start(any(), None).await;
    let (one, two) = (connect(server.local_addr()).await, connect(server.local_addr()).await);
    let held = in_time(lock(&one, "a").acquire(Duration::from_secs(5))).await.expect("free");
    one.commit(held.check().create("/x", "")).await.expect("held");
    let busy = lock(&two, "b").acquire(Duration::from_millis(200)).await.expect_err("taken");
    assert_eq!(busy, LockError::Busy { path: held.path().to_owned(), owner: b"a".to_vec() });
    // Who gave up left no place in the queue behind; who waits gets it on release.
    let third = lock(&two, "c");
    let waiting = third.acquire(Duration::from_secs(10));
    let (third, ()) = in_time(async {
        tokio::join!(waiting, async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(held);
        })
    })
    .await;
    let third = third.expect("released");
    assert_eq!(two.client().list_children(DIR).await.expect("listed").len(), 1);
    // By force: harmless, and the holder's own check tells him.
    one.commit(Txn::new().delete(third.path(), None)).await.expect("released by force");
    two.commit(third.check().create("/y", "")).await.expect_err("not held any more");
    in_time(lock(&one, "d").acquire(Duration::from_secs(5))).await.expect("free");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_waiter_that_is_dropped_leaves_nothing_behind() {
    let server = start(any(), None).await;
    let (one, two) = (connect(server.local_addr()).await, connect(server.local_addr()).await);
    let held = in_time(lock(&one, "a").acquire(Duration::from_secs(5))).await.expect("free");
    let dropped =
        tokio::time::timeout(Duration::from_millis(1), lock(&two, "b").acquire(Duration::from_secs(5))).await;
    assert!(dropped.is_err());
    let second =
        tokio::time::timeout(Duration::from_millis(200), lock(&two, "c").acquire(Duration::from_secs(5)))
            .await;
    assert!(second.is_err());
    in_time(async {
        while one.client().list_children(DIR).await.expect("listed").len() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    drop(held);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_release_that_was_lost_with_the_connection_is_made_up_for() {
    let server = start(any(), None).await;
    let proxy = Proxy::start(server.local_addr()).await;
    let (away, other) = (connect(proxy.addr).await, connect(server.local_addr()).await);
    let held = in_time(lock(&away, "a").acquire(Duration::from_secs(5))).await.expect("free");
    proxy.set(Mode::Refuse);
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.set(Mode::Pass);
    in_time(lock(&other, "b").acquire(Duration::from_secs(20))).await.expect("released at last");
    assert_eq!(away.link().incarnation, 1, "not by expiry");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_leadership_is_handed_over_and_taken_back_when_nobody_wants_it() {
    let server = start(any(), None).await;
    let (first, second) = (connect(server.local_addr()).await, connect(server.local_addr()).await);
    Election::prepare(&first, "/leader").await.expect("laid out");
    let election =
        |connection: &Connection, id: &str| Election::new(connection.clone(), "/leader", id, String::new());
    let (one, two) = (election(&first, "one"), election(&second, "two"));
    let led = in_time(one.campaign()).await.expect("an epoch").expect("open");
    assert!(led.zxid > 0);
    let alone = tokio::time::Instant::now();
    one.resign_for(&led, Duration::from_millis(300)).await.expect("resigned");
    assert!(alone.elapsed() >= Duration::from_millis(300), "nobody else was there");
    let led = in_time(one.campaign()).await.expect("an epoch").expect("open");
    let (handed, next) = in_time(async {
        tokio::join!(two.campaign(), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            one.resign_for(&led, Duration::from_secs(20)).await
        })
    })
    .await;
    next.expect("resigned");
    let next = handed.expect("an epoch").expect("open");
    assert_eq!(next.epoch, led.epoch + 1);
    assert!(next.zxid > led.zxid);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_leadership_that_passed_through_other_hands_ends_the_pause() {
    let server = start(any(), None).await;
    let (first, second) = (connect(server.local_addr()).await, connect(server.local_addr()).await);
    Election::prepare(&first, "/leader").await.expect("laid out");
    let one = Election::new(first.clone(), "/leader", "one", String::new());
    let led = in_time(one.campaign()).await.expect("an epoch").expect("open");
    let begun = tokio::time::Instant::now();
    let passed = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Somebody took over and gave way, in one transaction: no look at the holder can find him.
        let through = Txn::new()
            .create_ephemeral("/leader/holder", "{}")
            .set("/leader/epoch", "2", None)
            .delete("/leader/holder", None);
        second.commit(through).await.expect("passed through");
        second
            .commit(Txn::new().create_ephemeral("/leader/holder", "{}").delete("/leader/holder", None))
            .await
    };
    let (resigned, passed) = tokio::join!(one.resign_for(&led, Duration::from_secs(20)), passed);
    resigned.expect("resigned");
    passed.expect("committed");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(in_time(one.campaign()).await.expect("an epoch").expect("open").epoch, 3);
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn nobody_leads_without_the_epoch_that_somebody_deleted() {
    let server = start(any(), None).await;
    let connection = connect(server.local_addr()).await;
    Election::prepare(&connection, "/leader").await.expect("laid out");
    let election = Election::new(connection.clone(), "/leader", "one", String::new());
    let led = in_time(election.campaign()).await.expect("an epoch").expect("open");
    connection.commit(Txn::new().delete("/leader/epoch", None)).await.expect("deleted by hand");
    let late = connection.commit(led.fence().create("/x", "")).await.expect_err("no fence, no write");
    assert!(led.is_deposed_by(&late));
    let refused = in_time(election.campaign()).await.expect_err("refused");
    assert_eq!(refused, ElectionError::NoEpoch { path: "/leader/epoch".into() });
    // A person made it again, above all earlier ones: the old holder counts for nothing.
    connection.commit(Txn::new().create("/leader/epoch", "41")).await.expect("repaired");
    let again = in_time(election.campaign()).await.expect("an epoch").expect("open");
    assert_eq!(again.epoch, 42);
    server.stop().await.expect("stopped");
}
