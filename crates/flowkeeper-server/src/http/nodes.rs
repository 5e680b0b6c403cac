//! `/api/v1/nodes`, `/api/v1/what-if`, the brake, explained placement and the check of the metadata: what operators need.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::nodes::{Brake, Fsck, NodeDetail, NodeInfo, PlacementExplanation, WhatIf};

use super::error::Problem;
use super::params::{Input, Params, Segments};
use super::respond::{Changed, Json};
use crate::app::nodes::{self, Decision};
use crate::app::{cluster, fsck, placement};
use crate::state::AppState;

/// All nodes, by name.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", responses((status = 200, body = Vec<NodeInfo>)))]
pub(super) async fn list(State(state): State<AppState>) -> Json<Vec<NodeInfo>> {
    Json(nodes::list(&state.meta.model()))
}

/// A node with its instances.
#[utoipa::path(get, path = "/api/v1/nodes/{id}", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = NodeDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
) -> Result<Json<NodeDetail>, Problem> {
    Ok(Json(nodes::get(&state.meta.model(), &id)?))
}

/// Lets nothing new be placed on a node; what runs there stays.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/cordon", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody)))]
pub(super) async fn cordon(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, nodes::decide(&state, &id, Decision::Cordon).await?))
}

/// Opens a node that was cordoned, drained or put into quarantine.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/uncordon", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody)))]
pub(super) async fn uncordon(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, nodes::decide(&state, &id, Decision::Uncordon).await?))
}

/// Has everything moved off a node; `dry-run` only tells what would go where.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/drain", tag = "nodes",
    params(("id" = String, Path), ("dry-run" = Option<bool>, Query)),
    responses((status = 200, body = WhatIf), (status = 202), (status = 404, body = ErrorBody)))]
pub(super) async fn drain(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
    params: Params,
) -> Result<Response, Problem> {
    if params.flag("dry-run")? {
        return Ok(Json(placement::what_if_drained(&state.meta.model(), &id)?).into_response());
    }
    let written = nodes::decide(&state, &id, Decision::Drain).await?;
    Ok(Changed(StatusCode::ACCEPTED, written).into_response())
}

/// Removes a node that is lost from the metadata.
#[utoipa::path(delete, path = "/api/v1/nodes/{id}", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn forget(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, Some(nodes::forget(&state, &id).await?)))
}

/// What would move if these were lost: names of nodes, `rack:NAME`, `zone:NAME`, `host:NAME`, separated by commas.
#[utoipa::path(get, path = "/api/v1/what-if", tag = "nodes", params(("lose" = String, Query)),
    responses((status = 200, body = WhatIf), (status = 404, body = ErrorBody)))]
pub(super) async fn what_if(State(state): State<AppState>, params: Params) -> Result<Json<WhatIf>, Problem> {
    let lost: Vec<String> = params.require("lose")?.split(',').map(str::to_owned).collect();
    Ok(Json(placement::what_if_lost(&state.meta.model(), &lost)?))
}

/// Why an instance is where it is.
#[utoipa::path(get, path = "/api/v1/runtime/placement/{id}/explain", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = PlacementExplanation), (status = 404, body = ErrorBody)))]
pub(super) async fn explain(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
) -> Result<Json<PlacementExplanation>, Problem> {
    Ok(Json(placement::explain(&state.meta.model(), &id)?))
}

/// Whether instances are moved off lost nodes.
#[utoipa::path(get, path = "/api/v1/cluster/brake", tag = "nodes", responses((status = 200, body = Brake)))]
pub(super) async fn brake(State(state): State<AppState>) -> Json<Brake> {
    Json(cluster::brake(&state.meta.model()))
}

/// Sets who decides whether instances are moved off lost nodes: `auto`, `hold` or `release`.
#[utoipa::path(post, path = "/api/v1/cluster/brake", tag = "nodes", request_body = Brake,
    responses((status = 200), (status = 400, body = ErrorBody)))]
pub(super) async fn set_brake(State(state): State<AppState>, input: Input) -> Result<Changed, Problem> {
    let asked: Brake = input.json()?;
    Ok(Changed(StatusCode::OK, cluster::set_brake(&state, &asked.mode).await?))
}

/// What does not fit together in the metadata.
#[utoipa::path(get, path = "/api/v1/cluster/fsck", tag = "nodes", responses((status = 200, body = Fsck)))]
pub(super) async fn check(State(state): State<AppState>) -> Json<Fsck> {
    Json(fsck::check(&state.meta.model()))
}
