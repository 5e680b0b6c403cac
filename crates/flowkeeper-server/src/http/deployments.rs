//! `/streams/deployments`: starting, changing and stopping streams, and what ran.

use axum::extract::State;
use axum::http::StatusCode;
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::hal::SelfLink;
use flowkeeper_api::releases::{Release, UpdateStream};
use flowkeeper_api::streams::{Platform, StreamDeployment};

use super::base::Base;
use super::error::Problem;
use super::params::{Input, Params, Segments};
use super::respond::{Changed, Hal, Json, Text};
use crate::app::releases::Update;
use crate::app::{deploy, history, related, releases, streams};
use crate::state::AppState;

/// How a stream is deployed.
#[utoipa::path(get, path = "/streams/deployments/{name}", tag = "streams",
    params(("name" = String, Path), ("reuse-deployment-properties" = Option<bool>, Query)),
    responses((status = 200, body = StreamDeployment), (status = 404, body = ErrorBody)))]
pub(super) async fn info(
    State(state): State<AppState>,
    base: Base,
    Segments(name): Segments<String>,
    params: Params,
) -> Result<Hal<StreamDeployment>, Problem> {
    let reuse = params.flag("reuse-deployment-properties")?;
    let model = state.meta.model();
    let stream = streams::get(&model, &name)?;
    Ok(Hal(StreamDeployment {
        dsl_text: stream.shown.texts().dsl.clone(),
        description: stream.shown.record().desc.clone(),
        status: stream.phase.key().to_owned(),
        deployment_properties: related::deployment_properties(&model, &name, reuse)?,
        links: SelfLink::new(base.href_of(&["streams", "deployments", &name])),
        stream_name: name,
    }))
}

/// Deploys a stream.
#[utoipa::path(post, path = "/streams/deployments/{name}", tag = "streams", params(("name" = String, Path)),
    request_body = std::collections::BTreeMap<String, String>,
    responses((status = 201), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn deploy(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
    input: Input,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::CREATED, deploy::deploy(&state, &name, &input.properties()?).await?))
}

/// Stops a stream; its definition stays.
#[utoipa::path(delete, path = "/streams/deployments/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody)))]
pub(super) async fn undeploy(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, deploy::undeploy(&state, &name).await?))
}

/// Stops all streams.
#[utoipa::path(delete, path = "/streams/deployments", tag = "streams", responses((status = 200)))]
pub(super) async fn undeploy_all(State(state): State<AppState>) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, deploy::undeploy_all(&state).await?))
}

/// Changes properties or versions of a deployed stream's apps: a new release, which takes the place of the present one once all
/// its apps are healthy.
#[utoipa::path(post, path = "/streams/deployments/update/{name}", tag = "streams", params(("name" = String, Path)),
    request_body = UpdateStream,
    responses((status = 201), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn update(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
    input: Input,
) -> Result<Changed, Problem> {
    let body: UpdateStream = input.json()?;
    let request = Update {
        properties: body.update_properties.unwrap_or_default(),
        force: body.force.unwrap_or(false),
        apps: body.app_names.unwrap_or_default(),
        package: serde_json::to_value(body.package_identifier).unwrap_or_default(),
    };
    Ok(Changed(StatusCode::CREATED, releases::update(&state, &name, &request).await?))
}

/// Makes the apps of an earlier release run again; 0 means the one before the present one.
#[utoipa::path(post, path = "/streams/deployments/rollback/{name}/{version}", tag = "streams",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 201), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 500, body = ErrorBody)))]
pub(super) async fn rollback(
    State(state): State<AppState>,
    Segments((name, version)): Segments<(String, String)>,
) -> Result<Changed, Problem> {
    let number = number("version", &version)?;
    Ok(Changed(StatusCode::CREATED, releases::rollback(&state, &name, number).await?))
}

/// Runs so many copies of an app.
#[utoipa::path(post, path = "/streams/deployments/scale/{stream}/{app}/instances/{count}", tag = "streams",
    params(("stream" = String, Path), ("app" = String, Path), ("count" = u32, Path)),
    responses((status = 201), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn scale(
    State(state): State<AppState>,
    Segments((stream, app, count)): Segments<(String, String, String)>,
    input: Input,
) -> Result<Changed, Problem> {
    // Properties of a scale are for other platforms; what is no map is refused all the same.
    input.properties()?;
    let count = number("count", &count)?;
    Ok(Changed(StatusCode::CREATED, releases::scale(&state, &stream, &app, count).await?))
}

/// The manifest of a release as YAML; 0 means the present one.
#[utoipa::path(get, path = "/streams/deployments/manifest/{name}/{version}", tag = "streams",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = String), (status = 400, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn manifest(
    State(state): State<AppState>,
    Segments((name, version)): Segments<(String, String)>,
) -> Result<Text, Problem> {
    let number = number("version", &version)?;
    Ok(Text(history::manifest(&state.meta.model(), &name, number)?))
}

/// The releases of a stream, newest first.
#[utoipa::path(get, path = "/streams/deployments/history/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = Vec<Release>)))]
pub(super) async fn history(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Json<Vec<Release>> {
    Json(history::history(&state.meta.model(), &name, &state.settings.platform))
}

fn number(name: &str, text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::mismatch(name, text, "a whole number from 0 on"))
}

/// Where streams can be deployed to.
#[utoipa::path(get, path = "/streams/deployments/platform/list", tag = "streams",
    responses((status = 200, body = Vec<Platform>)))]
pub(super) async fn platforms(State(state): State<AppState>) -> Json<Vec<Platform>> {
    Json(vec![Platform {
        id: None,
        name: state.settings.platform.clone(),
        kind: "local".to_owned(),
        description: "Processes on the nodes of this cluster, each under an agent.".to_owned(),
        options: related::deployer_options(),
    }])
}
