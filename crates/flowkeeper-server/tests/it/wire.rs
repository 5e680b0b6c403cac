//! What every route shares: media types, methods, limits, links, probes; and lists of streams.

use flowkeeper_server::run::Settings;
use serde_json::json;

use crate::support::{Running, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_have_a_limit() {
    let settings = Settings { max_body: 1000, ..Settings::default() };
    let running = Running::start_with(Default::default(), settings).await;
    let error = running.create("s", &"x".repeat(2000)).await.expect(413).error();
    assert!(error.contains("larger than this server accepts"), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_has_the_type_that_was_asked_for() {
    let running = Running::start().await;
    for (path, accept, status, content_type) in [
        ("/apps", "*/*", 200, "application/hal+json"),
        ("/apps", "application/json", 200, "application/json"),
        ("/apps", "text/csv", 406, ""),
        ("/apps/source/none", "text/plain", 404, "application/hal+json"),
        ("/nowhere", "*/*", 404, "application/json"),
        ("/nowhere", "text/html", 404, "text/html; charset=utf-8"),
        ("/schema/versions", "*/*", 200, "application/json"),
        ("/management/health", "*/*", 200, "application/vnd.spring-boot.actuator.v3+json"),
    ] {
        let answer = running.ask("GET", path, &[("Accept", accept)], None).await.expect(status);
        assert_eq!(answer.header("content-type"), content_type, "{path} {accept}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_are_told() {
    let running = Running::start().await;
    let options = running.ask("OPTIONS", "/apps/sink/log", &[], None).await.expect(200);
    assert_eq!(options.header("allow"), "GET,HEAD,POST,DELETE,OPTIONS");
    let head = running.ask("HEAD", "/apps", &[], None).await.expect(200);
    assert!(head.text.is_empty());
    let error = running.ask("PATCH", "/apps", &[], None).await.expect(500).error();
    assert_eq!(error, "HttpRequestMethodNotSupportedException: Request method 'PATCH' not supported");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_start_where_the_client_is() {
    let running = Running::start().await;
    let headers =
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "flow.example"), ("X-Forwarded-Prefix", "/f")];
    let page = running.ask("GET", "/apps?page=0", &headers, None).await.json();
    assert_eq!(page["_links"]["self"]["href"], "https://flow.example/f/apps?page=0&size=20");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_metrics_answer() {
    let running = Running::start().await;
    assert_eq!(running.get("/livez").await.expect(200).text, "alive\n");
    assert_eq!(running.get("/readyz").await.expect(200).text, "ready\n");
    assert!(running.get("/metrics").await.expect(200).text.contains("flowkeeper_is_leader 1"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_listed_by_age_found_and_sorted() {
    let running = Running::start().await;
    running.register_apps().await;
    for name in ["b", "ab", "c"] {
        running.create(name, "time | log").await.expect(201);
    }
    running.create("tap", ":b.time > log").await.expect(201);
    running.json("/streams/deployments/b", json!({})).await.expect(201);
    for (query, expected) in [
        ("", &["b", "ab", "c", "tap"][..]),
        ("?size=2", &["b", "ab"]),
        ("?size=2&page=1", &["c", "tap"]),
        ("?sort=name,desc", &["tap", "c", "b", "ab"]),
        ("?search=b", &["b", "ab"]),
        ("?search=B", &[]),
    ] {
        let page = running.get(&format!("/streams/definitions{query}")).await.expect(200).json();
        assert_eq!(names(&page), expected, "{query}");
    }
    assert_eq!(names(&running.get("/streams/definitions/b/related").await.json()), ["b", "tap"]);
    running.delete("/streams/definitions/b").await.expect(200);
    let page = running.get("/streams/definitions?size=2").await.json();
    assert_eq!(
        (names(&page), &page["page"]["totalElements"]),
        (vec!["ab".to_owned(), "c".to_owned()], &json!(3))
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_any_script_has_a_working_link() {
    let running = Running::start().await;
    running.register_apps().await;
    let created = running.create("été", "time | log").await.expect(201).json();
    let href = created["_links"]["self"]["href"].as_str().unwrap();
    let path = href.strip_prefix(&running.base()).unwrap();
    assert_eq!(path, "/streams/definitions/%C3%A9t%C3%A9");
    assert_eq!(running.get(path).await.expect(200).json()["name"], "été");
    running.get("/streams/definitions/%ff").await.expect(400).error();
    running.stop().await;
}
