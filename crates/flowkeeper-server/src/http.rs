//! The whole API on one page.
//!
//! A handler extracts, calls one use case, and maps the result; one file per group of routes. What all routes share is in
//! [`negotiate`] (media types, trailing slashes), [`params`] (parameters from query and form), [`paging`] and [`error`].

mod about;
mod applications;
mod apps;
mod audit;
mod base;
mod completions;
mod consistency;
mod coordination;
mod debug;
mod definitions;
mod deployments;
mod error;
mod logs;
mod management;
mod negotiate;
mod nodes;
mod openapi;
mod own;
mod paging;
mod params;
mod respond;
mod root;
mod runtime;
mod schema;
mod watch;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::state::AppState;

/// Serves the API on `listener` until `stop`, then ends open requests gracefully.
pub async fn serve(listener: TcpListener, state: AppState, stop: CancellationToken) {
    let served =
        axum::serve(listener, router(state)).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the API stopped serving");
    }
}

/// All routes.
#[rustfmt::skip]
pub fn router(state: AppState) -> Router {
    let max_body = state.settings.max_body;
    let routes = Router::new()
        // What this server is.
        .route("/", any(root::root))
        .route("/about", get(about::about))
        .route("/security/info", get(about::security_info))
        .route("/dashboard", any(root::dashboard))
        .route("/schema/versions", get(schema::versions))
        .route("/schema/targets", get(schema::targets))
        .route("/schema/targets/{target}", get(schema::target))
        .route("/management", get(management::links))
        .route("/management/health", get(management::health))
        .route("/management/info", get(management::info))
        // The app registry.
        .route("/apps", get(apps::list).post(apps::import).delete(apps::unregister_all))
        .route("/apps/{type}/{name}", get(apps::default_info).post(apps::register).delete(apps::unregister_default))
        .route("/apps/{type}/{name}/{version}", get(apps::info).post(apps::register_version)
            .put(apps::set_default).delete(apps::unregister))
        // Stream definitions and deployments.
        .route("/streams/definitions", get(definitions::list).post(definitions::create).delete(definitions::destroy_all))
        .route("/streams/definitions/{name}", get(definitions::get).delete(definitions::destroy))
        .route("/streams/definitions/{name}/related", get(definitions::related))
        .route("/streams/definitions/{name}/applications", get(definitions::applications))
        .route("/streams/deployments", axum::routing::delete(deployments::undeploy_all))
        .route("/streams/deployments/{name}", get(deployments::info).post(deployments::deploy).delete(deployments::undeploy))
        .route("/streams/deployments/update/{name}", post(deployments::update))
        .route("/streams/deployments/rollback/{name}/{version}", post(deployments::rollback))
        .route("/streams/deployments/scale/{stream}/{app}/instances/{count}", post(deployments::scale))
        .route("/streams/deployments/manifest/{name}/{version}", get(deployments::manifest))
        .route("/streams/deployments/history/{name}", get(deployments::history))
        .route("/streams/deployments/platform/list", get(deployments::platforms))
        .route("/streams/validation/{name}", get(definitions::validate))
        .route("/streams/logs/{stream}", any(logs::of_stream))
        .route("/streams/logs/{stream}/{app}", any(logs::of_app))
        .route("/completions/stream", any(completions::stream))
        // What was done.
        .route("/audit-records", get(audit::list))
        .route("/audit-records/audit-operation-types", get(audit::operation_types))
        .route("/audit-records/audit-action-types", get(audit::action_types))
        .route("/audit-records/{id}", get(audit::get))
        // What runs.
        .route("/runtime/apps", any(runtime::apps))
        .route("/runtime/apps/{app}", any(runtime::app))
        .route("/runtime/apps/{app}/instances", any(runtime::instances))
        .route("/runtime/apps/{app}/instances/{instance}", any(runtime::instance))
        .route("/runtime/apps/{app}/instances/{instance}/actuator", get(runtime::actuator_get).post(runtime::actuator_post))
        .route("/runtime/apps/{app}/instances/{instance}/post", post(runtime::post_message))
        .route("/runtime/streams", get(runtime::streams))
        .route("/runtime/streams/{names}", get(runtime::streams_named))
        // Flowkeeper's own.
        .route("/api/v1/cluster", get(own::cluster))
        .route("/api/v1/cluster/brake", get(nodes::brake).post(nodes::set_brake))
        .route("/api/v1/cluster/fsck", get(nodes::check))
        .route("/api/v1/nodes", get(nodes::list))
        .route("/api/v1/nodes/{id}", get(nodes::get).delete(nodes::forget))
        .route("/api/v1/nodes/{id}/cordon", post(nodes::cordon))
        .route("/api/v1/nodes/{id}/uncordon", post(nodes::uncordon))
        .route("/api/v1/nodes/{id}/drain", post(nodes::drain))
        .route("/api/v1/what-if", get(nodes::what_if))
        .route("/api/v1/runtime/placement/{id}/explain", get(nodes::explain))
        .route("/api/v1/cluster/reseal", post(coordination::reseal))
        .route("/api/v1/cluster/transfer-leadership", post(coordination::transfer))
        .route("/api/v1/locks", get(coordination::locks))
        .route("/api/v1/locks/{id}", axum::routing::delete(coordination::release))
        .route("/api/v1/watch", get(watch::watch))
        .route("/api/v1/streams/{name}", get(own::explain))
        .route("/api/v1/streams/{name}/explain", get(own::story))
        .route("/api/v1/streams/{name}/cancel", post(own::cancel))
        .route("/api/v1/applications", get(applications::list))
        .route("/api/v1/applications/{name}", get(applications::get).put(applications::apply).delete(applications::destroy))
        .route("/api/v1/applications/{name}/deploy", post(applications::deploy))
        .route("/api/v1/applications/{name}/undeploy", post(applications::undeploy))
        .route("/api/v1/applications/{name}/rollback/{release}", post(applications::rollback))
        .route("/api/v1/applications/{name}/history", get(applications::history))
        .route("/api/v1/export", get(applications::export))
        .route("/openapi.json", get(own::openapi))
        .route("/metrics", get(own::metrics))
        .route("/debug/cachehash", get(debug::cache_hash))
        .route("/livez", get(own::alive))
        .route("/readyz", get(own::ready))
        .method_not_allowed_fallback(negotiate::method_not_allowed)
        .fallback(negotiate::no_handler)
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(state.clone());
    // A layer of the outer router runs before the inner one looks at the path.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(state, consistency::keep))
        .layer(from_fn(negotiate::surround))
}
