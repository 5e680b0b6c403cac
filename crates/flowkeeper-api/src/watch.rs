//! The live feed: what changed, as events.

use serde::{Deserialize, Serialize};

/// Something that changed, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// `stream`, `application`, `app`, `node`, `server` or `leader`.
    pub kind: String,
    /// Its name; of an app `type:name`.
    pub name: String,
    /// False when it is gone: removed, or for a node not alive.
    pub exists: bool,
    /// Of a stream: as in its definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// One sentence about the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Every change up to this transaction was told with or before this one.
    pub zxid: i64,
}
