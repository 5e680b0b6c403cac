//! What only the leader does: it campaigns, and while it leads it runs the reconcilers. Losing the leadership drops them all
//! at once; whatever they had under way fails on the fence.

use std::collections::BTreeMap;
use std::time::Duration;

use flowkeeper_deploy::record::{ClusterRecord, VERSION, decode, encode};
use flowkeeper_deploy::seal::SealRefused;
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::{Election, Leadership, TxnError};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use zookeeper_client::Error;

use crate::app::apps::register_bundled;
use crate::catalog::Catalog;
use crate::meta::{Meta, paths};
use crate::metrics::Metrics;
use crate::reconcile::{Janitor, Mover, Nodes, Sealing, Streams};

/// Pause between two alarms that nobody can lead.
const ALARM_PAUSE: Duration = Duration::from_secs(5);
/// How long a server that was asked to give the leadership away leaves it to others.
const TRANSFER_PAUSE: Duration = Duration::from_secs(10);
/// After how long a new leader tells that it is still reading.
const CATCH_UP_WAIT: Duration = Duration::from_secs(10);
/// Pause after a wish could not be read.
const WISH_PAUSE: Duration = Duration::from_millis(500);

/// How a leadership ended.
enum Ended {
    Deposed,
    Transfer,
    Stop,
}

/// `/leader/wish`: the leader of this epoch is to give way to another server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WishRecord {
    #[serde(default)]
    pub(crate) v: u32,
    pub(crate) epoch: u64,
    /// Server that was asked.
    #[serde(default)]
    pub(crate) by: String,
    /// When, RFC 3339.
    #[serde(default)]
    pub(crate) at: String,
}

/// Everything the leader's loop needs.
#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) meta: Meta,
    pub(crate) metrics: Metrics,
    pub(crate) catalog: Catalog,
    /// Properties every app of the cluster gets unless its own say otherwise.
    pub(crate) defaults: BTreeMap<String, String>,
    pub(crate) election: Election,
}

impl Leader {
    /// Campaigns and leads until `stop`; then resigns, so that another server need not wait for our session to expire.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let won = tokio::select! {
                won = self.election.campaign() => won,
                () = stop.cancelled() => return,
            };
            let leadership = match won {
                Ok(Some(leadership)) => leadership,
                Ok(None) => return,
                Err(error) => {
                    let highest =
                        self.meta.model().states.values().map(|state| state.record.le).max().unwrap_or(0);
                    tracing::error!(alarm = true, highest_epoch_seen = highest, "{error}");
                    tokio::select! {
                        () = tokio::time::sleep(ALARM_PAUSE) => continue,
                        () = stop.cancelled() => return,
                    }
                }
            };
            tracing::info!(leader.epoch = leadership.epoch, "leading");
            self.metrics.is_leader.set(1);
            self.metrics.leader.epoch.set(i64::try_from(leadership.epoch).unwrap_or(i64::MAX));
            let ended = tokio::select! {
                () = self.lead(&leadership) => Ended::Deposed,
                () = self.election.lost(&leadership) => Ended::Deposed,
                () = self.wished_away(&leadership) => Ended::Transfer,
                () = stop.cancelled() => Ended::Stop,
            };
            self.metrics.is_leader.set(0);
            self.metrics.leader.epoch.set(0);
            tracing::info!(leader.epoch = leadership.epoch, "leading no more");
            let resigned = match ended {
                Ended::Deposed => Ok(()),
                Ended::Transfer => self.election.resign_for(&leadership, TRANSFER_PAUSE).await,
                Ended::Stop => self.election.resign(&leadership).await,
            };
            if let Err(error) = resigned {
                tracing::debug!(%error, "could not resign; the leadership ends with the session");
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Runs until this leader is deposed. Dropped at any point without harm: every write stands on its own.
    async fn lead(&self, leadership: &Leadership) {
        self.meta.ready().await;
        // Nothing is decided on a copy that lacks what the predecessor wrote last.
        while !self.meta.wait_applied(leadership.zxid, CATCH_UP_WAIT).await {
            tracing::warn!(
                zxid = leadership.zxid,
                "this leader's copy of the metadata is late, so it does not act yet"
            );
        }
        // What cannot be unsealed looks absent, and what is absent is stopped.
        while let Some(path) = self.meta.connection().unreadable_seal() {
            let refused = SealRefused::FormerKey { path };
            tracing::error!(alarm = true, "this leader does not act: {refused}");
            tokio::time::sleep(ALARM_PAUSE).await;
        }
        if let Err(error) = self.write_defaults(leadership).await {
            tracing::error!(%error, "the cluster's defaults could not be written; apps may look for the wrong broker");
        }
        if let Err(error) = register_bundled(&self.meta, &self.catalog).await {
            tracing::error!(%error, "the bundled apps could not be registered");
        }
        let streams = Streams {
            meta: &self.meta,
            metrics: &self.metrics,
            leadership,
            deadlines: Default::default(),
            failures: Default::default(),
            unplaced: Default::default(),
            reservations: Default::default(),
        };
        let sealing = Sealing { meta: &self.meta, leadership };
        let mover = Mover { meta: &self.meta, streams: &streams };
        let nodes = Nodes { meta: &self.meta, metrics: &self.metrics, leadership };
        let janitor = Janitor { meta: &self.meta, metrics: &self.metrics, leadership };
        tokio::select! {
            () = streams.run() => {}
            () = nodes.run() => {}
            () = mover.run() => {}
            () = janitor.run() => {}
            () = sealing.run() => {}
        }
    }

    /// Waits until somebody wishes that another server leads, and there is one.
    async fn wished_away(&self, leadership: &Leadership) {
        loop {
            let client = self.meta.connection().client();
            match client.get_and_watch_data(paths::WISH).await {
                Ok((data, _, changed)) => {
                    let wish: WishRecord = decode(paths::WISH, &data).unwrap_or_default();
                    if wish.epoch == leadership.epoch && self.meta.model().servers.len() > 1 {
                        return;
                    }
                    changed.changed().await;
                }
                // Not there in a tree of an older version, or the connection is lost.
                Err(_) => tokio::time::sleep(WISH_PAUSE).await,
            }
        }
    }

    async fn write_defaults(&self, leadership: &Leadership) -> Result<(), TxnError> {
        let record = ClusterRecord { v: VERSION, defaults: self.defaults.clone(), extra: Default::default() };
        let data = encode(&record);
        let set = leadership.fence().set(znode::CLUSTER, data.clone(), None);
        match self.meta.connection().commit(set).await {
            Err(error) if error.is_refused(znode::CLUSTER, &Error::NoNode) => {
                self.meta.connection().commit(leadership.fence().create(znode::CLUSTER, data)).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}

/// The election of a cluster, for the server `id` whose API listens at `api`.
pub(crate) fn election(meta: &Meta, id: &str, api: &str) -> Election {
    Election::new(meta.connection().clone(), paths::LEADER, id, format!(r#""api":"{api}""#))
}
