//! Who does what: the lock board, and moving the leadership.

use std::time::Duration;

use flowkeeper_api::cluster::{Leader, Resealed};
use flowkeeper_api::locks::LockInfo;
use flowkeeper_deploy::record::{VERSION, encode};
use flowkeeper_deploy::{seal, znode};
use flowkeeper_zk::recipes::{Txn, TxnError};
use zookeeper_client::Error as Cause;

use super::Error;
use crate::clock;
use crate::leader::WishRecord;
use crate::meta::record::HolderRecord;
use crate::meta::{LOCKS, LockRefused, Meta, paths};
use crate::state::AppState;

/// How long a transfer may take until it counts as failed.
const TRANSFER_WAIT: Duration = Duration::from_secs(15);

/// All locks, those that are held before those that wait for them.
pub fn locks(meta: &Meta) -> Vec<LockInfo> {
    let mut all: Vec<_> = meta.locks().into_iter().collect();
    // By directory and number: the operation's id in between says nothing of the order.
    let order = |path: &str| {
        let (dir, name) = path.rsplit_once('/').unwrap_or_default();
        (dir.to_owned(), name.rsplit('-').next().unwrap_or_default().to_owned())
    };
    all.sort_by_cached_key(|(path, _)| order(path));
    let mut last = String::new();
    let mut list = Vec::with_capacity(all.len());
    for (path, record) in all {
        let dir = order(&path).0;
        let (scope, subject) = subject(&dir);
        list.push(LockInfo {
            id: path[LOCKS.len() + 1..].to_owned(),
            scope: scope.to_owned(),
            subject,
            held: dir != last,
            who: record.who,
            what: record.what,
            op: record.op,
            since: record.since,
        });
        last = dir;
    }
    list
}

fn subject(dir: &str) -> (&'static str, String) {
    let parts: Vec<&str> = dir[LOCKS.len()..].split('/').skip(1).collect();
    let name = |segment: &str| znode::decode(segment).unwrap_or_else(|| segment.to_owned());
    match parts.as_slice() {
        ["s", _, stream] => ("stream", name(stream)),
        [_, purpose] => ("cluster", name(purpose)),
        _ => ("cluster", parts.join("/")),
    }
}

/// Releases a lock by force: harmless, because record versions protect what it was taken for.
///
/// # Errors
/// `NoLock` when there is none of this id.
pub async fn release(meta: &Meta, id: &str) -> Result<(), Error> {
    // Only what the board shows: no other znode can be named.
    let path = format!("{LOCKS}/{id}");
    if meta.locks().contains_key(&path) && meta.force_release(&path).await? {
        return Ok(());
    }
    Err(Error::NoLock(id.to_owned()))
}

/// Has another server lead; returns it once it does.
///
/// # Errors
/// `NoOtherServer` when there is none, `Unavailable` when nobody leads or nobody took over in time.
pub async fn transfer(state: &AppState) -> Result<Leader, Error> {
    let meta = &state.meta;
    // The wish names an epoch, so it must be the present one; and between two leaders the next one is waited for.
    let barrier = meta.strong_barrier(meta.server_name(), TRANSFER_WAIT).await;
    barrier.map_err(|error| Error::Unavailable(error.to_string()))?;
    if meta.model().servers.len() < 2 {
        return Err(Error::NoOtherServer);
    }
    meta.wait_until(TRANSFER_WAIT, |model| model.leader.is_some()).await;
    let leader = meta.model().leader.clone();
    let leader =
        leader.ok_or_else(|| Error::Unavailable("no server leads at this moment; try again".to_owned()))?;
    let wish =
        WishRecord { v: VERSION, epoch: leader.epoch, by: meta.server_name().to_owned(), at: clock::now() };
    write_wish(meta, &wish).await?;
    let is_moved = |holder: &HolderRecord| holder.epoch > leader.epoch;
    meta.wait_until(TRANSFER_WAIT, |model| model.leader.as_deref().is_some_and(is_moved)).await;
    let now = meta.model().leader.clone();
    match now.filter(|holder| is_moved(holder)) {
        Some(holder) => Ok(Leader { id: holder.id.clone(), api: holder.api.clone(), epoch: holder.epoch }),
        None => Err(Error::Unavailable(format!(
            "no other server took the leadership over within {} s; see 'flowkeeper cluster status'",
            TRANSFER_WAIT.as_secs()
        ))),
    }
}

/// Seals every document by the key in use that is in clear or sealed by another one.
///
/// # Errors
/// `NoClusterKey` when no key is in use, `Locked` when somebody else is at it, `Unavailable` when ZooKeeper does not answer;
/// what was rewritten until then stays.
pub async fn reseal(meta: &Meta) -> Result<Resealed, Error> {
    let _lock = meta.lock_purpose("reseal").await?;
    // The key in use may have changed a moment ago.
    seal::adopt(meta.connection()).await.map_err(|error| Error::Unavailable(error.to_string()))?;
    if meta.connection().sealed_by().is_none() {
        return Err(Error::NoClusterKey);
    }
    let resealed = meta.reseal().await.map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(Resealed {
        key: resealed.key.map(|key| key.to_string()).unwrap_or_default(),
        rewritten: resealed.rewritten,
        left: resealed.left,
    })
}

/// Every server may wish; the wish names the epoch it is about, so an old one does nothing.
async fn write_wish(meta: &Meta, wish: &WishRecord) -> Result<(), Error> {
    let data = encode(wish);
    let set = meta.connection().commit(Txn::new().set(paths::WISH, data.clone(), None)).await;
    let written = match set {
        Err(TxnError::Refused { cause: Cause::NoNode, .. }) => {
            meta.connection().commit(Txn::new().create(paths::WISH, data)).await
        }
        other => other,
    };
    match written {
        // Of unknown outcome: whether the leadership moves tells.
        Ok(_) | Err(TxnError::Unknown { .. }) => Ok(()),
        Err(error) => Err(Error::Unavailable(error.to_string())),
    }
}

impl From<LockRefused> for Error {
    fn from(refused: LockRefused) -> Error {
        match refused {
            LockRefused::Busy { .. } => Error::Locked(refused.to_string()),
            LockRefused::Unavailable(reason) => Error::Unavailable(reason),
        }
    }
}
