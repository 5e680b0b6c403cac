//! Finds the deployer properties of an app in every spelling that Spring reads.

use super::DeployPropertyError;
use crate::record::ManifestApp;

/// Prefix of deployer properties in a release.
const DEPLOYER: &str = "spring.cloud.deployer.";

/// A deployer property by its name after the prefix, in any relaxed spelling: `local.java-opts`, `local.javaOpts`,
/// `local.JAVA_OPTS`. Of several spellings the last counts, which is the most specific one.
pub fn deployer_property<'a>(app: &'a ManifestApp, name: &str) -> Option<&'a str> {
    let wanted = relaxed(name);
    named(app).rev().find(|given| relaxed(given.name) == wanted).map(|given| given.value)
}

/// A property as it was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) app: &'a ManifestApp,
    /// Name after the prefix, as written.
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

impl Given<'_> {
    /// The property as its user wrote it.
    pub(super) fn key(&self) -> String {
        format!("deployer.{}.{}", self.app.label, self.name)
    }

    pub(super) fn invalid(&self, problem: impl Into<String>) -> DeployPropertyError {
        DeployPropertyError::new(&self.app.label, self.key(), Some(self.value), problem)
    }
}

/// The property `name` when it is given and not blank, its value trimmed.
pub(super) fn given<'a>(app: &'a ManifestApp, name: &str) -> Option<Given<'a>> {
    let wanted = relaxed(name);
    let found = named(app).rev().find(|given| relaxed(given.name) == wanted)?;
    Some(Given { value: found.value.trim(), ..found }).filter(|given| !given.value.is_empty())
}

/// The items of a list: `name=a,b` or `name[0]=a`, `name[1]=b`, where an item may hold a comma. `None`: it is not given.
pub(super) fn given_list<'a>(app: &'a ManifestApp, name: &str) -> Option<Vec<Given<'a>>> {
    if let Some(list) = given(app, name) {
        let items = list.value.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Some(items.map(|value| Given { value, ..list }).collect());
    }
    let items = (0..).map_while(|index| given(app, &format!("{name}.{index}")));
    Some(items.collect::<Vec<_>>()).filter(|items| !items.is_empty())
}

/// All deployer properties, in the order of the release.
pub(super) fn named(app: &ManifestApp) -> impl DoubleEndedIterator<Item = Given<'_>> {
    let all = app.deployer.iter();
    all.filter_map(move |(key, value)| Some(Given { app, name: key.strip_prefix(DEPLOYER)?, value }))
}

/// A name without what does not count: case, dashes, underscores; an index as one more element.
pub(crate) fn relaxed(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | ']' => {}
            '[' => out.push('.'),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}
