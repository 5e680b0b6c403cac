//! Rewrites documents that are not sealed by the key in use: after a key was replaced, or before there was one.

use futures::future::join_all;
use zookeeper_client::{Client, Error, MultiReadResult};

use super::seal::sealed_by;
use super::{Connection, Txn, TxnError};

/// Documents read by one request, and rewritten at once.
const AT_ONCE: usize = 100;

/// What became of the documents below a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Sealed by the key in use now, and not before.
    pub rewritten: u64,
    /// Not sealed by it: changed by somebody else at the same time, or unreadable. Ask again.
    pub left: u64,
}

impl Connection {
    /// Rewrites what is covered by the seal at and below `root` and not sealed by the key in use, each document by compare
    /// and set. May be cut off and repeated at any time. Without a key in use it does nothing.
    ///
    /// # Errors
    /// When ZooKeeper does not answer; what was rewritten until then stays.
    pub async fn reseal(&self, root: &str) -> Result<Resealed, Error> {
        let mut done = Resealed::default();
        if self.sealed_by().is_none() {
            return Ok(done);
        }
        let client = self.client();
        client.sync(root).await?;
        let mut level = vec![root.to_owned()];
        while !level.is_empty() {
            let mut below = Vec::new();
            for paths in level.chunks(AT_ONCE) {
                let rewrites = self.stale(&client, paths, &mut done).await?;
                let results = join_all(rewrites.into_iter().map(|txn| self.commit(txn))).await;
                for result in results {
                    match result {
                        Ok(_) => done.rewritten += 1,
                        // Gone: nothing is left of it.
                        Err(TxnError::Refused { cause: Error::NoNode, .. }) => {}
                        Err(TxnError::Refused { .. } | TxnError::Unknown { .. }) => done.left += 1,
                        Err(TxnError::Unavailable(error)) => return Err(error),
                        Err(error @ TxnError::TooLarge { .. }) => {
                            tracing::warn!(%error, "a document cannot be sealed");
                            done.left += 1;
                        }
                    }
                }
                below.append(&mut children(&client, paths).await?);
            }
            level = below;
        }
        Ok(done)
    }

    /// One transaction for each document among `paths` that must be rewritten.
    async fn stale(&self, client: &Client, paths: &[String], done: &mut Resealed) -> Result<Vec<Txn>, Error> {
        let covered: Vec<_> = paths.iter().filter(|path| self.seals(path)).collect();
        if covered.is_empty() {
            return Ok(Vec::new());
        }
        let mut reader = client.new_multi_reader();
        for path in &covered {
            reader.add_get_data(path)?;
        }
        let mut rewrites = Vec::new();
        for (path, result) in covered.iter().zip(reader.commit().await?) {
            let MultiReadResult::Data { data, stat } = result else { continue };
            if data.is_empty() || sealed_by(&data) == self.sealed_by() {
                continue;
            }
            match self.sealing().unsealed(path, data) {
                Ok(data) => rewrites.push(Txn::new().set(path.as_str(), data, stat.version)),
                Err((error, _)) => {
                    super::connection::tell_unreadable(path, error);
                    done.left += 1;
                }
            }
        }
        Ok(rewrites)
    }
}

async fn children(client: &Client, parents: &[String]) -> Result<Vec<String>, Error> {
    let mut reader = client.new_multi_reader();
    for path in parents {
        reader.add_get_children(path)?;
    }
    let mut found = Vec::new();
    for (parent, result) in parents.iter().zip(reader.commit().await?) {
        let MultiReadResult::Children { children } = result else { continue };
        found.extend(children.into_iter().map(|child| format!("{parent}/{child}")));
    }
    Ok(found)
}
