//! The app registry: registered programs and their options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hal::{Embedded, SelfLink};

/// A registered version of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppRegistration {
    pub name: String,
    /// `app`, `source`, `processor`, `sink` or `task`.
    #[serde(rename = "type")]
    pub kind: String,
    pub uri: String,
    pub version: String,
    pub default_version: bool,
    /// Generation of Spring Boot, `2` or `3`.
    pub boot_version: String,
    /// All versions of the app; only in lists of default versions.
    pub versions: Option<Vec<String>>,
    /// Name within a stream; only in the list of a stream's apps.
    pub label: Option<String>,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

impl Embedded for AppRegistration {
    const REL: &'static str = "appRegistrationResourceList";
}

/// A registered version of an app with its options. Has no links, as in SCDF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DetailedApp {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub uri: String,
    pub version: String,
    pub default_version: bool,
    pub boot_version: String,
    pub versions: Option<Vec<String>>,
    pub label: Option<String>,
    pub options: Vec<AppOption>,
    pub short_description: Option<String>,
    pub inbound_port_names: Vec<String>,
    pub outbound_port_names: Vec<String>,
    /// Group name to ids of options.
    pub option_groups: BTreeMap<String, Vec<String>>,
}

/// An option of an app, as Spring Boot's configuration metadata describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppOption {
    /// Full name.
    pub id: String,
    /// What people type.
    pub name: String,
    /// Java type: `java.lang.String`.
    #[serde(rename = "type")]
    pub java_type: Option<String>,
    pub description: Option<String>,
    /// First sentence of the description.
    pub short_description: Option<String>,
    pub default_value: Value,
    pub hints: Hints,
    pub deprecation: Option<Deprecation>,
    pub deprecated: bool,
}

/// Proposed keys and values of an option.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hints {
    pub key_hints: Vec<ValueHint>,
    pub key_providers: Vec<ValueProvider>,
    pub value_hints: Vec<ValueHint>,
    pub value_providers: Vec<ValueProvider>,
}

/// A proposed value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValueHint {
    pub value: Value,
    pub description: Option<String>,
    pub short_description: Option<String>,
}

/// A source of proposals, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValueProvider {
    pub name: String,
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
}

/// Why an option should not be used any more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deprecation {
    /// `WARNING` or `ERROR`.
    pub level: String,
    pub reason: Option<String>,
    pub short_reason: Option<String>,
    pub replacement: Option<String>,
}
