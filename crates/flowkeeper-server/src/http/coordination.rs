//! Routes of the lock board and of the leadership.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use flowkeeper_api::cluster::{Leader, Resealed};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::locks::LockInfo;

use super::error::Problem;
use super::params::Segments;
use super::respond::{Json, Produces, json};
use crate::app::coordination;
use crate::state::AppState;

/// Who is doing what: all locks, holders before those who wait.
#[utoipa::path(get, path = "/api/v1/locks", tag = "flowkeeper", responses((status = 200, body = Vec<LockInfo>)))]
pub(super) async fn locks(State(state): State<AppState>) -> Json<Vec<LockInfo>> {
    Json(coordination::locks(&state.meta))
}

/// Releases a lock by force. Safe: what it was taken for is protected by versions.
#[utoipa::path(delete, path = "/api/v1/locks/{id}", tag = "flowkeeper", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody)))]
pub(super) async fn release(
    State(state): State<AppState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    coordination::release(&state.meta, &id).await?;
    Ok(StatusCode::OK)
}

/// Has another server lead.
#[utoipa::path(post, path = "/api/v1/cluster/transfer-leadership", tag = "flowkeeper",
    responses((status = 202, body = Leader), (status = 409, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn transfer(State(state): State<AppState>) -> Result<Response, Problem> {
    let leader = coordination::transfer(&state).await?;
    Ok(json(StatusCode::ACCEPTED, Produces::Json, &leader))
}

/// Rewrites every document that is in clear or sealed by another key than the one in use. May be repeated.
#[utoipa::path(post, path = "/api/v1/cluster/reseal", tag = "flowkeeper",
    responses((status = 200, body = Resealed), (status = 409, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn reseal(State(state): State<AppState>) -> Result<Json<Resealed>, Problem> {
    Ok(Json(coordination::reseal(&state.meta).await?))
}
