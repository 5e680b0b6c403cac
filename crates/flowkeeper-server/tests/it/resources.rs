//! Options of apps from Maven repositories and container registries, which these tests serve themselves.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flowkeeper_deploy::artifact::{Repositories, Repository};
use flowkeeper_server::app::options::container::{Registries, Registry};
use flowkeeper_server::catalog::Catalog;
use flowkeeper_server::run::Settings;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::Running;

/// A web server with files, and a count of what was asked for.
#[derive(Clone, Default)]
struct Files {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// What has to be shown to get anything.
    wanted: Option<&'static str>,
}

async fn answer(State(served): State<Files>, headers: HeaderMap, uri: Uri) -> Response {
    served.asked.lock().unwrap().push(uri.path().to_owned());
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap());
    if shown != served.wanted {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"x\"")]).into_response();
    }
    match served.files.lock().unwrap().get(uri.path()) {
        Some(body) => body.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Files {
    fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), body.into());
    }

    fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// Serves until the test ends.
    #[expect(clippy::disallowed_methods, reason = "the server of a test, which ends with it")]
    async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        addr
    }
}

fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in files {
        // Libraries are stored, as in the jars of Spring Boot.
        let options = if name.ends_with(".jar") { stored } else { SimpleFileOptions::default() };
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A Boot jar as Gradle makes it: lists beside the classes, the described options in libraries.
fn boot_jar() -> Vec<u8> {
    let time = json!({
        "groups": [{"name": "time", "type": "x.TimeProperties"}],
        "properties": [
            {"name": "time.date-format", "type": "java.lang.String", "sourceType": "x.TimeProperties"},
            {"name": "time.fixed-delay", "type": "java.lang.Integer", "sourceType": "x.TimeProperties", "defaultValue": 1}]});
    let server = json!({
        "groups": [{"name": "server", "type": "y.ServerProperties"}],
        "properties": [
            {"name": "server.port", "type": "java.lang.Integer", "sourceType": "y.ServerProperties"},
            {"name": "server.fixed-delay", "type": "java.lang.Integer", "sourceType": "y.ServerProperties"}]});
    let library = |document: &Value| {
        jar(&[("META-INF/spring-configuration-metadata.json", document.to_string().as_bytes())])
    };
    let root = "BOOT-INF/classes/META-INF/dataflow-configuration";
    jar(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n"),
        (
            &format!("{root}-metadata.properties"),
            b"configuration-properties.classes=x.TimeProperties\nconfiguration-properties.names=server.port\n",
        ),
        (&format!("{root}-port-mapping.properties"), b"configuration-properties.outbound-ports=left,right\n"),
        (
            &format!("{root}-option-groups.properties"),
            b"org.springframework.cloud.dataflow.configuration-properties.option-groups.when=time.fixed-delay\n",
        ),
        ("BOOT-INF/lib/time-1.0.jar", &library(&time)),
        ("BOOT-INF/lib/server-1.0.jar", &library(&server)),
    ])
}

async fn with_repository(files: &Files) -> Running {
    let remote = vec![Repository::parse(&format!("corp=http://{}/maven", files.serve().await)).unwrap()];
    let repositories = Repositories { local: None, remote, is_offline: false };
    Running::start_from(Catalog::default(), Settings::default(), repositories).await
}

