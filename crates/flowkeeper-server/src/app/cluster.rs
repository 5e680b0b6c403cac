//! What the cluster consists of: servers, nodes, ZooKeeper's servers, and how long changes take.

use std::collections::BTreeMap;

use flowkeeper_api::cluster::{
    Cluster, Ensemble, EnsembleMember, Leader, Measured, ServerInfo, UpdateSeconds,
};
use flowkeeper_api::nodes::Brake;
use flowkeeper_zk::recipes::LinkState;

use super::{Error, nodes};
use crate::clock;
use crate::meta::record::{BrakeMode, BrakeRecord};
use crate::meta::{Model, Write, Written};
use crate::metrics::Metrics;
use crate::state::AppState;

/// Servers, nodes, and this server's view of ZooKeeper, `members` being what its servers answered.
pub fn cluster(state: &AppState, members: Vec<EnsembleMember>) -> Cluster {
    let link = state.meta.connection().link();
    let zxid = state.meta.applied_zxid();
    let model = state.meta.model();
    let leader = model.leader.as_ref().map(|holder| Leader {
        id: holder.id.clone(),
        api: holder.api.clone(),
        epoch: holder.epoch,
    });
    let leads = |id: &str| leader.as_ref().is_some_and(|leader| leader.id == id);
    let server = |server: &std::sync::Arc<crate::meta::record::ServerRecord>| ServerInfo {
        id: server.id.clone(),
        api: server.api.clone(),
        version: server.sw.clone(),
        leads: leads(&server.id),
    };
    let link_state = match link.state {
        LinkState::Connected => "connected",
        LinkState::Suspended => "suspended",
        LinkState::Closed => "closed",
    };
    Cluster {
        servers: model.servers.values().map(server).collect(),
        nodes: nodes::list(&model),
        ensemble: Ensemble {
            state: link_state.to_owned(),
            session: format!("{:x}", link.session_id),
            zxid,
            unreadable: model.unreadable.len(),
            stale_seconds: state.meta.stale_for().map(|since| since.as_secs()),
            members,
        },
        brake: brake(&model),
        update_seconds: UpdateSeconds {
            znode: measured(&state.metrics, "flowkeeper_update_znode_seconds"),
            watcher: measured(&state.metrics, "flowkeeper_update_watcher_seconds"),
        },
        leader,
    }
}

fn measured(metrics: &Metrics, histogram: &str) -> Measured {
    let (count, sum) = metrics.totals(histogram);
    Measured { count, sum }
}

/// Whether instances are moved off lost nodes.
pub fn brake(model: &Model) -> Brake {
    let record = model.brake.as_ref().map(|brake| &*brake.record);
    Brake {
        mode: mode_name(record.map(|record| record.mode).unwrap_or_default()).to_owned(),
        held: record.and_then(|record| record.held.clone()),
    }
}

/// Sets who decides about the brake.
///
/// # Errors
/// [`Error::InvalidArgument`] for an unknown word.
pub async fn set_brake(state: &AppState, mode: &str) -> Result<Option<Written>, Error> {
    let words = BTreeMap::from([
        ("auto", BrakeMode::Auto),
        ("hold", BrakeMode::Hold),
        ("release", BrakeMode::Release),
    ]);
    let Some(mode) = words.get(mode).copied() else {
        return Err(Error::InvalidArgument(format!(
            "'{mode}' is no mode of the brake: say auto (the leader decides), hold (nothing is moved) or release"
        )));
    };
    super::with_retry(&state.meta, "The brake", || async {
        let read = state.meta.model().brake.clone();
        let old = read.as_ref().map(|read| BrakeRecord::clone(&read.record)).unwrap_or_default();
        if read.is_some() && old.mode == mode {
            return Ok(None);
        }
        // The leader works out what follows; until then nothing changes but the mode.
        let record = BrakeRecord { v: flowkeeper_deploy::record::VERSION, mode, at: clock::now(), ..old };
        let write = Write::new().put_brake(read.as_ref(), &record);
        Ok(Some(state.meta.write(write).await?))
    })
    .await
}

fn mode_name(mode: BrakeMode) -> &'static str {
    match mode {
        BrakeMode::Auto => "auto",
        BrakeMode::Hold => "hold",
        BrakeMode::Release => "release",
    }
}
