//! A typed client: one method per operation of the API.
//!
//! Methods are grouped by area in the files below. All of them are cancel safe in the sense of HTTP: a dropped call may or
//! may not have happened on the server.

mod applications;
mod apps;
mod completions;
pub mod error;
mod locks;
mod nodes;
mod releases;
mod servers;
mod streams;
mod system;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::STALE_HEADER;
use servers::Servers;

pub use applications::Apply;
pub use apps::{AppFilter, Register};
pub use error::{Error, Kind};
pub use streams::CreateStream;
pub use watch::{News, Watch};

/// Largest page a server gives.
const ALL: &str = "2000";
/// How long a connection may take to be made; answers may take longer, because a destroy waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Talks to one server at a time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    servers: Arc<Servers>,
    http: reqwest::Client,
    /// Of the oldest answer so far that the server gave from its copy: for how many seconds that may be out of date.
    stale: Arc<AtomicU64>,
}

/// One request under construction, as it would be sent to the first server.
struct Call {
    method: Method,
    url: Url,
    body: Option<(&'static str, String)>,
}

impl Client {
    /// A client of the server at `servers`, such as `http://localhost:9393`. Connects on first use.
    ///
    /// There may be several with commas between them: then the first one is used that can do its work, and another one when
    /// that is gone. A change is sent again only if it cannot have arrived.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when one of them is not an `http` URL.
    pub fn new(servers: &str) -> Result<Client, Error> {
        let servers = Arc::new(Servers::parse(servers)?);
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|source| Error::Transport { url: servers.names(), source })?;
        Ok(Client { servers, http, stale: Arc::default() })
    }

    /// For how many seconds the oldest answer so far may be out of date, because the server that gave it has no connection to
    /// ZooKeeper; 0 when none was.
    pub fn stale_seconds(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// The server this client talks to now.
    pub fn base(&self) -> &str {
        self.servers.current()
    }

    fn call(&self, method: Method, path: &[&str]) -> Call {
        let mut url = self.servers.first().clone();
        // Only a URL that cannot be a base has no segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Call { method, url, body: None }
    }

    fn get(&self, path: &[&str]) -> Call {
        self.call(Method::GET, path)
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.send(&call).await?;
        serde_json::from_slice(&body)
            .map_err(|source| Error::Answer { url: self.servers.address(&call.url), source })
    }

    async fn done(&self, call: Call) -> Result<(), Error> {
        self.send(&call).await.map(drop)
    }

    async fn send(&self, call: &Call) -> Result<Vec<u8>, Error> {
        for _ in 1..self.servers.len() {
            match self.send_once(call).await {
                Err(Error::Unreachable { .. }) => {}
                Err(Error::Transport { .. }) if call.method == Method::GET => {}
                answer => return answer,
            }
        }
        self.send_once(call).await
    }

    async fn send_once(&self, call: &Call) -> Result<Vec<u8>, Error> {
        let mut request = self.request(call).await.header("Accept", "application/json");
        if let Some((content_type, body)) = &call.body {
            request = request.header("Content-Type", *content_type).body(body.clone());
        }
        let response = request.send().await.map_err(|source| self.failed(call, source))?;
        let status = response.status();
        let stale = response.headers().get(STALE_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        // At least a second, because less is told as 0.
        self.stale.fetch_max(stale.map_or(0, |seconds: u64| seconds.max(1)), Ordering::Relaxed);
        let body = response.bytes().await.map_err(|source| self.failed(call, source))?;
        if status.is_success() { Ok(body.into()) } else { Err(Error::from_answer(status.as_u16(), &body)) }
    }

    /// A call to the server in use.
    async fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        self.servers.choose(&self.http).await;
        self.http.request(call.method.clone(), self.servers.address(&call.url))
    }

    /// Why there is no answer; the next call may go to another server.
    fn failed(&self, call: &Call, source: reqwest::Error) -> Error {
        let url = self.servers.address(&call.url);
        self.servers.give_up();
        if source.is_connect() {
            Error::Unreachable { url: self.servers.names() }
        } else {
            Error::Transport { url, source }
        }
    }
}

impl Call {
    fn query(mut self, name: &str, value: impl AsRef<str>) -> Call {
        self.url.query_pairs_mut().append_pair(name, value.as_ref());
        self
    }

    fn query_some(self, name: &str, value: Option<&str>) -> Call {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    fn form(mut self, pairs: &[(&str, &str)]) -> Call {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.body = Some(("application/x-www-form-urlencoded", body));
        self
    }

    fn json(mut self, body: &impl Serialize) -> Call {
        // Bodies are maps with string keys, which cannot fail to serialize.
        self.body = Some(("application/json", serde_json::to_string(body).unwrap_or_default()));
        self
    }
}