fn ids(app: &Value) -> Vec<&str> {
    app["options"].as_array().unwrap().iter().map(|option| option["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_a_maven_app_come_from_its_jar() {
    let files = Files::default();
    let path = "/maven/org/example/time-source/1.0/time-source-1.0.jar";
    files.put(path, boot_jar());
    let running = with_repository(&files).await;
    let uri = ("uri", "maven://org.example:time-source:1.0");
    running.form("/apps/source/time", &[uri]).await.expect(201);
    assert_eq!(files.count(path), 0, "registering fetches nothing");
    let app = running.get("/apps/source/time").await.expect(200).json();
    assert_eq!(app["version"], "1.0");
    assert_eq!(ids(&app), ["time.date-format", "time.fixed-delay", "server.port"]);
    assert_eq!(app["options"][1]["name"], "fixed-delay");
    assert_eq!(app["options"][1]["defaultValue"], 1);
    assert_eq!(app["outboundPortNames"], json!(["left", "right"]));
    assert_eq!(app["inboundPortNames"], json!([]));
    assert_eq!(app["optionGroups"], json!({"when": ["time.fixed-delay"]}));
    let all = running.get("/apps/source/time/1.0?exhaustive=true").await.expect(200).json();
    assert_eq!(all["options"].as_array().unwrap().len(), 4);
    assert_eq!(files.count(path), 1, "it is fetched once");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_companion_with_metadata_alone_saves_the_jar() {
    let files = Files::default();
    let folder = "/maven/org/example/time-source/1.0";
    files.put(&format!("{folder}/time-source-1.0-metadata.jar"), boot_jar());
    let running = with_repository(&files).await;
    let uri = ("uri", "maven://org.example:time-source:1.0");
    let metadata = ("metadata-uri", "maven://org.example:time-source:jar:metadata:1.0");
    running.form("/apps/source/time", &[uri, metadata]).await.expect(201);
    assert_eq!(ids(&running.get("/apps/source/time").await.expect(200).json()).len(), 3);
    assert_eq!(files.count(&format!("{folder}/time-source-1.0.jar")), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_names_expand_to_what_a_maven_app_lists() {
    let files = Files::default();
    files.put("/maven/org/example/time-source/1.0/time-source-1.0.jar", boot_jar());
    let running = with_repository(&files).await;
    running.register_apps().await;
    let uri = ("uri", "maven://org.example:time-source:1.0");
    running.form("/apps/source/clock", &[uri]).await.expect(201);
    // In other spellings too; what is not listed for users stays as it is, although its name would fit.
    running
        .create("s", "clock --fixedDelay=5 --dateFormat=HH --port=1 --server.fixed-delay=2 | log")
        .await
        .expect(201);
    running.json("/streams/deployments/s", json!({"app.clock.other": "x"})).await.expect(201);
    {
        let model = running.server.meta().model();
        let release = model.current_release("s").unwrap();
        let props = &release.apps[0].props;
        for (name, value) in [
            ("time.fixed-delay", "5"),
            ("time.date-format", "HH"),
            ("server.port", "1"),
            ("server.fixed-delay", "2"),
            ("other", "x"),
        ] {
            assert_eq!(props.get(name).map(String::as_str), Some(value), "{name} in {props:?}");
        }
        assert!(!props.contains_key("fixedDelay") && !props.contains_key("port"));
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinate_that_leads_astray_is_refused_when_it_is_registered() {
    let running = Running::start().await;
    for uri in ["maven://g:../../a:1", "maven://g:a", "maven://g:a:LATEST"] {
        for path in ["/apps/source/x", "/apps/source/x/1.0"] {
            let error = running.form(path, &[("uri", uri)]).await.expect(500).error();
            assert!(error.contains(&format!("'{uri}' is not a maven coordinate: ")), "{error}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_a_docker_app_come_from_the_labels_of_its_image() {
    // me:secret
    let files = Files { wanted: Some("Basic bWU6c2VjcmV0"), ..Files::default() };
    let document = json!({
        "groups": [{"name": "time", "type": "x.TimeProperties"}],
        "properties": [{"name": "time.fixed-delay", "type": "java.lang.Integer", "sourceType": "x.TimeProperties"}]});
    let config = json!({"config": {"Labels": {
        "org.springframework.cloud.dataflow.spring-configuration-metadata.json": document.to_string(),
        "configuration-properties.inbound-ports": "left, right",
        "org.springframework.cloud.dataflow.configuration-properties.option-groups.when": "time.fixed-delay"}}});
    let config = config.to_string();
    let digest: String = Sha256::digest(config.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = json!({"schemaVersion": 2, "config": {"digest": format!("sha256:{digest}")}}).to_string();
    files.put("/v2/example/time/manifests/2.3.4", manifest);
    files.put(&format!("/v2/example/time/blobs/sha256:{digest}"), config);
    let host = files.serve().await.to_string();
    let registries = Registries::new(vec![Registry::parse(&format!("me:secret@{host}")).unwrap()]);
    let running =
        Running::start_with(Catalog::default(), Settings { registries, ..Settings::default() }).await;
    running
        .form("/apps/source/time", &[("uri", &format!("docker:{host}/example/time:2.3.4"))])
        .await
        .expect(201);
    for path in ["/apps/source/time", "/apps/source/time/2.3.4?exhaustive=true"] {
        let app = running.get(path).await.expect(200).json();
        assert_eq!(ids(&app), ["time.fixed-delay"]);
        assert_eq!(app["options"][0]["name"], "fixed-delay");
        assert_eq!(app["inboundPortNames"], json!(["left", "right"]));
        assert_eq!(app["optionGroups"], json!({"when": ["time.fixed-delay"]}));
    }
    running.stop().await;
}
