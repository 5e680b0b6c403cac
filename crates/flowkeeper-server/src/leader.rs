//! What only the leader does: it campaigns, and while it leads it runs the reconcilers. Losing the leadership drops them all
//! at once; whatever they had under way fails on the fence.

use std::collections::BTreeMap;

use flowkeeper_deploy::record::{ClusterRecord, VERSION, encode};
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::{Election, Leadership, TxnError};
use tokio_util::sync::CancellationToken;
use zookeeper_client::Error;

use crate::app::apps::register_bundled;
use crate::catalog::Catalog;
use crate::meta::{Meta, paths};
use crate::metrics::Metrics;
use crate::reconcile::{Janitor, Streams};

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
            let leadership = tokio::select! {
                won = self.election.campaign() => won,
                () = stop.cancelled() => return,
            };
            let Some(leadership) = leadership else { return };
            tracing::info!(leader.epoch = leadership.epoch, "leading");
            self.metrics.is_leader.set(1);
            let is_stopping = tokio::select! {
                () = self.lead(&leadership) => false,
                () = self.election.lost(&leadership) => false,
                () = stop.cancelled() => true,
            };
            self.metrics.is_leader.set(0);
            tracing::info!(leader.epoch = leadership.epoch, "leading no more");
            if is_stopping {
                if let Err(error) = self.election.resign(&leadership).await {
                    tracing::debug!(%error, "could not resign; the leadership ends with the session");
                }
                return;
            }
        }
    }

    /// Runs until this leader is deposed. Dropped at any point without harm: every write stands on its own.
    async fn lead(&self, leadership: &Leadership) {
        self.meta.ready().await;
        if let Err(error) = self.write_defaults(leadership).await {
            tracing::error!(%error, "the cluster's defaults could not be written; apps may look for the wrong broker");
        }
        if let Err(error) = register_bundled(&self.meta, &self.catalog).await {
            tracing::error!(%error, "the bundled apps could not be registered");
        }
        let streams =
            Streams { meta: &self.meta, metrics: &self.metrics, leadership, deadlines: Default::default() };
        let janitor = Janitor { meta: &self.meta, leadership };
        tokio::select! {
            () = streams.run() => {}
            () = janitor.run() => {}
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
