//! Why an instance is where it is, and what would move if nodes went.

use std::collections::{BTreeMap, BTreeSet};

use flowkeeper_api::nodes::{
    BeforeAndAfter, NodeVerdict, PlacementExplanation, Relocation, Stranded, WhatIf,
};
use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_engine::nodes::puts_brake_on;
use flowkeeper_engine::placement::{Ask, POINT, Ranking, rank};
use flowkeeper_engine::what_if::{self, Gone};

use super::Error;
use super::nodes::{exclusivity_name, instance_name};
use crate::meta::Model;

/// Why the instance called `name` is where it is: all nodes as they would be judged for it now.
///
/// # Errors
/// [`Error::NoInstance`].
pub fn explain(model: &Model, name: &str) -> Result<PlacementExplanation, Error> {
    let no_instance = || Error::NoInstance(name.to_owned());
    let (instance, stream) = wanted(model, name).ok_or_else(no_instance)?;
    let app = stream.app(&instance).ok_or_else(no_instance)?;
    let slot = stream.placement.as_ref().and_then(|placement| placement.slot(&instance));
    let node = slot.and_then(|slot| slot.node.clone());
    let others = stream.neighbours(&instance);
    let ask = Ask {
        instance: &instance,
        app,
        previous: node.as_ref(),
        copies: &others.copies,
        neighbours: &others.neighbours,
        not_on: None,
    };
    let views = model.views();
    let ranking = rank(&ask, &views, &BTreeMap::new());
    let record = model.states.get(&instance.stream).map(|state| &state.record);
    let since = record.and_then(|record| {
        let slots = record.apps.get(&instance.app)?;
        let own = slots.iter().find(|slot| (slot.i, slot.rel) == (instance.index, instance.release))?;
        own.at.clone()
    });
    Ok(PlacementExplanation {
        summary: summary(&ranking, node.as_ref()),
        instance: name.to_owned(),
        node: node.map(|node| node.0),
        term: slot.map_or(0, |slot| slot.term.0),
        since,
        exclusive: exclusivity_name(app.exclusivity.into()).to_owned(),
        brake: model.brake_reason().map(str::to_owned),
        candidates: ranking.candidates.into_iter().map(verdict).collect(),
    })
}

fn verdict(candidate: flowkeeper_engine::placement::Candidate) -> NodeVerdict {
    let node = candidate.node.0;
    match candidate.verdict {
        Ok(score) => NodeVerdict {
            node,
            score: Some(score.total / POINT),
            parts: score.parts.into_iter().map(|(name, points)| (name.to_owned(), points / POINT)).collect(),
            refused: None,
        },
        Err(reason) => NodeVerdict { node, score: None, parts: BTreeMap::new(), refused: Some(reason) },
    }
}

fn summary(ranking: &Ranking, node: Option<&NodeId>) -> String {
    match (node, &ranking.chosen) {
        (Some(node), Some(best)) if node == best => {
            format!("it is on node {node}, which would be chosen again now")
        }
        (Some(node), Some(best)) => format!(
            "it is on node {node}; now node {best} would be chosen, but what runs is not moved while its node is fine"
        ),
        (Some(node), None) => {
            format!("it is on node {node}; now no node could take it: {}", ranking.refusal())
        }
        (None, Some(best)) => format!("it is nowhere yet; node {best} is to take it"),
        (None, None) => format!("it is nowhere: {}", ranking.refusal()),
    }
}

/// The stream of an instance that is placed or wanted, found by the instance's name.
fn wanted(model: &Model, name: &str) -> Option<(InstanceId, what_if::Stream)> {
    // `<stream>.<label>-v<release>-<index>`; stream names hold no dot.
    let (stream, _) = name.split_once('.')?;
    let stream = planned(model, stream)?;
    let instance = stream.instances().into_iter().find(|instance| instance_name(instance) == name)?;
    Some((instance, stream))
}

