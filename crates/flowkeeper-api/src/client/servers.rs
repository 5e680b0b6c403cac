//! The servers a client may talk to: any of them answers any request, so another one is asked when one is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::Error;

/// How long a server may take to say whether it can do its work.
const LOOK: Duration = Duration::from_secs(2);
/// No server has been chosen.
const NONE: usize = usize::MAX;

/// Servers in the order in which they were named, and the one in use.
#[derive(Debug)]
pub(super) struct Servers {
    first: Url,
    /// At least one, without slashes at their ends.
    all: Vec<String>,
    chosen: AtomicUsize,
}

impl Servers {
    /// Reads `http://h1:9393,http://h2:9393`.
    pub(super) fn parse(text: &str) -> Result<Servers, Error> {
        let urls: Vec<Url> = text.split(',').map(read).collect::<Result<_, _>>()?;
        let first = urls.first().cloned().ok_or_else(|| Error::InvalidUrl { url: text.to_owned() })?;
        let all: Vec<String> = urls.iter().map(|url| url.as_str().trim_end_matches('/').to_owned()).collect();
        // Where there is no choice nothing is asked before.
        let chosen = if all.len() == 1 { 0 } else { NONE };
        Ok(Servers { first, all, chosen: AtomicUsize::new(chosen) })
    }

    /// How often a request may be sent.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The server in use, or the first.
    pub(super) fn current(&self) -> &str {
        let chosen = self.chosen.load(Ordering::Relaxed);
        self.all.get(chosen).or(self.all.first()).map_or("", String::as_str)
    }

    pub(super) fn first(&self) -> &Url {
        &self.first
    }

    /// Where a call that was made for the first server goes now.
    pub(super) fn address(&self, url: &Url) -> String {
        let path = self.all.first().and_then(|first| url.as_str().strip_prefix(first.as_str()));
        format!("{}{}", self.current(), path.unwrap_or_default())
    }

    /// All of them, for people.
    pub(super) fn names(&self) -> String {
        self.all.join(", ")
    }

    /// Chooses where to send to, unless that is done: the first that can do its work, else any that answers.
    pub(super) async fn choose(&self, http: &reqwest::Client) {
        if self.chosen.load(Ordering::Relaxed) != NONE {
            return;
        }
        let mut answering = NONE;
        for (number, base) in self.all.iter().enumerate() {
            match http.get(format!("{base}/readyz")).timeout(LOOK).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => {
                    answering = number;
                    break;
                }
                Ok(_) if answering == NONE => answering = number,
                _ => {}
            }
        }
        self.chosen.store(answering, Ordering::Relaxed);
    }

    /// Chooses anew next time: the one in use does not answer.
    pub(super) fn give_up(&self) {
        if self.all.len() > 1 {
            self.chosen.store(NONE, Ordering::Relaxed);
        }
    }
}

fn read(text: &str) -> Result<Url, Error> {
    let invalid = || Error::InvalidUrl { url: text.to_owned() };
    let url = Url::parse(text.trim()).map_err(|_| invalid())?;
    if url.scheme() != "http" || url.cannot_be_a_base() || url.host().is_none() {
        return Err(invalid());
    }
    Ok(url)
}
