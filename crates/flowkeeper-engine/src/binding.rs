//! Which properties an app gets when its stream is deployed or updated.
//!
//! Four voices speak about a property of an app: the definition (`time --x=1`), the server's settings
//! for all streams, the defaults of the platform, and the person who deploys (`app.time.x=2`). This
//! module merges them as SCDF does, from low to high: definition, platform defaults, server settings,
//! `app.*.`, `app.<label>.`. That the server beats the definition is odd, but documented and relied on.
//! On top come the partition properties, which follow from the neighbours ([`partition`]).
//!
//! Two defects of SCDF are not repeated: a property key that merely starts with an app's registered
//! name is not taken for one of its properties, and `version.ab` is no version of the app `a`.

mod partition;

use flowkeeper_dsl::properties::{KnownProperty, expand_short_names, extract_deployer_properties};
use flowkeeper_dsl::{AppDefinition, AppType, StreamDefinition, keys};
use indexmap::IndexMap;

use partition::{InstanceCount, Partitioning};
pub use partition::{Spread, spread};

/// Ordered properties, last write wins.
pub type Properties = IndexMap<String, String>;

const COUNT: &str = "spring.cloud.deployer.count";
const GROUP: &str = "spring.cloud.deployer.group";
const BOOT_VERSION: &str = "spring.cloud.deployer.bootVersion";
const INSTANCE_COUNT: &str = "spring.cloud.stream.instanceCount";

/// What the computation needs to know beside the definition and the deployment properties.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `local`, `kubernetes`, `cloudfoundry`, or `unknown`.
    pub platform_type: &'a str,
    /// What the server gives every stream app: the rest of `spring.cloud.dataflow.applicationProperties.stream.*`.
    pub stream_properties: &'a Properties,
    /// Defaults by platform: keys start with `common.` or with a platform type and a dot.
    pub resource_defaults: &'a Properties,
    /// Server settings; read are `spring.cloud.dataflow.defaults.boot<N>.<platform>.…`.
    pub server_properties: &'a Properties,
    /// The registrations of the stream's apps.
    pub registrations: &'a [Registration],
}

/// What the registry says about an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The registered name.
    pub name: String,
    /// The registered type.
    pub app_type: AppType,
    /// The Spring Boot generation, `2` or `3`.
    pub boot_version: String,
    /// The properties the app has, for short names; empty where unknown.
    pub properties: Vec<KnownProperty>,
}

/// One app, ready to be handed to a deployer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRequest {
    /// The app's name within the stream.
    pub label: String,
    /// The registered name.
    pub name: String,
    /// The part the app plays.
    pub app_type: AppType,
    /// What the app is configured with.
    pub application_properties: Properties,
    /// What the deployer is configured with, every key under `spring.cloud.deployer.`.
    pub deployment_properties: Properties,
    /// The version asked for with `version.<label>`; none means the registry's default.
    pub version: Option<String>,
}

/// Why no properties could be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The registry does not know the app in the part it plays here.
    #[error("no application '{name}' of type '{app_type}' exists in the registry: register it first")]
    NotRegistered {
        /// The registered name asked for.
        name: String,
        /// The type it would need.
        app_type: AppType,
    },
    /// The number of instances is not a number.
    #[error(
        "the number of instances of app '{label}' is '{count}': set deployer.{label}.count to a whole number from 0 on"
    )]
    InvalidCount {
        /// The app.
        label: String,
        /// The count as given.
        count: String,
    },
    /// A short name could mean several properties.
    #[error("app '{label}': {source}")]
    ShortName {
        /// The app.
        label: String,
        /// Which name, and what it could mean.
        source: flowkeeper_dsl::properties::Error,
    },
}

/// The requests for a deployment, in deployment order: sink first.
///
/// `properties` are the deployment properties without release options. Keys for unknown apps are
/// ignored here; [`validate_stream_keys`](flowkeeper_dsl::properties::validate_stream_keys) judges keys.
///
/// # Errors
///
/// The first app, in deployment order, that is not registered, has no whole number of instances, or has
/// an ambiguous property name.
pub fn deploy_requests(
    definition: &StreamDefinition,
    properties: &Properties,
    context: &Context<'_>,
) -> Result<Vec<AppRequest>, Error> {
    let apps = definition.app_definitions();
    let mut requests = Vec::with_capacity(apps.len());
    let mut downstream = None;
    for (index, app) in apps.iter().enumerate().rev() {
        let registration = registration_of(app, context)?;
        let mut deployer = extract_deployer_properties(properties, &app.label);
        deployer.insert(GROUP.to_owned(), app.stream.clone());
        add_platform_defaults(&mut deployer, &registration.boot_version, context);
        deployer.insert(BOOT_VERSION.to_owned(), registration.boot_version.clone());

        let mut given = given_properties(app, properties, context);
        if let Some(count) = deployer.get(COUNT) {
            given.insert(INSTANCE_COUNT.to_owned(), count.clone());
        }
        let count = InstanceCount::of(&app.label, &deployer)?;
        if app.app_type != AppType::App {
            let upstream =
                index.checked_sub(1).map(|index| given_properties(&apps[index], properties, context));
            let partitioning = Partitioning::between(upstream.as_ref(), &given);
            partitioning.apply(downstream, &mut given, &mut deployer);
            downstream = partitioning.as_downstream(count);
        }
        for (key, value) in [
            (keys::STREAM_NAME, &app.stream),
            (keys::APP_LABEL, &app.label),
            (keys::APP_TYPE, &app.app_type.to_string()),
        ] {
            given.insert(key.to_owned(), value.clone());
        }
        add_resource_defaults(&mut given, context);
        requests.push(AppRequest {
            label: app.label.clone(),
            name: app.name.clone(),
            app_type: app.app_type,
            application_properties: expand(overlay(&app.properties, given), app, registration)?,
            deployment_properties: deployer,
            version: version_of(app, properties),
        });
    }
    Ok(requests)
}

