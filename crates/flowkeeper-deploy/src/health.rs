//! Asks a running app whether it is ready.
//!
//! An app is asked for its health page, `/actuator/health` as Boot apps serve it. One that has no such page is ready when it
//! listens, or, if its deployer properties say so, when it has lived for a while. A page that the properties name must
//! answer 2xx. A start-up probe, where there is one, must succeed once before anything else is asked.

mod reason;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long an app may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Silences in a row that a ready app is forgiven: a collection of garbage, a busy machine.
const FORGIVEN: u32 = 2;
/// How much of an answer is read, in bytes.
const MAX_BODY: usize = 64 << 10;
/// Pause between two looks at an app that is ready.
const PAUSE_READY: Duration = Duration::from_secs(5);
/// For how long a new app is looked at as often as it is cheap, and from when on it is not expected to change soon.
const YOUNG: Duration = Duration::from_secs(5);
const OLD: Duration = Duration::from_secs(60);

/// How an app is asked; kept with the instance, so that an agent that adopts it asks the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Page that must answer 2xx once before the app counts as started.
    pub startup: Option<String>,
    /// Page that must answer 2xx; without it `page` is asked.
    pub health: Option<String>,
    /// Where a Boot app has its health page, if it has one.
    pub page: String,
    /// Port of `page`, when it is not that of the app.
    pub management_port: Option<u16>,
    /// Address the app listens on, when it is not all of this machine's.
    pub address: Option<IpAddr>,
    /// User and password for the pages.
    pub credentials: Option<(String, String)>,
    /// Seconds that an app without a health page must live; `None`: it need only listen.
    pub alive_s: Option<u64>,
    /// Address at which it waits for a debugger before it does anything.
    pub debugger: Option<String>,
}

/// What is known of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ready,
    /// Not yet, or not any more; the reason is for a person.
    NotReady(String),
    /// It had started and its health page, which its user named, says that it fails.
    Failing(String),
}

impl Health {
    /// Why it is not ready.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Health::Ready => None,
            Health::NotReady(reason) | Health::Failing(reason) => Some(reason),
        }
    }
}

/// Watches one app over the life of its process.
#[derive(Debug)]
pub(crate) struct Watcher {
    client: Client,
    probe: Probe,
    /// Port of the app; none when it serves nothing over HTTP.
    port: Option<u16>,
    /// When its process was started.
    since: Instant,
    has_started: bool,
    was_ready: bool,
    /// Looks in a row to which it did not answer in time.
    silences: u32,
    /// How long the app may take to answer.
    timeout: Duration,
    pause: Duration,
}

/// What came back from a page.
enum Answer {
    Page(StatusCode, String),
    /// It listens and does not speak HTTP.
    Other,
    Refused,
    Silent,
}

impl Watcher {
    /// Watches a process that was started `age` ago.
    pub(crate) fn new(client: Client, probe: Probe, port: Option<u16>, age: Duration) -> Watcher {
        let now = Instant::now();
        Watcher {
            client,
            has_started: probe.startup.is_none(),
            probe,
            port,
            since: now.checked_sub(age).unwrap_or(now),
            was_ready: false,
            silences: 0,
            timeout: TIMEOUT,
            pause: PAUSE_READY,
        }
    }

    /// How long to wait before the next look.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    /// Looks once. Cancel safe.
    pub(crate) async fn look(&mut self) -> Health {
        let health = match self.port {
            None => self.alive(),
            Some(port) => self.ask(port).await,
        };
        if health == Health::Ready {
            self.was_ready = true;
            self.pause = if self.silences > 0 { self.timeout } else { PAUSE_READY };
        }
        health
    }

    async fn ask(&mut self, port: u16) -> Health {
        if !self.has_started
            && let Some(page) = self.probe.startup.clone()
        {
            match self.get(port, &page).await {
                Answer::Page(status, _) if status.is_success() => self.has_started = true,
                answer => {
                    return Health::NotReady(self.describe("start-up probe", port, &page, &answer));
                }
            }
        }
        match self.probe.health.clone() {
            Some(page) => {
                let answer = self.get(port, &page).await;
                self.judge_named(port, &page, &answer)
            }
            None => {
                let port = self.probe.management_port.unwrap_or(port);
                let page = self.probe.page.clone();
                let answer = self.get(port, &page).await;
                self.judge_usual(port, &answer)
            }
        }
    }

