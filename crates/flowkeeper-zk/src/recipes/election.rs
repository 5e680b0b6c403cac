//! Leader election with a numbered epoch.
//!
//! One ephemeral `<base>/holder` names the leader; `<base>/epoch` counts leaderships and is raised in the *same* `multi`
//! that creates the holder. Every write of a leader checks the epoch's version in its own transaction
//! ([`Leadership::fence`]), so a deposed leader's late writes fail however long it slept. Losing the connection is not losing
//! the leadership: only an expired session, or a holder that is not ours, is.
//!
//! The epoch is created once, when a tree is laid out ([`Election::prepare`]), and never by a candidate: one that is missing
//! later was deleted by somebody, and a new one would start at a version that an old leader may still hold.

use std::time::Duration;

use tokio::time::Instant;
use zookeeper_client::{Client, Error, OneshotWatcher, Stat};

use super::{Connection, LinkState, Txn, TxnError};

/// Takes part in one election, for one candidate.
#[derive(Debug)]
pub struct Election {
    connection: Connection,
    base: String,
    candidate: String,
    describe: String,
}

/// A won election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Number of this leadership, growing by one with each election.
    pub epoch: u64,
    /// The transaction that won it, or a later one. A leader must not decide before its copy of the tree contains it: what
    /// its predecessor wrote last lies before.
    pub zxid: i64,
    epoch_path: String,
    epoch_version: i32,
    session_id: i64,
}

/// Why nobody can be elected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionError {
    /// Somebody deleted it.
    #[error(
        "{path} is missing, so nobody can lead: the fence of leaders was deleted by hand, and making it again by itself could let \
         an old leader write; stop all servers, create {path} with a number above every earlier epoch, and start them again"
    )]
    NoEpoch { path: String },
}

impl Leadership {
    /// The check that must open every write of this leader.
    pub fn fence(&self) -> Txn {
        if crate::mutant::is("no-epoch-check") {
            return Txn::new();
        }
        Txn::new().check(self.epoch_path.clone(), self.epoch_version)
    }

    /// True when `error` says that somebody else has led since, or that the fence itself is gone.
    pub fn is_deposed_by(&self, error: &TxnError) -> bool {
        error.is_refused(&self.epoch_path, &Error::BadVersion)
            || error.is_refused(&self.epoch_path, &Error::NoNode)
    }
}

impl Election {
    /// `candidate` must be unique among live processes and stable over restarts of one installation (it is guarded by a
    /// lock on that installation's data folder): a holder left by an earlier process of the same candidate is taken over at
    /// once instead of waited for. `describe` is stored beside it, as the JSON text of an object's members.
    pub fn new(
        connection: Connection,
        base: impl Into<String>,
        candidate: impl Into<String>,
        describe: String,
    ) -> Self {
        Election { connection, base: base.into(), candidate: candidate.into(), describe }
    }

    fn epoch_path(&self) -> String {
        format!("{}/epoch", self.base)
    }

    fn holder_path(&self) -> String {
        format!("{}/holder", self.base)
    }

