//! `/streams/definitions`: what streams there are, and what they mean.

use std::cmp::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use flowkeeper_api::apps::AppRegistration;
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::hal::{Paged, SelfLink};
use flowkeeper_api::streams::{StreamDefinition, Validation};
use flowkeeper_engine::phase::Phase;

use super::apps::registration;
use super::base::Base;
use super::error::Problem;
use super::paging::{Order, Paging};
use super::params::{Input, Params, Segments};
use super::respond::{Changed, Hal, Json, Produces, json, with_zxid};
use crate::app::related;
use crate::app::streams::{self, Create, Stream};
use crate::meta::{Model, redact};
use crate::state::AppState;

/// What lists of streams can be sorted by.
const SORTED_BY: [&str; 4] = ["name", "dslText", "originalDslText", "description"];
const PATH: &str = "/streams/definitions";

/// Lists stream definitions.
#[utoipa::path(get, path = "/streams/definitions", tag = "streams",
    params(("search" = Option<String>, Query), ("page" = Option<usize>, Query), ("size" = Option<usize>, Query),
        ("sort" = Option<String>, Query)),
    responses((status = 200, body = Paged<StreamDefinition>), (status = 500, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AppState>,
    base: Base,
    params: Params,
    paging: Paging,
) -> Result<Hal<Paged<StreamDefinition>>, Problem> {
    let search = params.get("search").filter(|search| !search.is_empty());
    let model = state.meta.model();
    let shown = |name: &str| Some(definition(&base, &streams::get(&model, name).ok()?));
    if paging.is_unsorted() && search.is_none() {
        // The common case looks at the streams of the page only.
        let page = model.streams_by_age().skip(paging.offset()).take(paging.size());
        let items = page.filter_map(|(name, _)| shown(name)).collect();
        return Ok(Hal(paging.page(&base, PATH, items, model.visible_streams())));
    }
    let found = model.streams_by_age().map(|(name, _)| name);
    let mut found: Vec<&str> =
        found.filter(|name| search.as_ref().is_none_or(|search| name.contains(search))).collect();
    paging.sort("StreamDefinition", &SORTED_BY, &mut found, |order, a, b| compare(&model, order, a, b))?;
    let total = found.len();
    let items = paging.cut(found).into_iter().filter_map(shown).collect();
    Ok(Hal(paging.page(&base, PATH, items, total)))
}

/// Creates a stream definition, and deploys it if asked.
#[utoipa::path(post, path = "/streams/definitions", tag = "streams",
    params(("name" = String, Query), ("definition" = String, Query), ("description" = Option<String>, Query),
        ("deploy" = Option<bool>, Query)),
    request_body = std::collections::BTreeMap<String, String>,
    responses((status = 201, body = StreamDefinition), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 500, body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AppState>,
    base: Base,
    input: Input,
) -> Result<Response, Problem> {
    let is_json = input.content_type.as_deref() == Some("application/json");
    if !is_json && !input.is_form() {
        return Err(Problem::unsupported_type(&input.sent_type));
    }
    let params = &input.params;
    let request = Create {
        name: params.require("name")?,
        definition: params.require("definition")?,
        description: params.get("description").unwrap_or_default(),
        deploy: if params.flag("deploy")? {
            Some(if is_json { input.properties()? } else { Default::default() })
        } else {
            None
        },
    };
    let written = streams::create(&state, &request).await?;
    // The answer repeats what was asked for; what a deployment made of it is seen from the next request on.
    let shown = redact(&request.name, &request.definition);
    let phase = if request.deploy.is_some() { Phase::Deploying } else { Phase::Undeployed };
    let created = resource(&base, &request.name, &shown, &shown, &request.description, phase);
    Ok(with_zxid(json(StatusCode::CREATED, Produces::Hal, &created), written))
}

/// Stops and removes all streams.
#[utoipa::path(delete, path = "/streams/definitions", tag = "streams", responses((status = 200)))]
pub(super) async fn destroy_all(State(state): State<AppState>) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, streams::destroy_all(&state).await?))
}

/// One stream definition.
#[utoipa::path(get, path = "/streams/definitions/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = StreamDefinition), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AppState>,
    base: Base,
    Segments(name): Segments<String>,
) -> Result<Hal<StreamDefinition>, Problem> {
    let stream = streams::get(&state.meta.model(), &name)?;
    Ok(Hal(definition(&base, &stream)))
}

