//! The actuator endpoints of an app, as Spring Boot serves them: links, health, info, metrics, bindings, shutdown.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::binder::Binder;
use crate::control::{Control, State};
use crate::health::Health;
use crate::http::{self, Handler, Reply};
use crate::metrics::Metrics;

/// Bodies of requests to the actuator are tiny.
const MAX_BODY: usize = 64 * 1024;
const JSON: &str = "application/vnd.spring-boot.actuator.v3+json";

/// The endpoints, and the app's own handler for every other path.
pub struct Actuator {
    pub app_name: String,
    pub app_kind: String,
    pub binder: Arc<dyn Binder>,
    pub bindings: Vec<Control>,
    pub metrics: Arc<Metrics>,
    /// Common tags of all metrics, in Prometheus spelling.
    pub tags: Vec<(String, String)>,
    pub app: Option<Arc<dyn Handler>>,
    /// Whether the app can work.
    pub health: Health,
    /// Stops the app.
    pub stop: CancellationToken,
}

impl Handler for Actuator {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Reply> {
        async move {
            let path = request.uri().path().trim_end_matches('/').to_owned();
            let is_own = path == "/actuator" || path.starts_with("/actuator/") || path == "/shutdown";
            match &self.app {
                Some(app) if !is_own => app.clone().handle(request).await,
                _ => self.answer(request, &path).await,
            }
        }
        .boxed()
    }
}

impl Actuator {
    async fn answer(&self, request: Request<Incoming>, path: &str) -> Reply {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (get, post) = (request.method() == Method::GET, request.method() == Method::POST);
        match parts.as_slice() {
            ["actuator"] if get => json_reply(StatusCode::OK, &self.links(&request)),
            ["actuator", "health"] if get => self.health().await,
            ["actuator", "health", "liveness"] if get => {
                json_reply(StatusCode::OK, &json!({ "status": "UP" }))
            }
            ["actuator", "health", "readiness"] if get => {
                let own = self.own_health();
                health_reply(
                    &own["status"],
                    &json!({ "status": own["status"], "components": { "app": own } }),
                )
            }
            ["actuator", "info"] if get => json_reply(StatusCode::OK, &self.info()),
            ["actuator", "metrics"] if get => {
                let names: Vec<&str> = self.metrics.measurements().iter().map(|m| m.name).collect();
                json_reply(StatusCode::OK, &json!({ "names": names }))
            }
            ["actuator", "metrics", name] if get => self.metric(name, path),
            ["actuator", "prometheus"] if get => http::reply(
                StatusCode::OK,
                "text/plain;version=0.0.4;charset=utf-8",
                self.metrics.prometheus(&self.tags),
            ),
            ["actuator", "bindings"] if get => {
                json_reply(StatusCode::OK, &self.bindings.iter().map(describe).collect())
            }
            ["actuator", "bindings", name] if get => match self.binding(name) {
                Some(binding) => json_reply(StatusCode::OK, &describe(binding)),
                None => not_found(path),
            },
            ["actuator", "bindings", name] if post => self.change_binding(name, path, request).await,
            ["actuator", "shutdown"] | ["shutdown"] if post => {
                self.stop.cancel();
                json_reply(StatusCode::OK, &json!({ "message": "Shutting down, bye..." }))
            }
            _ => not_found(path),
        }
    }

    fn links(&self, request: &Request<Incoming>) -> Json {
        let host = request.headers().get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        let link = |path: &str| json!({ "href": format!("http://{host}/actuator{path}"), "templated": path.contains('{') });
        json!({ "_links": {
            "self": link(""),
            "bindings": link("/bindings"),
            "bindings-name": link("/bindings/{name}"),
            "health": link("/health"),
            "health-path": link("/health/{*path}"),
            "info": link("/info"),
            "metrics": link("/metrics"),
            "metrics-requiredMetricName": link("/metrics/{requiredMetricName}"),
            "prometheus": link("/prometheus"),
            "shutdown": link("/shutdown"),
        }})
    }

