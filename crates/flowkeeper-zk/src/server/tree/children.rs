//! The children of a node, sorted by name, in blocks so that adding one never moves all the others.

use std::cmp::Ordering;

use super::slab::NodeId;

/// Children in one block at most.
const BLOCK: usize = 256;

/// A sorted list. It does not know names: whoever searches brings the comparison.
#[derive(Debug, Clone, Default)]
pub(crate) struct Children {
    /// None of them is empty.
    blocks: Vec<Vec<NodeId>>,
}

/// Where a child is, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    block: usize,
    at: usize,
}

/// No children: what a leaf has.
pub(super) static NONE: Children = Children { blocks: Vec::new() };

impl Children {
    /// A list of children that are sorted already.
    pub(super) fn from_sorted(ids: &[NodeId]) -> Self {
        Self { blocks: ids.chunks(BLOCK).map(<[NodeId]>::to_vec).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.blocks.iter().flatten().copied()
    }

    /// Finds a child; `compare` tells how one stands to the child looked for. The error is the place it would take.
    pub(super) fn search(&self, mut compare: impl FnMut(NodeId) -> Ordering) -> Result<Place, Place> {
        let Some(last) = self.blocks.last() else { return Err(Place { block: 0, at: 0 }) };
        // Sequential names arrive in order: look at the end first.
        if last.last().is_some_and(|id| compare(*id) == Ordering::Less) {
            return Err(Place { block: self.blocks.len() - 1, at: last.len() });
        }
        let block =
            self.blocks.partition_point(|ids| ids.last().is_some_and(|id| compare(*id) == Ordering::Less));
        let ids = &self.blocks[block];
        match ids.binary_search_by(|id| compare(*id)) {
            Ok(at) => Ok(Place { block, at }),
            Err(at) => Err(Place { block, at }),
        }
    }

    pub(super) fn insert(&mut self, place: Place, id: NodeId) {
        let Place { block, at } = place;
        let n_blocks = self.blocks.len();
        let Some(ids) = self.blocks.get_mut(block) else { return self.blocks.push(vec![id]) };
        if ids.len() < BLOCK {
            return ids.insert(at, id);
        }
        if at == BLOCK && block + 1 == n_blocks {
            // Names that come in order leave full blocks behind.
            return self.blocks.push(vec![id]);
        }
        let mut upper = ids.split_off(BLOCK / 2);
        match at.checked_sub(BLOCK / 2) {
            Some(at) if at > 0 => upper.insert(at, id),
            _ => ids.insert(at, id),
        }
        self.blocks.insert(block + 1, upper);
    }

    pub(super) fn remove(&mut self, place: Place) {
        let Some(ids) = self.blocks.get_mut(place.block) else { return };
        ids.remove(place.at);
        if ids.is_empty() {
            self.blocks.remove(place.block);
        } else if ids.len() < BLOCK / 4 && ids.capacity() > BLOCK / 2 {
            ids.shrink_to(BLOCK / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_number(number: u32) -> impl FnMut(NodeId) -> Ordering {
        move |id| id.0.cmp(&number)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(steps in proptest::collection::vec((0..700u32, any::<bool>()), 0..2000), ordered in 0..1500u32) {
            let mut list = Children::default();
            let mut model = std::collections::BTreeSet::new();
            let growing = (1000..1000 + ordered).map(|n| (n, true));
            for (number, adds) in growing.chain(steps) {
                match list.search(by_number(number)) {
                    Ok(place) => {
                        prop_assert!(model.contains(&number));
                        if !adds {
                            list.remove(place);
                            model.remove(&number);
                        }
                    }
                    Err(place) => {
                        prop_assert!(!model.contains(&number));
                        if adds {
                            list.insert(place, NodeId(number));
                            model.insert(number);
                        }
                    }
                }
            }
            let ids: Vec<u32> = list.iter().map(|id| id.0).collect();
            prop_assert_eq!(list.len(), ids.len());
            prop_assert_eq!(ids, model.into_iter().collect::<Vec<_>>());
            prop_assert!(list.blocks.iter().all(|ids| !ids.is_empty() && ids.len() <= BLOCK));
        }
    }

    #[test]
    fn names_in_order_fill_their_blocks() {
        let mut list = Children::default();
        for number in 0..10 * BLOCK as u32 {
            let place = list.search(by_number(number)).unwrap_err();
            list.insert(place, NodeId(number));
        }
        assert_eq!(list.blocks.len(), 10);
        let ids: Vec<NodeId> = list.iter().collect();
        assert_eq!(Children::from_sorted(&ids).blocks, list.blocks);
    }
}
