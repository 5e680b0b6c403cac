//! The typed client against a real server.

use flowkeeper_api::client::{AppFilter, CreateStream, Register};
use flowkeeper_api::{Client, Kind};
use indexmap::IndexMap;
use tokio::net::TcpListener;

use crate::support::Running;

fn stream(name: &str, definition: &str) -> CreateStream {
    CreateStream { name: name.into(), definition: definition.into(), description: "d".into(), deploy: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_does_what_the_shell_needs() {
    let running = Running::start().await;
    let client = Client::new(&format!("{}/", running.base())).unwrap();
    let time = Register {
        kind: "source".into(),
        name: "time".into(),
        uri: "file:/none/time-1.jar".into(),
        ..Default::default()
    };
    client.register_app(&time).await.unwrap();
    let imported = client
        .import_apps("sink.log=file:/none/log-1.jar\nsink.log=file:/none/log-2.jar", false)
        .await
        .unwrap();
    assert_eq!(imported.len(), 2);
    client.set_default_app("sink", "log", "2").await.unwrap();
    assert_eq!(client.app("sink", "log", None, true).await.unwrap().version, "2");
    let sinks = AppFilter { kind: Some("sink".into()), default_only: true, ..Default::default() };
    let sinks = client.apps(&sinks).await.unwrap();
    assert_eq!(sinks[0].versions.as_deref(), Some(&["1".to_owned(), "2".to_owned()][..]));
    client.unregister_app("sink", "log", Some("1")).await.unwrap();

    client.create_stream(&stream("s", "time | log")).await.unwrap();
    assert_eq!(client.streams(None).await.unwrap()[0].description, "d");
    assert_eq!(client.stream_apps("s").await.unwrap()[1].label.as_deref(), Some("log"));
    assert_eq!(client.related_streams("s", true).await.unwrap().len(), 1);
    assert_eq!(client.validate_stream("s").await.unwrap().app_statuses["sink:log"], "invalid");
    client
        .deploy_stream("s", &IndexMap::from([("deployer.log.count".to_owned(), "2".to_owned())]))
        .await
        .unwrap();
    assert_eq!(client.stream("s").await.unwrap().status, "deploying");
    assert!(client.deployment("s", false).await.unwrap().deployment_properties.contains("\"2\""));
    assert_eq!(client.stream_state("s").await.unwrap().apps[1].instances.len(), 2);
    assert_eq!(client.runtime_apps().await.unwrap().len(), 2);
    assert_eq!(
        client.runtime_app("s.log-v1").await.unwrap().instances.embedded.0[1].instance_id,
        "s.log-v1-1"
    );
    assert_eq!(client.runtime_streams(&["s", "x"]).await.unwrap()[0].version, "1");
    assert_eq!(client.logs("s", Some("log")).await.unwrap().logs["s.log-v1"], "");
    assert_eq!(client.platforms().await.unwrap()[0].name, "default");
    let error = client.actuator_get("s.log-v1", "s.log-v1-0", "/info").await.unwrap_err();
    assert!(error.to_string().contains("no address yet"), "{error}");
    client.undeploy_stream("s").await.unwrap();
    client.undeploy_all_streams().await.unwrap();
    client.destroy_stream("s").await.unwrap();
    client.destroy_all_streams().await.unwrap();
    client.unregister_all_apps().await.unwrap();

    assert_eq!(client.about().await.unwrap().version_info.core.version, "2.11.5");
    assert!(!client.security_info().await.unwrap().security.authentication_enabled);
    assert_eq!(client.cluster().await.unwrap().servers.len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_can_be_done() {
    let running = Running::start().await;
    running.register_apps().await;
    let client = Client::new(&running.base()).unwrap();
    let kind = |error: flowkeeper_api::Error| (error.kind(), error.to_string());
    let (found, text) = kind(client.stream("a/b?c").await.unwrap_err());
    assert_eq!((found, text.as_str()), (Kind::NotFound, "Could not find stream definition named a/b?c"));
    let (found, text) = kind(client.create_stream(&stream("s", "time | | log")).await.unwrap_err());
    assert_eq!(found, Kind::Invalid);
    assert!(text.starts_with("118E:(pos 7)"), "{text}");
    client.create_stream(&stream("s", "time | log")).await.unwrap();
    let error = client.create_stream(&stream("s", "time | log")).await.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.messages().len()), (Kind::Conflict, Some(409), 1));
    let error =
        client.deploy_stream("s", &IndexMap::from([("x".to_owned(), "1".to_owned())])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(client.logs("s", None).await.unwrap_err().kind(), Kind::NotFound);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_the_client_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(&base).unwrap().about().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains(&base) && error.to_string().contains("flowkeeper dev"), "{error}");
    for wrong in ["localhost:9393", "ftp://x", "http://", "mailto:x"] {
        assert_eq!(Client::new(wrong).unwrap_err().kind(), Kind::Invalid, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_is_asked_when_one_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let running = Running::start().await;
    running.register_apps().await;
    let client = Client::new(&format!("{nobody}, {}/", running.base())).unwrap();
    client.create_stream(&stream("s", "time | log")).await.unwrap();
    assert_eq!(client.base(), running.base());
    assert_eq!(client.stream("s").await.unwrap().name, "s");
    let base = running.base();
    running.stop().await;
    let error = client.stream("s").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains(&format!("{nobody}, {base}")), "{error}");
    assert_eq!(Client::new(&format!("{base},ftp://x")).unwrap_err().kind(), Kind::Invalid);
}
