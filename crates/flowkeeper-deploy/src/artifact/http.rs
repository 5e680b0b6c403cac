//! GET over HTTP as artifacts need it: redirects that carry no secret away, limits of time, no address in an error text.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, LOCATION};
use reqwest::{Client, StatusCode, Url};
use tokio::time::{Instant, timeout, timeout_at};

use super::credentials::Credentials;

/// How long a server may take to accept a connection, and how long it may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take from request to last byte.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const MAX_REDIRECTS: usize = 10;

/// Why there is no answer, or no whole one: half a sentence without address and credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(pub(crate) String);

/// Fetches over http and https. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    read_timeout: Duration,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Get<'a> {
    pub url: &'a Url,
    /// Media types that are understood, if not all are.
    pub accept: Option<&'a str>,
    /// Shown to the scheme, host and port of `url`, and to nobody else.
    pub credentials: Option<&'a Credentials>,
}

/// An answer whose body has not been read yet.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    deadline: Instant,
    read_timeout: Duration,
}

impl<'a> Get<'a> {
    /// Asks for `url`, whatever it is, as nobody.
    pub fn new(url: &'a Url) -> Get<'a> {
        Get { url, accept: None, credentials: None }
    }
}

impl Http {
    /// # Errors
    /// When the system has nothing to check servers with.
    pub fn new() -> Result<Http, HttpError> {
        Http::with_read_timeout(READ_TIMEOUT)
    }

    pub(crate) fn with_read_timeout(read_timeout: Duration) -> Result<Http, HttpError> {
        let client = Client::builder()
            // Followed below, where it is decided what goes along.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| HttpError(root(&error)))?;
        Ok(Http { client, read_timeout })
    }

    /// The last answer after all redirects, whatever its status.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When nobody answers in time, and when a redirect leads where it must not.
    pub async fn get(&self, get: Get<'_>) -> Result<Answer, HttpError> {
        let deadline = Instant::now() + TOTAL_TIMEOUT;
        let mut url = get.url.clone();
        let mut is_origin = true;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.client.get(url.clone());
            if let Some(accept) = get.accept {
                request = request.header(ACCEPT, accept);
            }
            if is_origin && let Some(credentials) = get.credentials {
                request = credentials.apply(request);
            }
            let silent =
                |_| HttpError(format!("{} did not answer for {} s", host(&url), self.read_timeout.as_secs()));
            let response = timeout(self.read_timeout, request.send()).await.map_err(silent)?;
            let response = response.map_err(|error| HttpError(root(&error)))?;
            if !is_redirect(response.status()) {
                return Ok(Answer { response, deadline, read_timeout: self.read_timeout });
            }
            let next = target(get.url, &url, response.headers())?;
            // Credentials that were left behind once are not picked up again.
            is_origin = is_origin && next.origin() == get.url.origin();
            url = next;
        }
        Err(HttpError(format!("it was redirected more than {MAX_REDIRECTS} times")))
    }
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All values of a header.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// How long the body says it is.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection ends early, is silent for too long, or the whole takes too long.
    pub async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, HttpError> {
        let silent = self.read_timeout;
        let until = self.deadline.min(Instant::now() + silent);
        match timeout_at(until, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| HttpError(root(&error))),
            Err(_) if until == self.deadline => {
                Err(HttpError(format!("it was not complete after {} s", TOTAL_TIMEOUT.as_secs())))
            }
            Err(_) => Err(HttpError(format!("no data for {} s", silent.as_secs()))),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Answer::chunk`]; when it is larger than `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() > limit {
                return Err(HttpError(format!("the answer is larger than {limit} bytes")));
            }
        }
        Ok(bytes)
    }
}

/// `uri` as it may be shown: without credentials, and without what stands behind a question mark, which often is one.
pub fn shown(uri: &str) -> String {
    let (start, query) = match uri.split_once('?') {
        Some((start, _)) => (start, "?…"),
        None => (uri, ""),
    };
    let Some((scheme, rest)) = start.split_once("://") else { return format!("{start}{query}") };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}{query}")
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where an answer of `from` sends on to.
fn target(origin: &Url, from: &Url, headers: &HeaderMap) -> Result<Url, HttpError> {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let refused = |reason: &str| HttpError(format!("a redirect of {} {reason}", host(from)));
    let mut next = location
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| refused("does not say where to"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return Err(refused("leads from https to http, and was not followed")),
        _ => return Err(refused("leads to another protocol, and was not followed")),
    }
    if is_internal(&next) && !is_internal(origin) {
        return Err(refused("leads into this machine or its link, and was not followed"));
    }
    // Whatever a redirect says about who we are is not taken.
    let cleared = next.set_username("").and_then(|()| next.set_password(None));
    cleared.map_err(|()| refused("names no host"))?;
    Ok(next)
}

/// Whether an address is of this machine or of its link, where metadata services of clouds answer.
pub fn is_internal(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Ok(IpAddr::V6(ip)) => {
            let mapped = ip.to_ipv4_mapped();
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || mapped.is_some_and(|ip| ip.is_loopback() || ip.is_link_local() || ip.is_unspecified())
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("the server")
}

/// The innermost cause: what the network said, without the address that our own sentence names already.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        for (uri, expected) in [
            ("https://u:p@h/x.jar?token=t", "https://h/x.jar?…"),
            ("https://u:p@h", "https://h"),
            ("https://h/a@b.jar", "https://h/a@b.jar"),
            ("https://u:p@w@h/x", "https://h/x"),
            ("maven://g:a:1", "maven://g:a:1"),
            ("file:/a/b.jar", "file:/a/b.jar"),
        ] {
            assert_eq!(shown(uri), expected);
        }
    }

    #[test]
    fn redirects_do_not_lead_astray() {
        let headers = |to: &str| HeaderMap::from_iter([(LOCATION, to.parse().expect("a value"))]);
        let to = |origin: &str, to: &str| {
            target(&url(origin), &url(origin), &headers(to)).map(String::from).map_err(|error| error.0)
        };
        assert_eq!(to("https://h/a/b", "../c"), Ok("https://h/c".to_owned()));
        assert_eq!(to("https://h/a", "https://u:p@x/c"), Ok("https://x/c".to_owned()));
        assert_eq!(to("http://127.0.0.1/a", "http://localhost:8/c"), Ok("http://localhost:8/c".to_owned()));
        for wrong in [
            "http://h/c",
            "file:///etc/passwd",
            "https://127.0.0.1/c",
            "https://169.254.169.254/latest",
            "https://[::1]/c",
            "https://[::ffff:169.254.169.254]/c",
            "https://0.0.0.0/",
            "https://localhost/c",
            "http://[",
        ] {
            let error = to("https://h/a", wrong).expect_err(wrong);
            assert!(error.starts_with("a redirect of h "), "{error}");
        }
        assert!(target(&url("http://h/"), &url("http://h/"), &HeaderMap::new()).is_err());
    }
}
