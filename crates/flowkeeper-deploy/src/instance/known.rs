//! What a start needs to know from the metadata: the app as its release describes it, and the defaults of the cluster. Once read it
//! is kept, so that a crashed instance is started again while its node has no contact.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use zookeeper_client::Error;

use super::{Life, StartError};
use crate::record::{ClusterRecord, Manifest, ManifestApp, decode};
use crate::znode;

/// Pause before a read that failed is repeated.
const RETRY: Duration = Duration::from_millis(200);
/// How long a start waits for fresh knowledge when it has some.
const FRESH: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// When the release was made, in milliseconds since 1970.
    pub(super) made: i64,
    pub(super) app: ManifestApp,
    pub(super) defaults: BTreeMap<String, String>,
}

impl Life {
    /// Reads what a start needs. Without contact it is what was read last, and when that is nothing it waits for contact.
    pub(super) async fn know(&mut self) -> Result<Known, StartError> {
        if let Some(known) = &self.known {
            let known = known.clone();
            return match timeout(FRESH, self.learn()).await {
                Ok(learned) => learned,
                Err(_) => Ok(known),
            };
        }
        self.learn().await
    }

    /// Reads it and keeps it; waits until that succeeds.
    pub(super) async fn learn(&mut self) -> Result<Known, StartError> {
        loop {
            match self.read().await {
                Ok(known) => {
                    let known = known?;
                    self.known = Some(known.clone());
                    return Ok(known);
                }
                // The connection reconnects by itself; the order stands until then.
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// The outer error may pass.
    async fn read(&self) -> Result<Result<Known, StartError>, Error> {
        let client = &self.node.connection;
        let path = znode::release(&self.job.instance.stream, self.job.release);
        let data = match client.get_data(&path).await {
            Ok((data, _)) => data,
            Err(Error::NoNode) => {
                let reason = format!("release {} is gone; deploy again", self.job.release);
                return Ok(Err(StartError::Final(reason)));
            }
            Err(error) => return Err(error),
        };
        // None while nobody wrote any. Without them an app would look for the wrong broker, so nothing is guessed.
        let defaults = match client.get_data(znode::CLUSTER).await {
            Ok((data, _)) => decode::<ClusterRecord>(znode::CLUSTER, &data).map(|record| record.defaults),
            Err(Error::NoNode) => Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        Ok(self.understand(&path, &data, defaults))
    }

    fn understand(
        &self,
        path: &str,
        data: &[u8],
        defaults: Result<BTreeMap<String, String>, crate::record::DecodeError>,
    ) -> Result<Known, StartError> {
        let unreadable = |error: crate::record::DecodeError| StartError::Final(error.to_string());
        let manifest: Manifest = decode(path, data).map_err(unreadable)?;
        // A time that cannot be read tells releases apart no more; their numbers in the directory still do.
        let made = manifest.at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
        let app = manifest.apps.into_iter().find(|app| app.label == self.job.instance.app);
        let app = app.ok_or_else(|| {
            StartError::Final(format!("release {} has no app {}", self.job.release, self.job.instance.app))
        })?;
        Ok(Known { made, app, defaults: defaults.map_err(unreadable)? })
    }
}
