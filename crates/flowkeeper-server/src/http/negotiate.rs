//! What surrounds every route: media types, trailing slashes, wrong methods, unknown paths. All as SCDF's framework does it,
//! because clients have learned it.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;

use super::error::Problem;
use super::respond::{Produces, json};
use crate::clock;

const JSON: &str = "application/json";
const HAL: &str = "application/hal+json";
const ACTUATOR: &str = "application/vnd.spring-boot.actuator.v3+json";
const ACTUATOR_2: &str = "application/vnd.spring-boot.actuator.v2+json";
const PLAIN: &str = "text/plain";

impl Produces {
    fn offers(self) -> &'static [&'static str] {
        match self {
            Produces::Hal | Produces::Error => &[HAL, JSON],
            Produces::Json => &[JSON, HAL],
            Produces::Actuator => &[ACTUATOR, ACTUATOR_2, JSON],
            Produces::Text => &[JSON, PLAIN],
        }
    }
}

/// The path as it was sent, where it is not the one that is routed: links to pages repeat it.
#[derive(Clone, Debug)]
pub(super) struct SentPath(pub(super) String);

/// Surrounds all routes: the path without a slash at its end and without `;` parameters goes in, the media type that was asked for comes out, or 406
/// when the answer has none of those.
pub(super) async fn surround(request: Request, next: Next) -> Response {
    let accept = request.headers().get(header::ACCEPT).cloned();
    let is_options = *request.method() == Method::OPTIONS;
    let mut response = next.run(normalize(request)).await;
    if is_options {
        complete_allow(response.headers_mut());
    }
    let Some(produces) = response.extensions_mut().remove::<Produces>() else { return response };
    let accept = accept.as_ref().and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let offers = produces.offers();
    let chosen = match choose(accept, offers) {
        Some(chosen) => chosen,
        // Better an error in the wrong type than none.
        None if produces == Produces::Error => offers[0],
        None => return StatusCode::NOT_ACCEPTABLE.into_response(),
    };
    if produces == Produces::Text {
        return text(response, chosen).await;
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(chosen));
    response
}

/// Brings a path into the form that is routed.
fn normalize(mut request: Request) -> Request {
    let uri = request.uri();
    let routed = routed_path(uri.path());
    if routed == uri.path() {
        return request;
    }
    let sent = SentPath(uri.path().to_owned());
    let with_query = uri.query().map_or_else(|| routed.clone(), |query| format!("{routed}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(with_query).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(sent);
    }
    request
}

/// The path without what follows a `;` in its segments, and without a slash at its end.
fn routed_path(sent: &str) -> String {
    let segments = sent.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    let path = segments.collect::<Vec<_>>().join("/");
    match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter.to_owned(),
        _ => path,
    }
}

/// A route that does not take this method. `OPTIONS` it answers, with what it takes.
pub(super) async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return (StatusCode::OK, [("accept-patch", "")]).into_response();
    }
    Problem::unsupported_method(method.as_str()).into_response()
}

/// A path without a route.
pub(super) async fn no_handler(uri: Uri, headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct NotFound<'a> {
        timestamp: String,
        status: u16,
        error: &'static str,
        message: &'static str,
        path: &'a str,
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    if choose(accept, &[JSON, "text/html"]) == Some("text/html") {
        let page = "<html><body><h1>Not found</h1><p>Nothing lies at this address.</p></body></html>";
        return (StatusCode::NOT_FOUND, Html(page)).into_response();
    }
    let body = NotFound {
        timestamp: clock::scdf_now(),
        status: 404,
        error: "Not Found",
        message: "No message available",
        path: uri.path(),
    };
    let mut response = json(StatusCode::NOT_FOUND, Produces::Json, &body);
    response.extensions_mut().remove::<Produces>();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// The framework lists `OPTIONS` among what a route takes.
fn complete_allow(headers: &mut HeaderMap) {
    let allow = headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok());
    if let Some(allow) = allow.and_then(|allow| HeaderValue::try_from(format!("{allow},OPTIONS")).ok()) {
        headers.insert(header::ALLOW, allow);
    }
}

/// A text as it is, or quoted.
async fn text(response: Response, chosen: &'static str) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already, so this neither fails nor waits.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let (content_type, bytes) = if chosen == PLAIN {
        ("text/plain;charset=UTF-8", bytes.to_vec())
    } else {
        (JSON, serde_json::to_vec(&String::from_utf8_lossy(&bytes)).unwrap_or_default())
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // The route said how long the text is; quoted it is longer.
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

/// The offer that `accept` likes best: by quality, then in the order of `accept`, then in the order of the offers.
fn choose(accept: &str, offers: &[&'static str]) -> Option<&'static str> {
    let mut ranges: Vec<(f32, &str)> = accept.split(',').filter_map(quality).collect();
    ranges.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let matching = |range: &str| offers.iter().copied().find(|offer| is_in_range(offer, range));
    ranges.iter().find_map(|(_, range)| matching(range))
}

/// Quality and type of one media range; `None` when it says that it is not wanted.
fn quality(range: &str) -> Option<(f32, &str)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?;
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok())?;
    (quality > 0.0).then_some((quality, media_type))
}

fn is_in_range(offer: &str, range: &str) -> bool {
    let Some((kind, subtype)) = range.split_once('/') else { return false };
    let Some((offer_kind, offer_subtype)) = offer.split_once('/') else { return false };
    let subtype_fits = match subtype.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => offer_subtype.ends_with(suffix),
        None => subtype.eq_ignore_ascii_case(offer_subtype),
    };
    (kind == "*" || kind.eq_ignore_ascii_case(offer_kind)) && subtype_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_type_is_chosen() {
        let hal = Produces::Hal.offers();
        for (accept, expected) in [
            ("*/*", Some(HAL)),
            ("application/json", Some(JSON)),
            ("application/json, application/*+json", Some(JSON)),
            ("application/json;q=0.5, application/hal+json", Some(HAL)),
            ("application/*+json", Some(HAL)),
            ("text/csv", None),
            ("text/csv, */*;q=0.1", Some(HAL)),
            ("application/json;q=0", None),
            ("", None),
            ("nonsense;;q=x", None),
        ] {
            assert_eq!(choose(accept, hal), expected, "{accept}");
        }
        assert_eq!(choose("text/plain, application/json, */*", Produces::Text.offers()), Some(PLAIN));
    }

    #[test]
    fn paths_are_brought_into_one_form() {
        for (sent, routed) in [
            ("/", "/"),
            ("/apps", "/apps"),
            ("/apps/", "/apps"),
            ("/apps;x=y", "/apps"),
            ("/apps;a/source;b=1/time/", "/apps/source/time"),
            ("//apps", "//apps"),
            ("//", "/"),
        ] {
            assert_eq!(routed_path(sent), routed, "{sent}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_accept_header_is_too_strange(accept in ".*") {
            let _ = choose(&accept, Produces::Hal.offers());
        }
    }
}
