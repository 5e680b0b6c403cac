//! Defaults that every app of a stream gets, and which options of a bundled app are its own.

use std::sync::LazyLock;

use flowkeeper_engine::binding::Properties;
use indexmap::IndexMap;

use super::Error;
use crate::catalog::BundledApp;

/// SCDF's defaults for stream apps: tags of metrics, and which actuator endpoints are open. Placeholders are resolved by
/// the app.
const RESOURCE_DEFAULTS: [(&str, &str); 9] = [
    ("common.management.endpoints.web.exposure.include", "health,info,bindings"),
    ("common.management.metrics.tags.stream.name", "${spring.cloud.dataflow.stream.name:unknown}"),
    (
        "common.management.metrics.tags.application",
        "${spring.cloud.dataflow.stream.name:unknown}-${spring.cloud.dataflow.stream.app.label:unknown}-\
         ${spring.cloud.dataflow.stream.app.type:unknown}",
    ),
    (
        "common.management.metrics.tags.application.name",
        "${vcap.application.application_name:${spring.cloud.dataflow.stream.app.label:unknown}}",
    ),
    ("common.management.metrics.tags.application.type", "${spring.cloud.dataflow.stream.app.type:unknown}"),
    ("common.management.metrics.tags.application.guid", "${spring.cloud.application.guid:unknown}"),
    (
        "common.management.metrics.tags.instance.index",
        "${vcap.application.instance_index:${spring.cloud.stream.instanceIndex:0}}",
    ),
    ("common.wavefront.application.name", "${spring.cloud.dataflow.stream.name:unknown}"),
    (
        "common.wavefront.application.service",
        "${spring.cloud.dataflow.stream.app.label:unknown}-${spring.cloud.dataflow.stream.app.type:unknown}-\
         ${vcap.application.instance_index:${spring.cloud.stream.instanceIndex:0}}",
    ),
];

/// Prefixes of properties that any app may be given: they are for what surrounds the app, not for the app.
const COMMON_PREFIXES: [&str; 9] = [
    "spring.",
    "management.",
    "wavefront.",
    "logging.",
    "server.",
    "info.",
    "flowkeeper.",
    "vcap.",
    "endpoints.",
];

/// See [`RESOURCE_DEFAULTS`].
pub(super) fn resource_defaults() -> &'static Properties {
    static DEFAULTS: LazyLock<Properties> = LazyLock::new(|| {
        RESOURCE_DEFAULTS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    });
    &DEFAULTS
}

/// Checks what a bundled app is told. Properties for its surroundings pass, and so do those that were given to all apps of a
/// stream and mean nothing to this one.
///
/// # Errors
/// [`Error::InvalidStream`] with the app's label and its own sentence.
pub(super) fn check_bundled(
    app: &BundledApp,
    label: &str,
    properties: &IndexMap<String, String>,
    is_for_all: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let is_option =
        |key: &str| app.options.iter().any(|option| option.name == key || option.short_name == key);
    let own = properties.iter().filter(|(key, _)| {
        let is_common = COMMON_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || is_for_all(key);
        is_option(key) || !is_common
    });
    let own: Vec<(String, String)> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    match (app.check)(&own) {
        Ok(_) => Ok(()),
        Err(sentence) => Err(Error::InvalidStream(format!("app '{label}': {sentence}"))),
    }
}
