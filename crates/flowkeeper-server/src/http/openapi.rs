//! The description of this API for programs, as OpenAPI 3.1.

use std::sync::LazyLock;

use utoipa::OpenApi;

use super::{
    about, applications, apps, audit, completions, coordination, debug, definitions, deployments, logs,
    management, nodes, own, root, runtime, schema, watch,
};

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
        deployments::update,
        deployments::rollback,
        deployments::scale,
        deployments::manifest,
        deployments::history,
        deployments::platforms,
        audit::list,
        audit::operation_types,
        audit::action_types,
        audit::get,
        logs::of_stream,
        logs::of_app,
        completions::stream,
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
        nodes::brake,
        nodes::set_brake,
        nodes::check,
        nodes::list,
        nodes::get,
        nodes::cordon,
        nodes::uncordon,
        nodes::drain,
        nodes::forget,
        nodes::what_if,
        nodes::explain,
        own::explain,
        watch::watch,
        own::story,
        own::cancel,
        applications::list,
        applications::get,
        applications::apply,
        applications::destroy,
        applications::deploy,
        applications::undeploy,
        applications::rollback,
        applications::history,
        applications::export,
        own::openapi,
        own::metrics,
        coordination::locks,
        coordination::release,
        coordination::transfer,
        coordination::reseal,
        debug::cache_hash,
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
