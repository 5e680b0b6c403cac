//! What probes ask, in the shapes of Spring Boot's actuator.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::about::build;
use super::base::Base;
use super::respond::{Produces, json};
use crate::state::AppState;

/// A link as the actuator prints it: always with `templated`.
#[derive(Serialize)]
struct ActuatorLink {
    href: String,
    templated: bool,
}

/// Which of these documents there are.
#[utoipa::path(get, path = "/management", tag = "server", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn links(base: Base) -> Response {
    #[derive(Serialize)]
    struct Links {
        #[serde(rename = "_links")]
        links: indexmap::IndexMap<&'static str, ActuatorLink>,
    }
    let paths = [
        ("self", "/management"),
        ("health", "/management/health"),
        ("health-path", "/management/health/{*path}"),
        ("info", "/management/info"),
    ];
    let link = |path: &str| ActuatorLink { href: base.href(path), templated: path.contains('{') };
    let links = paths.iter().map(|(name, path)| (*name, link(path))).collect();
    json(StatusCode::OK, Produces::Actuator, &Links { links })
}

/// `UP` while this server has a complete copy of the metadata.
#[utoipa::path(get, path = "/management/health", tag = "server",
    responses((status = 200, body = serde_json::Value), (status = 503, body = serde_json::Value)))]
pub(super) async fn health(State(state): State<AppState>) -> Response {
    let (status, word) = if state.meta.model().is_complete() {
        (StatusCode::OK, "UP")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_SERVICE")
    };
    json(status, Produces::Actuator, &BTreeMap::from([("status", word)]))
}

/// What this program was built from.
#[utoipa::path(get, path = "/management/info", tag = "server", responses((status = 200, body = flowkeeper_api::about::GitAndBuildInfo)))]
pub(super) async fn info() -> Response {
    json(StatusCode::OK, Produces::Actuator, &build()).into_response()
}
