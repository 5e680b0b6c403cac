//! Answers say how current they are, and can be had as current as wanted.

use std::time::{Duration, Instant};

use super::{Cluster, Member, eventually};
use crate::proxy::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_wrote_another_shows_to_whoever_brings_the_token() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one").await, cluster.join("two").await);
    one.register_apps().await;
    for number in 0..20 {
        let written = Member::zxid(&one.create(&format!("t{number}")).await.expect(201));
        let token = written.to_string();
        let path = format!("/streams/definitions/t{number}");
        let read = two.ask("GET", &path, &[("X-Flowkeeper-Zxid", &token)]).await.expect(200);
        assert!(Member::zxid(&read) >= written);
        let created = Member::zxid(&one.create(&format!("u{number}")).await.expect(201));
        let strong = two.get(&format!("/streams/definitions/u{number}?consistency=strong")).await.expect(200);
        assert!(Member::zxid(&strong) > created, "a write of its own came after");
    }
    // What never was cannot be waited for.
    let before = Instant::now();
    let future = (Member::zxid(&one.get("/about").await) + 1_000_000).to_string();
    let refused = one.ask("GET", "/streams/definitions", &[("X-Flowkeeper-Zxid", &future)]).await.expect(503);
    assert!(before.elapsed() < Duration::from_secs(2));
    assert_eq!(refused.header("retry-after"), "2");
    assert!(refused.error().contains("not yet"), "{}", refused.text);
    one.ask("GET", "/about", &[("X-Flowkeeper-Zxid", "soon")]).await.expect(400);
    one.get("/about?consistency=maybe").await.expect(400);
    one.server.stop().await;
    two.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_cut_off_answers_reads_as_stale_and_refuses_changes() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one").await;
    one.register_apps().await;
    one.create("s").await.expect(201);
    let fresh = one.get("/streams/definitions/s").await.expect(200);
    assert_eq!(fresh.header("warning"), "");
    one.get("/readyz").await.expect(200);
    one.proxy.set(Mode::Refuse);
    eventually("noticed", || async { one.server.meta().stale_for().is_some() }).await;
    // A change waits for a connection that was lost just now; here it comes back in time.
    let (created, ()) = tokio::join!(one.create("waited"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        one.proxy.set(Mode::Pass);
    });
    created.expect(201);
    one.proxy.set(Mode::Refuse);
    eventually("stale", || async { one.server.meta().stale_for() > Some(Duration::from_secs(2)) }).await;
    let stale = one.get("/streams/definitions/s").await.expect(200);
    assert_eq!(stale.header("warning"), "110 - \"Response is Stale\"");
    assert!(stale.header("age").parse::<u64>().unwrap() >= 2, "{}", stale.header("age"));
    assert_eq!(stale.header("x-flowkeeper-stale"), stale.header("age"));
    assert!(Member::zxid(&stale) >= Member::zxid(&fresh));
    let changes = [
        ("POST", "/streams/definitions?name=t&definition=time%7Clog"),
        ("DELETE", "/streams/definitions/s"),
        ("POST", "/streams/deployments/s"),
        ("PUT", "/apps/sink/log/1.0"),
    ];
    for (method, path) in changes {
        let before = Instant::now();
        let refused = one.ask(method, path, &[]).await.expect(503);
        assert!(before.elapsed() < Duration::from_millis(500), "at once");
        assert_eq!(refused.header("retry-after"), "2");
        assert!(refused.error().contains("lost its connection to zookeeper"), "{}", refused.text);
    }
    one.get("/streams/definitions/s?consistency=strong").await.expect(503);
    one.get("/livez").await.expect(200);
    eventually("not ready", || async { one.get("/readyz").await.status == 503 }).await;
    one.proxy.set(Mode::Pass);
    eventually("ready", || async { one.get("/readyz").await.status == 200 }).await;
    let again = one.get("/streams/definitions/s").await.expect(200);
    assert_eq!(again.header("warning"), "");
    one.create("t").await.expect(201);
    let metrics = one.get("/metrics").await.expect(200).text;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse::<f64>().unwrap()
    };
    assert!(value("flowkeeper_link_connects_total") >= 3.0);
    assert!(value("flowkeeper_link_suspended_seconds_total") > 5.0);
    assert!(value("flowkeeper_link_sync_seconds_count") >= 1.0);
    one.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_show_the_same_have_the_same_hash() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one").await, cluster.join("two").await);
    one.register_apps().await;
    one.create("s").await.expect(201);
    let same = || async {
        let (a, b) = tokio::join!(one.get("/debug/cachehash"), two.get("/debug/cachehash"));
        a.json()["hash"] == b.json()["hash"]
    };
    eventually("equal", same).await;
    let before = two.get("/debug/cachehash").await.expect(200).json();
    assert_eq!(before["hash"].as_str().unwrap().len(), 32);
    assert!(before["znodes"].as_u64().unwrap() > 768, "{before}");
    two.create("t").await.expect(201);
    eventually("equal", same).await;
    let after = two.get("/debug/cachehash").await.expect(200).json();
    assert_ne!(before["hash"], after["hash"]);
    assert!(after["zxid"].as_i64() > before["zxid"].as_i64());
    // A copy that was read anew after a cut is the same as one that was kept up.
    one.proxy.set(Mode::Refuse);
    eventually("cut", || async { one.server.meta().stale_for().is_some() }).await;
    two.create("u").await.expect(201);
    one.proxy.set(Mode::Pass);
    eventually("back", || async { one.server.meta().stale_for().is_none() }).await;
    eventually("equal", same).await;
    one.server.stop().await;
    two.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_on_one_server_a_moment_ago_is_known_to_another_whose_copy_is_late() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one").await, cluster.join("two").await);
    // What the second one is told is late by more than a request takes.
    two.proxy.delay(Duration::from_millis(100));
    one.register_apps().await;
    two.create("s").await.expect(201);
    one.server.stop().await;
    two.server.stop().await;
}
