//! Locks with a name tag: one holder at a time, whose document tells who is doing what.
//!
//! A lock is a directory; whoever wants it makes an ephemeral sequential znode there and waits for the one before it. Locks
//! are for manners, not for safety: the versions checked in each write are what protects. So releasing one by force (deleting
//! its znode) is harmless, and a holder that wants to know puts [`Held::check`] before its writes.

use std::time::Duration;

use tokio::time::Instant;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::{Connection, Txn};

/// One lock, for one holder and one purpose.
#[derive(Debug)]
pub struct Lock {
    connection: Connection,
    dir: String,
    op: String,
    tag: Vec<u8>,
}

/// A held lock; dropping it releases it, in the background.
#[derive(Debug)]
pub struct Held {
    connection: Connection,
    incarnation: u64,
    /// Its znode; before that is known what its name begins with.
    path: String,
    /// The transaction by which the lock became ours.
    zxid: i64,
}

/// Why a lock was not had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it and did not let go in time; `owner` is his document.
    #[error("{path} holds the lock")]
    Busy { path: String, owner: Vec<u8> },
    /// While waiting our place in the queue was removed, or the session ended.
    #[error("the wait for {dir} was ended by force")]
    Forced { dir: String },
    #[error("zookeeper does not answer: {0}")]
    Unavailable(Error),
}

impl From<Error> for LockError {
    fn from(error: Error) -> LockError {
        LockError::Unavailable(error)
    }
}

impl Lock {
    /// The lock whose directory is `dir`. `op` is unique per try and free of slashes: it keeps the name unique even when the
    /// directory is created anew and counts from zero. `tag` is shown to whoever has to wait.
    pub fn new(connection: Connection, dir: impl Into<String>, op: &str, tag: Vec<u8>) -> Lock {
        Lock { connection, dir: dir.into(), op: op.to_owned(), tag }
    }

    /// Takes the lock, waiting for at most `limit`. A free lock costs one round trip. Cancel safe: a place in the queue that
    /// nobody waits for any more is given up.
    ///
    /// # Errors
    /// See [`LockError`].
    pub async fn acquire(&self, limit: Duration) -> Result<Held, LockError> {
        let deadline = Instant::now() + limit;
        let prefix = format!("{}/l-{}-", self.dir, self.op);
        let (client, incarnation) = self.connection.client_and_incarnation();
        // From here on whatever happens is cleaned up.
        let mut held =
            Held { connection: self.connection.clone(), incarnation, path: prefix.clone(), zxid: 0 };
        let (mut names, mut zxid) = tokio::time::timeout_at(deadline, self.enqueue(&client, &mut held))
            .await
            .map_err(|_| Error::Timeout)??;
        loop {
            let queue = queue(&self.dir, names);
            let Some(mine) = queue.iter().position(|path| *path == held.path) else {
                return Err(LockError::Forced { dir: self.dir.clone() });
            };
            if mine == 0 {
                held.zxid = zxid;
                return Ok(held);
            }
            let (stat, changed) = client.check_and_watch_stat(&queue[mine - 1]).await?;
            if stat.is_some() && tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                let owner = client.get_data(&queue[0]).await;
                let owner = owner.map(|(data, _)| data).unwrap_or_default();
                return Err(LockError::Busy { path: queue[0].clone(), owner });
            }
            if self.connection.link().incarnation != incarnation {
                return Err(LockError::Forced { dir: self.dir.clone() });
            }
            (names, zxid) = self.list(&client).await?;
        }
    }

    /// Makes our znode and lists the directory, both sent at once: answers come in order.
    async fn enqueue(&self, client: &Client, held: &mut Held) -> Result<(Vec<String>, i64), Error> {
        let prefix = held.path.clone();
        let list = self.connection.acls(&prefix);
        let mode = CreateMode::EphemeralSequential.with_acls(Acls::new(&list));
        loop {
            let created = client.create(&prefix, &self.tag, &mode);
            let listed = self.list(client);
            let (created, listed) = tokio::join!(created, listed);
            match created {
                Ok((_, number)) => {
                    held.path = format!("{prefix}{number}");
                    return listed;
                }
                Err(Error::NoNode) => self.make_directory(client).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The places in the queue, and the transaction that changed it last.
    async fn list(&self, client: &Client) -> Result<(Vec<String>, i64), Error> {
        let (names, stat) = client.get_children(&self.dir).await?;
        Ok((names, stat.pzxid))
    }

    /// The directory is a container: the server removes it some time after the last lock in it.
    async fn make_directory(&self, client: &Client) -> Result<(), Error> {
        if let Some((parent, _)) = self.dir.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            self.connection.mkdir(parent).await?;
        }
        let list = self.connection.acls(&self.dir);
        match client.create(&self.dir, &[], &CreateMode::Container.with_acls(Acls::new(&list))).await {
            Ok(_) | Err(Error::NodeExists) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Held {
    /// Makes a transaction fail when the lock was lost meanwhile.
    pub fn check(&self) -> Txn {
        Txn::new().check(self.path.clone(), -1)
    }

    /// The last change of the queue before the lock was ours: everything that earlier holders wrote came before it.
    pub fn zxid(&self) -> i64 {
        self.zxid
    }

    /// The znode that stands for the lock.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.delete_later(self.incarnation, std::mem::take(&mut self.path));
    }
}

/// Paths of the locks in a directory, the holder's first.
fn queue(dir: &str, names: Vec<String>) -> Vec<String> {
    let mut numbered: Vec<_> =
        names.into_iter().filter_map(|name| Some((number(&name)?, format!("{dir}/{name}")))).collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// The number that the server put behind a name of ours.
fn number(name: &str) -> Option<i64> {
    let (_, digits) = name.strip_prefix("l-")?.rsplit_once('-')?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_by_number_whatever_the_operations_are_called() {
        let names = ["l-b-0000000002", "l-a-0000000010", "other", "l-z-0000000001", "l-x"];
        let found = queue("/d", names.map(str::to_owned).to_vec());
        assert_eq!(found, ["/d/l-z-0000000001", "/d/l-b-0000000002", "/d/l-a-0000000010"]);
    }
}
