//! What tests and support look at.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::respond::Json;
use crate::state::AppState;

/// Which state of the tree this server's copy shows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CacheHash {
    /// Every transaction up to this one is in the copy.
    zxid: i64,
    /// Over path, czxid, mzxid and version of every znode: equal on servers that show the same.
    hash: String,
    znodes: usize,
}

/// The fingerprint of this server's copy of the metadata: when nothing is being changed all servers answer the same.
#[utoipa::path(get, path = "/debug/cachehash", tag = "flowkeeper", responses((status = 200, body = CacheHash)))]
pub(super) async fn cache_hash(State(state): State<AppState>) -> Json<CacheHash> {
    let copy = state.meta.copy_state();
    let znodes = copy.fingerprint.znodes;
    Json(CacheHash { zxid: copy.zxid, hash: copy.fingerprint.to_string(), znodes })
}
