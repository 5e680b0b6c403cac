//! Records of what was done by whom.

use serde::{Deserialize, Serialize};

use crate::hal::{Embedded, SelfLink};

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Grows with time, with gaps.
    pub audit_record_id: u64,
    /// `None` while nobody needs to sign in.
    pub created_by: Option<String>,
    /// Name of what it was done to.
    pub correlation_id: String,
    /// A definition, or a JSON document as a text; secrets are masked.
    pub audit_data: String,
    /// `2026-11-25T07:21:56.553346Z`.
    pub created_on: String,
    /// `CREATE`, `DELETE`, `DEPLOY`, `ROLLBACK`, `UNDEPLOY`, `UPDATE` or `LOGIN_SUCCESS`.
    pub audit_action: String,
    /// `APP_REGISTRATION`, `SCHEDULE`, `STREAM`, `TASK` or `LOGIN`.
    pub audit_operation: String,
    pub platform_name: Option<String>,
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

impl Embedded for AuditRecord {
    const REL: &'static str = "auditRecordResourceList";
}

/// A kind of thing that records are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditOperationType {
    pub id: u32,
    pub name: String,
    pub key: String,
}

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditActionType {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub key: String,
    pub name_with_description: String,
}
