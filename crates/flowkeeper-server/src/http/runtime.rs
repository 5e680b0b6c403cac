//! `/runtime`: what runs, and a way to talk to it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::hal::{Collection, Link, Paged, SelfLink};
use flowkeeper_api::runtime::{ActuatorRequest, AppInstanceStatus, AppStatus, InstanceLinks, StreamStatus};

use super::base::Base;
use super::error::Problem;
use super::paging::Paging;
use super::params::{Input, Params, Segments};
use super::respond::{Hal, Text};
use crate::app::runtime::{self, Deployment, Instance, Running};
use crate::state::AppState;

/// The apps of all streams that are deployed.
#[utoipa::path(get, path = "/runtime/apps", tag = "runtime",
    params(("page" = Option<usize>, Query), ("size" = Option<usize>, Query)),
    responses((status = 200, body = Paged<AppStatus>)))]
pub(super) async fn apps(State(state): State<AppState>, base: Base, paging: Paging) -> Hal<Paged<AppStatus>> {
    let running = runtime::running(&state.meta.model());
    let apps: Vec<Deployment> = running.into_iter().flat_map(|running| running.apps).collect();
    let total = apps.len();
    let items = paging.cut(apps).into_iter().map(|app| app_status(&base, app)).collect();
    Hal(paging.page(&base, "/runtime/apps", items, total))
}

/// One app that is deployed.
#[utoipa::path(get, path = "/runtime/apps/{app}", tag = "runtime", params(("app" = String, Path)),
    responses((status = 200, body = AppStatus), (status = 404, body = ErrorBody)))]
pub(super) async fn app(
    State(state): State<AppState>,
    base: Base,
    Segments(id): Segments<String>,
) -> Result<Hal<AppStatus>, Problem> {
    Ok(Hal(app_status(&base, runtime::app(&state.meta.model(), &id)?)))
}

/// The instances of an app.
#[utoipa::path(get, path = "/runtime/apps/{app}/instances", tag = "runtime", params(("app" = String, Path)),
    responses((status = 200, body = Paged<AppInstanceStatus>), (status = 404, body = ErrorBody)))]
pub(super) async fn instances(
    State(state): State<AppState>,
    base: Base,
    Segments(id): Segments<String>,
    paging: Paging,
) -> Result<Hal<Paged<AppInstanceStatus>>, Problem> {
    let app = runtime::app(&state.meta.model(), &id)?;
    let path = format!("/runtime/apps/{id}/instances");
    let items: Vec<_> =
        app.instances.into_iter().map(|instance| instance_status(&base, &id, instance)).collect();
    let total = items.len();
    // All of them are shown whatever the page, as in SCDF.
    Ok(Hal(paging.page(&base, &path, items, total)))
}

/// One instance of an app.
#[utoipa::path(get, path = "/runtime/apps/{app}/instances/{instance}", tag = "runtime",
    params(("app" = String, Path), ("instance" = String, Path)),
    responses((status = 200, body = AppInstanceStatus), (status = 404, body = ErrorBody)))]
pub(super) async fn instance(
    State(state): State<AppState>,
    base: Base,
    Segments((app, id)): Segments<(String, String)>,
) -> Result<Hal<AppInstanceStatus>, Problem> {
    let found = runtime::instance(&state.meta.model(), &app, &id)?;
    Ok(Hal(instance_status(&base, &app, found)))
}

