//! What the leader's decisions under way will take of the nodes, so that many streams that are placed at the same time do not
//! all choose the node that was least loaded when they looked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flowkeeper_engine::model::{NodeId, Resources};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    taken: Mutex<BTreeMap<NodeId, Resources>>,
}

/// Holds what one decision takes until the copy of the metadata shows it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    from: &'a Reservations,
    takes: Vec<(NodeId, Resources)>,
}

impl Reservations {
    /// Decides with what others have reserved, and reserves what the decision takes, in one step.
    pub(crate) fn reserve<T>(
        &self,
        decide: impl FnOnce(&BTreeMap<NodeId, Resources>) -> T,
        takes: impl FnOnce(&T) -> Vec<(NodeId, Resources)>,
    ) -> (T, Reserved<'_>) {
        let mut taken = self.taken();
        let decision = decide(&taken);
        let takes = takes(&decision);
        for (node, takes) in &takes {
            let sum = taken.entry(node.clone()).or_default();
            *sum = sum.with(*takes);
        }
        (decision, Reserved { from: self, takes })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<NodeId, Resources>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut taken = self.from.taken();
        for (node, takes) in &self.takes {
            let Some(sum) = taken.get_mut(node) else { continue };
            *sum = sum.without(*takes);
            if *sum == Resources::default() {
                taken.remove(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_seen_by_the_next_and_given_back() {
        let reservations = Reservations::default();
        let (node, one) = (NodeId("n".into()), Resources { slots: 1, ..Resources::default() });
        let reserve = || {
            let seen = |taken: &BTreeMap<NodeId, Resources>| taken.get(&node).map_or(0, |sum| sum.slots);
            reservations.reserve(seen, |_| vec![(node.clone(), one)])
        };
        let (first, held) = reserve();
        let (second, also_held) = reserve();
        assert_eq!((first, second), (0, 1));
        drop((held, also_held));
        assert_eq!(reserve().0, 0);
        assert!(reservations.taken().is_empty());
    }
}
