//! `/about` and `/security/info`: what this server is and offers.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::hal::SelfLink;

/// Answer of `GET /about`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct About {
    pub feature_info: FeatureInfo,
    pub version_info: VersionInfo,
    pub security_info: Security,
    pub runtime_environment: RuntimeEnvironment,
    pub monitoring_dashboard_info: MonitoringDashboardInfo,
    pub git_and_build_info: GitAndBuildInfo,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

/// Which areas of the API are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeatureInfo {
    pub analytics_enabled: bool,
    pub streams_enabled: bool,
    pub tasks_enabled: bool,
    pub schedules_enabled: bool,
    pub monitoring_dashboard_type: String,
}

/// Versions of the contract that is spoken; clients compare `core`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionInfo {
    pub implementation: Component,
    pub core: Component,
    pub dashboard: Component,
    pub shell: Component,
}

/// A named part with its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Component {
    pub name: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Who is asking, as part of other documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Security {
    pub authentication_enabled: bool,
    pub authenticated: bool,
    pub username: Option<String>,
    pub roles: Vec<String>,
}

/// Answer of `GET /security/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecurityInfo {
    #[serde(flatten)]
    pub security: Security,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

/// What runs apps and tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuntimeEnvironment {
    pub app_deployer: Deployer,
    pub task_launchers: Vec<Deployer>,
}

/// A deployer; members about Java are empty, because none is involved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deployer {
    pub deployer_implementation_version: String,
    pub deployer_name: String,
    pub deployer_spi_version: String,
    pub java_version: String,
    pub platform_api_version: String,
    pub platform_client_version: String,
    pub platform_host_version: String,
    /// Platform name to type.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub platform_specific_info: IndexMap<String, String>,
    pub platform_type: String,
    pub spring_boot_version: String,
    pub spring_version: String,
}

/// Where dashboards of metrics are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MonitoringDashboardInfo {
    pub url: String,
    pub refresh_interval: u32,
    pub dashboard_type: String,
    pub source: String,
}

/// What this program was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GitAndBuildInfo {
    pub git: Git,
    pub build: Build,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Git {
    pub branch: String,
    pub commit: Commit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Commit {
    pub id: String,
    pub time: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Build {
    pub artifact: String,
    pub name: String,
    pub time: String,
    pub version: String,
    pub group: String,
}
