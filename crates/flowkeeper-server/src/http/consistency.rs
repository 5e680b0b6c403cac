//! How current answers are, and that they say so.
//!
//! Every answer carries the transaction up to which it is current. A request may demand to see at least a transaction that
//! another server answered with (`X-Flowkeeper-Zxid`), or everything that was committed before it (`consistency=strong`). A
//! server without a connection answers reads from its copy, marked as stale, and refuses changes at once.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flowkeeper_api::{STALE_HEADER, ZXID_HEADER};
use flowkeeper_zk::recipes::LinkState;

use super::error::Problem;
use crate::app;
use crate::state::AppState;

/// Younger than this a lost connection is no news: clients retry with the next server of the ensemble.
const GRACE: Duration = Duration::from_secs(2);
/// How long a read waits for a transaction it demands.
const TOKEN_WAIT: Duration = Duration::from_millis(500);
/// How long a strong read waits for its quorum.
const STRONG_WAIT: Duration = Duration::from_secs(5);
/// The one value of the parameter `consistency` besides `strong`: what is the rule without it.
const EVENTUAL: &str = "eventual";

/// Prefixes of paths that have nothing to do with the metadata: they answer whatever its state is.
const APART: [&str; 7] =
    ["/livez", "/readyz", "/metrics", "/debug/", "/management", "/openapi.json", "/dashboard"];
/// Prefixes of paths whose POST changes no metadata.
const READING: [&str; 2] = ["/runtime/", "/completions/"];

/// Surrounds all routes.
pub(super) async fn keep(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if APART.iter().any(|prefix| path.starts_with(prefix)) {
        return next.run(request).await;
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_change = !is_read && !READING.iter().any(|prefix| path.starts_with(prefix));
    let demands = Demands::of(&request, is_change, is_read);
    let admitted = match demands {
        Ok(demands) => admit(&state, demands).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = admitted {
        return marked(&state, is_read, state.meta.applied_zxid(), problem.into_response());
    }
    // Before the handler looks: what it shows is at least as new.
    let zxid = state.meta.applied_zxid();
    let response = next.run(request).await;
    marked(&state, is_read, zxid, response)
}

/// What a request wants of the copy before it is carried out.
#[derive(Clone, Copy, Debug)]
struct Demands {
    /// It changes something, so there must be a connection.
    is_change: bool,
    /// The copy must contain this transaction.
    zxid: Option<i64>,
    /// The copy must contain all that was committed before.
    is_strong: bool,
}

impl Demands {
    fn of(request: &Request, is_change: bool, is_read: bool) -> Result<Demands, Problem> {
        let is_strong = is_read && is_strong(request.uri().query())?;
        Ok(Demands { is_change, zxid: token(request.headers())?, is_strong })
    }
}

/// Waits until the request can be carried out as it demands.
async fn admit(state: &AppState, demands: Demands) -> Result<(), Problem> {
    if demands.is_change {
        writable(state).await?;
    }
    if let Some(zxid) = demands.zxid
        && !state.meta.catch_up(zxid, TOKEN_WAIT).await
    {
        let applied = state.meta.applied_zxid();
        return Err(unavailable(format!(
            "this server has seen transactions up to {applied} and not yet {zxid}; try again, or another server"
        )));
    }
    if demands.is_strong {
        let barrier = state.meta.strong_barrier(state.meta.server_name(), STRONG_WAIT).await;
        barrier.map_err(|error| unavailable(error.to_string()))?;
    }
    Ok(())
}

/// Refuses changes while the connection is lost, at once when it has been for a while.
async fn writable(state: &AppState) -> Result<(), Problem> {
    let connection = state.meta.connection();
    let link = connection.link();
    if link.state == LinkState::Connected {
        return Ok(());
    }
    let lost = link.lost.map_or(GRACE, |lost| lost.elapsed());
    let back = tokio::time::timeout(GRACE.saturating_sub(lost), connection.connected()).await;
    if matches!(back, Ok(Some(_))) {
        return Ok(());
    }
    Err(unavailable(format!(
        "this server lost its connection to zookeeper {} s ago and changes nothing until it is back; try again, or another server",
        lost.max(GRACE).as_secs()
    )))
}

/// The transaction that the request wants to see.
fn token(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(ZXID_HEADER) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let zxid = text.trim().parse().ok().filter(|zxid: &i64| *zxid >= 0);
    zxid.map(Some).ok_or_else(|| Problem::mismatch(ZXID_HEADER, &text, "a transaction id in decimal"))
}

fn is_strong(query: Option<&str>) -> Result<bool, Problem> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match pairs.find(|(name, _)| name == "consistency").as_ref().map(|(_, value)| value.as_ref()) {
        Some("strong") => Ok(true),
        None | Some(EVENTUAL) => Ok(false),
        Some(_) => Err(Problem::not_one_of("consistency", "eventual,strong")),
    }
}

/// Says how current an answer is: the transaction, unless a change put its own, and that it is stale.
fn marked(state: &AppState, is_read: bool, zxid: i64, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(name) = HeaderName::from_bytes(ZXID_HEADER.as_bytes()) {
        headers.entry(name).or_insert(HeaderValue::from(zxid));
    }
    if let Some(age) = state.meta.stale_for().filter(|age| is_read && *age > GRACE) {
        let age = HeaderValue::from(age.as_secs());
        headers.insert(header::WARNING, HeaderValue::from_static("110 - \"Response is Stale\""));
        headers.insert(header::AGE, age.clone());
        if let Ok(name) = HeaderName::from_bytes(STALE_HEADER.as_bytes()) {
            headers.insert(name, age);
        }
    }
    response
}

fn unavailable(reason: String) -> Problem {
    app::Error::Unavailable(reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_whole_numbers() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(
                HeaderName::from_static("x-flowkeeper-zxid"),
                HeaderValue::from_static(value),
            )])
        };
        assert_eq!(token(&HeaderMap::new()), Ok(None));
        assert_eq!(token(&with(" 4711 ")), Ok(Some(4711)));
        for wrong in ["", "x", "-1", "1.5", "99999999999999999999"] {
            assert!(token(&with(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn consistency_has_two_words() {
        assert_eq!(is_strong(Some("a=b&consistency=strong")), Ok(true));
        assert_eq!(is_strong(Some("consistency=eventual")), Ok(false));
        assert_eq!(is_strong(None), Ok(false));
        assert!(is_strong(Some("consistency=Strong")).is_err());
    }
}
