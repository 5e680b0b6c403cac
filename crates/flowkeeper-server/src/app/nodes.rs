//! Nodes: what they are and hold, and what operators decide about them.

use std::collections::BTreeMap;

use flowkeeper_api::nodes::{NodeDetail, NodeInfo, NodeInstance, NodeLease, NodeLoad, NodeResources};
use flowkeeper_deploy::record::{Exclusivity, NodeConfigRecord, Order, VERSION};
use flowkeeper_engine::model::{Closed, InstanceId, NodeId};

use super::explain::state_name;
use super::runtime::deployment_id;
use super::{Error, catch_up, with_retry};
use crate::meta::{Model, NodeEntry, Write, Written};
use crate::state::AppState;

/// Milliseconds that a node must be lost, beyond its guard, before it can be forgotten: an agent that was restarted is back
/// by then.
const FORGET_AFTER: u64 = 10_000;

/// All nodes, by name.
pub fn list(model: &Model) -> Vec<NodeInfo> {
    model.nodes.iter().map(|(id, entry)| info(model, id, entry)).collect()
}

/// A node with its instances.
///
/// # Errors
/// [`Error::NoNode`].
pub fn get(model: &Model, name: &str) -> Result<NodeDetail, Error> {
    let (id, entry) = find(model, name)?;
    let here = model.assignments().filter(|(_, (node, _))| node == id);
    let instances = here.map(|(instance, (_, order))| {
        let order = &order.record;
        let status = model.status_on(id, instance).filter(|status| status.t == order.t);
        let newest = model.assignment(instance).map(|(_, newest)| newest.record.t);
        NodeInstance {
            id: instance_name(instance),
            stream: instance.stream.clone(),
            app: instance.app.clone(),
            term: order.t,
            exclusive: exclusivity_name(order.x).to_owned(),
            order: if order.want == Order::Run { "run" } else { "stop" }.to_owned(),
            state: status.map(|status| state_name(status.st).to_owned()),
            leaving: newest.is_some_and(|newest| newest > order.t),
        }
    });
    Ok(NodeDetail { node: info(model, id, entry), instances: instances.collect() })
}

fn find<'a>(model: &'a Model, name: &str) -> Result<(&'a NodeId, &'a NodeEntry), Error> {
    let found = model.nodes.get_key_value(&NodeId(name.to_owned()));
    found.ok_or_else(|| Error::NoNode(name.to_owned()))
}

fn info(model: &Model, id: &NodeId, entry: &NodeEntry) -> NodeInfo {
    let live = entry.live.as_deref();
    let used = model.used(id);
    let (state, reason) = state_of(model, id, entry);
    let traits = entry.traits();
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    NodeInfo {
        id: id.0.clone(),
        live: live.is_some(),
        state: state.to_owned(),
        reason,
        host: live.map(|live| live.host.clone()),
        ip: some(&traits.ip),
        zone: some(&traits.zone),
        rack: some(&traits.rack),
        groups: traits.groups.clone(),
        labels: traits.labels.clone(),
        slots: live.map(|live| live.slots),
        used: used.slots,
        resources: NodeResources {
            cpu_millis: live.map_or(0, |live| live.cpu_m),
            memory_mib: live.map_or(0, |live| live.mem_mib),
            reserved_cpu_millis: used.cpu_m,
            reserved_memory_mib: used.mem_mib,
        },
        load: model.load(id).map(|load| NodeLoad { cpu: load.cpu, memory: load.mem, at: load.at.clone() }),
        lease: live.and_then(|live| live.lease).map(|lease| NodeLease {
            session_ms: lease.session,
            heartbeat_ms: lease.heartbeat,
            deadline_ms: lease.deadline,
            stop_ms: lease.stop,
        }),
        lost_ms: entry.lost_ms(),
        version: live.map(|live| live.sw.clone()),
    }
}

