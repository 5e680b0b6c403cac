//! Deploying, undeploying, destroying: what is written, and what is refused.

use flowkeeper_server::meta::record::WantState;
use serde_json::json;

use crate::puppet::Puppet;
use crate::support::{Running, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_writes_a_release_with_everything_resolved() {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "clock: time --a=1 | log").await.expect(201);
    let properties = json!({"app.clock.a": 2, "deployer.log.count": "3", "app.log.producer.x": "y"});
    let answer = running.json("/streams/deployments/s", properties).await.expect(201);
    let zxid: i64 = answer.header("x-flowkeeper-zxid").parse().unwrap();
    assert!(running.server.meta().applied_zxid() >= zxid);
    {
        let model = running.server.meta().model();
        let stream = model.stream("s").unwrap().record.clone();
        assert_eq!((stream.want.state, stream.want.r#gen, stream.want.rel), (WantState::Deployed, 1, 1));
        let release = model.current_release("s").unwrap();
        assert_eq!(
            (release.from.as_str(), release.dsl.as_str()),
            ("deploy", model.shown("s").unwrap().dsl())
        );
        let labels: Vec<_> =
            release.apps.iter().map(|app| (app.label.as_str(), app.app.as_str(), app.count)).collect();
        assert_eq!(labels, [("clock", "time", 1), ("log", "log", 3)]);
        assert_eq!(release.apps[0].uri, "file:/none/time-1.0.jar");
        assert_eq!(release.apps[0].props["a"], "2");
        assert_eq!(release.apps[1].props["spring.cloud.stream.bindings.output.producer.x"], "y");
        assert_eq!(release.apps[1].deployer["spring.cloud.deployer.count"], "3");
    }
    let stream = running.get("/streams/definitions/s").await.json();
    assert_eq!(stream["originalDslText"], "clock: time --a=1 | log");
    let dsl = stream["dslText"].as_str().unwrap();
    assert!(dsl.starts_with("clock: time --a=2 --management."), "{dsl}");
    let deployment = running.get("/streams/deployments/s").await.json();
    let properties: serde_json::Value =
        serde_json::from_str(deployment["deploymentProperties"].as_str().unwrap()).unwrap();
    assert_eq!(properties["log"]["resource"], "file:/none/log");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_releases_never_come_back() {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "time | log").await.expect(201);
    for release in 1..=3 {
        running.json("/streams/deployments/s", json!({})).await.expect(201);
        assert_eq!(running.get("/api/v1/streams/s").await.json()["release"], release);
        running.delete("/streams/deployments/s").await.expect(200);
    }
    assert_eq!(running.get("/api/v1/streams/s").await.json()["generation"], 6);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_deploy_at_once_make_one_deployment() {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "time | log").await.expect(201);
    let deploy = || running.json("/streams/deployments/s", json!({}));
    let (a, b, c) = tokio::join!(deploy(), deploy(), deploy());
    let mut statuses = [a.status, b.status, c.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
    assert_eq!(running.get("/api/v1/streams/s").await.json()["release"], 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_deployment_is_told_and_changes_nothing() {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "time | log").await.expect(201);
    let before = running.get("/api/v1/streams/s").await.json();
    for (properties, status, reason) in [
        (json!({"colour.log": "red"}), 500, "got 'colour.log'"),
        (json!({"spring.cloud.dataflow.skipper.platformName": "mars"}), 500, "No platform named 'mars'"),
        (json!({"deployer.log.count": "many"}), 500, "'many'"),
        (json!({"version.log": "7.7"}), 500, "The log:sink:7.7 app is not registered"),
        (json!({"app.log.x": "y".repeat(270_000)}), 400, "fewer or shorter properties"),
        (json!([1]), 400, "JSON parse error"),
        (json!({"app.log.x": {"y": 1}}), 400, "a property must be a text"),
    ] {
        let error = running.json("/streams/deployments/s", properties).await.expect(status).error();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(running.get("/api/v1/streams/s").await.json(), before);
    let long = "s".repeat(60);
    running.create(&long, "time | log").await.expect(201);
    let error = running.json(&format!("/streams/deployments/{long}"), json!({})).await.expect(400).error();
    assert!(error.contains("should not exceed 58 in length"), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_deployment_takes_the_new_definition_with_it() {
    let running = Running::start().await;
    running.register_apps().await;
    let path = "/streams/definitions?name=s&definition=time%7Clog&deploy=true";
    running.json(path, json!({"nonsense": "1"})).await.expect(500);
    running.get("/streams/definitions/s").await.expect(404);
    let answer = running.json(path, json!({"app.log.x": "1"})).await.expect(201);
    let created = answer.json();
    assert_eq!((&created["status"], &created["dslText"]), (&json!("deploying"), &json!("time | log")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_stream_is_gone_and_its_name_is_free() {
    let running = Running::start().await;
    running.register_apps().await;
    for _ in 0..2 {
        running.create("s", "time | log").await.expect(201);
        running.json("/streams/deployments/s", json!({})).await.expect(201);
        running.delete("/streams/definitions/s").await.expect(200);
        running.get("/streams/definitions/s").await.expect(404);
        running.delete("/streams/definitions/s").await.expect(404);
    }
    for name in ["a", "b", "c"] {
        running.create(name, "time | log").await.expect(201);
    }
    running.delete("/streams/definitions").await.expect(200);
    assert!(names(&running.get("/streams/definitions").await.json()).is_empty());
    assert!(running.server.meta().model().streams.is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_start_says_why() {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "time | log").await.expect(201);
    running.json("/streams/deployments/s", json!({})).await.expect(201);
    let explained = running.get("/api/v1/streams/s").await.json();
    assert_eq!((&explained["phase"], &explained["want"]), (&json!("deploying"), &json!("deployed")));
    let instance = &explained["apps"][0]["instances"][0];
    assert_eq!((&instance["id"], &instance["reason"]), (&json!("s.time-v1-0"), &json!("no node is alive")));
    let cluster = running.get("/api/v1/cluster").await.json();
    assert_eq!(cluster["leader"]["id"], "s1");
    assert!(cluster["update_seconds"]["znode"]["count"].as_u64().unwrap() > 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_no_node_can_take_says_what_they_lack() {
    let running = Running::start().await;
    running.register_apps().await;
    Puppet::join(&running).await;
    running.create("s", "time | log").await.expect(201);
    let properties = json!({"deployer.log.criteria": "label.gpu=yes"});
    running.json("/streams/deployments/s", properties).await.expect(201);
    let is_told =
        |model: &flowkeeper_server::meta::Model| model.nodes.values().any(|node| node.live.is_some());
    assert!(running.server.meta().wait_until(std::time::Duration::from_secs(20), is_told).await);
    let explained = running.get("/api/v1/streams/s").await.json();
    let reason = explained["apps"][1]["instances"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("1 not fulfilling its criteria"), "{reason}");
    let lost = running.get("/api/v1/what-if?lose=n1").await.json();
    assert_eq!(lost["brake"], json!(null), "one node is no storm: {lost}");
    running.stop().await;
}
