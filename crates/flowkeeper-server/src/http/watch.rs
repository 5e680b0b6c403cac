//! `/api/v1/watch`: a live feed of what changes, instead of asking again and again.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::watch::Change;
use futures::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Problem;
use super::params::Params;
use crate::app::{Error, streams};
use crate::meta::{Model, News, Subject};
use crate::state::AppState;

/// Readers served at the same time.
const MAX_READERS: usize = 1000;
/// A sign of life at least so often, so that proxies and clients know that the connection lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Kinds of things that are told of.
const KINDS: [&str; 6] = ["stream", "application", "app", "node", "server", "leader"];

static READERS: LazyLock<std::sync::Arc<Semaphore>> = LazyLock::new(|| Semaphore::new(MAX_READERS).into());

/// Server-sent events: first `hello` with the present transaction as its id, then one event for each thing that changed, named
/// after its kind. `reset` says that more changed than is kept: list everything anew. To go on after a break, at this server or
/// another, send the last id as `Last-Event-ID` or `since`. `kinds` chooses: `stream,app`.
#[utoipa::path(get, path = "/api/v1/watch", tag = "flowkeeper",
    params(("since" = Option<i64>, Query), ("kinds" = Option<String>, Query), ("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = Change), (status = 400, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(super) async fn watch(
    State(state): State<AppState>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let since = last.or_else(|| params.get("since")).filter(|text| !text.is_empty());
    let since = since
        .map(|text| text.parse::<i64>().map_err(|_| Problem::mismatch("since", &text, "a transaction id")));
    let since = since.transpose()?;
    let kinds = params.get("kinds").unwrap_or_else(|| KINDS.join(","));
    let kinds: Vec<&'static str> =
        kinds.split(',').map(|kind| known_kind(kind.trim())).collect::<Result<_, _>>()?;
    let permit = READERS.clone().try_acquire_owned().map_err(|_| {
        Error::Unavailable(format!(
            "this server feeds {MAX_READERS} readers already; ask another one, or later"
        ))
    })?;
    let reader = Reader { state, at: since.unwrap_or(0), is_new: since.is_none(), kinds, _permit: permit };
    let alive = KeepAlive::new().interval(ALIVE_EVERY).text("alive");
    Ok(Sse::new(reader.events()).keep_alive(alive).into_response())
}

fn known_kind(kind: &str) -> Result<&'static str, Problem> {
    KINDS
        .into_iter()
        .find(|known| *known == kind)
        .ok_or_else(|| Problem::not_one_of("kinds", &KINDS.join(", ")))
}

struct Reader {
    state: AppState,
    /// The newest transaction that was told of.
    at: i64,
    /// Wants to know what comes, not what was.
    is_new: bool,
    kinds: Vec<&'static str>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            let stopping = reader.state.stopping.clone();
            tokio::select! {
                events = reader.next() => Some((stream::iter(events), reader)),
                () = stopping.cancelled() => None,
            }
        })
        .flatten()
        .map(Ok)
    }

    /// The next events. Cancel safe.
    async fn next(&mut self) -> Vec<Event> {
        if self.is_new {
            self.is_new = false;
            self.at = self.state.meta.applied_zxid();
            return vec![event("hello", Some(self.at), &serde_json::json!({"zxid": self.at}))];
        }
        let news = self.state.meta.news(self.at).await;
        match news {
            News::Lost { zxid } => {
                self.at = zxid;
                vec![event("reset", Some(zxid), &serde_json::json!({"zxid": zxid}))]
            }
            News::Changed { subjects, zxid } => {
                self.at = zxid;
                let model = self.state.meta.model();
                let wanted = subjects.iter().map(|subject| change(&model, subject, zxid));
                let wanted = wanted.filter(|change| self.kinds.contains(&change.kind.as_str()));
                let changes: Vec<Change> = wanted.collect();
                // Only the last one has the id: who loses the connection in the middle is told all of them again.
                let last = changes.len().saturating_sub(1);
                let id = |index: usize| (index == last).then_some(zxid);
                changes
                    .iter()
                    .enumerate()
                    .map(|(index, change)| event(&change.kind, id(index), change))
                    .collect()
            }
        }
    }
}

fn event(name: &str, zxid: Option<i64>, data: &impl Serialize) -> Event {
    // Our documents have string keys and no failing Serialize implementation.
    let data = serde_json::to_string(data).unwrap_or_default();
    let event = Event::default().event(name).data(data);
    match zxid {
        Some(zxid) => event.id(zxid.to_string()),
        None => event,
    }
}

/// What there is to say of something that changed, as it is now.
fn change(model: &Model, subject: &Subject, zxid: i64) -> Change {
    let of = |kind: &str, name: &str, exists: bool| Change {
        kind: kind.to_owned(),
        name: name.to_owned(),
        exists,
        status: None,
        description: None,
        zxid,
    };
    match subject {
        Subject::Stream(name) => match streams::get(model, name) {
            Ok(stream) => Change {
                status: Some(stream.phase.key().to_owned()),
                description: Some(stream.phase.description().to_owned()),
                ..of("stream", name, true)
            },
            Err(_) => of("stream", name, false),
        },
        Subject::Application(name) => of("application", name, model.applications.contains_key(name)),
        Subject::App(name) => {
            let exists = model.apps.keys().any(|key| format!("{}:{}", key.kind.name(), key.name) == *name);
            of("app", name, exists)
        }
        Subject::Node(name) => {
            let node = model.nodes.iter().find(|(id, _)| id.0 == *name);
            of("node", name, node.is_some_and(|(_, node)| node.live.is_some()))
        }
        Subject::Server(id) => of("server", id, model.servers.contains_key(id)),
        Subject::Leader => {
            let leader = model.leader.as_ref().map(|leader| leader.id.clone());
            of("leader", leader.as_deref().unwrap_or_default(), leader.is_some())
        }
    }
}
