//! Starts servers and asks them.

use std::sync::Arc;
use std::time::Duration;

use flowkeeper_deploy::artifact::{Artifacts, Repositories};
use flowkeeper_server::catalog::{BundledApp, BundledOption, Catalog};
use flowkeeper_server::meta::AppKind;
use flowkeeper_server::run::Settings;
use flowkeeper_server::{Options, Server};
use flowkeeper_zk::server as zookeeper;
use serde_json::Value;
use tokio::net::TcpListener;

/// A server with its own ZooKeeper, both in this process.
pub(crate) struct Running {
    pub(crate) server: Server,
    zookeeper: zookeeper::Server,
    http: reqwest::Client,
    _cache: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Running {
    /// A server without bundled apps.
    pub(crate) async fn start() -> Running {
        Running::start_with(Catalog::default(), Settings::default()).await
    }

    pub(crate) async fn start_with(catalog: Catalog, settings: Settings) -> Running {
        let nowhere = Repositories { remote: Vec::new(), ..Repositories::default() };
        Running::start_from(catalog, settings, nowhere).await
    }

    /// A server that takes `maven:` apps from `repositories`.
    pub(crate) async fn start_from(
        catalog: Catalog,
        settings: Settings,
        repositories: Repositories,
    ) -> Running {
        let cache = tempfile::tempdir().unwrap();
        let zookeeper = zookeeper::start(zookeeper::Config::default()).await.unwrap();
        let options = Options {
            id: "s1".to_owned(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            zookeeper: format!("{}/flowkeeper", zookeeper.local_addr()),
            access: Default::default(),
            catalog,
            artifacts: Artifacts::new(cache.path(), repositories).unwrap(),
            settings,
        };
        let server = flowkeeper_server::start(options).await.unwrap();
        // Links are followed by the tests, redirects are what they look at.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let running = Running { server, zookeeper, http, _cache: cache };
        let is_led = |model: &flowkeeper_server::meta::Model| model.leader.is_some();
        assert!(running.server.meta().wait_until(Duration::from_secs(20), is_led).await, "nobody leads");
        running
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.server.local_addr())
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], None).await
    }

    pub(crate) async fn form(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.ask("POST", path, &[("Content-Type", "application/x-www-form-urlencoded")], Some(body)).await
    }

    pub(crate) async fn json(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[("Content-Type", "application/json")], Some(body.to_string())).await
    }

    /// Registers `time` and `log`, whose programs need not exist.
    pub(crate) async fn register_apps(&self) {
        let text = "source.time=file:/none/time-1.0.jar\nsink.log=file:/none/log-1.0.jar\n\
                    processor.filter=file:/none/filter-1.0.jar";
        self.form("/apps", &[("apps", text)]).await.expect(201);
    }

    pub(crate) async fn create(&self, name: &str, definition: &str) -> Answer {
        self.form("/streams/definitions", &[("name", name), ("definition", definition)]).await
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
        self.zookeeper.stop().await.unwrap();
    }
}

impl Answer {
    /// Checks the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// `logref: message` of an error.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        let body = self.json();
        let error = &body["_embedded"]["errors"][0];
        assert_eq!(error["_links"]["self"]["href"], "/");
        format!("{}: {}", error["logref"].as_str().unwrap(), error["message"].as_str().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Names in an embedded list.
#[track_caller]
pub(crate) fn names(page: &Value) -> Vec<String> {
    let embedded =
        page["_embedded"].as_object().map(|lists| lists.values().next().unwrap().as_array().unwrap().clone());
    embedded.unwrap_or_default().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// A catalogue with one app, `tick`, which knows one option, `tick.every`, whose value is a number.
pub(crate) fn catalog() -> Catalog {
    let app = |kind: AppKind, name: &str, option: Option<&str>| {
        let known = option.map(str::to_owned);
        let option = option.map(|option| BundledOption {
            name: option.to_owned(),
            short_name: option.rsplit('.').next().unwrap().to_owned(),
            java_type: "java.lang.Integer".to_owned(),
            default: Some("1".to_owned()),
            description: "Seconds. More text.".to_owned(),
        });
        BundledApp {
            kind,
            name: name.to_owned(),
            version: "1.0".to_owned(),
            summary: String::new(),
            options: option.into_iter().collect(),
            check: Arc::new(move |pairs| {
                for (name, value) in pairs {
                    let short = known.as_deref().and_then(|known| known.rsplit('.').next());
                    if Some(name.as_str()) != known.as_deref() && Some(name.as_str()) != short {
                        return Err(format!("there is no option '{name}'"));
                    }
                    value.parse::<u32>().map_err(|_| format!("'{value}' is no number"))?;
                }
                Ok(pairs.to_vec())
            }),
        }
    };
    Catalog::new(vec![app(AppKind::Source, "tick", Some("tick.every")), app(AppKind::Sink, "out", None)])
}
