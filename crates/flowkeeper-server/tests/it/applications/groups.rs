//! Releases of one application take the place of others all or not at all.

use std::time::Duration;

use flowkeeper_server::meta::Model;
use serde_json::{Value, json};

use super::{document, started};
use crate::puppet::Puppet;
use crate::support::Running;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn all(definition: &str) -> Value {
    document(&NAMES.map(|name| (name, definition)))
}

/// Releases that run.
fn releases(model: &Model) -> [u32; 3] {
    NAMES.map(|name| model.states.get(name).map_or(0, |state| state.record.rel))
}

/// Three streams that run in release 1, on one node.
async fn deployed(running: &Running) -> Puppet<'_> {
    let puppet = Puppet::join(running).await;
    running.apply("x", "deploy=true", &all("time | log")).await.expect(201);
    puppet.settle().await;
    assert_eq!(releases(&running.server.meta().model()), [1, 1, 1]);
    puppet
}

/// Status and reason of the newest releases of the application.
async fn history(running: &Running) -> Vec<String> {
    let history = running.get("/api/v1/applications/x/history").await.expect(200).json();
    let told = |release: &Value| {
        let reason = release["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{} {}{reason}", release["release"], release["status"].as_str().unwrap())
    };
    history.as_array().unwrap().iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_take_over_when_the_last_one_is_healthy() {
    let running = started().await;
    let mut puppet = deployed(&running).await;
    puppet.sick.insert("b".into(), 2);
    running.apply("x", "", &all("time --x=1 | log")).await.expect(200);
    let are_ready = |model: &Model| {
        ["a", "c"].iter().all(|name| {
            model
                .phase(name)
                .is_some_and(|phase| phase.rollout.is_some_and(|told| told.contains("stream 'b'")))
        })
    };
    puppet.until("two of three are healthy", are_ready).await;
    assert_eq!(releases(&running.server.meta().model()), [1, 1, 1]);
    assert_eq!(history(&running).await[0], "2 updating");
    // Nothing else may be changed meanwhile.
    for answer in [
        running.apply("x", "", &all("time | log")).await,
        running.apply("x", "dry-run=true", &all("time | log")).await,
        running.json("/api/v1/applications/x/deploy", json!({})).await,
        running.json("/api/v1/applications/x/rollback/0", json!({})).await,
    ] {
        let error = answer.expect(409).error();
        assert!(
            error.starts_with("StreamBeingUpdatedException: Stream 'a' is being updated to release 2"),
            "{error}"
        );
    }
    puppet.sick.clear();
    // Whoever looks while it happens sees all of them in one release or all in the other.
    let one = |model: &Model| NAMES.iter().all(|name| model.replacing(name).is_none());
    puppet.until("all have taken over", one).await;
    assert_eq!(releases(&running.server.meta().model()), [2, 2, 2]);
    puppet.settle().await;
    assert_eq!(history(&running).await, ["2 current", "1 replaced"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_go_back_when_one_fails_and_the_old_texts_are_shown() {
    let running = started().await;
    let mut puppet = deployed(&running).await;
    puppet.sick.insert("b".into(), 2);
    let mut file = all("time --x=1 | log");
    file["streams"][1]["properties"] = json!({"deployer.log.health.timeout-seconds": "1"});
    running.apply("x", "", &file).await.expect(200);
    puppet.settle().await;
    assert_eq!(releases(&running.server.meta().model()), [1, 1, 1]);
    let history = history(&running).await;
    assert!(
        history[0].starts_with("2 failed stream 'b': Did not detect apps to be healthy within 1000 ms"),
        "{history:?}"
    );
    assert_eq!(history[1], "1 current");
    let found = running.get("/api/v1/applications/x").await.expect(200).json();
    assert_eq!(found["release"], 1);
    for (index, name) in NAMES.iter().enumerate() {
        let stream = &found["streams"][index];
        assert_eq!((&stream["definition"], &stream["release"]), (&json!("time | log"), &json!(1)), "{name}");
        let reason = stream["reason"].as_str().unwrap();
        assert!(reason.starts_with("release 2 failed and release 1 runs on: "), "{reason}");
        assert_eq!(reason.contains("Went back together with stream 'b'"), *name != "b", "{reason}");
    }
    let stream = running.get("/streams/definitions/a").await.json();
    assert_eq!(stream["originalDslText"], "time | log");
    assert!(stream["dslText"].as_str().unwrap().starts_with("time --management"), "{stream}");
    // Starting it starts nothing, for it runs; stopped and started it is what it was.
    let deployed = running.json("/api/v1/applications/x/deploy", json!({})).await.expect(200).json();
    assert_eq!(deployed["applied"], false);
    running.json("/api/v1/applications/x/undeploy", json!({})).await.expect(200);
    puppet.settle().await;
    running.json("/api/v1/applications/x/deploy", json!({})).await.expect(200);
    puppet.settle().await;
    assert_eq!(running.get("/streams/definitions/a").await.json()["originalDslText"], "time | log");
    assert_eq!(releases(&running.server.meta().model()), [3, 3, 3]);
    // The same file again is another try, which succeeds now.
    puppet.sick.clear();
    running.apply("x", "", &file).await.expect(200);
    puppet.settle().await;
    assert_eq!(releases(&running.server.meta().model()), [4, 4, 4]);
    let again = running.apply("x", "", &file).await.expect(200).json();
    assert_eq!((&again["applied"], &again["release"]), (&json!(false), &json!(4)));
    // Releases that failed are passed over on the way back.
    running.json("/api/v1/applications/x/rollback/0", json!({})).await.expect(200);
    puppet.settle().await;
    assert_eq!(releases(&running.server.meta().model()), [5, 5, 5]);
    assert_eq!(running.get("/streams/definitions/a").await.json()["originalDslText"], "time | log");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_one_gives_up_all() {
    let running = started().await;
    let mut puppet = deployed(&running).await;
    puppet.sick.insert("c".into(), 2);
    running.apply("x", "", &all("time --x=1 | log")).await.expect(200);
    puppet.until("it is under way", |model| NAMES.iter().all(|name| model.replacing(name).is_some())).await;
    running.json("/api/v1/streams/a/cancel", json!({})).await.expect(202);
    puppet.settle().await;
    assert_eq!(releases(&running.server.meta().model()), [1, 1, 1]);
    let history = history(&running).await;
    assert!(history[0].starts_with("2 failed stream 'a': Cancelled after"), "{history:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_stopped_meanwhile_does_not_hold_up_the_others() {
    let running = started().await;
    let mut puppet = deployed(&running).await;
    puppet.sick.insert("c".into(), 2);
    running.apply("x", "", &all("time --x=1 | log")).await.expect(200);
    puppet.until("it is under way", |model| NAMES.iter().all(|name| model.replacing(name).is_some())).await;
    running.delete("/streams/deployments/c").await.expect(200);
    puppet.until("the others take over", |model| releases(model)[..2] == [2, 2]).await;
    assert_eq!(history(&running).await, ["2 current", "1 replaced"]);
    running.stop().await;
}

/// Number by which the application is known in the list, in itself and to a change that changes nothing.
async fn numbers(running: &Running, file: &Value) -> [Value; 3] {
    let list = running.get("/api/v1/applications").await.expect(200).json();
    let info = running.get("/api/v1/applications/x").await.expect(200).json();
    let difference = running.apply("x", "dry-run=true", file).await.expect(200).json();
    [&list[0], &info, &difference].map(|found| found["release"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_before_it_took_over_is_given_up() {
    let running = started().await;
    let mut puppet = deployed(&running).await;
    puppet.sick.insert("b".into(), 2);
    let mut file = all("time --x=1 | log");
    file["streams"][0]["properties"] = json!({"app.log.level": "DEBUG"});
    running.apply("x", "", &file).await.expect(200);
    puppet.until("it is under way", |model| NAMES.iter().all(|name| model.replacing(name).is_some())).await;
    let stopped = running.json("/api/v1/applications/x/undeploy", json!({})).await.expect(200).json();
    assert_eq!(stopped["release"], 1);
    puppet.settle().await;
    let told = history(&running).await;
    assert!(told[0].starts_with("2 failed stream 'a': Stopped before it had taken the place"), "{told:?}");
    assert_eq!(told[1], "1 current");
    let found = running.get("/api/v1/applications/x").await.expect(200).json();
    assert_eq!(
        (&found["streams"][0]["definition"], &found["streams"][0]["properties"]),
        (&json!("time | log"), &Value::Null)
    );
    assert_eq!(running.get("/streams/definitions/a").await.json()["originalDslText"], "time | log");
    assert_eq!(numbers(&running, &file).await, [1, 1, 1]);
    running.json("/api/v1/applications/x/deploy", json!({})).await.expect(200);
    puppet.until("all run", |model| releases(model) == [3, 3, 3]).await;
    let model_text = |name: &str| {
        let model = running.server.meta().model();
        model.current_release(name).map(|release| (release.dsl.clone(), release.properties.clone()))
    };
    for name in NAMES {
        let (dsl, properties) = model_text(name).unwrap();
        assert!(!dsl.contains("--x=1") && properties.is_empty(), "{name}: {dsl} {properties:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stays_known_when_the_stream_that_failed_is_removed() {
    let running = started().await;
    let mut puppet = deployed(&running).await;
    puppet.sick.insert("b".into(), 2);
    let mut file = all("time | log");
    file["streams"][1]["definition"] = json!("time --x=1 | log");
    file["streams"][1]["properties"] = json!({"deployer.log.health.timeout-seconds": "1"});
    running.apply("x", "", &file).await.expect(200);
    puppet.settle().await;
    assert!(history(&running).await[0].starts_with("2 failed stream 'b': "));
    assert_eq!(numbers(&running, &file).await, [1, 1, 1]);
    let destroyed = running.delete("/streams/definitions/b");
    let is_gone = puppet.until("it is gone", |model| !model.streams.contains_key("b"));
    tokio::join!(destroyed, is_gone).0.expect(200);
    let told = history(&running).await;
    assert!(told[0].starts_with("2 failed stream 'b': Did not detect apps to be healthy"), "{told:?}");
    let found = running.get("/api/v1/applications/x").await.expect(200).json();
    assert_eq!((&found["release"], &found["status"]), (&json!(1), &json!("partial")));
    assert_eq!(
        found["streams"][1],
        json!({"name": "b", "definition": "time | log", "status": "undeployed", "release": 0,
            "reason": "not there; apply or deploy creates it", "settled": true})
    );
    // With all of them gone nothing but the application knows.
    let destroyed = running.delete("/streams/definitions");
    let are_gone = puppet.until("all are gone", |model| model.streams.is_empty());
    tokio::join!(destroyed, are_gone).0.expect(200);
    let stopped = running.json("/api/v1/applications/x/undeploy", json!({})).await.expect(200).json();
    assert_eq!((&stopped["applied"], &stopped["release"]), (&json!(false), &json!(1)));
    let found = running.get("/api/v1/applications/x").await.expect(200).json();
    assert_eq!((&found["release"], &found["status"]), (&json!(1), &json!("undeployed")));
    let audited = running.audited(0).len();
    running.json("/api/v1/applications/x/deploy", json!({})).await.expect(200);
    let expected = NAMES.map(|name| [format!("DEPLOY {name}"), format!("CREATE {name}")]);
    assert_eq!(running.audited(audited), expected.concat());
    puppet.settle().await;
    for name in NAMES {
        let stream = running.get(&format!("/streams/definitions/{name}")).await.json();
        assert_eq!(stream["originalDslText"], "time | log");
    }
    assert_eq!(history(&running).await[0], "3 current");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_are_ordered_before_writers() {
    let running = started().await;
    let puppet = Puppet::join(&running).await;
    let file = document(&[
        ("a-source", "time > :mid"),
        ("b-middle", ":mid > filter > :end"),
        ("c-sink", ":end > log"),
    ]);
    running.apply("x", "deploy=true", &file).await.expect(201);
    let order = |model: &Model, name: &str| {
        model.release(name, 1).and_then(|release| release.group.clone()).map(|group| group.order)
    };
    {
        let model = running.server.meta().model();
        assert_eq!(
            ["c-sink", "b-middle", "a-source"].map(|name| order(&model, name)),
            [Some(0), Some(1), Some(2)]
        );
    }
    puppet.settle().await;
    assert!(running.server.meta().wait_until(Duration::from_secs(20), |model| model.states.len() == 3).await);
    running.stop().await;
}
