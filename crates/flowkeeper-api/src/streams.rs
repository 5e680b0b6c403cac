//! Stream definitions, their deployments, logs and validation.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::apps::AppOption;
use crate::hal::{Embedded, SelfLink};

/// A stream definition with its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamDefinition {
    pub name: String,
    /// The definition as it stands, with deployed properties; secrets are masked.
    pub dsl_text: String,
    /// The definition as it was typed; secrets are masked.
    pub original_dsl_text: String,
    /// `undeployed`, `deploying`, `deployed`, `partial`, `failed`, `error` or `unknown`.
    pub status: String,
    pub description: String,
    pub status_description: String,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

impl Embedded for StreamDefinition {
    const REL: &'static str = "streamDefinitionResourceList";
}

/// A stream with how it is or was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamDeployment {
    pub stream_name: String,
    pub dsl_text: String,
    pub description: String,
    pub status: String,
    /// A JSON document inside a string: label → properties. Empty unless deployed, or asked for.
    pub deployment_properties: String,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

/// Whether the apps of a stream can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Validation {
    /// Name of the stream.
    pub app_name: String,
    pub dsl: String,
    pub description: String,
    /// `<type>:<label>` → `valid` or `invalid`.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub app_statuses: IndexMap<String, String>,
}

/// Output of apps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Logs {
    /// Deployment id → text.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub logs: IndexMap<String, String>,
}

/// A platform that streams can be deployed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Platform {
    pub id: Option<String>,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub description: String,
    pub options: Vec<AppOption>,
}
