//! Agents that come, go and come back.

use flowkeeper_deploy::record::{Exclusivity, StatusState, encode};
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::InstanceId;
use flowkeeper_zk::recipes::Txn;

use crate::cluster::{Cluster, order};
use crate::roles::PROFILE;
use crate::wait::{until, until_async};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_what_it_is_and_keeps_leases() {
    let cluster = Cluster::start().await;
    let node = cluster.agent("n1");
    let (live, _) = cluster.live(&node.id).await.unwrap();
    let lease = live.lease.unwrap();
    assert_eq!((lease.session, lease.deadline), (PROFILE.session_ms, PROFILE.deadline_ms));
    assert_eq!((live.zone.as_str(), live.unfit), ("z1", None));
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    let entry = cluster.until_state(&node.id, StatusState::Running).await;
    assert_eq!(Some(node.app().pid), entry.pid);
    let lease = || std::fs::read(node.instance().path().join("lease")).ok();
    let first = until("it has a lease", lease);
    until("the lease is prolonged", || lease().filter(|lease| *lease > first));
    cluster.works(1);
    assert!(!node.is_frozen());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_leaves_apps_and_session_to_the_next() {
    let cluster = Cluster::start().await;
    let mut node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let (app, owner) = (node.app(), cluster.live(&node.id).await.unwrap().1.ephemeral_owner);
    node.stop();
    assert!(cluster.live(&node.id).await.is_some(), "the node has not gone");
    let next = cluster.spawn("n1", "n1", None, 0);
    assert!(next.ready(), "it takes up the session");
    assert_eq!(cluster.live(&next.id).await.unwrap().1.ephemeral_owner, owner);
    cluster.until_state(&next.id, StatusState::Running).await;
    assert_eq!(next.app(), app);
    cluster.works(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_is_followed_by_another_before_or_behind_the_deadline() {
    let cluster = Cluster::start().await;
    let mut node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let app = node.app();
    node.kill();
    let mut next = cluster.agent("n1");
    assert_eq!(next.app(), app);
    cluster.works(1);
    next.kill();
    until("nobody prolongs its lease", || next.is_frozen().then_some(()));
    let last = cluster.agent("n1");
    until("it goes on", || (!last.is_frozen()).then_some(()));
    assert_eq!(last.app(), app, "the same process");
    cluster.works(1);
    cluster.until_state(&last.id, StatusState::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_of_the_same_name_is_refused_while_the_first_lives() {
    let cluster = Cluster::start().await;
    let node = cluster.agent("n1");
    let epoch = cluster.epoch(&node.id).await;
    let other = cluster.spawn("n1", "elsewhere", None, 0);
    let refused = other.refused();
    assert!(refused.starts_with("a node named n1 is alive in another place ("), "{refused}");
    // A copy of the folder has the same identity and is another place.
    std::fs::create_dir_all(cluster.home.path().join("copy/node")).unwrap();
    std::fs::copy(node.folder.join("node/folder-id"), cluster.home.path().join("copy/node/folder-id"))
        .unwrap();
    let copy = cluster.spawn("n1", "copy", None, 0);
    let refused = copy.refused();
    assert!(refused.contains("is a copy of the other; delete folder-id in it"), "{refused}");
    assert_eq!(cluster.epoch(&node.id).await, epoch, "the first was not disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_room_starts_nothing_and_goes_on_with_what_runs() {
    let cluster = Cluster::start().await;
    let mut node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let app = node.app();
    node.kill();
    let mut full = cluster.spawn("n1", "n1", None, u64::MAX);
    full.ready();
    let unfit = cluster.live(&full.id).await.unwrap().0.unfit.unwrap();
    assert!(unfit.starts_with("disk is full: "), "{unfit}");
    cluster.until_state(&full.id, StatusState::Running).await;
    assert_eq!(full.app(), app);
    // It ends by itself and must not be started again.
    app.signal_group(rustix::process::Signal::KILL).unwrap();
    let pending = cluster.until_state(&full.id, StatusState::Pending).await;
    assert!(pending.err.as_deref().is_some_and(|err| err.starts_with("not started: disk is full")));
    full.kill();
    let roomy = cluster.agent("n1");
    assert_eq!(cluster.live(&roomy.id).await.unwrap().0.unfit, None);
    cluster.until_state(&roomy.id, StatusState::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_is_killed_takes_its_strict_app_along_and_both_come_back() {
    let cluster = Cluster::start().await;
    let node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Strict)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let app = node.app();
    let shim = node.instance().state().unwrap().shim;
    let pid = rustix::process::Pid::from_raw(i32::try_from(shim.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the app dies", || (!app.is_alive()).then_some(()));
    let mut entry = None;
    until_async("it runs again", async || {
        entry = cluster.status(&node.id).await.filter(|entry| entry.restarts == 1 && entry.ready);
        entry.is_some()
    })
    .await;
    assert_ne!(node.app(), app);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_and_an_identity_are_told_once() {
    let cluster = Cluster::start().await;
    let node = cluster.agent("n1");
    let path = flowkeeper_deploy::znode::status_bucket(&node.id, 0);
    let mut load = None;
    until_async("the load is told", async || {
        let bucket = cluster.read::<flowkeeper_deploy::record::StatusBucket>(&path).await;
        load = bucket.and_then(|(bucket, _)| bucket.load);
        load.is_some()
    })
    .await;
    assert!(load.unwrap().mem <= 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_instances_start_at_once_than_a_node_bears() {
    let cluster = Cluster::with_properties(&[("health.alive-seconds", "1")]).await;
    let node = cluster.agent("n1");
    let second = InstanceId::new("s", "a", 1, 1);
    cluster.give(&node.id, &order("u", 1, Exclusivity::Shared)).await;
    cluster.until_state(&node.id, StatusState::Running).await;
    let path = znode::assignment(&node.id, &second);
    let txn = Txn::new().create(path, encode(&order("u", 2, Exclusivity::Shared)));
    cluster.connection.commit(txn).await.unwrap();
    until_async("the second waits", async || {
        let entry = cluster.status_of(&node.id, &second).await;
        entry
            .and_then(|entry| entry.err)
            .is_some_and(|err| err == "waits until others on its node have started")
    })
    .await;
    until_async("both are ready", async || {
        let (first, second) = (cluster.status(&node.id).await, cluster.status_of(&node.id, &second).await);
        first.is_some_and(|entry| entry.ready) && second.is_some_and(|entry| entry.ready)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_cannot_be_started_keeps_no_other_from_starting() {
    let cluster = Cluster::start().await;
    let app = cluster.home.path().join("app");
    let good = std::fs::read(&app).unwrap();
    std::fs::write(&app, "#!/no/such/interpreter\n").unwrap();
    let node = cluster.agent("n1");
    cluster.give(&node.id, &order("u", 1, Exclusivity::Shared)).await;
    let failed = cluster.until_state(&node.id, StatusState::Failed).await;
    assert!(failed.err.is_some_and(|err| err.ends_with("check the registered program")));
    std::fs::write(&app, good).unwrap();
    let second = InstanceId::new("s", "a", 1, 1);
    let path = znode::assignment(&node.id, &second);
    let txn = Txn::new().create(path, encode(&order("u", 2, Exclusivity::Shared)));
    cluster.connection.commit(txn).await.unwrap();
    until_async("the second runs", async || {
        cluster.status_of(&node.id, &second).await.is_some_and(|entry| entry.ready)
    })
    .await;
}
