//! Stream applications, which are sets of streams that are changed as one, and the documents they are written in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// One document of a file: a stream application (it has a name), streams that belong to none, or registrations of apps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Document {
    /// Name of the stream application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the stream application is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<DocumentStream>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<DocumentApp>,
}

/// A stream in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentStream {
    pub name: String,
    /// As it is typed: `http | filter | log`.
    pub definition: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Deployment properties: `app.http.path-pattern`, `deployer.log.count`, `version.log`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "each_key_once")]
    pub properties: BTreeMap<String, String>,
}

/// A registered version of an app in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentApp {
    /// `source`, `processor`, `sink`, `task` or `app`.
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    /// Taken from the URI when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_uri: Option<String>,
    /// Generation of Spring Boot: `2` or `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_version: Option<String>,
    /// It becomes the default version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// A stream application in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationSummary {
    pub name: String,
    pub description: String,
    /// What it is: its newest release that did not fail, from 1.
    pub release: u32,
    /// As that of a stream, of its streams together: `deployed`, `partial`, …
    pub status: String,
    /// How many streams it has.
    pub streams: usize,
}

/// A stream application with what its streams are, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Application {
    pub name: String,
    pub description: String,
    /// What it is: its newest release that did not fail, from 1.
    pub release: u32,
    /// As that of a stream, of its streams together.
    pub status: String,
    /// In the order of the document.
    pub streams: Vec<ApplicationStream>,
}

/// A stream of an application, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationStream {
    pub name: String,
    pub definition: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// As in `status` of a stream definition.
    pub status: String,
    /// The release that runs or is to run, 0 when there is none.
    pub release: u32,
    /// Why it is not as wanted, or what became of its newest release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Nothing of it is being started, replaced or stopped.
    pub settled: bool,
}

/// What a change of a stream application did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationChanges {
    pub name: String,
    /// What the application is: the release that this change made, else its newest one that did not fail; 0 when there is none.
    pub release: u32,
    /// In the order of the document, then streams that are removed.
    pub changes: Vec<StreamChange>,
    /// The change was made; false when there was nothing to change, and when it was only asked for what would be.
    pub applied: bool,
}

/// What happens to one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamChange {
    pub stream: String,
    pub action: ChangeAction,
    /// What differs and what follows from it, a line each, secrets masked.
    pub details: Vec<String>,
}

/// What is done to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChangeAction {
    /// It is new.
    Create,
    /// Its definition, properties or description differ.
    Update,
    /// It is gone from the document: it is stopped and destroyed.
    Remove,
    /// It is started.
    Deploy,
    /// It is stopped.
    Undeploy,
    /// It stays as it is.
    Unchanged,
}

/// A release of a stream application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplicationRelease {
    pub release: u32,
    /// What made it: `apply`, `deploy`, `rollback`.
    pub from: String,
    /// When it was made, RFC 3339 in UTC.
    pub at: String,
    /// `current`, `updating` while its streams take the place of earlier ones, `failed` when they went back, `replaced`.
    pub status: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub streams: Vec<ReleasedStream>,
}

/// A stream of a release of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleasedStream {
    pub name: String,
    /// Release of the stream that it ran then; 0 when it was not deployed.
    pub release: u32,
}

/// Reads a map whose keys must all differ.
fn each_key_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Properties;

    impl<'de> Visitor<'de> for Properties {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("properties, each with a text")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut properties = BTreeMap::new();
            while let Some((key, value)) = map.next_entry()? {
                match properties.entry(key) {
                    Entry::Vacant(place) => drop(place.insert(value)),
                    Entry::Occupied(place) => {
                        return Err(A::Error::custom(format_args!(
                            "property `{}` is given twice",
                            place.key()
                        )));
                    }
                }
            }
            Ok(properties)
        }
    }

    deserializer.deserialize_map(Properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Document, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_document_is_strict() {
        let stream = |more: &str| {
            read(&format!(r#"{{"name":"a","streams":[{{"name":"s","definition":"time | log"{more}}}]}}"#))
        };
        assert_eq!(stream("").unwrap().streams[0].name, "s");
        for (more, reason) in [
            (r#","defintion":"x""#, "unknown field `defintion`"),
            (r#","properties":{"a":1}"#, "expected a string"),
            (r#","properties":{"a":"1","a":"2"}"#, "property `a` is given twice"),
            (r#","properties":[]"#, "expected properties, each with a text"),
        ] {
            let error = stream(more).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_empty_is_not_written() {
        let document = Document {
            name: Some("a".into()),
            streams: vec![DocumentStream {
                name: "s".into(),
                definition: "log".into(),
                ..DocumentStream::default()
            }],
            ..Document::default()
        };
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(text, r#"{"name":"a","streams":[{"name":"s","definition":"log"}]}"#);
        assert_eq!(read(&text).unwrap(), document);
    }
}