/// The requests for an update of a deployed stream, in deployment order.
///
/// They carry only what changes: properties given now, the deployer's properties and the version. The
/// release keeps the rest (bindings, partitions, group).
///
/// # Errors
///
/// The first app that is not registered or has an ambiguous property name.
pub fn update_requests(
    definition: &StreamDefinition,
    properties: &Properties,
    context: &Context<'_>,
) -> Result<Vec<AppRequest>, Error> {
    let apps = definition.app_definitions();
    let request = |app: &AppDefinition| {
        let registration = registration_of(app, context)?;
        let mut deployer = extract_deployer_properties(properties, &app.label);
        deployer.insert(BOOT_VERSION.to_owned(), registration.boot_version.clone());
        let mut given = expand(given_properties(app, properties, context), app, registration)?;
        given.insert(keys::APP_TYPE.to_owned(), app.app_type.to_string());
        Ok(AppRequest {
            label: app.label.clone(),
            name: app.name.clone(),
            app_type: app.app_type,
            application_properties: given,
            deployment_properties: deployer,
            version: version_of(app, properties),
        })
    };
    apps.iter().rev().map(request).collect()
}

fn registration_of<'a>(app: &AppDefinition, context: &Context<'a>) -> Result<&'a Registration, Error> {
    let mut registrations = context.registrations.iter();
    registrations
        .find(|it| it.name == app.name && it.app_type == app.app_type)
        .ok_or_else(|| Error::NotRegistered { name: app.name.clone(), app_type: app.app_type })
}

/// What the server and the deployment say about an app, the more specific last.
fn given_properties(app: &AppDefinition, properties: &Properties, context: &Context<'_>) -> Properties {
    let mut given = context.stream_properties.clone();
    for prefix in ["app.*.", &format!("app.{}.", app.label)] {
        for (key, value) in properties {
            if let Some(rest) = key.strip_prefix(prefix) {
                given.insert(bound_key(rest), value.clone());
            }
        }
    }
    given
}

/// `producer.x` and `consumer.x` are short for the output's and the input's property; like SCDF this
/// asks only how the key starts.
fn bound_key(key: &str) -> String {
    if key.starts_with("producer") {
        format!("{}{key}", keys::OUTPUT_BINDING_PREFIX)
    } else if key.starts_with("consumer") {
        format!("{}{key}", keys::INPUT_BINDING_PREFIX)
    } else {
        key.to_owned()
    }
}

fn version_of(app: &AppDefinition, properties: &Properties) -> Option<String> {
    properties.get(&format!("version.{}", app.label)).cloned()
}

fn add_platform_defaults(deployer: &mut Properties, boot_version: &str, context: &Context<'_>) {
    let default = |key: &str| {
        let key =
            format!("spring.cloud.dataflow.defaults.boot{boot_version}.{}.{key}", context.platform_type);
        context.server_properties.get(&key).filter(|value| !value.trim().is_empty())
    };
    match context.platform_type {
        "local" => {
            if let Some(java_home) = default("javaHomePath") {
                let key = format!("spring.cloud.deployer.local.javaHomePath.{boot_version}");
                deployer.insert(key, java_home.clone());
            }
        }
        "cloudfoundry" => {
            for key in ["buildpack", "buildpacks"] {
                if let Some(value) = default(key) {
                    deployer.insert(format!("spring.cloud.deployer.cloudfoundry.{key}"), value.clone());
                }
            }
            if boot_version == "3" {
                let key = "spring.cloud.deployer.cloudfoundry.env.JBP_CONFIG_OPEN_JDK_JRE";
                deployer.insert(key.to_owned(), "{jre: {version: 17.+}}".to_owned());
            }
        }
        _ => {}
    }
}

/// Adds the defaults for all platforms, then those for this one, where nobody has spoken yet.
fn add_resource_defaults(given: &mut Properties, context: &Context<'_>) {
    for prefix in ["common.", &format!("{}.", context.platform_type)] {
        for (key, value) in context.resource_defaults {
            if let Some(key) = key.strip_prefix(prefix) {
                given.entry(key.to_owned()).or_insert_with(|| value.clone());
            }
        }
    }
}

/// `lower` with `upper` over it. What is in `upper` also stands later, so that it wins again if short
/// names turn out to mean the same property.
fn overlay(lower: &Properties, upper: Properties) -> Properties {
    let kept = lower.iter().filter(|(key, _)| !upper.contains_key(*key));
    let mut out: Properties = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    out.extend(upper);
    out
}

fn expand(
    properties: Properties,
    app: &AppDefinition,
    registration: &Registration,
) -> Result<Properties, Error> {
    expand_short_names(properties, &registration.properties)
        .map_err(|source| Error::ShortName { label: app.label.clone(), source })
}

#[cfg(test)]
mod tests;