    /// The app and its message system; down when one of them is.
    async fn health(&self) -> Reply {
        let own = self.own_health();
        let binder = component(self.binder.health().await.err().map(|error| error.to_string()));
        let status = if own["status"] == "UP" { &binder["status"] } else { &own["status"] };
        let body = json!({
            "status": status,
            "components": {
                "app": own,
                "binders": { "status": binder["status"], "components": { self.binder.name(): binder } },
                "livenessState": { "status": "UP" },
                "ping": { "status": "UP" },
                "readinessState": { "status": own["status"] },
            },
            "groups": ["liveness", "readiness"],
        });
        health_reply(status, &body)
    }

    fn own_health(&self) -> Json {
        component(self.health.reason())
    }

    fn info(&self) -> Json {
        json!({ "app": {
            "name": format!("{}-{}", self.app_name, self.app_kind),
            "description": format!("Flowkeeper bundled {} {}", self.app_name, self.app_kind),
            "version": env!("CARGO_PKG_VERSION"),
        }})
    }

    fn metric(&self, name: &str, path: &str) -> Reply {
        let measurements = self.metrics.measurements();
        let Some(found) = measurements.iter().find(|m| m.name == name) else { return not_found(path) };
        let values: Vec<Json> = found
            .values
            .iter()
            .map(|(statistic, value)| json!({ "statistic": statistic, "value": value }))
            .collect();
        let body = json!({
            "name": found.name,
            "description": found.description,
            "baseUnit": found.unit,
            "measurements": values,
            "availableTags": [],
        });
        json_reply(StatusCode::OK, &body)
    }

    fn binding(&self, name: &str) -> Option<&Control> {
        self.bindings.iter().find(|b| b.binding == name)
    }

    async fn change_binding(&self, name: &str, path: &str, request: Request<Incoming>) -> Reply {
        let Some(binding) = self.binding(name) else { return not_found(path) };
        let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return http::error(StatusCode::PAYLOAD_TOO_LARGE, path, "the body is too large"),
        };
        let wanted = serde_json::from_slice::<Json>(&body).unwrap_or_default();
        let state = match wanted["state"].as_str().unwrap_or_default().to_ascii_uppercase().as_str() {
            "STARTED" | "RESUMED" => State::Running,
            "PAUSED" => State::Paused,
            "STOPPED" => State::Stopped,
            _ => {
                let message = "the body must be {\"state\":\"STOPPED|STARTED|PAUSED|RESUMED\"}";
                return http::error(StatusCode::BAD_REQUEST, path, message);
            }
        };
        tracing::info!(binding = name, state = state.word(), "binding changed");
        binding.set(state);
        http::empty(StatusCode::NO_CONTENT)
    }
}

fn describe(binding: &Control) -> Json {
    let state = binding.state();
    json!({
        "bindingName": binding.binding,
        "name": binding.destination,
        "group": binding.group,
        "pausable": true,
        "state": state.word(),
        "paused": state == State::Paused,
        "running": state != State::Stopped,
        "input": binding.is_input,
        "binderName": binding.binder,
        "binderType": binding.binder,
    })
}

/// A part of the health report.
fn component(trouble: Option<String>) -> Json {
    match trouble {
        None => json!({ "status": "UP", "details": {} }),
        Some(reason) => json!({ "status": "DOWN", "details": { "error": reason } }),
    }
}

fn health_reply(status: &Json, body: &Json) -> Reply {
    json_reply(if status == "UP" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

fn json_reply(status: StatusCode, body: &Json) -> Reply {
    http::reply(status, JSON, Bytes::from(body.to_string()))
}

fn not_found(path: &str) -> Reply {
    http::error(StatusCode::NOT_FOUND, path, "No static resource")
}

#[cfg(test)]
mod tests;
