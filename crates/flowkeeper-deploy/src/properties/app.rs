//! What the application properties of an app mean for its deployer: its port, its health page, its way to be configured.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{DeployPropertyError, Port, relaxed};
use crate::health::Probe;
use crate::record::ManifestApp;

/// The variable that carries all properties of a Boot app; given as a property its content is merged into it.
pub(crate) const APPLICATION_JSON: &str = "SPRING_APPLICATION_JSON";

/// An application property in any relaxed spelling, where `SPRING_APPLICATION_JSON` wins; trimmed, and none when blank.
fn property(app: &ManifestApp, name: &str) -> Option<String> {
    let wanted = relaxed(name);
    let merged = application_json(app).ok().flatten().unwrap_or_default();
    let merged = merged.iter().rev().find(|(key, _)| relaxed(key) == wanted).map(|(_, value)| text(value));
    let own =
        || app.props.iter().rev().find(|(key, _)| relaxed(key) == wanted).map(|(_, value)| value.clone());
    merged.or_else(own).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn invalid(app: &ManifestApp, name: &str, value: &str, problem: impl Into<String>) -> DeployPropertyError {
    DeployPropertyError::new(&app.label, format!("app.{}.{name}", app.label), Some(value), problem)
}

/// The properties within `SPRING_APPLICATION_JSON`, flat; `None` when the app has no such property.
///
/// # Errors
/// When it is not a JSON object.
pub(crate) fn application_json(app: &ManifestApp) -> Result<Option<Map<String, Value>>, DeployPropertyError> {
    let given = app.props.get(APPLICATION_JSON).filter(|text| !text.trim().is_empty());
    let Some(given) = given else { return Ok(None) };
    match serde_json::from_str(given) {
        Ok(Value::Object(object)) => Ok(Some(flatten(object))),
        // The text may hold secrets and is not repeated.
        other => {
            let problem = match other {
                Err(error) => format!("it must be a JSON object, and is no JSON: {error}"),
                Ok(_) => "it must be a JSON object such as {\"a.b\":\"c\"}".to_owned(),
            };
            let key = format!("app.{}.{APPLICATION_JSON}", app.label);
            Err(DeployPropertyError::new(&app.label, key, None, problem))
        }
    }
}

/// Properties of nested objects and lists under the names that Spring gives them: `a.b`, `a[0]`.
fn flatten(object: Map<String, Value>) -> Map<String, Value> {
    fn put(flat: &mut Map<String, Value>, name: String, value: Value) {
        match value {
            Value::Object(object) if !object.is_empty() => {
                object.into_iter().for_each(|(key, value)| put(flat, format!("{name}.{key}"), value));
            }
            Value::Array(items) if !items.is_empty() => {
                let items = items.into_iter().enumerate();
                items.for_each(|(index, value)| put(flat, format!("{name}[{index}]"), value));
            }
            value => drop(flat.insert(name, value)),
        }
    }
    let mut flat = Map::new();
    object.into_iter().for_each(|(key, value)| put(&mut flat, key, value));
    flat
}

/// Whether a property of the app asks for the one variable; its mere presence does, as in SCDF.
pub(super) fn asks_for_json(app: &ManifestApp) -> bool {
    app.props.contains_key("spring.cloud.deployer.local.use-spring-application-json")
}

/// The generation of Spring Boot that an argument names.
pub(super) fn boot_version(app: &ManifestApp) -> Option<String> {
    let value = |arg: &String| {
        let rest = arg.strip_prefix("--spring.cloud.deployer.boot")?;
        rest.strip_prefix("Version=").or_else(|| rest.strip_prefix("-version=")).map(str::to_owned)
    };
    app.args.iter().find_map(value)
}

/// Checks that the properties can be handed over in the way that was chosen.
pub(super) fn check(app: &ManifestApp, as_json: bool) -> Result<(), DeployPropertyError> {
    if as_json {
        return application_json(app).map(drop);
    }
    let unfit = app
        .props
        .iter()
        .find(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'));
    unfit.map_or(Ok(()), |(name, _)| {
        let problem =
            "no environment variable can have this name or value; leave out useSpringApplicationJson=false";
        Err(DeployPropertyError::new(&app.label, format!("app.{}.{name}", app.label), None, problem))
    })
}

/// The port: `server.port` when it is given, any of `range` otherwise and when it is 0; none for an app that serves no HTTP.
pub(super) fn port(app: &ManifestApp, range: RangeInclusive<u16>) -> Result<Port, DeployPropertyError> {
    if property(app, "spring.main.web-application-type").is_some_and(|kind| kind.eq_ignore_ascii_case("none"))
    {
        return Ok(Port::Nothing);
    }
    let Some(given) = property(app, "server.port") else { return Ok(Port::Free(range)) };
    match given.parse::<i64>() {
        Ok(0) => Ok(Port::Free(range)),
        Ok(number) if number < 0 => Ok(Port::Nothing),
        number => number.ok().and_then(|number| u16::try_from(number).ok()).map(Port::Fixed).ok_or_else(|| {
            let problem =
                "give a port from 1 to 65535, 0 for any free one, or -1 for an app that serves nothing over HTTP";
            invalid(app, "server.port", &given, problem)
        }),
    }
}

/// Where the app listens and where its health page is, as far as its properties tell.
pub(super) fn pages(app: &ManifestApp) -> Probe {
    // A placeholder is resolved by the app alone.
    let path = |name: &str| {
        property(app, name).filter(|path| !path.contains("${")).map(|path| {
            let path = path.trim_matches('/');
            if path.is_empty() { String::new() } else { format!("/{path}") }
        })
    };
    let actuator = path("management.endpoints.web.base-path").unwrap_or_else(|| "/actuator".to_owned());
    let own_port = property(app, "management.server.port").and_then(|port| port.parse::<u16>().ok());
    let path = |name: &str| path(name).unwrap_or_default();
    let base = match own_port.filter(|port| *port != 0) {
        Some(_) => path("management.server.base-path"),
        None => [path("server.servlet.context-path"), path("spring.webflux.base-path")].concat(),
    };
    Probe {
        page: format!("{base}{actuator}/health"),
        management_port: own_port.filter(|port| *port != 0),
        address: property(app, "server.address")
            .and_then(|address| address.parse::<IpAddr>().ok())
            .filter(|address| !address.is_unspecified()),
        ..Probe::default()
    }
}
