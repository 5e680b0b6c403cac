//! Completion over HTTP: what the traces do not show.

use flowkeeper_api::{Client, Kind};
use flowkeeper_server::run::Settings;
use flowkeeper_testkit::golden::apps::jar;
use serde_json::{Value, json};

use crate::support::{Running, catalog};

impl Running {
    /// Proposed texts for a start, at a level.
    async fn proposed(&self, start: &str, level: &str) -> Vec<String> {
        let form = [("start", start), ("detailLevel", level)];
        let answer = self.form("/completions/stream", &form).await.expect(200).json();
        let proposals = answer["proposals"].as_array().unwrap().iter();
        proposals.map(|proposal| proposal["text"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundled_apps_are_completed_like_any_other() {
    let running = Running::start_with(catalog(), Settings::default()).await;
    assert_eq!(running.proposed("", "1").await, ["tick"]);
    assert_eq!(running.proposed("ti", "").await, ["tick"]);
    assert_eq!(running.proposed("tick | ", "1").await, ["tick | out"]);
    let answer = running.get("/completions/stream?start=tick%20--&detailLevel=2").await.expect(200).json();
    let proposal = |text| json!({"text": text, "explanation": "Seconds."});
    assert_eq!(answer, json!({"proposals": [proposal("tick --every="), proposal("tick --tick.every=")]}));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_come_from_the_type_in_a_jar() {
    let running = Running::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thing-1.0.jar");
    let option = |name| (name, "java.lang.Boolean", "On or off.", Value::Null);
    std::fs::write(&path, jar("x.Thing", &[option("thing.ssl"), option("thing.tcp")], true)).unwrap();
    let uri = format!("file://{}", path.display());
    running.form("/apps/source/thing", &[("uri", &uri)]).await.expect(201);
    assert_eq!(running.proposed("thing --ssl=", "1").await, ["thing --ssl=true", "thing --ssl=false"]);
    assert_eq!(running.proposed("thing --ssl=f", "1").await, ["thing --ssl=false"]);
    assert_eq!(running.proposed("thing --ssl=true --", "1").await, ["thing --ssl=true --tcp="]);
    assert!(running.proposed("x: thing --tc", "1").await.is_empty());
    assert_eq!(running.proposed("x: thing --tc", "2").await, ["x: thing --tcp="]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_proposed_once_and_only_with_a_default_version() {
    let running = Running::start().await;
    running.register_apps().await;
    let more = "sink.log=file:/none/log-2.0.jar\ntask.report=file:/none/report-1.0.jar\napp.lone=file:/none/lone-1.0.jar";
    running.form("/apps", &[("apps", more)]).await.expect(201);
    assert_eq!(running.proposed("time |", "1").await, ["time | filter", "time | log"]);
    assert_eq!(running.proposed("", "1").await, ["time", "lone"]);
    running.delete("/apps/sink/log").await.expect(200);
    assert_eq!(running.proposed("time |", "1").await, ["time | filter"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taps_follow_the_streams_there_are() {
    let running = Running::start().await;
    running.register_apps().await;
    assert!(running.proposed(":", "1").await.is_empty());
    running.create("ticks", "time | even: filter | log").await.expect(201);
    running.create("ticked", ":ticks.time > log").await.expect(201);
    assert_eq!(running.proposed(":tick", "1").await, [":ticks", ":ticked"]);
    assert_eq!(running.proposed(":ticks", "1").await, [":ticks.time", ":ticks.even"]);
    assert_eq!(running.proposed(":ticks.e", "1").await, [":ticks.even"]);
    assert_eq!(running.proposed(":ticks.even>", "1").await, [":ticks.even> filter", ":ticks.even> log"]);
    running.delete("/streams/definitions/ticked").await.expect(200);
    assert_eq!(running.proposed(":tick", "1").await, [":ticks"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_typed_the_answer_is_a_list() {
    let running = Running::start().await;
    running.register_apps().await;
    for start in
        [":.", "a | a |", "time --a='", "\u{0}", "é", "time --=", "| |", ":x>:y", "<a || b>", "time --x=\n"]
    {
        running.proposed(start, "3").await;
    }
    assert!(running.proposed(&format!("time --a={} ", "x".repeat(300_000)), "1").await.is_empty());
    let wrong = running.get("/completions/stream?start=a&detailLevel=99999999999").await.expect(400).error();
    assert!(wrong.starts_with("MethodArgumentTypeMismatchException: "), "{wrong}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_completes() {
    let running = Running::start().await;
    running.register_apps().await;
    let client = Client::new(&running.base()).unwrap();
    let proposals = client.complete_stream("time | f", 1).await.unwrap();
    assert_eq!((proposals.len(), proposals[0].text.as_str()), (1, "time | filter"));
    assert_eq!(proposals[0].explanation, None);
    assert!(client.complete_stream("time |", 2).await.unwrap()[0].explanation.is_some());
    let error = client.complete_stream("", 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(error.to_string(), "The provided detail level must be greater than zero.");
    running.stop().await;
}
