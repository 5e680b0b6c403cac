//! Releases of streams, as Skipper tells them, and the request that replaces one.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One release of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    /// Name of the stream.
    pub name: String,
    /// From 1.
    pub version: u32,
    pub info: ReleaseInfo,
    pub pkg: Package,
    /// What the release changed, as YAML.
    pub config_values: ConfigValues,
    pub manifest: ReleaseManifest,
    pub platform_name: String,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseInfo {
    pub status: ReleaseStatus,
    /// `2026-11-25T07:14:42.670+0000`.
    pub first_deployed: String,
    pub last_deployed: String,
    pub deleted: Option<String>,
    /// One sentence: what was done, or why it failed.
    pub description: String,
}

/// State of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseStatus {
    /// `UNKNOWN` while it replaces another, `DEPLOYED`, `DELETED` or `FAILED`.
    pub status_code: String,
    /// A JSON document inside a string: what its apps are; only of the release that runs.
    pub platform_status: Option<String>,
}

/// The package that a release was made of. Flowkeeper has no packages; this is what clients expect to see of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Package {
    pub metadata: PackageMetadata,
    /// Always empty.
    pub templates: Vec<String>,
    /// One package per app.
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub dependencies: Vec<Package>,
    pub config_values: Option<ConfigValues>,
    /// Always empty.
    pub file_holders: Vec<String>,
}

/// Names of a package. What is not known is the text `null`, as Skipper prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PackageMetadata {
    pub api_version: String,
    pub origin: String,
    pub repository_id: Option<u32>,
    pub repository_name: String,
    pub kind: String,
    pub name: String,
    pub display_name: String,
    pub version: String,
    pub package_source_url: String,
    pub package_home_url: String,
    pub tags: String,
    pub maintainer: String,
    pub description: String,
    pub sha256: String,
    pub icon_url: String,
}

/// A YAML text, secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigValues {
    pub raw: Option<String>,
}

/// A manifest as YAML, secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseManifest {
    pub data: String,
}

/// Body of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateStream {
    /// Name of the stream; the one in the path counts.
    pub release_name: Option<String>,
    pub package_identifier: Option<PackageIdentifier>,
    /// Deployment properties to set; `null` removes one.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Option<String>>))]
    pub update_properties: Option<IndexMap<String, Option<String>>>,
    /// Replace apps even where nothing differs.
    pub force: Option<bool>,
    /// Which apps `force` is about; all when absent or empty.
    pub app_names: Option<Vec<String>>,
}

/// How SCDF's clients name a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PackageIdentifier {
    pub repository_name: Option<String>,
    pub package_name: Option<String>,
    pub package_version: Option<String>,
}
