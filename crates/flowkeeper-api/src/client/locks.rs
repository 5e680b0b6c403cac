//! Operations on locks and on the leadership.

use reqwest::Method;

use super::{Client, Error};
use crate::cluster::{Leader, Resealed};
use crate::locks::LockInfo;

impl Client {
    /// Who is doing what: all locks, holders before those who wait.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn locks(&self) -> Result<Vec<LockInfo>, Error> {
        self.read(self.get(&["api", "v1", "locks"])).await
    }

    /// Releases a lock by force, which is safe: versions protect what it was taken for.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn release_lock(&self, id: &str) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["api", "v1", "locks", id])).await
    }

    /// Has another server lead; gives it once it does.
    ///
    /// # Errors
    /// [`Kind::Conflict`](super::Kind::Conflict) when there is no other server.
    pub async fn transfer_leadership(&self) -> Result<Leader, Error> {
        self.read(self.call(Method::POST, &["api", "v1", "cluster", "transfer-leadership"])).await
    }

    /// Seals by the key in use every document that is in clear or sealed by another key.
    ///
    /// # Errors
    /// [`Kind::Conflict`](super::Kind::Conflict) when no key is in use.
    pub async fn reseal(&self) -> Result<Resealed, Error> {
        self.read(self.call(Method::POST, &["api", "v1", "cluster", "reseal"])).await
    }
}
