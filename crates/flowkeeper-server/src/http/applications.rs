//! `/api/v1/applications` and `/api/v1/export`: sets of streams that are changed as one, and everything as documents.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use flowkeeper_api::applications::{
    Application, ApplicationChanges, ApplicationRelease, ApplicationSummary, Document,
};
use flowkeeper_api::error::ErrorBody;

use super::error::Problem;
use super::params::{Input, Params, Segments};
use super::respond::{Changed, Json, Produces, json, with_zxid};
use crate::app::applications::{self, Applied, Apply};
use crate::state::AppState;

/// All stream applications, by name.
#[utoipa::path(get, path = "/api/v1/applications", tag = "applications",
    responses((status = 200, body = Vec<ApplicationSummary>)))]
pub(super) async fn list(State(state): State<AppState>) -> Json<Vec<ApplicationSummary>> {
    Json(applications::list(&state.meta.model()))
}

/// A stream application with what its streams are.
#[utoipa::path(get, path = "/api/v1/applications/{name}", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = Application), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Json<Application>, Problem> {
    Ok(Json(applications::get(&state.meta.model(), &name)?))
}

/// Makes a stream application what the document says: all of it or nothing. `dry-run` only tells what would be changed,
/// `deploy` starts streams that do not run, `adopt` takes in streams that exist and belong to no application.
#[utoipa::path(put, path = "/api/v1/applications/{name}", tag = "applications",
    params(("name" = String, Path), ("dry-run" = Option<bool>, Query), ("deploy" = Option<bool>, Query),
        ("adopt" = Option<bool>, Query)),
    request_body = Document,
    responses((status = 200, body = ApplicationChanges), (status = 201, body = ApplicationChanges),
        (status = 400, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(super) async fn apply(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
    input: Input,
) -> Result<Response, Problem> {
    // A form is what curl sends when it is not told otherwise; its body was read as parameters.
    if input.content_type.is_some() && input.is_form() {
        return Err(Problem::unsupported_type(&input.sent_type));
    }
    let request = Apply {
        name,
        document: input.json()?,
        deploy: input.params.flag("deploy")?,
        adopt: input.params.flag("adopt")?,
        dry_run: input.params.flag("dry-run")?,
    };
    Ok(answer(&applications::apply(&state, &request).await?))
}

/// Starts the streams of an application that do not run, or do not run well.
#[utoipa::path(post, path = "/api/v1/applications/{name}/deploy", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = ApplicationChanges), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(super) async fn deploy(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Response, Problem> {
    Ok(answer(&applications::deploy(&state, &name).await?))
}

/// Stops all streams of an application.
#[utoipa::path(post, path = "/api/v1/applications/{name}/undeploy", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = ApplicationChanges), (status = 404, body = ErrorBody)))]
pub(super) async fn undeploy(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Response, Problem> {
    Ok(answer(&applications::undeploy(&state, &name).await?))
}

/// Makes an application what it was in an earlier release; 0 means the one before the present one that differs from it.
#[utoipa::path(post, path = "/api/v1/applications/{name}/rollback/{release}", tag = "applications",
    params(("name" = String, Path), ("release" = u32, Path)),
    responses((status = 200, body = ApplicationChanges), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(super) async fn rollback(
    State(state): State<AppState>,
    Segments((name, release)): Segments<(String, String)>,
) -> Result<Response, Problem> {
    let number =
        release.parse().map_err(|_| Problem::mismatch("release", &release, "a whole number from 0 on"))?;
    Ok(answer(&applications::rollback(&state, &name, number).await?))
}

/// Stops and removes an application with its streams.
#[utoipa::path(delete, path = "/api/v1/applications/{name}", tag = "applications", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody)))]
pub(super) async fn destroy(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, applications::destroy(&state, &name).await?))
}

/// The releases of an application, newest first.
#[utoipa::path(get, path = "/api/v1/applications/{name}/history", tag = "applications", params(("name" = String, Path)),
    responses((status = 200, body = Vec<ApplicationRelease>), (status = 404, body = ErrorBody)))]
pub(super) async fn history(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Json<Vec<ApplicationRelease>>, Problem> {
    Ok(Json(applications::history(&state.meta.model(), &name)?))
}

/// Registrations, applications and other streams as documents that can be applied again. Secrets are masked unless `secrets`;
/// what is masked cannot be applied.
#[utoipa::path(get, path = "/api/v1/export", tag = "applications",
    params(("application" = Option<String>, Query), ("secrets" = Option<bool>, Query)),
    responses((status = 200, body = Vec<Document>), (status = 404, body = ErrorBody)))]
pub(super) async fn export(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Vec<Document>>, Problem> {
    let application = params.get("application");
    let secrets = params.flag("secrets")?;
    Ok(Json(applications::export(&state.meta.model(), application.as_deref(), secrets)?))
}

fn answer(applied: &Applied) -> Response {
    let status = if applied.is_new { StatusCode::CREATED } else { StatusCode::OK };
    with_zxid(json(status, Produces::Json, &applied.changes), applied.written)
}
