//! Deployment properties: who they are for, by their prefix.

use indexmap::IndexMap;

use super::Error;
use crate::keys;

/// Checks that a stream may be deployed with these keys.
///
/// Release options (`spring.cloud.dataflow.skipper.…`) are let through; whoever handles them takes them
/// out first.
///
/// # Errors
///
/// [`Error::StreamKey`] with the first key that is not allowed.
pub fn validate_stream_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    let allowed = ["app.", "deployer.", "version.", keys::RELEASE_PREFIX];
    match keys.into_iter().find(|key| !starts_with_one_of(key, &allowed)) {
        Some(key) => Err(Error::StreamKey(key.to_owned())),
        None => Ok(()),
    }
}

/// Checks that a task may be launched with these keys.
///
/// # Errors
///
/// [`Error::TaskKey`] with the first key that is not allowed.
pub fn validate_task_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    let allowed = ["app.", "deployer.", "version.", "scheduler."];
    match keys.into_iter().find(|key| !starts_with_one_of(key, &allowed)) {
        Some(key) => Err(Error::TaskKey(key.to_owned())),
        None => Ok(()),
    }
}

fn starts_with_one_of(key: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| key.starts_with(prefix))
}

/// What the deployer of the app `label` reads: `deployer.*.x` and `deployer.<label>.x` as
/// `spring.cloud.deployer.x`, the one for this app winning.
pub fn extract_deployer_properties(
    properties: &IndexMap<String, String>,
    label: &str,
) -> IndexMap<String, String> {
    let mut out = IndexMap::new();
    for prefix in ["deployer.*.", &format!("deployer.{label}.")] {
        for (key, value) in properties {
            if let Some(rest) = key.strip_prefix(prefix) {
                out.insert(format!("{}{rest}", keys::DEPLOYER_PREFIX), value.clone());
            }
        }
    }
    out
}

/// All `properties`, those for the deployer of the app `label` renamed as in
/// [`extract_deployer_properties`].
pub fn qualify_deployer_properties(
    properties: &IndexMap<String, String>,
    label: &str,
) -> IndexMap<String, String> {
    let own = format!("deployer.{label}.");
    let others =
        properties.iter().filter(|(key, _)| !key.starts_with("deployer.*.") && !key.starts_with(&own));
    let mut out: IndexMap<_, _> = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    out.extend(extract_deployer_properties(properties, label));
    out
}
