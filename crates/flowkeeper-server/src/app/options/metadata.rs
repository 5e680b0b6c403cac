//! Spring Boot's configuration metadata: which options there are, and which of them an app says are for users.

use std::collections::{BTreeMap, BTreeSet};

use flowkeeper_api::apps::{AppOption, Deprecation, Hints, ValueHint, ValueProvider};
use serde::Deserialize;
use serde_json::Value;

use super::error::OptionsError;
use super::lists::Lists;
use super::{Described, Options, first_sentence};

/// Options that are taken from one app; real ones have up to a few thousand.
const MAX_OPTIONS: usize = 20_000;
/// Bytes of all documents of one app.
const MAX_BYTES: usize = 16 << 20;

/// What has been read so far of an app's metadata.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    documents: Vec<Document>,
    pub(super) lists: Lists,
    options: usize,
    bytes: usize,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    properties: Vec<Property>,
    #[serde(default)]
    hints: Vec<RawHint>,
}

/// A class whose fields are options that begin with `name`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(rename = "type")]
    java_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Property {
    name: String,
    #[serde(rename = "type")]
    java_type: Option<String>,
    description: Option<String>,
    source_type: Option<String>,
    #[serde(default)]
    default_value: Value,
    deprecation: Option<RawDeprecation>,
    #[serde(default)]
    deprecated: bool,
}

#[derive(Debug, Deserialize)]
struct RawDeprecation {
    level: Option<String>,
    reason: Option<String>,
    replacement: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawHint {
    name: String,
    #[serde(default)]
    values: Vec<RawValue>,
    #[serde(default)]
    providers: Vec<ValueProvider>,
}

#[derive(Debug, Deserialize)]
struct RawValue {
    value: Value,
    description: Option<String>,
}

/// Which options are for users.
enum Shown<'a> {
    /// Those listed.
    Listed(&'a Lists, BTreeMap<&'a str, BTreeSet<&'a str>>),
    /// All: whoever wrote the document has chosen already.
    All,
}

impl Metadata {
    /// Adds the document `name`.
    ///
    /// # Errors
    /// When it is none, or there is too much of it.
    pub(super) fn add(&mut self, name: &str, json: &[u8]) -> Result<(), OptionsError> {
        self.bytes += json.len();
        if self.bytes > MAX_BYTES {
            return Err(OptionsError::Excessive(format!("its metadata has over {MAX_BYTES} bytes")));
        }
        let document: Document = serde_json::from_slice(json)
            .map_err(|error| OptionsError::Json { name: name.to_owned(), error })?;
        self.options += document.properties.len();
        if self.options > MAX_OPTIONS {
            return Err(OptionsError::Excessive(format!("it has over {MAX_OPTIONS} options")));
        }
        self.documents.push(document);
        Ok(())
    }

    /// The options; those for users are the ones that the lists name.
    pub(super) fn into_options(self) -> Options {
        let mut classes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for group in self.documents.iter().flat_map(|document| &document.groups) {
            classes.entry(&group.name).or_default().extend(group.java_type.as_deref());
        }
        let shown = Shown::Listed(&self.lists, classes);
        let all = describe(&self.documents, &shown);
        let Lists { inbound, outbound, groups, .. } = self.lists;
        Options { all, inbound_ports: inbound, outbound_ports: outbound, groups }
    }

    /// The options, all of them for users.
    pub(super) fn into_chosen_options(self) -> Options {
        let all = describe(&self.documents, &Shown::All);
        let Lists { inbound, outbound, groups, .. } = self.lists;
        Options { all, inbound_ports: inbound, outbound_ports: outbound, groups }
    }
}

/// Every option once, although a jar and its libraries may describe it again; without those that are gone.
fn describe(documents: &[Document], shown: &Shown<'_>) -> Vec<Described> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for document in documents {
        let groups = document.groups_by_class();
        let hints = document.hints_by_name();
        for property in &document.properties {
            if property.is_gone() || !seen.insert(&property.name) {
                continue;
            }
            let group = property.group(&groups);
            let is_visible = match shown {
                Shown::All => true,
                Shown::Listed(lists, classes) => {
                    let classes = group.and_then(|group| classes.get(group));
                    let is_group_listed = classes.is_some_and(|classes| {
                        !classes.is_empty() && classes.iter().all(|class| lists.classes.contains(*class))
                    });
                    is_group_listed || lists.names.contains(&property.name)
                }
            };
            all.push(Described { option: property.option(group, &hints), is_visible });
        }
    }
    all
}

impl Document {
    fn groups_by_class(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for group in &self.groups {
            if let Some(class) = &group.java_type {
                groups.entry(class).or_default().push(&group.name);
            }
        }
        groups
    }

    fn hints_by_name(&self) -> BTreeMap<&str, Vec<&RawHint>> {
        let mut hints: BTreeMap<&str, Vec<&RawHint>> = BTreeMap::new();
        for hint in &self.hints {
            hints.entry(&hint.name).or_default().push(hint);
        }
        hints
    }
}

impl Property {
    /// Deprecated so much that it has no effect any more.
    fn is_gone(&self) -> bool {
        let level = self.deprecation.as_ref().and_then(|deprecation| deprecation.level.as_deref());
        level.is_some_and(|level| level.eq_ignore_ascii_case("error"))
    }

    /// The longest name among the groups that its class makes.
    fn group<'a>(&self, groups: &BTreeMap<&str, Vec<&'a str>>) -> Option<&'a str> {
        let groups = groups.get(self.source_type.as_deref()?)?;
        groups.iter().copied().filter(|group| self.name.starts_with(group)).max_by_key(|group| group.len())
    }

    fn option(&self, group: Option<&str>, hints: &BTreeMap<&str, Vec<&RawHint>>) -> AppOption {
        let short_name = group.and_then(|group| self.name.strip_prefix(group)?.strip_prefix('.'));
        let plain = RawDeprecation { level: None, reason: None, replacement: None };
        let deprecation = self.deprecation.as_ref().or(self.deprecated.then_some(&plain));
        AppOption {
            id: self.name.clone(),
            name: short_name.unwrap_or(&self.name).to_owned(),
            java_type: self.java_type.clone(),
            short_description: self.description.as_deref().map(first_sentence),
            description: self.description.clone(),
            default_value: self.default_value.clone(),
            hints: hints_of(&self.name, hints),
            deprecation: deprecation.map(|raw| Deprecation {
                level: raw.level.as_deref().unwrap_or("warning").to_uppercase(),
                reason: raw.reason.clone(),
                short_reason: raw.reason.as_deref().map(first_sentence),
                replacement: raw.replacement.clone(),
            }),
            deprecated: deprecation.is_some(),
        }
    }
}

/// Hints for the keys and values of the option `id`.
fn hints_of(id: &str, named: &BTreeMap<&str, Vec<&RawHint>>) -> Hints {
    let mut hints = Hints::default();
    let of = |name: &str| named.get(name).into_iter().flatten();
    let values = |raw: &RawHint| {
        let value = |value: &RawValue| ValueHint {
            value: value.value.clone(),
            short_description: value.description.as_deref().map(first_sentence),
            description: value.description.clone(),
        };
        raw.values.iter().map(value).collect::<Vec<_>>()
    };
    for raw in of(&format!("{id}.keys")) {
        hints.key_hints.extend(values(raw));
        hints.key_providers.extend(raw.providers.iter().cloned());
    }
    for raw in of(id).chain(of(&format!("{id}.values"))) {
        hints.value_hints.extend(values(raw));
        hints.value_providers.extend(raw.providers.iter().cloned());
    }
    hints
}

#[cfg(test)]
mod tests;
