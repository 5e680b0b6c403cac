//! Spring Boot's configuration metadata in a jar, and the lists by which an app says which of it is for users.
//!
//! The archive is somebody else's: how much is read of it, and how deep, is limited.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Cursor, Read, Seek};

use flowkeeper_api::apps::{AppOption, Deprecation, Hints, ValueHint, ValueProvider};
use serde::Deserialize;
use serde_json::Value;
use zip::ZipArchive;

use super::{Described, Options, first_sentence};

/// Metadata of all options, written by Spring Boot's annotation processor.
const METADATA: &str = "META-INF/spring-configuration-metadata.json";
/// Which options are for users, ports and groups. All files are read for all of these.
const LISTS: [&str; 3] = [
    "META-INF/dataflow-configuration-metadata.properties",
    "META-INF/dataflow-configuration-port-mapping.properties",
    "META-INF/dataflow-configuration-option-groups.properties",
];
const GROUPS: &str = "org.springframework.cloud.dataflow.configuration-properties.option-groups.";

/// Largest file of metadata, largest jar within a jar, and bytes taken out of one jar in all.
const MAX_FILE: u64 = 8 << 20;
const MAX_NESTED: u64 = 64 << 20;
const MAX_TOTAL: u64 = 512 << 20;
const MAX_ENTRIES: usize = 100_000;

/// Why a jar's metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JarError {
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it cannot be fetched: {0}")]
    Fetch(#[from] reqwest::Error),
    #[error("it is not a jar: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("{0} in it is not configuration metadata: {1}")]
    Json(String, serde_json::Error),
    #[error("{0} in it is larger than a sane jar has it")]
    TooLarge(String),
}

/// Reads the metadata of a jar and of the jars in it.
pub(super) fn read(file: File) -> Result<Options, JarError> {
    let mut archive = ZipArchive::new(file)?;
    let mut found = Found { left: MAX_TOTAL, ..Found::default() };
    found.read(&mut archive)?;
    let is_library = |name: &&str| name.starts_with("BOOT-INF/lib/") && name.ends_with(".jar");
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let nested = names.iter().map(String::as_str).filter(is_library);
    for name in nested {
        let bytes = found.extract(&mut archive, name, MAX_NESTED)?;
        found.read(&mut ZipArchive::new(Cursor::new(bytes))?)?;
    }
    Ok(found.options())
}

/// What has been read so far.
#[derive(Default)]
struct Found {
    documents: Vec<Document>,
    classes: BTreeSet<String>,
    names: BTreeSet<String>,
    inbound: Vec<String>,
    outbound: Vec<String>,
    groups: BTreeMap<String, Vec<String>>,
    /// Bytes that may still be taken out.
    left: u64,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    properties: Vec<Property>,
    #[serde(default)]
    hints: Vec<RawHint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(rename = "type")]
    java_type: Option<String>,
}

#[derive(Deserialize)]
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

#[derive(Deserialize)]
struct RawDeprecation {
    level: Option<String>,
    reason: Option<String>,
    replacement: Option<String>,
}

#[derive(Deserialize)]
struct RawHint {
    name: String,
    #[serde(default)]
    values: Vec<RawValue>,
    #[serde(default)]
    providers: Vec<ValueProvider>,
}

#[derive(Deserialize)]
struct RawValue {
    value: Value,
    description: Option<String>,
}

