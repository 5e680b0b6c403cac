//! Brings the leader's first key into use once everybody has it, so that nobody meets a document that he cannot read.

use std::time::Duration;

use flowkeeper_deploy::record::{decode, encode};
use flowkeeper_deploy::seal::{SealedRecord, knows};
use flowkeeper_zk::recipes::{KeyId, Leadership, TxnError};
use zookeeper_client::Error;

use crate::meta::record::MetaRecord;
use crate::meta::{Meta, Model, paths};

/// Time between two looks; they cost nothing while the key in use is the right one.
const ROUND: Duration = Duration::from_secs(1);

/// What keeps the key in use current, for one leadership.
#[derive(Debug)]
pub(crate) struct Sealing<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) leadership: &'a Leadership,
}

impl Sealing<'_> {
    /// Runs until the leadership is lost. May be dropped at any await.
    pub(crate) async fn run(&self) {
        let mut timer = tokio::time::interval(ROUND);
        let mut told = Vec::new();
        loop {
            timer.tick().await;
            let connection = self.meta.connection();
            let wanted = connection.keyring().and_then(|ring| ring.first());
            let Some(wanted) = wanted.filter(|wanted| connection.sealed_by() != Some(*wanted)) else {
                continue;
            };
            let lacking = lacking(&self.meta.model(), wanted);
            if !lacking.is_empty() {
                if lacking != told {
                    let who = lacking.join(", ");
                    tracing::warn!(key = %wanted, "the first key of --cluster-key-file is not used yet: {who} lack it");
                    told = lacking;
                }
                continue;
            }
            match self.turn_to(wanted).await {
                Ok(()) => {}
                Err(error) if self.leadership.is_deposed_by(&error) => return,
                Err(error) => tracing::debug!(%error, "the key in use is changed in the next round"),
            }
        }
    }

    async fn turn_to(&self, key: KeyId) -> Result<(), TxnError> {
        let connection = self.meta.connection();
        let (data, stat) = connection.client().get_data(paths::META).await.map_err(TxnError::Unavailable)?;
        let unreadable =
            |_| TxnError::Unavailable(Error::UnexpectedError(format!("{} cannot be read", paths::META)));
        let meta: MetaRecord = decode(paths::META, &data).map_err(unreadable)?;
        let sealed = connection.keyring().and_then(|ring| SealedRecord::new(ring, key));
        if sealed.is_none() || sealed.as_ref().map(|new| &new.key) == meta.sealed.as_ref().map(|old| &old.key)
        {
            return Ok(());
        }
        let meta = MetaRecord { sealed, ..meta };
        connection.commit(self.leadership.fence().set(paths::META, encode(&meta), stat.version)).await?;
        tracing::info!(%key, "documents are sealed by this key from now on");
        Ok(())
    }
}

/// Live servers and agents that do not have `key`.
fn lacking(model: &Model, key: KeyId) -> Vec<String> {
    let servers = model.servers.iter().filter(|(_, server)| !knows(&server.extra, key));
    let agents = model
        .nodes
        .iter()
        .filter(|(_, node)| node.live.as_ref().is_some_and(|live| !knows(&live.extra, key)));
    let servers = servers.map(|(id, _)| format!("server {id}"));
    servers.chain(agents.map(|(id, _)| format!("node {id}"))).collect()
}
