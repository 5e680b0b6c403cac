//! Why a stream is in its state, and what the cluster consists of.

use flowkeeper_api::cluster::{
    AppExplanation, Cluster, Ensemble, InstanceExplanation, Leader, Measured, NodeInfo, ServerInfo,
    StreamExplanation, UpdateSeconds,
};
use flowkeeper_deploy::record::StatusState;
use flowkeeper_engine::model::InstanceId;
use flowkeeper_engine::phase::Phase;
use flowkeeper_zk::recipes::LinkState;

use super::Error;
use super::runtime::deployment_id;
use crate::meta::Model;
use crate::meta::record::WantState;
use crate::metrics::Metrics;
use crate::state::AppState;

/// The state of a stream with a reason for everything that is not as wanted.
///
/// # Errors
/// [`Error::NoStream`].
pub fn stream(model: &Model, name: &str) -> Result<StreamExplanation, Error> {
    let no_stream = || Error::NoStream(name.to_owned());
    let stream = model.stream(name).ok_or_else(no_stream)?;
    let phase = model.phase(name).ok_or_else(no_stream)?;
    let want = &stream.record.want;
    let release = model.current_release(name).filter(|_| want.state == WantState::Deployed);
    let apps = release.into_iter().flat_map(|release| release.apps.iter().map(move |app| (release.n, app)));
    let apps = apps.map(|(release, app)| {
        let id = deployment_id(name, &app.label, release);
        let instances = (0..app.count).map(|index| {
            let instance = InstanceId::new(name, app.label.clone(), index);
            let (phase, reason) = phase.instances.get(&instance).cloned().unwrap_or((Phase::Unknown, None));
            let order = model.assignment(&instance);
            // What was reported under an earlier order says nothing about this one.
            let term = order.map(|(_, order)| order.record.t);
            let status = model.status(&instance).filter(|status| Some(status.t) == term);
            InstanceExplanation {
                id: format!("{id}-{index}"),
                index,
                phase: phase.key().to_owned(),
                state: status.map(|status| state_name(status.st).to_owned()),
                reason,
                node: order.map(|(node, _)| node.0.clone()),
                restarts: status.map_or(0, |status| status.restarts),
                exit: status.and_then(|status| status.exit.clone()),
                since: status.map(|status| status.since.clone()),
            }
        });
        AppExplanation {
            label: app.label.clone(),
            phase: phase.apps.get(&app.label).copied().unwrap_or(Phase::Unknown).key().to_owned(),
            instances: instances.collect(),
        }
    });
    Ok(StreamExplanation {
        name: name.to_owned(),
        phase: phase.phase.key().to_owned(),
        want: want_name(want.state).to_owned(),
        generation: want.r#gen,
        release: want.rel,
        active: u32::try_from(model.assignments_of(name).count()).unwrap_or(u32::MAX),
        apps: apps.collect(),
    })
}

/// Servers, nodes, and this server's view of ZooKeeper.
pub fn cluster(state: &AppState) -> Cluster {
    let link = state.meta.connection().link();
    let zxid = state.meta.applied_zxid();
    let model = state.meta.model();
    let leader = model.leader.as_ref().map(|holder| Leader {
        id: holder.id.clone(),
        api: holder.api.clone(),
        epoch: holder.epoch,
    });
    let server = |server: &std::sync::Arc<crate::meta::record::ServerRecord>| ServerInfo {
        id: server.id.clone(),
        api: server.api.clone(),
        version: server.sw.clone(),
    };
    let nodes = model.nodes.iter().map(|(id, node)| NodeInfo {
        id: id.0.clone(),
        live: node.live.is_some(),
        host: node.live.as_ref().map(|live| live.host.clone()),
        slots: node.live.as_ref().map(|live| live.slots),
        used: model.used_slots(id),
        version: node.live.as_ref().map(|live| live.sw.clone()),
    });
    let link_state = match link.state {
        LinkState::Connected => "connected",
        LinkState::Suspended => "suspended",
        LinkState::Closed => "closed",
    };
    Cluster {
        leader,
        servers: model.servers.values().map(server).collect(),
        nodes: nodes.collect(),
        ensemble: Ensemble {
            state: link_state.to_owned(),
            session: format!("{:x}", link.session_id),
            zxid,
            unreadable: model.unreadable.len(),
        },
        update_seconds: UpdateSeconds {
            znode: measured(&state.metrics, "flowkeeper_update_znode_seconds"),
            watcher: measured(&state.metrics, "flowkeeper_update_watcher_seconds"),
        },
    }
}

fn measured(metrics: &Metrics, histogram: &str) -> Measured {
    let (count, sum) = metrics.totals(histogram);
    Measured { count, sum }
}

fn state_name(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending => "pending",
        StatusState::Fetching => "fetching",
        StatusState::Starting => "starting",
        StatusState::Running => "running",
        StatusState::Backoff => "backoff",
        StatusState::Failed => "failed",
        StatusState::Stopping => "stopping",
        StatusState::Stopped => "stopped",
    }
}

fn want_name(want: WantState) -> &'static str {
    match want {
        WantState::None => "none",
        WantState::Deployed => "deployed",
        WantState::Undeployed => "undeployed",
        WantState::Destroyed => "destroyed",
    }
}
