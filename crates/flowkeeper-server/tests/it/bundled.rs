//! Bundled apps: their options are checked before anything is written.

use flowkeeper_server::run::Settings;
use serde_json::json;

use crate::support::{Running, catalog};

async fn start() -> Running {
    let running = Running::start_with(catalog(), Settings::default()).await;
    let registered = running.server.meta();
    let is_there = |model: &flowkeeper_server::meta::Model| model.apps.len() == 2;
    assert!(registered.wait_until(std::time::Duration::from_secs(10), is_there).await);
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundled_apps_are_registered_with_their_options() {
    let running = start().await;
    let app = running.get("/apps/source/tick").await.expect(200).json();
    assert_eq!((&app["uri"], &app["version"]), (&json!("builtin:source/tick"), &json!("1.0")));
    let option = &app["options"][0];
    assert_eq!((&option["id"], &option["name"]), (&json!("tick.every"), &json!("every")));
    assert_eq!((&option["defaultValue"], &option["shortDescription"]), (&json!("1"), &json!("Seconds.")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_option_is_refused_and_nothing_is_created() {
    let running = start().await;
    let error = running.create("s", "tick --color=red | out").await.expect(400).error();
    assert_eq!(error, "InvalidStreamDefinitionException: app 'tick': there is no option 'color'");
    let error = running.create("s", "t: tick --every=x | out").await.expect(400).error();
    assert_eq!(error, "InvalidStreamDefinitionException: app 't': 'x' is no number");
    running.get("/streams/definitions/s").await.expect(404);
    running.create("s", "tick --every=2 --spring.x=y --management.z=1 | out").await.expect(201);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_property_stops_a_deployment_and_changes_nothing() {
    let running = start().await;
    running.create("s", "tick | out").await.expect(201);
    let before = running.get("/api/v1/streams/s").await.json();
    for (properties, reason) in [
        (json!({"app.tick.color": "red"}), "app 'tick': there is no option 'color'"),
        (json!({"app.tick.every": "x"}), "app 'tick': 'x' is no number"),
        (json!({"app.*.every": "x"}), "app 'tick': 'x' is no number"),
    ] {
        let error = running.json("/streams/deployments/s", properties).await.expect(400).error();
        assert!(error.ends_with(reason), "{error}");
    }
    assert_eq!(running.get("/api/v1/streams/s").await.json(), before);
    // What is said to all apps need not mean something to each.
    let properties = json!({"app.*.every": "3", "app.*.color": "red"});
    running.json("/streams/deployments/s", properties).await.expect(201);
    let dsl = running.get("/streams/definitions/s").await.json()["dslText"].as_str().unwrap().to_owned();
    assert!(dsl.contains("--tick.every=3"), "{dsl}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundled_apps_validate() {
    let running = start().await;
    running.create("s", "t: tick | out").await.expect(201);
    let statuses = &running.get("/streams/validation/s").await.expect(200).json()["appStatuses"];
    assert_eq!(statuses, &json!({"source:t": "valid", "sink:out": "valid"}));
    running.stop().await;
}
