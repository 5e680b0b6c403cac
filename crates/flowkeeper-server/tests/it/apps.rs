//! The registry: what the traces do not show.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Running, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_comes_back_after_its_last_version_left() {
    let running = Running::start().await;
    for _ in 0..3 {
        running.form("/apps/sink/log", &[("uri", "file:/none/log-1.0.jar")]).await.expect(201);
        running.delete("/apps/sink/log").await.expect(200);
        running.get("/apps/sink/log").await.expect(404);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_registered_when_there_is_no_default_becomes_it() {
    let running = Running::start().await;
    running.form("/apps/sink/log", &[("uri", "file:/none/log-1.0.jar")]).await.expect(201);
    running.form("/apps/sink/log", &[("uri", "file:/none/log-2.0.jar")]).await.expect(201);
    running.delete("/apps/sink/log").await.expect(200);
    running.get("/apps/sink/log").await.expect(404);
    running.form("/apps/sink/log", &[("uri", "file:/none/log-3.0.jar")]).await.expect(201);
    assert_eq!(running.get("/apps/sink/log").await.expect(200).json()["version"], "3.0");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_a_registration_also_replaces_its_boot_version() {
    let running = Running::start().await;
    let uri = ("uri", "file:/none/log-1.0.jar");
    running.form("/apps/sink/log", &[uri]).await.expect(201);
    running.form("/apps/sink/log", &[uri, ("force", "true"), ("bootVersion", "3")]).await.expect(201);
    assert_eq!(running.get("/apps/sink/log").await.json()["bootVersion"], "3");
    running.form("/apps/sink/log", &[uri, ("force", "true")]).await.expect(201);
    assert_eq!(running.get("/apps/sink/log").await.json()["bootVersion"], "3");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_all_or_nothing_and_says_which_line_is_wrong() {
    let running = Running::start().await;
    let text = "source.a=file:/none/a-1.jar\nwidget.b=file:/none/b-1.jar";
    let error = running.form("/apps", &[("apps", text)]).await.expect(500).error();
    assert!(error.contains("'widget' in 'widget.b=file:/none/b-1.jar'"), "{error}");
    assert!(names(&running.get("/apps").await.json()).is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_imported_from_a_file() {
    let running = Running::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apps.properties");
    let uri = format!("file://{}", path.display());
    std::fs::write(&path, "# mine\nsource.a=https://h/x=1/a-1.jar\n").unwrap();
    let page = running.form("/apps", &[("uri", &uri)]).await.expect(201);
    assert!(!page.header("x-flowkeeper-zxid").is_empty());
    assert_eq!(page.json()["_embedded"]["appRegistrationResourceList"][0]["uri"], "https://h/x=1/a-1.jar");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_sorted_and_cut() {
    let running = Running::start().await;
    running.register_apps().await;
    assert_eq!(names(&running.get("/apps?sort=name,desc").await.json()), ["time", "log", "filter"]);
    assert_eq!(names(&running.get("/apps?sort=type").await.json()), ["time", "filter", "log"]);
    let page = running.get("/apps/?sort=name&size=2&page=1&x=y%20z").await.expect(200).json();
    assert_eq!(names(&page), ["time"]);
    let links = &page["_links"];
    let prev = format!("{}/apps/?x=y%20z&page=0&size=2&sort=name,asc", running.base());
    assert_eq!(links["prev"]["href"], prev.as_str());
    assert!(links["next"].is_null());
    assert_eq!(page["page"], json!({"size": 2, "totalElements": 3, "totalPages": 2, "number": 1}));
    running.get("/apps?sort=colour").await.expect(500);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_but_what_runs_is_unregistered() {
    let running = Running::start().await;
    running.register_apps().await;
    running.create("s", "time | log").await.expect(201);
    running.json("/streams/deployments/s", json!({})).await.expect(201);
    running.delete("/apps").await.expect(200);
    assert_eq!(names(&running.get("/apps?sort=name").await.json()), ["log", "time"]);
    let error = running.delete("/apps/source/time/1.0").await.expect(409).error();
    assert_eq!(
        error,
        "UnregisterAppException: The app [time:source:1.0] you're trying to unregister is currently used in stream 's'."
    );
    running.delete("/streams/deployments/s").await.expect(200);
    running.delete("/apps").await.expect(200);
    assert!(names(&running.get("/apps").await.json()).is_empty());
    running.stop().await;
}

/// Answers every request with these bytes, and counts them.
async fn serve(listener: TcpListener, body: Vec<u8>, asked: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked.fetch_add(1, Ordering::Relaxed);
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_an_app_on_a_web_server_are_fetched_once() {
    let running = Running::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/thing-source-1.0.jar", listener.local_addr().unwrap());
    let option = ("thing.size", "java.lang.Integer", "How large.", json!(7));
    let jar = flowkeeper_testkit::golden::apps::jar("x.Thing", &[option], true);
    let asked = Arc::new(AtomicUsize::new(0));
    let look = async {
        running.form("/apps/source/thing", &[("uri", &uri)]).await.expect(201);
        for _ in 0..2 {
            let app = running.get("/apps/source/thing").await.expect(200).json();
            assert_eq!(app["options"].as_array().unwrap().len(), 1, "{app}");
            assert_eq!(app["options"][0]["id"], "thing.size");
            assert_eq!(app["options"][0]["defaultValue"], 7);
        }
        let all = running.get("/apps/source/thing?exhaustive=true").await.expect(200).json();
        assert_eq!(all["options"].as_array().unwrap().len(), 2, "{all}");
    };
    tokio::select! {
        () = serve(listener, jar, asked.clone()) => {}
        () = look => {}
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_whose_program_cannot_be_had_is_shown_without_options() {
    let running = Running::start().await;
    running.form("/apps/source/gone", &[("uri", "http://127.0.0.1:1/gone-1.0.jar")]).await.expect(201);
    let app = running.get("/apps/source/gone").await.expect(200).json();
    assert_eq!(app["options"], json!([]));
    running.stop().await;
}
