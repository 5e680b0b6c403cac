//! What Flowkeeper offers beyond SCDF: the cluster, explanations, the API's own description, metrics and probes.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flowkeeper_api::cluster::{Cluster, StreamExplanation};
use flowkeeper_api::error::ErrorBody;

use super::error::Problem;
use super::openapi::document;
use super::params::Segments;
use super::respond::{Changed, Json, Produces, json};
use crate::app::{self, explain, releases};
use crate::ensemble;
use crate::state::AppState;

/// Servers, nodes, the leader, and how long changes take.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "flowkeeper", responses((status = 200, body = Cluster)))]
pub(super) async fn cluster(State(state): State<AppState>) -> Json<Cluster> {
    let members = ensemble::ask(&state.zookeeper).await;
    Json(app::cluster::cluster(&state, members))
}

/// The state of a stream, with a reason for everything that is not as wanted.
#[utoipa::path(get, path = "/api/v1/streams/{name}", tag = "flowkeeper", params(("name" = String, Path)),
    responses((status = 200, body = StreamExplanation), (status = 404, body = ErrorBody)))]
pub(super) async fn explain(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Json<StreamExplanation>, Problem> {
    Ok(Json(explain::stream(&state.meta.model(), &name)?))
}

/// The state of a stream, with what happened to it and the last lines of what is not as wanted.
#[utoipa::path(get, path = "/api/v1/streams/{name}/explain", tag = "flowkeeper", params(("name" = String, Path)),
    responses((status = 200, body = StreamExplanation), (status = 404, body = ErrorBody)))]
pub(super) async fn story(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Json<StreamExplanation>, Problem> {
    Ok(Json(explain::story(&state, &name).await?))
}

/// Gives up the release that replaces another at this moment; the other one runs on.
#[utoipa::path(post, path = "/api/v1/streams/{name}/cancel", tag = "flowkeeper", params(("name" = String, Path)),
    responses((status = 202), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn cancel(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::ACCEPTED, releases::cancel(&state, &name).await?))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "flowkeeper", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn openapi() -> Response {
    json(StatusCode::OK, Produces::Json, document())
}

/// Metrics in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "flowkeeper", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], state.metrics.render()).into_response()
}

/// A copy of the metadata that is older than this is no good to a load balancer.
const STALE: Duration = Duration::from_secs(5);

/// Answers while the process lives.
#[utoipa::path(get, path = "/livez", tag = "flowkeeper", responses((status = 200)))]
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Answers 200 while this server can do its work, else 503 with the reason.
#[utoipa::path(get, path = "/readyz", tag = "flowkeeper", responses((status = 200), (status = 503)))]
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, &'static str) {
    if !state.meta.model().is_complete() {
        (StatusCode::SERVICE_UNAVAILABLE, "the metadata is being read\n")
    } else if state.meta.stale_for().is_some_and(|age| age > STALE) {
        (StatusCode::SERVICE_UNAVAILABLE, "no connection to zookeeper\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}
