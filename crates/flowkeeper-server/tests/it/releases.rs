//! Updates, rollbacks and scaling as far as they are decided by the server: which release is made, what it carries over, and what
//! is refused. The node is a puppet that reports nothing after the first release, so one that replaces it waits until it is
//! cancelled.

use flowkeeper_server::meta::Model;
use serde_json::{Value, json};

use crate::puppet::Puppet;
use crate::support::Running;

const LOG_COUNT: &str = "/streams/deployments/scale/s/log/instances";

/// A deployed stream `time | log`.
async fn deployed(properties: Value) -> Running {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "time | log --x=1").await.expect(201);
    running.json("/streams/deployments/s", properties).await.expect(201);
    Puppet::join(&running).await.settle().await;
    running
}

/// The newest release as it is stored: what made it, what it replaces, and per app since when it is and with which properties.
fn newest(running: &Running) -> Value {
    let model = running.server.meta().model();
    let release = model.releases("s").last().cloned().expect("a release");
    let apps = release.apps.iter().map(|app| {
        let value = json!({"since": release.since(app), "count": app.count, "ver": app.ver, "props": app.props, "deployer": app.deployer});
        (app.label.clone(), value)
    });
    let apps: serde_json::Map<String, Value> = apps.collect();
    json!({"n": release.n, "from": release.from, "replaces": release.replaces, "dsl": release.dsl, "apps": apps})
}

async fn update(running: &Running, properties: Value) -> crate::support::Answer {
    running.json("/streams/deployments/update/s", json!({"updateProperties": properties})).await
}