    /// Judges a page that the user named: it must be there and say yes.
    fn judge_named(&mut self, port: u16, page: &str, answer: &Answer) -> Health {
        if matches!(answer, Answer::Page(status, _) if status.is_success()) || self.is_forgiven(answer) {
            return Health::Ready;
        }
        let reason = self.describe("health probe", port, page, answer);
        if self.was_ready || self.probe.startup.is_some() {
            Health::Failing(reason)
        } else {
            Health::NotReady(reason)
        }
    }

    /// Judges the page that a Boot app has: without it, it is enough to listen or to live.
    fn judge_usual(&mut self, port: u16, answer: &Answer) -> Health {
        match answer {
            Answer::Page(status, _) if status.is_success() => Health::Ready,
            Answer::Page(status, _) if status.is_server_error() => {
                Health::NotReady(self.describe("health check", port, "", answer))
            }
            Answer::Page(..) | Answer::Other => self.alive(),
            Answer::Refused if self.probe.alive_s.is_some() => self.alive(),
            _ if self.is_forgiven(answer) => Health::Ready,
            Answer::Refused | Answer::Silent => {
                Health::NotReady(self.describe("health check", port, "", answer))
            }
        }
    }

    /// Judges by age alone.
    fn alive(&mut self) -> Health {
        let needed = self.probe.alive_s.unwrap_or(0);
        let left = Duration::from_secs(needed).saturating_sub(self.since.elapsed());
        if left.is_zero() || self.was_ready {
            return Health::Ready;
        }
        self.pause = left.min(Duration::from_secs(1));
        Health::NotReady(format!("it counts as healthy once it has run for {needed} s"))
    }

    fn is_forgiven(&self, answer: &Answer) -> bool {
        matches!(answer, Answer::Silent) && self.was_ready && self.silences <= FORGIVEN
    }

    /// Asks for a page, and sets how soon to ask again if it does not say yes.
    async fn get(&mut self, port: u16, page: &str) -> Answer {
        let address = SocketAddr::new(self.probe.address.unwrap_or(Ipv4Addr::LOCALHOST.into()), port);
        let mut request = self.client.get(format!("http://{address}{page}")).timeout(self.timeout);
        if let Some((user, password)) = &self.probe.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let answer = match request.send().await {
            Ok(response) => {
                let status = response.status();
                let body = if status.is_success() { String::new() } else { read(response).await };
                Answer::Page(status, body)
            }
            Err(error) if error.is_timeout() => Answer::Silent,
            Err(error) if error.is_connect() => Answer::Refused,
            Err(_) => Answer::Other,
        };
        self.silences = if matches!(answer, Answer::Silent) { self.silences.saturating_add(1) } else { 0 };
        let age = self.since.elapsed();
        self.pause = Duration::from_millis(match answer {
            Answer::Refused if age < YOUNG => 50,
            Answer::Refused => 250,
            Answer::Page(..) | Answer::Other if age < YOUNG => 100,
            Answer::Page(..) | Answer::Other if age < OLD => 500,
            // Looks are not free for the app: it may ask its broker for each, or keep a thread busy.
            Answer::Page(..) | Answer::Other | Answer::Silent => 2_000,
        });
        answer
    }

    /// Why an answer is not good enough.
    fn describe(&self, what: &str, port: u16, page: &str, answer: &Answer) -> String {
        match answer {
            Answer::Page(status, body) => {
                let page = if page.is_empty() { String::new() } else { format!(" {page}") };
                format!("its {what}{page} on port {port} {}", reason::of(*status, body))
            }
            Answer::Other => {
                format!("its port {port} does not speak HTTP, so its {what} {page} cannot be asked")
            }
            Answer::Silent => {
                format!("its {what} on port {port} does not answer within {} s", self.timeout.as_secs_f32())
            }
            Answer::Refused => match &self.probe.debugger {
                Some(address) if !self.was_ready => {
                    format!("it does not listen on port {port} yet: it waits for a debugger on {address}")
                }
                _ if self.was_ready => format!("it does not listen on port {port} any more"),
                _ => format!("it does not listen on port {port} yet"),
            },
        }
    }
}

/// The beginning of a body; what cannot be read is empty.
async fn read(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_BODY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(MAX_BODY);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