    /// Makes the epoch of a tree that never had a leader. Harmless when it is there.
    ///
    /// # Errors
    /// Those of the transaction.
    pub async fn prepare(connection: &Connection, base: &str) -> Result<(), TxnError> {
        connection.mkdir(base).await.map_err(TxnError::Unavailable)?;
        match connection.commit(Txn::new().create(format!("{base}/epoch"), "0")).await {
            Ok(_) | Err(TxnError::Refused { cause: Error::NodeExists, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until this candidate leads. Returns `None` when the connection was closed. Cancel safe: a cancelled campaign
    /// may leave us holder without knowing it, which the next campaign of this session finds and takes up.
    ///
    /// # Errors
    /// [`ElectionError::NoEpoch`]: nobody can lead until a person has repaired the tree.
    pub async fn campaign(&self) -> Result<Option<Leadership>, ElectionError> {
        loop {
            if self.connection.connected().await.is_none() {
                return Ok(None);
            }
            match self.attempt().await {
                Ok(Some(leadership)) => return Ok(Some(leadership)),
                Ok(None) => {}
                Err(Error::NoNode) => return Err(ElectionError::NoEpoch { path: self.epoch_path() }),
                Err(error) => {
                    tracing::debug!(%error, "election is tried again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// One try. `None` after the present holder went away, or when it must be looked again who holds it: try again.
    async fn attempt(&self) -> Result<Option<Leadership>, Error> {
        let client = self.connection.client();
        let (epoch, stat) = client.get_data(&self.epoch_path()).await?;
        let epoch = parse_epoch(&epoch);
        let mut txn = Txn::new();
        let (holder, changed) = read_and_watch(&client, &self.holder_path()).await?;
        if let Some((holder, holder_stat)) = holder {
            let is_mine = holder_stat.ephemeral_owner == client.session_id().0;
            if is_mine && let Some(leadership) = self.verified(&client).await? {
                return Ok(Some(leadership));
            }
            if !is_mine && holder_name(&holder) != Some(self.candidate.as_str()) {
                changed.changed().await;
                return Ok(None);
            }
            txn = txn.delete(self.holder_path(), holder_stat.version);
        }
        let data = format!(
            r#"{{"v":1,"id":"{}","epoch":{}{}}}"#,
            self.candidate,
            epoch + 1,
            self.describe_members()
        );
        txn = txn.create_ephemeral(self.holder_path(), data);
        txn = txn.set(self.epoch_path(), (epoch + 1).to_string(), stat.version);
        match self.connection.commit(txn).await {
            Ok(_) => self.verified(&self.connection.client()).await,
            // Somebody was faster, or the outcome is unknown: the next attempt looks who holds it.
            Err(TxnError::Refused { .. } | TxnError::Unknown { .. }) => Ok(None),
            Err(TxnError::Unavailable(error)) => Err(error),
            Err(TxnError::TooLarge { .. }) => {
                Err(Error::BadArguments(&"the candidate's description is too large"))
            }
        }
    }

    /// The leadership, if the holder really is of this client's session. Read after a `sync`, so that nothing that was
    /// committed before is overlooked.
    async fn verified(&self, client: &Client) -> Result<Option<Leadership>, Error> {
        client.sync(&self.epoch_path()).await?;
        let (epoch, epoch_stat) = client.get_data(&self.epoch_path()).await?;
        let Some(holder) = client.check_stat(&self.holder_path()).await? else { return Ok(None) };
        let session_id = client.session_id().0;
        if holder.ephemeral_owner != session_id || holder.czxid != epoch_stat.mzxid {
            return Ok(None);
        }
        Ok(Some(Leadership {
            epoch: parse_epoch(&epoch),
            zxid: epoch_stat.mzxid,
            epoch_path: self.epoch_path(),
            epoch_version: epoch_stat.version,
            session_id,
        }))
    }

    fn describe_members(&self) -> String {
        if self.describe.is_empty() { String::new() } else { format!(",{}", self.describe) }
    }

    /// Waits until `leadership` is lost for good: another session, a holder that is not ours, or a closed connection.
    /// Mere disconnection does not end it. Cancel safe.
    pub async fn lost(&self, leadership: &Leadership) {
        let mut link = self.connection.watch_link();
        loop {
            let now = *link.borrow_and_update();
            match now.state {
                LinkState::Closed => return,
                LinkState::Connected if now.session_id != leadership.session_id => return,
                LinkState::Connected => {
                    let client = self.connection.client();
                    match read_and_watch(&client, &self.holder_path()).await {
                        Ok((Some((_, stat)), changed)) if stat.ephemeral_owner == leadership.session_id => {
                            tokio::select! {
                                _ = changed.changed() => {}
                                moved = link.changed() => if moved.is_err() { return },
                            }
                            continue;
                        }
                        Ok(_) => return,
                        Err(_) => {}
                    }
                }
                LinkState::Suspended => {}
            }
            if link.changed().await.is_err() {
                return;
            }
        }
    }

    /// Gives the leadership up at once, so that another candidate need not wait for our session to expire.
    ///
    /// # Errors
    /// The client's error; the leadership then ends with the session.
    pub async fn resign(&self, leadership: &Leadership) -> Result<(), TxnError> {
        self.connection.commit(leadership.fence().delete(self.holder_path(), None)).await.map(drop)
    }

    /// Gives the leadership to somebody else: resigns, and returns when another candidate leads or `pause` is over. Campaign
    /// again only then.
    ///
    /// # Errors
    /// That of [`Election::resign`]; the leadership may go on then.
    pub async fn resign_for(&self, leadership: &Leadership, pause: Duration) -> Result<(), TxnError> {
        self.resign(leadership).await?;
        let deadline = Instant::now() + pause;
        while Instant::now() < deadline {
            let client = self.connection.client();
            let look = async {
                let (_, changed) = read_and_watch(&client, &self.holder_path()).await?;
                // Whoever took over may have given way already: the epoch tells of him, the holder does not.
                let (epoch, _) = client.get_data(&self.epoch_path()).await?;
                Ok::<_, Error>((parse_epoch(&epoch) > leadership.epoch, changed))
            };
            match look.await {
                Ok((true, _)) => return Ok(()),
                Ok((false, changed)) => drop(tokio::time::timeout_at(deadline, changed.changed()).await),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Ok(())
    }
}

fn parse_epoch(data: &[u8]) -> u64 {
    std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Reads `"id":"…"` out of the holder's JSON: candidates are plain words, so no escape can occur.
fn holder_name(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    let rest = &text[text.find(r#""id":""#)? + 6..];
    rest.split('"').next()
}

/// Data and stat of `path` if it exists, and a watcher that fires when that changes, existence included.
async fn read_and_watch(
    client: &Client,
    path: &str,
) -> Result<(Option<(Vec<u8>, Stat)>, OneshotWatcher), Error> {
    loop {
        match client.get_and_watch_data(path).await {
            Ok((data, stat, watcher)) => return Ok((Some((data, stat)), watcher)),
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
        if let (None, watcher) = client.check_and_watch_stat(path).await? {
            return Ok((None, watcher));
        }
        // Created in between: read it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_candidate_out_of_the_holder() {
        assert_eq!(holder_name(br#"{"v":1,"id":"s-1","epoch":7,"api":"x"}"#), Some("s-1"));
        assert_eq!(holder_name(b"rubbish"), None);
        assert_eq!(holder_name(&[0xff]), None);
    }
}
