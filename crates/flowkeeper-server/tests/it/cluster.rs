//! Several servers over one ZooKeeper: leadership, locks, and how current answers are.

mod access;
mod consistency;
mod leadership;
mod locks;

use std::time::Duration;

use flowkeeper_deploy::artifact::{Artifacts, Repositories};
use flowkeeper_server::catalog::Catalog;
use flowkeeper_server::meta::Model;
use flowkeeper_server::run::{Access, Settings, StartError};
use flowkeeper_server::{Options, Server};
use flowkeeper_zk::recipes::{self, Auth, Connection};
use flowkeeper_zk::server as zookeeper;
use tokio::net::TcpListener;

use crate::proxy::Proxy;
use crate::support::Answer;

/// ZooKeeper, and as many servers as a test starts, each with its own connection to cut.
pub(crate) struct Cluster {
    pub(crate) zookeeper: zookeeper::Server,
    http: reqwest::Client,
    _cache: tempfile::TempDir,
}

/// One server.
pub(crate) struct Member {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    http: reqwest::Client,
}

impl Cluster {
    pub(crate) async fn start() -> Cluster {
        let config = zookeeper::Config { tick: Duration::from_millis(200), ..Default::default() };
        Cluster {
            zookeeper: zookeeper::start(config).await.unwrap(),
            http: reqwest::Client::new(),
            _cache: tempfile::tempdir().unwrap(),
        }
    }

    /// A server that leads or knows who does.
    pub(crate) async fn join(&self, id: &str) -> Member {
        let member = self.try_join(id, "flowkeeper", Access::default()).await.unwrap();
        member.sees(|model| model.leader.is_some()).await;
        member
    }

    pub(crate) async fn try_join(
        &self,
        id: &str,
        chroot: &str,
        access: Access,
    ) -> Result<Member, StartError> {
        let proxy = Proxy::start(self.zookeeper.local_addr()).await;
        let nowhere = Repositories { remote: Vec::new(), ..Repositories::default() };
        let options = Options {
            id: id.to_owned(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            zookeeper: format!("{}/{chroot}", proxy.addr),
            access,
            catalog: Catalog::default(),
            artifacts: Artifacts::new(self._cache.path(), nowhere).unwrap(),
            settings: Settings::default(),
        };
        let server = flowkeeper_server::start(options).await?;
        Ok(Member { server, proxy, http: self.http.clone() })
    }

    /// A connection of the test's own, below a chroot.
    pub(crate) async fn connect(&self, chroot: &str, auth: Vec<Auth>) -> Connection {
        let hosts = format!("{}{chroot}", self.zookeeper.local_addr());
        let options = recipes::Options { hosts, auth, ..Default::default() };
        let (connection, driver) = Connection::open(options).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test has no task module")]
        tokio::spawn(driver.run());
        connection
    }
}

impl Member {
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("http://{}{path}", self.server.local_addr()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// Creates a stream of apps that need not exist.
    pub(crate) async fn create(&self, name: &str) -> Answer {
        let definition = format!("/streams/definitions?name={name}&definition=time%7Clog");
        self.ask("POST", &definition, &[]).await
    }

    pub(crate) async fn register_apps(&self) {
        for app in ["source/time", "sink/log"] {
            self.ask("POST", &format!("/apps/{app}/1.0?uri=file:/none/app-1.0.jar"), &[]).await.expect(201);
        }
    }

    pub(crate) async fn sees(&self, is_true: impl Fn(&Model) -> bool) {
        assert!(self.server.meta().wait_until(Duration::from_secs(20), is_true).await, "not seen in time");
    }

    pub(crate) fn leader(&self) -> String {
        self.server.meta().model().leader.as_ref().map(|leader| leader.id.clone()).unwrap_or_default()
    }

    pub(crate) fn zxid(answer: &Answer) -> i64 {
        answer.header("X-Flowkeeper-Zxid").parse().unwrap()
    }
}

/// Tries until it is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not in time");
}