impl Found {
    fn read<R: Read + Seek>(&mut self, archive: &mut ZipArchive<R>) -> Result<(), JarError> {
        if archive.len() > MAX_ENTRIES {
            return Err(JarError::TooLarge("the list of files".to_owned()));
        }
        if archive.index_for_name(METADATA).is_some() {
            let bytes = self.extract(archive, METADATA, MAX_FILE)?;
            let document =
                serde_json::from_slice(&bytes).map_err(|error| JarError::Json(METADATA.to_owned(), error))?;
            self.documents.push(document);
        }
        for name in LISTS {
            if archive.index_for_name(name).is_some() {
                let bytes = self.extract(archive, name, MAX_FILE)?;
                self.read_lists(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(())
    }

    fn extract<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
        name: &str,
        limit: u64,
    ) -> Result<Vec<u8>, JarError> {
        let limit = limit.min(self.left);
        let mut bytes = Vec::new();
        // What the directory says about sizes is not trusted: reading stops at the limit.
        archive.by_name(name)?.take(limit + 1).read_to_end(&mut bytes)?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(JarError::TooLarge(name.to_owned()));
        }
        self.left -= size;
        Ok(bytes)
    }

    /// Lines of `key=a,b`; a backslash at the end continues a line.
    fn read_lists(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace("\\\n", "");
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!'])) {
            let Some((key, value)) = line.split_once(['=', ':']) else { continue };
            let values =
                value.split(',').map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim() {
                "configuration-properties.classes" => self.classes.extend(values),
                "configuration-properties.names" => self.names.extend(values),
                "configuration-properties.inbound-ports" => self.inbound.extend(values),
                "configuration-properties.outbound-ports" => self.outbound.extend(values),
                key => {
                    if let Some(group) = key.strip_prefix(GROUPS) {
                        self.groups.entry(group.to_owned()).or_default().extend(values);
                    }
                }
            }
        }
    }

    fn options(self) -> Options {
        let mut all = Vec::new();
        for document in &self.documents {
            for property in &document.properties {
                all.push(Described {
                    option: document.option(property),
                    is_visible: self.is_visible(property),
                });
            }
        }
        // A jar and one of its libraries may describe the same option.
        let mut seen = BTreeSet::new();
        all.retain(|described| seen.insert(described.option.id.clone()));
        Options { all, inbound_ports: self.inbound, outbound_ports: self.outbound, groups: self.groups }
    }

    fn is_visible(&self, property: &Property) -> bool {
        let level = property.deprecation.as_ref().and_then(|deprecation| deprecation.level.as_deref());
        let is_gone = level.is_some_and(|level| level.eq_ignore_ascii_case("error"));
        let is_listed = property.source_type.as_ref().is_some_and(|class| self.classes.contains(class));
        !is_gone && (is_listed || self.names.contains(&property.name))
    }
}

impl Document {
    fn option(&self, property: &Property) -> AppOption {
        let description = property.description.clone();
        AppOption {
            id: property.name.clone(),
            name: self.short_name(property).to_owned(),
            java_type: property.java_type.clone(),
            short_description: description.as_deref().map(first_sentence),
            description,
            default_value: property.default_value.clone(),
            hints: self.hints(&property.name),
            deprecation: property.deprecation.as_ref().map(|raw| Deprecation {
                level: raw.level.as_deref().unwrap_or("warning").to_uppercase(),
                reason: raw.reason.clone(),
                short_reason: raw.reason.as_deref().map(first_sentence),
                replacement: raw.replacement.clone(),
            }),
            deprecated: property.deprecated || property.deprecation.is_some(),
        }
    }

    /// The name without that of the group its class makes.
    fn short_name<'a>(&self, property: &'a Property) -> &'a str {
        let groups = self
            .groups
            .iter()
            .filter(|group| property.source_type.is_some() && group.java_type == property.source_type);
        let mut names =
            groups.filter_map(|group| property.name.strip_prefix(group.name.as_str())?.strip_prefix('.'));
        names.next().unwrap_or(&property.name)
    }

    fn hints(&self, id: &str) -> Hints {
        let mut hints = Hints::default();
        for raw in &self.hints {
            let values = raw.values.iter().map(|value| ValueHint {
                value: value.value.clone(),
                short_description: value.description.as_deref().map(first_sentence),
                description: value.description.clone(),
            });
            if raw.name.strip_suffix(".keys") == Some(id) {
                hints.key_hints.extend(values);
                hints.key_providers.extend(raw.providers.iter().cloned());
            } else if raw.name == id || raw.name.strip_suffix(".values") == Some(id) {
                hints.value_hints.extend(values);
                hints.value_providers.extend(raw.providers.iter().cloned());
            }
        }
        hints
    }
}

#[cfg(test)]
mod tests;
