//! `/streams/logs`: what apps print.

use axum::extract::State;
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::streams::Logs;

use super::error::Problem;
use super::params::Segments;
use super::respond::Json;
use crate::app::logs;
use crate::state::AppState;

/// The output of all apps of a stream.
#[utoipa::path(get, path = "/streams/logs/{stream}", tag = "streams", params(("stream" = String, Path)),
    responses((status = 200, body = Logs), (status = 500, body = ErrorBody)))]
pub(super) async fn of_stream(
    State(state): State<AppState>,
    Segments(stream): Segments<String>,
) -> Result<Json<Logs>, Problem> {
    Ok(Json(Logs { logs: logs::read(&state, &stream, None).await? }))
}

/// The output of one app, named by its deployment id or its label.
#[utoipa::path(get, path = "/streams/logs/{stream}/{app}", tag = "streams",
    params(("stream" = String, Path), ("app" = String, Path)),
    responses((status = 200, body = Logs), (status = 500, body = ErrorBody)))]
pub(super) async fn of_app(
    State(state): State<AppState>,
    Segments((stream, app)): Segments<(String, String)>,
) -> Result<Json<Logs>, Problem> {
    Ok(Json(Logs { logs: logs::read(&state, &stream, Some(&app)).await? }))
}
