//! The two generations of task tables, by name. Fixed: they are what Spring Boot 2 and 3 apps write.

use flowkeeper_api::hal::SelfLink;
use serde::Serialize;
use utoipa::ToSchema;

use super::base::Base;
use super::error::Problem;
use super::params::Segments;
use super::respond::{Hal, Json};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Versions {
    default_schema_version: &'static str,
    versions: [&'static str; 2],
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Targets {
    default_schema_target: &'static str,
    schemas: Vec<Target>,
    #[serde(rename = "_links")]
    links: SelfLink,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    name: &'static str,
    schema_version: &'static str,
    task_prefix: &'static str,
    batch_prefix: &'static str,
    datasource: Option<String>,
    #[serde(rename = "_links")]
    links: SelfLink,
}

/// Known generations of Spring Boot.
#[utoipa::path(get, path = "/schema/versions", tag = "server", responses((status = 200, body = Versions)))]
pub(super) async fn versions() -> Json<Versions> {
    Json(Versions { default_schema_version: "2", versions: ["2", "3"] })
}

/// The sets of task tables.
#[utoipa::path(get, path = "/schema/targets", tag = "server", responses((status = 200, body = Targets)))]
pub(super) async fn targets(base: Base) -> Hal<Targets> {
    Hal(Targets {
        default_schema_target: "boot2",
        schemas: all(&base),
        links: SelfLink::new(base.href("/schema/targets")),
    })
}

/// One set of task tables.
#[utoipa::path(get, path = "/schema/targets/{target}", tag = "server", params(("target" = String, Path)),
    responses((status = 200, body = Target), (status = 404, body = flowkeeper_api::error::ErrorBody)))]
pub(super) async fn target(base: Base, Segments(name): Segments<String>) -> Result<Hal<Target>, Problem> {
    let found = all(&base).into_iter().find(|target| target.name == name);
    found.map(Hal).ok_or_else(|| Problem::no_schema_target(&name))
}

fn all(base: &Base) -> Vec<Target> {
    let target = |name, schema_version, task_prefix, batch_prefix| Target {
        name,
        schema_version,
        task_prefix,
        batch_prefix,
        datasource: None,
        links: SelfLink::new(base.href_of(&["schema", "targets", name])),
    };
    vec![target("boot3", "3", "BOOT3_TASK_", "BOOT3_BATCH_"), target("boot2", "2", "TASK_", "BATCH_")]
}
