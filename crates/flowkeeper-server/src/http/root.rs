//! The root document: where everything is. Clients read names, order and templates of these links literally.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flowkeeper_api::hal::Link;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::base::Base;
use super::respond::Hal;

/// Revision of the API; SCDF's clients refuse any other.
const REVISION: u32 = 14;

/// Names and paths of the links, in order. Equal neighbours make one link with several targets.
const LINKS: [(&str, &str); 61] = [
    ("dashboard", "/dashboard"),
    ("audit-records", "/audit-records"),
    ("schema/versions", "/schema/versions"),
    ("schema/targets", "/schema/targets"),
    ("streams/definitions", "/streams/definitions"),
    ("streams/definitions/definition", "/streams/definitions/{name}"),
    ("streams/validation", "/streams/validation/{name}"),
    ("runtime/streams", "/runtime/streams{?names}"),
    ("runtime/streams/{streamNames}", "/runtime/streams/{streamNames}"),
    ("runtime/apps", "/runtime/apps"),
    ("runtime/apps/{appId}", "/runtime/apps/{appId}"),
    ("runtime/apps/{appId}/instances", "/runtime/apps/{appId}/instances"),
    ("runtime/apps/{appId}/instances/{instanceId}", "/runtime/apps/{appId}/instances/{instanceId}"),
    (
        "runtime/apps/{appId}/instances/{instanceId}/actuator",
        "/runtime/apps/{appId}/instances/{instanceId}/actuator?endpoint={endpoint}",
    ),
    (
        "runtime/apps/{appId}/instances/{instanceId}/actuator",
        "/runtime/apps/{appId}/instances/{instanceId}/actuator",
    ),
    ("runtime/apps/{appId}/instances/{instanceId}/post", "/runtime/apps/{appId}/instances/{instanceId}/post"),
    ("streams/deployments", "/streams/deployments"),
    (
        "streams/deployments/{name}{?reuse-deployment-properties}",
        "/streams/deployments/{name}?reuse-deployment-properties=false",
    ),
    ("streams/deployments/{name}", "/streams/deployments/{name}"),
    ("streams/deployments/history/{name}", "/streams/deployments/history/{name}"),
    ("streams/deployments/manifest/{name}/{version}", "/streams/deployments/manifest/{name}/{version}"),
    ("streams/deployments/platform/list", "/streams/deployments/platform/list"),
    ("streams/deployments/rollback/{name}/{version}", "/streams/deployments/rollback/{name}/{version}"),
    ("streams/deployments/update/{name}", "/streams/deployments/update/{name}"),
    ("streams/deployments/deployment", "/streams/deployments/{name}"),
    (
        "streams/deployments/scale/{streamName}/{appName}/instances/{count}",
        "/streams/deployments/scale/{streamName}/{appName}/instances/{count}",
    ),
    ("streams/logs", "/streams/logs"),
    ("streams/logs/{streamName}", "/streams/logs/{streamName}"),
    ("streams/logs/{streamName}/{appName}", "/streams/logs/{streamName}/{appName}"),
    ("tasks/platforms", "/tasks/platforms"),
    ("tasks/definitions", "/tasks/definitions"),
    ("tasks/definitions/definition", "/tasks/definitions/{name}"),
    ("tasks/executions", "/tasks/executions"),
    ("tasks/executions/external", "/tasks/executions/external/{externalExecutionId}{?platform}"),
    ("tasks/executions/launch", "/tasks/executions/launch?name={name}{&properties,arguments}"),
    ("tasks/executions/name", "/tasks/executions{?name}"),
    ("tasks/executions/current", "/tasks/executions/current"),
    ("tasks/executions/execution", "/tasks/executions/{id}{?schemaTarget}"),
    ("tasks/validation", "/tasks/validation/{name}"),
    ("tasks/info/executions", "/tasks/info/executions{?completed,name,days}"),
    ("tasks/logs", "/tasks/logs/{taskExternalExecutionId}{?platformName,schemaTarget}"),
    ("tasks/thinexecutions", "/tasks/thinexecutions"),
    ("jobs/executions", "/jobs/executions"),
    ("jobs/executions/name", "/jobs/executions{?name}"),
    ("jobs/executions/status", "/jobs/executions{?status}"),
    ("jobs/executions/execution", "/jobs/executions/{id}"),
    ("jobs/executions/execution/steps", "/jobs/executions/{jobExecutionId}/steps"),
    ("jobs/executions/execution/steps/step", "/jobs/executions/{jobExecutionId}/steps/{stepId}"),
    (
        "jobs/executions/execution/steps/step/progress",
        "/jobs/executions/{jobExecutionId}/steps/{stepId}/progress",
    ),
    ("jobs/instances/name", "/jobs/instances{?name}"),
    ("jobs/instances/instance", "/jobs/instances/{id}"),
    ("tools/parseTaskTextToGraph", "/tools"),
    ("tools/convertTaskGraphToText", "/tools"),
    ("jobs/thinexecutions", "/jobs/thinexecutions"),
    ("jobs/thinexecutions/name", "/jobs/thinexecutions{?name}"),
    ("jobs/thinexecutions/jobInstanceId", "/jobs/thinexecutions{?jobInstanceId}"),
    ("jobs/thinexecutions/taskExecutionId", "/jobs/thinexecutions{?taskExecutionId}"),
    ("apps", "/apps"),
    ("about", "/about"),
    ("completions/stream", "/completions/stream{?start,detailLevel}"),
    ("completions/task", "/completions/task{?start,detailLevel}"),
];

struct Root(Base);
struct Links<'a>(&'a Base);

impl Serialize for Root {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("_links", &Links(&self.0))?;
        map.serialize_entry("api.revision", &REVISION)?;
        map.end()
    }
}

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = |path: &str| Link { href: self.0.href(path), templated: path.contains('{') };
        let mut map = serializer.serialize_map(None)?;
        for same in LINKS.chunk_by(|(a, _), (b, _)| a == b) {
            match same {
                [(name, path)] => map.serialize_entry(name, &link(path))?,
                [(name, _), ..] => {
                    let links: Vec<Link> = same.iter().map(|(_, path)| link(path)).collect();
                    map.serialize_entry(name, &links)?;
                }
                [] => {}
            }
        }
        map.end()
    }
}

/// Links to everything else.
#[utoipa::path(get, path = "/", tag = "server", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn root(base: Base) -> Response {
    Hal(Root(base)).into_response()
}

/// Leads to the dashboard.
#[utoipa::path(get, path = "/dashboard", tag = "server", responses((status = 302)))]
pub(super) async fn dashboard(base: Base) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, base.href("/dashboard/index.html"))]).into_response()
}