/// A stream as the planner sees it.
pub(crate) fn planned(model: &Model, name: &str) -> Option<what_if::Stream> {
    Some(what_if::Stream {
        name: name.to_owned(),
        desired: model.desired(name)?,
        placement: model.states.get(name).map(|state| state.record.placement()),
        observed: model.observed(name),
    })
}

/// What would move if these nodes were lost: names, or `rack:`, `zone:`, `host:` with a name.
///
/// # Errors
/// [`Error::NoNode`] when one of them names nothing; [`Error::InvalidArgument`] when there is none.
pub fn what_if_lost(model: &Model, lost: &[String]) -> Result<WhatIf, Error> {
    let mut gone = BTreeSet::new();
    for name in lost.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let before = gone.len();
        let is_meant = |id: &NodeId| {
            let traits = model.nodes[id].traits();
            match name.split_once(':') {
                Some(("rack", rack)) => traits.rack == rack,
                Some(("zone", zone)) => traits.zone == zone,
                Some(("host", host)) => traits.host == host,
                _ => id.0 == name,
            }
        };
        gone.extend(model.nodes.keys().filter(|id| is_meant(id)).cloned());
        if gone.len() == before && !gone.iter().any(is_meant) {
            return Err(match name.split_once(':') {
                Some((kind @ ("rack" | "zone" | "host"), place)) => Error::InvalidArgument(format!(
                    "no node is in {kind} '{place}': 'flowkeeper node list' shows where nodes are"
                )),
                _ => Error::NoNode(name.to_owned()),
            });
        }
    }
    if gone.is_empty() {
        return Err(Error::InvalidArgument(
            "say what would be lost: the name of a node, or rack:NAME, zone:NAME, host:NAME".to_owned(),
        ));
    }
    Ok(without(model, &gone, Gone::Lost))
}

/// What would move if a node were drained.
///
/// # Errors
/// [`Error::NoNode`].
pub fn what_if_drained(model: &Model, name: &str) -> Result<WhatIf, Error> {
    let id = NodeId(name.to_owned());
    if !model.nodes.contains_key(&id) {
        return Err(Error::NoNode(name.to_owned()));
    }
    Ok(without(model, &BTreeSet::from([id]), Gone::Drained))
}

fn without(model: &Model, gone: &BTreeSet<NodeId>, how: Gone) -> WhatIf {
    let views = model.views();
    let streams: Vec<_> = model.streams.keys().filter_map(|name| planned(model, name)).collect();
    let outcome = what_if::without(&views, &streams, gone, how);
    let moves = outcome.moves.into_iter().map(|relocation| Relocation {
        instance: instance_name(&relocation.instance),
        from: relocation.from.0,
        to: relocation.to.0,
    });
    let stranded = outcome
        .stranded
        .into_iter()
        .map(|(instance, reason)| Stranded { instance: instance_name(&instance), reason });
    let stays = views.values().filter(|view| view.is_live() && !gone.contains(&view.id));
    let load = stays.map(|view| {
        let after = outcome.load_after.get(&view.id).map_or(view.used.slots, |load| load.slots);
        (view.id.0.clone(), BeforeAndAfter { before: view.used.slots, after })
    });
    let live = || views.values().filter(|view| view.is_live());
    let lost = live().filter(|view| gone.contains(&view.id)).count();
    WhatIf {
        brake: if how == Gone::Lost { held_back(model, lost, live().count()) } else { None },
        nodes: gone.iter().map(|node| node.0.clone()).collect(),
        moves: moves.collect(),
        stranded: stranded.collect(),
        load: load.collect(),
    }
}

/// What the brake has to say when `lost` of `of` nodes go at once.
fn held_back(model: &Model, lost: usize, of: usize) -> Option<String> {
    match model.brake_reason() {
        Some(reason) => Some(format!("The brake is on, so nothing moves: {reason}")),
        None if puts_brake_on(lost, of) => Some(format!(
            "{lost} of {of} nodes lost within a minute put the brake on: nothing moves before they are back or \
             'flowkeeper cluster brake release'"
        )),
        None => None,
    }
}
