//! What runs: streams, their apps, the instances of these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hal::{Collection, Embedded, Link, SelfLink};

/// The apps of a stream that is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamStatus {
    pub name: String,
    pub applications: Collection<AppStatus>,
    /// Release that runs, or `no apps`.
    pub version: String,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

impl Embedded for StreamStatus {
    const REL: &'static str = "streamStatusResourceList";
}

/// An app of a deployed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppStatus {
    /// `<stream>.<label>-v<release>`.
    pub deployment_id: String,
    pub state: String,
    pub instances: Collection<AppInstanceStatus>,
    /// Registered name, or `no-instances`.
    pub name: String,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

impl Embedded for AppStatus {
    const REL: &'static str = "appStatusResourceList";
}

/// One running copy of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppInstanceStatus {
    /// `<deployment id>-<index>`.
    pub instance_id: String,
    pub state: String,
    /// `guid`, `port`, `url`, `pid`, `stdout`, `stderr`, `working.dir`, `skipper.…`.
    pub attributes: BTreeMap<String, String>,
    pub guid: String,
    #[serde(rename = "_links")]
    pub links: InstanceLinks,
}

impl Embedded for AppInstanceStatus {
    const REL: &'static str = "appInstanceStatusResourceList";
}

/// The links of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceLinks {
    #[serde(rename = "self")]
    pub self_link: Link,
    /// Where a message can be posted to it; only while its address is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<Link>,
}

/// A request to an actuator endpoint of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActuatorRequest {
    /// Path below `/actuator`: `/loggers/org.example`.
    pub endpoint: String,
    #[serde(default)]
    pub body: serde_json::Map<String, serde_json::Value>,
}
