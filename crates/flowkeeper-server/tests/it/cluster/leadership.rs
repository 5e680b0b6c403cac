//! Who leads, and who does not any more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flowkeeper_zk::recipes::{Election, Txn};
use serde_json::Value;

use super::{Cluster, eventually};
use crate::proxy::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_moves_and_no_request_fails() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one").await, cluster.join("two").await);
    one.sees(|model| model.servers.len() == 2).await;
    one.register_apps().await;
    two.sees(|model| model.apps.len() == 2).await;
    assert_eq!(two.leader(), "one");
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async {
        while !is_over.load(Ordering::SeqCst) {
            let name = format!("s{}", asked.fetch_add(1, Ordering::SeqCst));
            let member = if asked.load(Ordering::SeqCst).is_multiple_of(2) { &one } else { &two };
            member.create(&name).await.expect(201);
            member.get(&format!("/streams/definitions/{name}")).await.expect(200);
        }
    };
    let moves = async {
        // Asked of the one that does not lead, then of the one that does.
        for (asked, next) in [(&two, "two"), (&two, "one"), (&one, "two")] {
            let before = Instant::now();
            let answer = asked.ask("POST", "/api/v1/cluster/transfer-leadership", &[]).await.expect(202);
            assert_eq!(answer.json()["id"], next);
            assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(load, moves);
    assert!(asked.load(Ordering::SeqCst) > 3, "there was load");
    let cluster_view: Value = one.get("/api/v1/cluster").await.expect(200).json();
    assert_eq!(cluster_view["leader"]["epoch"], 4);
    two.server.stop().await;
    one.sees(|model| model.servers.len() == 1).await;
    let alone = one.ask("POST", "/api/v1/cluster/transfer-leadership", &[]).await.expect(409);
    assert!(alone.error().contains("the only server"), "{}", alone.text);
    one.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_leader_writes_nothing_when_it_comes_back() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one").await, cluster.join("two").await);
    one.register_apps().await;
    assert_eq!(one.leader(), "one");
    // Its packets go nowhere, but nobody tells it so.
    one.proxy.set(Mode::Hold);
    two.sees(|model| model.leader.as_ref().is_some_and(|leader| leader.id == "two")).await;
    // The new one has begun its work: its first act is to write the defaults.
    let own = cluster.connect("/flowkeeper", Vec::new()).await;
    let written = || async { own.client().check_stat("/cluster").await.unwrap().unwrap().version };
    eventually("the defaults of the second leader", || async { written().await == 1 }).await;
    two.create("late").await.expect(201);
    // The first one believes in itself and tries what it had under way; then it learns.
    one.proxy.set(Mode::Pass);
    one.sees(|model| model.streams.contains_key("late")).await;
    // It is a server like any other now, and its copy is the same.
    eventually("equal copies", || async {
        let (a, b) = (one.server.meta().copy_state(), two.server.meta().copy_state());
        a.fingerprint == b.fingerprint
    })
    .await;
    assert_eq!(written().await, 1, "it wrote nothing");
    assert_eq!(one.leader(), "two");
    one.server.stop().await;
    two.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_writes_of_a_former_leader_are_refused() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one").await;
    let own = cluster.connect("/flowkeeper", Vec::new()).await;
    one.server.stop().await;
    let election = Election::new(own.clone(), "/leader", "first", String::new());
    let led = election.campaign().await.unwrap().unwrap();
    let other = cluster.connect("/flowkeeper", Vec::new()).await;
    own.commit(led.fence().delete("/leader/holder", None)).await.unwrap();
    let next =
        Election::new(other.clone(), "/leader", "second", String::new()).campaign().await.unwrap().unwrap();
    assert_eq!(next.epoch, led.epoch + 1);
    for number in 0..100 {
        let late = own.commit(led.fence().create(format!("/state/late-{number}"), "")).await.unwrap_err();
        assert!(led.is_deposed_by(&late), "{late}");
    }
    assert_eq!(
        other.client().list_children("/state").await.unwrap().len(),
        256,
        "the shards and nothing else"
    );
    other.commit(next.fence().set("/leader/wish", "", None)).await.unwrap();
    other.commit(Txn::new().check("/leader/epoch", -1)).await.unwrap();
}