/// A word for what a node is, and why it takes nothing new.
fn state_of(model: &Model, id: &NodeId, entry: &NodeEntry) -> (&'static str, Option<String>) {
    let closed = entry.closed(id, &model.assessment);
    if entry.live.is_none() {
        let holds = model.used(id).slots;
        let reason = match (model.brake_reason(), holds) {
            (_, 0) => "its agent is not connected; nothing is ordered to it".to_owned(),
            (Some(brake), _) => {
                format!("its agent is not connected; {} on it wait: {brake}", instances(holds))
            }
            (None, _) => format!("its agent is not connected; {} to move elsewhere", instances(holds)),
        };
        return ("lost", Some(reason));
    }
    match closed {
        None => ("open", None),
        Some(Closed::Cordoned) => ("cordoned", Some("closed by an operator; what runs stays".to_owned())),
        Some(Closed::Draining) if model.used(id).slots == 0 => {
            ("drained", Some("empty: it can be stopped, or opened again with uncordon".to_owned()))
        }
        Some(Closed::Draining) => {
            ("draining", Some(format!("{} still to leave", instances(model.used(id).slots))))
        }
        Some(Closed::Quarantined(reason)) => ("quarantined", Some(reason)),
        Some(Closed::Unfit(reason)) => ("unfit", Some(reason)),
        Some(Closed::Settling) => {
            ("settling", Some("it arrived a moment ago; others may be arriving".to_owned()))
        }
    }
}

fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}

/// What an operator decides about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing new is placed there; what runs stays.
    Cordon,
    /// Everything leaves.
    Drain,
    /// It is open again, whatever closed it.
    Uncordon,
}

/// Carries out a decision. `None`: it was so already.
///
/// # Errors
/// [`Error::NoNode`].
pub async fn decide(state: &AppState, name: &str, decision: Decision) -> Result<Option<Written>, Error> {
    catch_up(&state.meta).await?;
    with_retry(&state.meta, &format!("Node '{name}'"), || async {
        let (id, read) = {
            let model = state.meta.model();
            let (id, entry) = find(&model, name)?;
            (id.clone(), entry.config.clone())
        };
        let old = read.as_ref().map(|read| NodeConfigRecord::clone(&read.record)).unwrap_or_default();
        let mut new = NodeConfigRecord { v: VERSION, ..old.clone() };
        match decision {
            Decision::Cordon => (new.cordoned, new.draining) = (true, false),
            Decision::Drain => new.draining = true,
            Decision::Uncordon => {
                (new.cordoned, new.draining, new.quarantine) = (false, false, None);
            }
        }
        if (old.cordoned, old.draining, &old.quarantine) == (new.cordoned, new.draining, &new.quarantine) {
            return Ok(None);
        }
        Ok(Some(state.meta.write(Write::new().put_node_config(&id, read.as_ref(), &new)).await?))
    })
    .await
}

/// Removes a node that is lost from the metadata, and the orders to it: what it held is placed elsewhere.
///
/// # Errors
/// [`Error::NoNode`]; [`Error::NodeInUse`] while it is live or was lost only a moment ago.
pub async fn forget(state: &AppState, name: &str) -> Result<Written, Error> {
    with_retry(&state.meta, &format!("Node '{name}'"), || async {
        let write = {
            let model = state.meta.model();
            let (id, entry) = find(&model, name)?;
            let in_use = |reason: String| Error::NodeInUse { node: name.to_owned(), reason };
            let Some(lost_ms) = entry.lost_ms() else {
                return Err(in_use("its agent is connected: drain it and stop the agent first".into()).into());
            };
            let guard = entry.registration.as_ref().map_or(0, |found| found.record.guard) + FORGET_AFTER;
            if lost_ms < guard {
                let left = (guard - lost_ms).div_ceil(1000);
                return Err(in_use(format!("its apps may still run; try again in {left} s")).into());
            }
            let orders: BTreeMap<&InstanceId, i32> = model
                .assignments()
                .filter(|(_, (node, _))| node == id)
                .map(|(instance, (_, order))| (instance, order.version))
                .collect();
            Write::new().forget_node(id, entry, orders)
        };
        Ok(state.meta.write(write).await?)
    })
    .await
}

/// The name of an instance as the runtime documents give it.
pub(super) fn instance_name(instance: &InstanceId) -> String {
    let InstanceId { stream, app, release, index } = instance;
    format!("{}-{index}", deployment_id(stream, app, *release))
}

/// The word for how surely a copy is the only one.
pub(super) fn exclusivity_name(exclusivity: Exclusivity) -> &'static str {
    match exclusivity {
        Exclusivity::Shared => "shared",
        Exclusivity::BestEffort => "best-effort",
        Exclusivity::Strict => "strict",
    }
}
