//! Making answers. Which media type they carry is settled by [`super::negotiate`], from the mark left here.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flowkeeper_api::ZXID_HEADER;
use serde::Serialize;

use crate::meta::Written;

/// In which media types an answer can be given; the first is what `*/*` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Produces {
    /// A resource with links.
    Hal,
    /// Plain JSON.
    Json,
    /// An actuator document.
    Actuator,
    /// A text, quoted as JSON unless plain text is asked for.
    Text,
    /// An error: given as JSON whatever is asked for.
    Error,
}

/// A resource with links.
#[derive(Clone, Debug)]
pub(super) struct Hal<T>(pub(super) T);

/// Plain JSON.
#[derive(Clone, Debug)]
pub(super) struct Json<T>(pub(super) T);

/// A text.
#[derive(Clone, Debug)]
pub(super) struct Text(pub(super) String);

/// The answer to a change: no body, and the transaction that made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed(pub(super) StatusCode, pub(super) Option<Written>);

impl<T: Serialize> IntoResponse for Hal<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, Produces::Hal, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, Produces::Json, &self.0)
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0));
        response.extensions_mut().insert(Produces::Text);
        response
    }
}

impl IntoResponse for Changed {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0;
        with_zxid(response, self.1)
    }
}

/// Adds the transaction that made a change.
pub(super) fn with_zxid(mut response: Response, written: Option<Written>) -> Response {
    if let Some(written) = written {
        // The constant is a valid name in any case of letters.
        if let Ok(name) = HeaderName::from_bytes(ZXID_HEADER.as_bytes()) {
            response.headers_mut().insert(name, HeaderValue::from(written.zxid));
        }
    }
    response
}

/// A JSON answer with its mark.
pub(super) fn json(status: StatusCode, produces: Produces, body: &impl Serialize) -> Response {
    // Our documents have string keys and no failing Serialize implementation.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.extensions_mut().insert(produces);
    response
}
