//! What a placement tells of the neighbourhood of an instance.

use super::Ask;
use crate::model::{InstanceId, NodeId, Placement, ReleaseApp, Term};

/// Where an instance was, and where the rest of its stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// See [`Ask::previous`].
    pub previous: Option<NodeId>,
    /// See [`Ask::copies`]. Only those of its release, because those of another one make room.
    pub copies: Vec<NodeId>,
    /// See [`Ask::neighbours`].
    pub neighbours: Vec<NodeId>,
}

impl Surroundings {
    /// What a placement tells of `instance`.
    pub fn of(placement: &Placement, instance: &InstanceId) -> Surroundings {
        let mut around = Surroundings::default();
        let mut newest = Term(0);
        for (label, slots) in &placement.apps {
            for slot in slots {
                let Some(node) = &slot.node else { continue };
                if *label != instance.app {
                    around.neighbours.push(node.clone());
                } else if slot.index == instance.index {
                    if slot.term >= newest {
                        newest = slot.term;
                        around.previous = Some(node.clone());
                    }
                } else if slot.release == instance.release {
                    around.copies.push(node.clone());
                }
            }
        }
        around
    }

    /// The question where `instance` is to go.
    pub fn ask<'a>(
        &'a self,
        instance: &'a InstanceId,
        app: &'a ReleaseApp,
        not_on: Option<&'a NodeId>,
    ) -> Ask<'a> {
        let Surroundings { previous, copies, neighbours } = self;
        Ask { instance, app, previous: previous.as_ref(), copies, neighbours, not_on }
    }
}
