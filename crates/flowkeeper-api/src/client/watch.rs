//! Following what changes, instead of asking again and again.

use std::time::Duration;

use reqwest::Method;

use super::{Client, Error};
use crate::watch::Change;

/// Pause before a lost connection is made again, and how often that is tried before it is told.
const PAUSE: Duration = Duration::from_millis(500);
const TRIES: usize = 20;
/// A server gives a sign of life every 15 seconds; after three that did not come the connection is taken for lost.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest event that is read.
const MAX_EVENT: usize = 1 << 20;

/// What a server tells whoever follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The feed begins here: what changes after the transaction `zxid` will be told.
    Hello {
        zxid: i64,
    },
    /// More changed than the server remembers: list everything anew.
    Reset {
        zxid: i64,
    },
    Changed(Change),
}

/// A live feed. Lost connections are made again, from the last transaction that was told.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    kinds: String,
    last: Option<i64>,
    connection: Option<reqwest::Response>,
    reader: EventReader,
}

impl Client {
    /// Follows what changes of these kinds of things: `stream`, `application`, `app`, `node`, `server`, `leader`. Nothing is
    /// asked for before the first call of [`Watch::next`].
    pub fn watch(&self, kinds: &[&str]) -> Watch {
        let kinds = kinds.join(",");
        Watch { client: self.clone(), kinds, last: None, connection: None, reader: EventReader::default() }
    }
}

impl Watch {
    /// The next news; waits for them.
    ///
    /// # Errors
    /// When the server refuses, or cannot be reached for ten seconds.
    ///
    /// # Cancel safety
    /// Cancel safe: news that were not given out are told again.
    pub async fn next(&mut self) -> Result<News, Error> {
        let mut tries = 0;
        loop {
            while let Some(event) = self.reader.next() {
                if let Some(news) = event.news() {
                    self.last = event.id.or(self.last);
                    return Ok(news);
                }
            }
            let chunk = match &mut self.connection {
                Some(connection) => next_piece(connection).await,
                None => None,
            };
            match chunk {
                Some(chunk) if self.reader.push(&chunk) => tries = 0,
                // Lost, or never there: what was read in part is read again from the last id.
                _ => {
                    self.reader = EventReader::default();
                    self.connection = None;
                    match self.connect().await {
                        Ok(connection) => self.connection = Some(connection),
                        Err(error @ (Error::Unreachable { .. } | Error::Transport { .. }))
                            if tries < TRIES =>
                        {
                            tries += 1;
                            drop(error);
                            tokio::time::sleep(PAUSE).await;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<reqwest::Response, Error> {
        let call = self.client.call(Method::GET, &["api", "v1", "watch"]).query("kinds", &self.kinds);
        let request = self.client.request(&call).await;
        let mut request = request.header("Accept", "text/event-stream").timeout(Duration::MAX);
        if let Some(last) = self.last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.map_err(|source| self.client.failed(&call, source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(Error::from_answer(status.as_u16(), &response.bytes().await.unwrap_or_default()))
    }
}

/// The next piece of the answer; `None` when it ended, broke, or the server fell silent.
async fn next_piece(connection: &mut reqwest::Response) -> Option<Vec<u8>> {
    let chunk = tokio::time::timeout(SILENCE, connection.chunk()).await;
    chunk.ok()?.ok()?.map(|chunk| chunk.to_vec())
}

/// An event as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sent {
    id: Option<i64>,
    name: String,
    data: String,
}

impl Sent {
    /// What it says; `None` for what this version does not know.
    fn news(&self) -> Option<News> {
        match self.name.as_str() {
            "hello" => Some(News::Hello { zxid: self.id? }),
            "reset" => Some(News::Reset { zxid: self.id? }),
            _ => serde_json::from_str(&self.data).ok().map(News::Changed),
        }
    }
}

/// Reads server-sent events (HTML standard, section 9.2) from pieces of a text.
#[derive(Clone, Debug, Default)]
struct EventReader {
    text: Vec<u8>,
}

impl EventReader {
    /// Takes a piece; false when an event is longer than any we know.
    fn push(&mut self, piece: &[u8]) -> bool {
        self.text.extend_from_slice(piece);
        self.text.len() <= MAX_EVENT
    }

    /// The next whole event.
    fn next(&mut self) -> Option<Sent> {
        loop {
            let end = self.text.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            let mut event = Sent::default();
            for line in String::from_utf8_lossy(&block).lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "id" => event.id = value.parse().ok(),
                    "event" => value.clone_into(&mut event.name),
                    "data" if event.data.is_empty() => value.clone_into(&mut event.data),
                    "data" => event.data.extend(["\n", value]),
                    // Comments are signs of life.
                    _ => {}
                }
            }
            if event != Sent::default() {
                return Some(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "id: 7\nevent: hello\ndata: {\"zxid\":7}\n\n: alive\n\nevent: stream\nid: 9\n\
        data: {\"kind\":\"stream\",\"name\":\"s\",\ndata: \"exists\":true,\"zxid\":9}\n\nid: 10\nevent: later\ndata: ?\n\n";

    fn read(pieces: &[&[u8]]) -> Vec<Option<News>> {
        let mut reader = EventReader::default();
        let mut found = Vec::new();
        for piece in pieces {
            assert!(reader.push(piece));
            found.extend(std::iter::from_fn(|| reader.next()).map(|event| event.news()));
        }
        found
    }

    #[test]
    fn events_comments_and_what_is_not_known() {
        let change = Change {
            kind: "stream".into(),
            name: "s".into(),
            exists: true,
            status: None,
            description: None,
            zxid: 9,
        };
        let expected = [Some(News::Hello { zxid: 7 }), Some(News::Changed(change)), None];
        assert_eq!(read(&[TEXT.as_bytes()]), expected);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in prop::collection::vec(0..TEXT.len(), 0..9)) {
            let mut cuts = cuts;
            cuts.extend([0, TEXT.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &TEXT.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[TEXT.as_bytes()]));
        }

        #[test]
        fn no_text_is_too_strange(text in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&[&text]);
        }
    }
}
