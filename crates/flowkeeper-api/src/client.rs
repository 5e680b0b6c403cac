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

/// Talks to one server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
    /// Of the oldest answer so far that the server gave from its copy: for how many seconds that may be out of date.
    stale: Arc<AtomicU64>,
}

/// One request under construction.
struct Call {
    method: Method,
    url: Url,
    body: Option<(&'static str, String)>,
}

impl Client {
    /// A client of the server at `base`, such as `http://localhost:9393`. Connects on first use.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when `base` is not an `http` URL.
    pub fn new(base: &str) -> Result<Client, Error> {
        let invalid = || Error::InvalidUrl { url: base.to_owned() };
        let base = Url::parse(base).map_err(|_| invalid())?;
        if base.scheme() != "http" || base.cannot_be_a_base() || base.host().is_none() {
            return Err(invalid());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|source| Error::Transport { url: base.to_string(), source })?;
        Ok(Client { base, http, stale: Arc::default() })
    }

    /// For how many seconds the oldest answer so far may be out of date, because the server that gave it has no connection to
    /// ZooKeeper; 0 when none was.
    pub fn stale_seconds(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// The server this client talks to.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn call(&self, method: Method, path: &[&str]) -> Call {
        let mut url = self.base.clone();
        // Only a URL that cannot be a base has no segments, and `new` refused those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Call { method, url, body: None }
    }

    fn get(&self, path: &[&str]) -> Call {
        self.call(Method::GET, path)
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let url = call.url.to_string();
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|source| Error::Answer { url, source })
    }

    async fn done(&self, call: Call) -> Result<(), Error> {
        self.send(call).await.map(drop)
    }

    async fn send(&self, call: Call) -> Result<Vec<u8>, Error> {
        let url = call.url.to_string();
        let mut request = self.http.request(call.method, call.url).header("Accept", "application/json");
        if let Some((content_type, body)) = call.body {
            request = request.header("Content-Type", content_type).body(body);
        }
        let failed = |source: reqwest::Error| {
            if source.is_connect() {
                Error::Unreachable { url: self.base().to_owned() }
            } else {
                Error::Transport { url: url.clone(), source }
            }
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let stale = response.headers().get(STALE_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        // At least a second, because less is told as 0.
        self.stale.fetch_max(stale.map_or(0, |seconds: u64| seconds.max(1)), Ordering::Relaxed);
        let body = response.bytes().await.map_err(failed)?;
        if status.is_success() { Ok(body.into()) } else { Err(Error::from_answer(status.as_u16(), &body)) }
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
