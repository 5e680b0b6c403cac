//! What must never happen, whatever is cut, killed or frozen: two copies of a strict instance at once.

use std::time::Duration;

use flowkeeper_deploy::record::{Exclusivity, StatusState};
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::Txn;
use rustix::process::Signal;

use crate::cluster::{Cluster, instance, order};
use crate::proxy::Proxy;
use crate::wait::{pause, until, until_async};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_behind_its_back_is_replaced_and_the_app_goes_on() {
    let cluster = Cluster::start().await;
    let node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let (app, epoch) = (node.app(), cluster.epoch(&node.id).await);
    cluster.end_session(&node).await;
    until_async("it registers again", async || cluster.epoch(&node.id).await > epoch).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    assert_eq!(node.app(), app);
    cluster.works(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_freezes_and_what_moved_meanwhile_ends_when_it_is_back() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::to(cluster.server.local_addr()).await;
    let cut_off = cluster.spawn("n1", "n1", Some(proxy.addr.to_string()), 0);
    cut_off.ready();
    let other = cluster.agent("n2");
    cluster.give(&cut_off.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&cut_off.id, StatusState::Running).await;
    cluster.works(1);
    let app = cut_off.app();
    let epoch = cluster.epoch(&cut_off.id).await;
    proxy.cut();
    cluster.until_lost(&cut_off.id).await;
    assert!(cut_off.is_frozen(), "frozen before the session ends");
    cluster.transfer(epoch, &cut_off.id, &other.id, &order("u", 2, Exclusivity::Strict)).await.unwrap();
    cluster.until_state(&other.id, StatusState::Running).await;
    cluster.works(2);
    assert!(app.is_alive(), "it waits for its contact");
    proxy.heal();
    until("what moved away is ended", || (!app.is_alive()).then_some(()));
    until_async("it is registered again", async || cluster.live(&cut_off.id).await.is_some()).await;
    cluster.works(2);
    cluster.assert_one_at_a_time();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_for_a_moment_goes_on_with_the_same_process() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::to(cluster.server.local_addr()).await;
    let node = cluster.spawn("n1", "n1", Some(proxy.addr.to_string()), 0);
    node.ready();
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let app = node.app();
    proxy.cut();
    until("it is frozen", || node.is_frozen().then_some(()));
    let before = cluster.ledger().len();
    (0..10).for_each(|_| pause());
    assert_eq!(cluster.ledger().len(), before, "it does nothing");
    proxy.heal();
    until("it goes on", || (!node.is_frozen()).then_some(()));
    cluster.works(1);
    assert_eq!(node.app(), app);
    cluster.until_state(&node.id, StatusState::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stands_still_does_not_keep_its_shims_from_freezing() {
    let cluster = Cluster::start().await;
    let node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let app = node.app();
    node.signal(Signal::STOP);
    until("it is frozen", || node.is_frozen().then_some(()));
    node.signal(Signal::CONT);
    until("it goes on", || (!node.is_frozen()).then_some(()));
    cluster.works(1);
    assert_eq!(node.app(), app);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_app_is_killed_in_the_end_and_starts_again_when_there_is_contact() {
    let cluster = Cluster::with_properties(&[("fence.freeze-max-seconds", "1")]).await;
    let proxy = Proxy::to(cluster.server.local_addr()).await;
    let node = cluster.spawn("n1", "n1", Some(proxy.addr.to_string()), 0);
    node.ready();
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let app = node.app();
    proxy.cut();
    until("it is killed", || (!app.is_alive()).then_some(()));
    proxy.heal();
    let mut entry = None;
    until_async("it runs again", async || {
        entry = cluster.status(&node.id).await.filter(|entry| entry.ready && entry.exit.is_some());
        entry.is_some()
    })
    .await;
    let entry = entry.unwrap();
    assert_eq!((entry.restarts, entry.failing), (0, false), "no fault of the program");
    assert!(entry.exit.is_some_and(|exit| exit.starts_with("fenced: no contact with the control plane")));
    assert_ne!(node.app(), app);
    cluster.works(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_app_goes_on_without_contact() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::to(cluster.server.local_addr()).await;
    let node = cluster.spawn("n1", "n1", Some(proxy.addr.to_string()), 0);
    node.ready();
    cluster.give(&node.id, &order("u", 1, Exclusivity::Shared)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    proxy.cut();
    cluster.until_lost(&node.id).await;
    cluster.works(1);
    proxy.heal();
    cluster.until_state(&node.id, StatusState::Running).await;
    cluster.works(1);
}

/// The return race: the node registers again while the leader decides. One of the two wins, and it is the same for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_returns_while_its_instance_is_moved_either_keeps_or_loses_it() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::to(cluster.server.local_addr()).await;
    let back = cluster.spawn("n1", "n1", Some(proxy.addr.to_string()), 0);
    back.ready();
    let other = cluster.agent("n2");
    cluster.give(&back.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&back.id, StatusState::Running).await;
    let (mut term, mut moved, mut kept) = (1, 0, 0);
    for round in 0..6_u64 {
        let epoch = cluster.epoch(&back.id).await;
        proxy.cut();
        cluster.until_lost(&back.id).await;
        proxy.heal();
        // From at once to when it is surely back.
        if round % 2 == 1 {
            until_async("it is back", async || cluster.live(&back.id).await.is_some()).await;
        } else {
            tokio::time::sleep(Duration::from_millis(round * 10)).await;
        }
        let next = order("u", term + 1, Exclusivity::Strict);
        if cluster.transfer(epoch, &back.id, &other.id, &next).await.is_ok() {
            moved += 1;
            term += 1;
            cluster.works(term);
            // Back to where it was, by a polite stop as for any move.
            term += 1;
            let path = znode::assignment(&other.id, &instance());
            cluster.connection.commit(Txn::new().delete(path, None)).await.unwrap();
            until("it has ended there", || {
                (!other.instance().state().is_some_and(|state| state.shim.is_alive())).then_some(())
            });
            cluster.give(&back.id, &order("u", term, Exclusivity::Strict)).await;
        } else {
            kept += 1;
        }
        cluster.works(term);
        cluster.until_state(&back.id, StatusState::Running).await;
    }
    assert!(kept >= 3, "moved {moved}, kept {kept}");
    cluster.assert_one_at_a_time();
}

/// A stale view starts nothing: between an agent's reading of its orders and the start lies the gate.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_app_that_ends_without_contact_is_not_started_again() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::to(cluster.server.local_addr()).await;
    let cut_off = cluster.spawn("n1", "n1", Some(proxy.addr.to_string()), 0);
    cut_off.ready();
    let other = cluster.agent("n2");
    cluster.give(&cut_off.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&cut_off.id, StatusState::Running).await;
    let (app, epoch) = (cut_off.app(), cluster.epoch(&cut_off.id).await);
    proxy.cut();
    app.signal_group(Signal::KILL).unwrap();
    cluster.until_lost(&cut_off.id).await;
    cluster.transfer(epoch, &cut_off.id, &other.id, &order("u", 2, Exclusivity::Strict)).await.unwrap();
    cluster.works(2);
    proxy.heal();
    until_async("it is back", async || cluster.live(&cut_off.id).await.is_some()).await;
    cluster.works(2);
    cluster.assert_one_at_a_time();
    assert_eq!(cluster.status(&cut_off.id).await.map(|entry| entry.st), None);
}
