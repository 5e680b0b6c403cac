//! The description of this API for programs, as OpenAPI 3.1.

use std::sync::LazyLock;

use utoipa::OpenApi;

use super::{about, apps, definitions, deployments, logs, management, own, root, runtime, schema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Flowkeeper",
        description = "Streams of apps over Apache ZooKeeper; speaks the API of Spring Cloud Data Flow 2.11."
    ),
    paths(
        root::root,
        root::dashboard,
        about::about,
        about::security_info,
        schema::versions,
        schema::targets,
        schema::target,
        management::links,
        management::health,
        management::info,
        apps::list,
        apps::import,
        apps::unregister_all,
        apps::default_info,
        apps::register,
        apps::unregister_default,
        apps::info,
        apps::register_version,
        apps::set_default,
        apps::unregister,
        definitions::list,
        definitions::create,
        definitions::destroy_all,
        definitions::get,
        definitions::destroy,
        definitions::related,
        definitions::applications,
        definitions::validate,
        deployments::info,
        deployments::deploy,
        deployments::undeploy,
        deployments::undeploy_all,
        deployments::platforms,
        logs::of_stream,
        logs::of_app,
        runtime::apps,
        runtime::app,
        runtime::instances,
        runtime::instance,
        runtime::actuator_get,
        runtime::actuator_post,
        runtime::post_message,
        runtime::streams,
        runtime::streams_named,
        own::cluster,
        own::explain,
        own::openapi,
        own::metrics,
        own::alive,
        own::ready,
    )
)]
struct Document;

/// The description; made once.
pub(super) fn document() -> &'static utoipa::openapi::OpenApi {
    static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Document::openapi);
    &DOCUMENT
}