/// Gives up what is being replaced and waits until that is known.
async fn cancel(running: &Running) {
    running.ask("POST", "/api/v1/streams/s/cancel", &[], None).await.expect(202);
    let is_over = |model: &Model| model.replacing("s").is_none();
    assert!(running.server.meta().wait_until(std::time::Duration::from_secs(20), is_over).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_differ_is_carried_over_and_properties_can_be_removed() {
    let running = deployed(json!({"app.log.y": "2", "deployer.log.memory": "1g"})).await;
    update(
        &running,
        json!({"app.log.z": "3", "app.log.y": null, "deployer.log.memory": null, "app.log.x": null}),
    )
    .await
    .expect(201);
    let release = newest(&running);
    assert_eq!(
        (&release["n"], &release["replaces"], &release["from"]),
        (&json!(2), &json!(1), &json!("update"))
    );
    assert_eq!((&release["apps"]["time"]["since"], &release["apps"]["log"]["since"]), (&json!(1), &json!(2)));
    let log = &release["apps"]["log"];
    assert_eq!(log["props"]["z"], "3");
    assert!(log["props"].get("y").is_none() && log["props"].get("x").is_none(), "{log}");
    assert!(log["deployer"].get("spring.cloud.deployer.memory").is_none(), "{log}");
    assert!(
        !release["dsl"].as_str().unwrap().contains("--y=")
            && release["dsl"].as_str().unwrap().contains("--z=3")
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_update_at_a_time_and_a_cancelled_one_leaves_everything_as_it_was() {
    let running = deployed(json!({})).await;
    let before = running.get("/streams/definitions/s").await.json()["dslText"].clone();
    update(&running, json!({"app.log.z": "3"})).await.expect(201);
    assert_ne!(running.get("/streams/definitions/s").await.json()["dslText"], before);
    for (method, path, body) in [
        ("POST", "/streams/deployments/update/s", Some(r#"{"updateProperties":{"app.log.z":"4"}}"#)),
        ("POST", "/streams/deployments/rollback/s/1", None),
        ("POST", "/streams/deployments/scale/s/log/instances/2", None),
        ("POST", "/streams/deployments/s", Some("{}")),
    ] {
        let refused =
            running.ask(method, path, &[("Content-Type", "application/json")], body.map(str::to_owned)).await;
        let error = refused.expect(409).error();
        assert!(error.contains("being updated to release 2"), "{path}: {error}");
    }
    cancel(&running).await;
    assert_eq!(running.get("/streams/definitions/s").await.json()["dslText"], before);
    let history = running.get("/streams/deployments/history/s").await.json();
    assert_eq!(history[0]["info"]["status"]["statusCode"], "FAILED");
    assert!(history[0]["info"]["description"].as_str().unwrap().starts_with("Cancelled after "), "{history}");
    assert_eq!(history[1]["info"]["status"]["statusCode"], "DEPLOYED");
    running.ask("POST", "/api/v1/streams/s/cancel", &[], None).await.expect(409);
    // The next update starts from the release that runs, not from the one that failed.
    update(&running, json!({"app.log.w": "5"})).await.expect(201);
    let release = newest(&running);
    assert_eq!((&release["n"], &release["replaces"]), (&json!(3), &json!(1)));
    assert!(release["apps"]["log"]["props"].get("z").is_none(), "{release}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_is_no_release_unless_partitions_depend_on_it() {
    let running = deployed(json!({})).await;
    running.json(&format!("{LOG_COUNT}/3"), json!({})).await.expect(201);
    assert_eq!(newest(&running)["n"], 1);
    assert_eq!(
        running.get("/api/v1/streams/s").await.json()["apps"][1]["instances"].as_array().map(Vec::len),
        Some(3)
    );
    // An update keeps what was asked for, and takes another number.
    update(&running, json!({"app.log.z": "3"})).await.expect(201);
    assert_eq!(newest(&running)["apps"]["log"]["count"], 3);
    cancel(&running).await;
    update(&running, json!({"deployer.log.count": "2"})).await.expect(201);
    let release = newest(&running);
    assert_eq!((&release["apps"]["log"]["count"], &release["apps"]["log"]["since"]), (&json!(2), &json!(1)));
    running.stop().await;

    let key = "app.time.producer.partition-key-expression";
    let running = deployed(json!({key: "payload", "deployer.log.count": "2"})).await;
    let partitions = |release: &Value| {
        release["apps"]["time"]["props"]["spring.cloud.stream.bindings.output.producer.partitionCount"]
            .clone()
    };
    assert_eq!(partitions(&newest(&running)), "2");
    running.json(&format!("{LOG_COUNT}/3"), json!({})).await.expect(201);
    let release = newest(&running);
    assert_eq!((&release["from"], &release["apps"]["log"]["count"]), (&json!("scale"), &json!(3)));
    assert_eq!(partitions(&release), "3");
    assert_eq!(release["apps"]["log"]["props"]["spring.cloud.stream.instanceCount"], "3");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_chosen_given_up_and_kept_from_being_unregistered() {
    let running = deployed(json!({})).await;
    running.form("/apps/sink/log/2.0", &[("uri", "file:/none/log-2.0.jar")]).await.expect(201);
    let unknown = update(&running, json!({"version.log": "9"})).await.expect(500).error();
    assert!(unknown.contains("log:sink:9 app is not registered"), "{unknown}");
    update(&running, json!({"version.log": "2.0"})).await.expect(201);
    assert_eq!(newest(&running)["apps"]["log"]["ver"], "2.0");
    // While one replaces the other both are in use.
    for version in ["1.0", "2.0"] {
        running.delete(&format!("/apps/sink/log/{version}")).await.expect(409);
    }
    cancel(&running).await;
    running.delete("/apps/sink/log/2.0").await.expect(200);
    running.delete("/apps/sink/log/1.0").await.expect(409);
    running.delete("/streams/deployments/s").await.expect(200);
    running.delete("/apps/sink/log/1.0").await.expect(200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn force_replaces_what_is_named_and_nothing_new_is_refused() {
    let running = deployed(json!({})).await;
    let nothing = update(&running, json!({})).await.expect(500).error();
    assert!(nothing.contains("no difference"), "{nothing}");
    let forced = json!({"updateProperties": {}, "force": true, "appNames": ["log"]});
    running.json("/streams/deployments/update/s", forced).await.expect(201);
    let release = newest(&running);
    assert_eq!((&release["apps"]["time"]["since"], &release["apps"]["log"]["since"]), (&json!(1), &json!(2)));
    cancel(&running).await;
    let stranger = json!({"updateProperties": {}, "force": true, "appNames": ["nobody"]});
    running.json("/streams/deployments/update/s", stranger).await.expect(404);
    for (properties, what) in [
        (json!({"colour": "red"}), "Only deployment property keys"),
        (json!({"app.nobody.x": "1"}), "for no app of the stream"),
        (json!({"deployer.log.count": "many"}), "number of instances"),
        (json!({"deployer.log.count": "100000"}), "may be 1000"),
        (json!({"deployer.log.local.debugPort": "70000"}), "debugPort"),
    ] {
        let error = update(&running, properties.clone()).await.expect(500).error();
        assert!(error.contains(what), "{properties}: {error}");
    }
    running.delete("/streams/deployments/s").await.expect(200);
    let stopped = update(&running, json!({"app.log.z": "3"})).await.expect(500).error();
    assert!(stopped.contains("not deployed"), "{stopped}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_leaves_a_record() {
    let running = deployed(json!({"app.log.my.password": "hush"})).await;
    update(&running, json!({"app.log.z": "3"})).await.expect(201);
    cancel(&running).await;
    running.json(&format!("{LOG_COUNT}/2"), json!({})).await.expect(201);
    running.delete("/streams/deployments/s").await.expect(200);
    running.ask("POST", "/streams/deployments/rollback/s/1", &[], None).await.expect(201);
    let is_gone = |model: &Model| model.streams.is_empty();
    let puppet = Puppet::of(&running);
    let (destroyed, ()) =
        tokio::join!(running.delete("/streams/definitions/s"), puppet.until("the stream is gone", is_gone));
    destroyed.expect(200);
    running.delete("/apps/sink/log").await.expect(200);
    let page = running.get("/audit-records?size=100").await.json();
    let records = page["_embedded"]["auditRecordResourceList"].as_array().unwrap().clone();
    let told: Vec<String> = records
        .iter()
        .map(|record| {
            format!(
                "{} {}",
                record["auditAction"].as_str().unwrap(),
                record["correlationId"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "CREATE time",
            "CREATE log",
            "CREATE filter",
            "CREATE s",
            "UPDATE s",
            "DEPLOY s",
            "UPDATE s",
            "UPDATE s",
            "UPDATE s",
            "UPDATE s",
            "UNDEPLOY s",
            "UPDATE s",
            "ROLLBACK s",
            "UNDEPLOY s",
            "DELETE s",
            "DELETE log"
        ]
    );
    assert!(!page.to_string().contains("hush"));
    let server = &running;
    let of = |query: &str| {
        let path = format!("/audit-records?{query}");
        async move { server.get(&path).await.json()["page"]["totalElements"].clone() }
    };
    assert_eq!(of("actions=ROLLBACK,DELETE&operations=STREAM").await, 2);
    assert_eq!(of("operations=APP_REGISTRATION").await, 4);
    assert_eq!(of("toDate=2020-01-01T00:00:00").await, 0);
    let first = &records[0];
    let same = running.get(&format!("/audit-records/{}", first["auditRecordId"])).await.json();
    assert_eq!(same["createdOn"], first["createdOn"]);
    running.stop().await;
}
