//! `/apps`: the registry.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use flowkeeper_api::apps::{AppRegistration, DetailedApp};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_api::hal::{Paged, SelfLink};

use super::base::Base;
use super::error::Problem;
use super::paging::{Order, Paging};
use super::params::{Input, Params, Segments, app_kind};
use super::respond::{Changed, Hal, Produces, json, with_zxid};
use crate::app::apps::{self, Filter, Listed, Registration};
use crate::app::uri;
use crate::meta::AppKey;
use crate::state::AppState;

/// What lists of apps can be sorted by.
const SORTED_BY: [&str; 6] = ["name", "type", "uri", "version", "defaultVersion", "bootVersion"];

/// Lists registered apps.
#[utoipa::path(get, path = "/apps", tag = "apps",
    params(("type" = Option<String>, Query), ("search" = Option<String>, Query), ("version" = Option<String>, Query),
        ("defaultVersion" = Option<bool>, Query), ("page" = Option<usize>, Query), ("size" = Option<usize>, Query),
        ("sort" = Option<String>, Query)),
    responses((status = 200, body = Paged<AppRegistration>), (status = 400, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AppState>,
    base: Base,
    params: Params,
    paging: Paging,
) -> Result<Hal<Paged<AppRegistration>>, Problem> {
    let kind =
        params.get("type").filter(|kind| !kind.is_empty()).map(|kind| app_kind("type", &kind)).transpose()?;
    let filter = Filter {
        kind,
        search: params.get("search"),
        version: params.get("version").filter(|version| !version.is_empty()),
        default_only: params.flag("defaultVersion")?,
    };
    let model = state.meta.model();
    let mut listed = apps::list(&model, &filter);
    paging.sort("AppRegistration", &SORTED_BY, &mut listed, compare)?;
    let total = listed.len();
    let items = paging.cut(listed).into_iter().map(|app| {
        let versions = || model.apps.get(&app.key).map(|entry| entry.versions.keys().cloned().collect());
        let versions = if filter.default_only { versions() } else { None };
        AppRegistration { versions, ..registration(&base, app) }
    });
    Ok(Hal(paging.page(&base, "/apps", items.collect(), total)))
}

/// Registers many apps at once, from lines of `<type>.<name>=<uri>`.
#[utoipa::path(post, path = "/apps", tag = "apps",
    params(("uri" = Option<String>, Query), ("apps" = Option<String>, Query), ("force" = Option<bool>, Query)),
    responses((status = 201, body = Paged<AppRegistration>), (status = 500, body = ErrorBody)))]
pub(super) async fn import(
    State(state): State<AppState>,
    base: Base,
    paging: Paging,
    input: Input,
) -> Result<Response, Problem> {
    let force = input.params.flag("force")?;
    let given = |name: &str| input.params.get(name).filter(|text| !text.trim().is_empty());
    let text = match (given("uri"), given("apps")) {
        (Some(uri), _) => apps::read_list(&state.client, &uri).await?,
        (None, text) => text.unwrap_or_default(),
    };
    let import = apps::import(&state.meta, &state.catalog, &text, force).await?;
    let items: Vec<_> = import.registered.into_iter().map(|app| registration(&base, app)).collect();
    let total = items.len();
    let page = paging.page(&base, "/apps", items, total);
    Ok(with_zxid(json(StatusCode::CREATED, Produces::Hal, &page), import.written))
}

/// Unregisters all apps that no deployed stream uses.
#[utoipa::path(delete, path = "/apps", tag = "apps", responses((status = 200)))]
pub(super) async fn unregister_all(State(state): State<AppState>) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, apps::unregister_all(&state.meta).await?))
}

/// The default version of an app with its options.
#[utoipa::path(get, path = "/apps/{type}/{name}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path), ("exhaustive" = Option<bool>, Query)),
    responses((status = 200, body = DetailedApp), (status = 404, body = ErrorBody)))]
pub(super) async fn default_info(
    State(state): State<AppState>,
    Segments((kind, name)): Segments<(String, String)>,
    params: Params,
) -> Result<Hal<DetailedApp>, Problem> {
    detailed(&state, &key(&kind, name)?, None, &params).await
}

/// One version of an app with its options.
#[utoipa::path(get, path = "/apps/{type}/{name}/{version}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path), ("version" = String, Path), ("exhaustive" = Option<bool>, Query)),
    responses((status = 200, body = DetailedApp), (status = 404, body = ErrorBody)))]
pub(super) async fn info(
    State(state): State<AppState>,
    Segments((kind, name, version)): Segments<(String, String, String)>,
    params: Params,
) -> Result<Hal<DetailedApp>, Problem> {
    detailed(&state, &key(&kind, name)?, Some(&version), &params).await
}

