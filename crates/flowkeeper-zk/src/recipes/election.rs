//! Leader election with a numbered epoch.
//!
//! One ephemeral `<base>/holder` names the leader; `<base>/epoch` counts leaderships and is raised in the *same* `multi`
//! that creates the holder. Every write of a leader checks the epoch's version in its own transaction
//! ([`Leadership::fence`]), so a deposed leader's late writes fail however long it slept. Losing the connection is not losing
//! the leadership: only an expired session, or a holder that is not ours, is.

use std::time::Duration;

use zookeeper_client::{Acls, Client, CreateMode, Error, OneshotWatcher, Stat};

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
    epoch_path: String,
    epoch_version: i32,
    session_id: i64,
}

impl Leadership {
    /// The check that must open every write of this leader.
    pub fn fence(&self) -> Txn {
        Txn::new().check(self.epoch_path.clone(), self.epoch_version)
    }

    /// True when `error` says that somebody else has led since.
    pub fn is_deposed_by(&self, error: &TxnError) -> bool {
        error.is_refused(&self.epoch_path, &Error::BadVersion)
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

    /// Waits until this candidate leads. Returns `None` when the connection was closed. Cancel safe: a cancelled campaign
    /// may leave us holder without knowing it, which the next campaign of this session finds and takes up.
    pub async fn campaign(&self) -> Option<Leadership> {
        loop {
            self.connection.connected().await?;
            match self.attempt().await {
                Ok(Some(leadership)) => return Some(leadership),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "election is tried again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// One try. `None` after the present holder went away: try again.
    async fn attempt(&self) -> Result<Option<Leadership>, Error> {
        let client = self.connection.client();
        let everyone = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.mkdir(&self.base, &everyone).await?;
        match client.create(&self.epoch_path(), b"0", &everyone).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error),
        }
        let (epoch, stat) = client.get_data(&self.epoch_path()).await?;
        let epoch = parse_epoch(&epoch);
        let mut txn = Txn::new();
        let (holder, changed) = read_and_watch(&client, &self.holder_path()).await?;
        if let Some((holder, holder_stat)) = holder {
            if holder_stat.ephemeral_owner == client.session_id().0 {
                return Ok(Some(self.leadership(&client, epoch, stat.version)));
            }
            if holder_name(&holder) != Some(self.candidate.as_str()) {
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
            Ok(_) => Ok(Some(self.leadership(&client, epoch + 1, stat.version + 1))),
            // Somebody was faster, or the outcome is unknown: the next attempt looks who holds it.
            Err(TxnError::Refused { .. } | TxnError::Unknown { .. }) => Ok(None),
            Err(TxnError::Unavailable(error)) => Err(error),
            Err(TxnError::TooLarge { .. }) => {
                Err(Error::BadArguments(&"the candidate's description is too large"))
            }
        }
    }

    fn describe_members(&self) -> String {
        if self.describe.is_empty() { String::new() } else { format!(",{}", self.describe) }
    }

    fn leadership(&self, client: &Client, epoch: u64, epoch_version: i32) -> Leadership {
        Leadership { epoch, epoch_path: self.epoch_path(), epoch_version, session_id: client.session_id().0 }
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
