//! `/streams/deployments`: starting and stopping streams.

use axum::extract::State;
use axum::http::StatusCode;
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::hal::SelfLink;
use flowkeeper_api::streams::{Platform, StreamDeployment};

use super::base::Base;
use super::error::Problem;
use super::params::{Input, Params, Segments};
use super::respond::{Changed, Hal, Json};
use crate::app::{deploy, related, streams};
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