/// Registers an app; its version is taken from the URI.
#[utoipa::path(post, path = "/apps/{type}/{name}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path), ("uri" = String, Query), ("metadata-uri" = Option<String>, Query),
        ("bootVersion" = Option<String>, Query), ("force" = Option<bool>, Query)),
    responses((status = 201), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn register(
    State(state): State<AppState>,
    Segments((kind, name)): Segments<(String, String)>,
    input: Input,
) -> Result<Changed, Problem> {
    register_as(&state, key(&kind, name)?, None, &input.params).await
}

/// Registers a version of an app.
#[utoipa::path(post, path = "/apps/{type}/{name}/{version}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path), ("version" = String, Path), ("uri" = String, Query),
        ("metadata-uri" = Option<String>, Query), ("bootVersion" = Option<String>, Query), ("force" = Option<bool>, Query)),
    responses((status = 201), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub(super) async fn register_version(
    State(state): State<AppState>,
    Segments((kind, name, version)): Segments<(String, String, String)>,
    input: Input,
) -> Result<Changed, Problem> {
    register_as(&state, key(&kind, name)?, Some(version), &input.params).await
}

/// Makes a version the default.
#[utoipa::path(put, path = "/apps/{type}/{name}/{version}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path), ("version" = String, Path)),
    responses((status = 202), (status = 404, body = ErrorBody)))]
pub(super) async fn set_default(
    State(state): State<AppState>,
    Segments((kind, name, version)): Segments<(String, String, String)>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::ACCEPTED, apps::set_default(&state.meta, &key(&kind, name)?, &version).await?))
}

/// Unregisters the default version of an app.
#[utoipa::path(delete, path = "/apps/{type}/{name}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn unregister_default(
    State(state): State<AppState>,
    Segments((kind, name)): Segments<(String, String)>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, apps::unregister(&state.meta, &key(&kind, name)?, None).await?))
}

/// Unregisters a version of an app.
#[utoipa::path(delete, path = "/apps/{type}/{name}/{version}", tag = "apps",
    params(("type" = String, Path), ("name" = String, Path), ("version" = String, Path)),
    responses((status = 200), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn unregister(
    State(state): State<AppState>,
    Segments((kind, name, version)): Segments<(String, String, String)>,
) -> Result<Changed, Problem> {
    Ok(Changed(StatusCode::OK, apps::unregister(&state.meta, &key(&kind, name)?, Some(&version)).await?))
}

async fn register_as(
    state: &AppState,
    key: AppKey,
    version: Option<String>,
    params: &Params,
) -> Result<Changed, Problem> {
    let filled = |name: &str| params.get(name).filter(|text| !text.is_empty());
    let request = Registration {
        key,
        version,
        uri: params.require("uri")?,
        metadata_uri: filled("metadata-uri"),
        boot: filled("bootVersion").map(|text| apps::parse_boot(&text)).transpose()?,
        force: params.flag("force")?,
    };
    Ok(Changed(StatusCode::CREATED, apps::register(&state.meta, &state.catalog, &request).await?))
}

async fn detailed(
    state: &AppState,
    key: &AppKey,
    version: Option<&str>,
    params: &Params,
) -> Result<Hal<DetailedApp>, Problem> {
    let is_exhaustive = params.flag("exhaustive")?;
    let app = apps::get(&state.meta.model(), key, version)?;
    let options = state.options.of(&app).await;
    let shown = options.all.iter().filter(|described| described.is_visible || is_exhaustive);
    Ok(Hal(DetailedApp {
        name: app.key.name,
        kind: app.key.kind.name().to_owned(),
        uri: uri::shown(&app.uri),
        version: app.version,
        default_version: app.is_default,
        boot_version: app.boot,
        versions: None,
        label: None,
        options: shown.map(|described| described.option.clone()).collect(),
        short_description: None,
        inbound_port_names: options.inbound_ports.clone(),
        outbound_port_names: options.outbound_ports.clone(),
        option_groups: BTreeMap::clone(&options.groups),
    }))
}

/// A registered version as a resource.
pub(super) fn registration(base: &Base, app: Listed) -> AppRegistration {
    let kind = app.key.kind.name();
    AppRegistration {
        links: SelfLink::new(base.href_of(&["apps", kind, &app.key.name, &app.version])),
        name: app.key.name,
        kind: kind.to_owned(),
        uri: uri::shown(&app.uri),
        version: app.version,
        default_version: app.is_default,
        boot_version: app.boot,
        versions: None,
        label: None,
    }
}

fn key(kind: &str, name: String) -> Result<AppKey, Problem> {
    Ok(AppKey::new(app_kind("type", kind)?, name))
}

fn compare(order: &Order, a: &Listed, b: &Listed) -> Ordering {
    match order.property.as_str() {
        "name" => order.texts(&a.key.name, &b.key.name),
        "type" => a.key.kind.cmp(&b.key.kind),
        "uri" => order.texts(&a.uri, &b.uri),
        "version" => order.texts(&a.version, &b.version),
        "defaultVersion" => a.is_default.cmp(&b.is_default),
        "bootVersion" => a.boot.cmp(&b.boot),
        _ => Ordering::Equal,
    }
}