/// Stops and removes a stream.
#[utoipa::path(delete, path = "/streams/definitions/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody)))]
pub(super) async fn destroy(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, streams::destroy(&state, &name).await?))
}

/// A stream and those that read from it.
#[utoipa::path(get, path = "/streams/definitions/{name}/related", tag = "streams",
    params(("name" = String, Path), ("nested" = Option<bool>, Query)),
    responses((status = 200, body = Paged<StreamDefinition>), (status = 404, body = ErrorBody)))]
pub(super) async fn related(
    State(state): State<AppState>,
    base: Base,
    Segments(name): Segments<String>,
    params: Params,
    paging: Paging,
) -> Result<Hal<Paged<StreamDefinition>>, Problem> {
    let found = related::related(&state.meta.model(), &name, params.flag("nested")?)?;
    let items: Vec<_> = found.iter().map(|stream| definition(&base, stream)).collect();
    let total = items.len();
    // All of them are shown whatever the page, as in SCDF.
    Ok(Hal(paging.page(&base, &format!("{PATH}/{name}/related"), items, total)))
}

/// The registrations of a stream's apps.
#[utoipa::path(get, path = "/streams/definitions/{name}/applications", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = Vec<AppRegistration>), (status = 404, body = ErrorBody)))]
pub(super) async fn applications(
    State(state): State<AppState>,
    base: Base,
    Segments(name): Segments<String>,
) -> Result<Json<Vec<AppRegistration>>, Problem> {
    let used = related::applications(&state.meta.model(), &name)?;
    let resource =
        |used: related::UsedApp| AppRegistration { label: Some(used.label), ..registration(&base, used.app) };
    Ok(Json(used.into_iter().map(resource).collect()))
}

/// Whether the programs of a stream's apps can be had.
#[utoipa::path(get, path = "/streams/validation/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = Validation), (status = 404, body = ErrorBody)))]
pub(super) async fn validate(
    State(state): State<AppState>,
    Segments(name): Segments<String>,
) -> Result<Hal<Validation>, Problem> {
    let statuses = related::validate(&state, &name).await?;
    let stream = streams::get(&state.meta.model(), &name)?;
    let word = |can_be_had: bool| if can_be_had { "valid" } else { "invalid" };
    Ok(Hal(Validation {
        dsl: stream.shown.texts().dsl.clone(),
        description: stream.shown.record().desc.clone(),
        app_name: name,
        app_statuses: statuses
            .into_iter()
            .map(|(key, can_be_had)| (key, word(can_be_had).to_owned()))
            .collect(),
    }))
}

/// A stream as a resource.
fn definition(base: &Base, stream: &Stream) -> StreamDefinition {
    let (record, texts) = (stream.shown.record(), stream.shown.texts());
    resource(base, &record.name, &texts.dsl, &texts.original, &record.desc, stream.phase)
}

fn resource(
    base: &Base,
    name: &str,
    dsl: &str,
    original: &str,
    description: &str,
    phase: Phase,
) -> StreamDefinition {
    StreamDefinition {
        name: name.to_owned(),
        dsl_text: dsl.to_owned(),
        original_dsl_text: original.to_owned(),
        status: phase.key().to_owned(),
        description: description.to_owned(),
        status_description: phase.description().to_owned(),
        links: SelfLink::new(base.href_of(&["streams", "definitions", name])),
    }
}

fn compare(model: &Model, order: &Order, a: &str, b: &str) -> Ordering {
    let record = |name: &str| model.stream(name).map(|stream| stream.record.clone());
    let (Some(left), Some(right)) = (record(a), record(b)) else { return Ordering::Equal };
    match order.property.as_str() {
        "name" => order.texts(a, b),
        "dslText" => {
            let dsl = |name: &str| model.shown(name).map(|shown| shown.dsl().to_owned()).unwrap_or_default();
            order.texts(&dsl(a), &dsl(b))
        }
        "originalDslText" => {
            let typed =
                |name: &str| model.shown(name).map(|shown| shown.original().to_owned()).unwrap_or_default();
            order.texts(&typed(a), &typed(b))
        }
        "description" => order.texts(&left.desc, &right.desc),
        _ => Ordering::Equal,
    }
}