/// Asks an actuator endpoint of an instance.
#[utoipa::path(get, path = "/runtime/apps/{app}/instances/{instance}/actuator", tag = "runtime",
    params(("app" = String, Path), ("instance" = String, Path), ("endpoint" = String, Query)),
    responses((status = 200, body = String), (status = 404, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn actuator_get(
    State(state): State<AppState>,
    Segments((app, id)): Segments<(String, String)>,
    params: Params,
) -> Result<Text, Problem> {
    let endpoint = params.require("endpoint")?;
    let instance = runtime::instance(&state.meta.model(), &app, &id)?;
    let (status, text) = runtime::ask(&state.client, &instance, &actuator(&endpoint), None).await?;
    if (200..300).contains(&status) { Ok(Text(text)) } else { Err(Problem::refused_by_app(status, &text)) }
}

/// Posts to an actuator endpoint of an instance.
#[utoipa::path(post, path = "/runtime/apps/{app}/instances/{instance}/actuator", tag = "runtime",
    params(("app" = String, Path), ("instance" = String, Path)), request_body = ActuatorRequest,
    responses((status = 201), (status = 404, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn actuator_post(
    State(state): State<AppState>,
    Segments((app, id)): Segments<(String, String)>,
    input: Input,
) -> Result<StatusCode, Problem> {
    let request: ActuatorRequest = input.json()?;
    let instance = runtime::instance(&state.meta.model(), &app, &id)?;
    let body = serde_json::to_vec(&request.body).unwrap_or_default();
    let (status, text) = runtime::ask(
        &state.client,
        &instance,
        &actuator(&request.endpoint),
        Some(("application/json", body)),
    )
    .await?;
    if (200..300).contains(&status) {
        Ok(StatusCode::CREATED)
    } else {
        Err(Problem::refused_by_app(status, &text))
    }
}

/// Posts a message to an instance, and gives back what it answers.
#[utoipa::path(post, path = "/runtime/apps/{app}/instances/{instance}/post", tag = "runtime",
    params(("app" = String, Path), ("instance" = String, Path)), request_body = String,
    responses((status = 200, body = String), (status = 404, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn post_message(
    State(state): State<AppState>,
    Segments((app, id)): Segments<(String, String)>,
    input: Input,
) -> Result<Response, Problem> {
    let instance = runtime::instance(&state.meta.model(), &app, &id)?;
    let content_type = input.content_type.as_deref().unwrap_or("text/plain");
    let body = Some((content_type, input.body.to_vec()));
    let (status, text) = runtime::ask(&state.client, &instance, "", body).await?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok((status, [(CONTENT_TYPE, "text/plain;charset=UTF-8")], text).into_response())
}

/// The streams that are deployed; of those named in `names` if it is given.
#[utoipa::path(get, path = "/runtime/streams", tag = "runtime",
    params(("names" = Option<String>, Query), ("page" = Option<usize>, Query), ("size" = Option<usize>, Query)),
    responses((status = 200, body = Paged<StreamStatus>)))]
pub(super) async fn streams(
    State(state): State<AppState>,
    base: Base,
    params: Params,
    paging: Paging,
) -> Hal<Paged<StreamStatus>> {
    match params.get("names").filter(|names| !names.is_empty()) {
        Some(names) => named(&state, &base, &names, &paging, "/runtime/streams"),
        None => {
            let running = runtime::running(&state.meta.model());
            let total = running.len();
            let items =
                paging.cut(running).into_iter().map(|running| stream_status(&base, running)).collect();
            Hal(paging.page(&base, "/runtime/streams", items, total))
        }
    }
}

/// Those of some streams, separated by commas, that are deployed.
#[utoipa::path(get, path = "/runtime/streams/{names}", tag = "runtime", params(("names" = String, Path)),
    responses((status = 200, body = Paged<StreamStatus>)))]
pub(super) async fn streams_named(
    State(state): State<AppState>,
    base: Base,
    Segments(names): Segments<String>,
    paging: Paging,
) -> Hal<Paged<StreamStatus>> {
    named(&state, &base, &names, &paging, &format!("/runtime/streams/{names}"))
}

/// The count is that of the names, whether they run or not, as in SCDF.
fn named(
    state: &AppState,
    base: &Base,
    names: &str,
    paging: &Paging,
    path: &str,
) -> Hal<Paged<StreamStatus>> {
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let total = names.len();
    let model = state.meta.model();
    let running = paging.cut(names).into_iter().filter_map(|name| runtime::running_stream(&model, name));
    let items = running.map(|running| stream_status(base, running)).collect();
    Hal(paging.page(base, path, items, total))
}

fn stream_status(base: &Base, running: Running) -> StreamStatus {
    let has_instances = running.apps.iter().any(|app| !app.instances.is_empty());
    StreamStatus {
        version: if has_instances { running.release.to_string() } else { "no apps".to_owned() },
        links: SelfLink::new(base.href_of(&["runtime", "streams", &running.stream])),
        applications: running.apps.into_iter().map(|app| app_status(base, app)).collect::<Vec<_>>().into(),
        name: running.stream,
    }
}

fn app_status(base: &Base, app: Deployment) -> AppStatus {
    let instances = app.instances.into_iter().map(|instance| instance_status(base, &app.id, instance));
    let instances: Collection<AppInstanceStatus> = instances.collect::<Vec<_>>().into();
    AppStatus {
        name: if instances.embedded.is_empty() { "no-instances".to_owned() } else { app.app },
        instances,
        state: app.phase.key().to_owned(),
        links: SelfLink::new(base.href_of(&["runtime", "apps", &app.id])),
        deployment_id: app.id,
    }
}

fn instance_status(base: &Base, app: &str, instance: Instance) -> AppInstanceStatus {
    let href = base.href_of(&["runtime", "apps", app, "instances", &instance.id]);
    let post = instance.attributes.contains_key("url").then(|| Link::new(format!("{href}/post")));
    AppInstanceStatus {
        state: instance.phase.key().to_owned(),
        guid: instance.attributes.get("guid").unwrap_or(&instance.id).clone(),
        attributes: instance.attributes,
        links: InstanceLinks { self_link: Link::new(href), post },
        instance_id: instance.id,
    }
}

fn actuator(endpoint: &str) -> String {
    format!("/actuator/{}", endpoint.trim_start_matches('/'))
}
