//! The description of the API: it is the reviewed one, and every path in it is served.

use std::path::Path;

use serde_json::Value;

use crate::support::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_the_reviewed_one() {
    let running = Running::start().await;
    let found = running.get("/openapi.json").await.expect(200).json();
    running.stop().await;
    assert!(found["openapi"].as_str().unwrap().starts_with("3.1"));
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/openapi.json"));
    let reviewed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if found != reviewed {
        let new = std::env::temp_dir().join("flowkeeper-openapi.json");
        std::fs::write(&new, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        panic!("the API has changed: review {} and copy it to {}", new.display(), path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_route_is_served() {
    let running = Running::start().await;
    let described = running.get("/openapi.json").await.json();
    let mut count = 0;
    for (path, operations) in described["paths"].as_object().unwrap() {
        // The feed is answered for ever; it has tests of its own.
        for method in operations.as_object().unwrap().keys().filter(|_| path != "/api/v1/watch") {
            let path = path.replace(['{', '}'], "");
            let answer = running.ask(&method.to_uppercase(), &path, &[], None).await;
            let body = answer.text;
            assert!(!body.contains("No message available"), "{method} {path} has no route: {body}");
            assert!(!body.contains("HttpRequestMethodNotSupportedException"), "{method} {path}: {body}");
            count += 1;
        }
    }
    assert!(count > 45, "{count}");
    running.stop().await;
}
