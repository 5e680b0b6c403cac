//! Locks: who is doing what at this moment.

use serde::{Deserialize, Serialize};

/// One entry of `GET /api/v1/locks`: a lock that is held, or somebody who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockInfo {
    /// What `DELETE /api/v1/locks/{id}` takes, percent-encoded as one segment.
    pub id: String,
    /// `stream` or `cluster`.
    pub scope: String,
    /// The stream, or the purpose.
    pub subject: String,
    /// False: it waits for the one before it.
    pub held: bool,
    /// Id of the server.
    pub who: String,
    /// What it does, as a verb: `deploy`, `destroy`.
    pub what: String,
    /// Id of the operation.
    pub op: String,
    /// RFC 3339.
    pub since: String,
}
