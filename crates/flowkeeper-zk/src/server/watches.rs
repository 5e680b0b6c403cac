//! Watches: who wants to hear of which change. Pure bookkeeping, no I/O.
//!
//! A watch belongs to a connection and vanishes with it. A pair of path and connection holds several modes at
//! once, as bits, and one change gives a connection at most one event.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::acl::AclList;
use crate::proto::EventKind;
use crate::proto::path;
use crate::proto::request::WatcherType;

/// Number of a connection, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub(crate) u64);

/// Modes of a watch, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modes(u8);

impl Modes {
    /// One-shot, left by getData and exists.
    pub(crate) const DATA: Self = Self(1);
    /// One-shot, left by getChildren.
    pub(crate) const CHILD: Self = Self(2);
    /// Stays; exactly this path.
    pub(crate) const PERSISTENT: Self = Self(4);
    /// Stays; this path and all below, but no "children changed".
    pub(crate) const RECURSIVE: Self = Self(8);
    const ALL: Self = Self(15);

    /// What removeWatches and checkWatches mean.
    pub(crate) fn of(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Children => Self::CHILD,
            WatcherType::Data => Self::DATA,
            WatcherType::Any => Self::ALL,
            WatcherType::Persistent => Self::PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }

    /// Modes on the very path that a change of this kind meets.
    fn met_by(kind: EventKind) -> Self {
        match kind {
            EventKind::Created | EventKind::DataChanged => Self(1 | 4 | 8),
            EventKind::Deleted => Self::ALL,
            EventKind::ChildrenChanged => Self(2 | 4),
        }
    }

    fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn one_shot() -> Self {
        Self(1 | 2)
    }
}

/// A change that somebody watches.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) kind: EventKind,
    pub(crate) path: Box<str>,
    /// Who may hear of it: those who may read the node. `None` is everybody.
    pub(crate) acl: Option<Arc<AclList>>,
}

/// All watches.
#[derive(Default)]
pub(crate) struct Watches {
    /// Connections and modes of each path, sorted by connection.
    by_path: HashMap<Arc<str>, Vec<(ConnId, Modes)>>,
    by_conn: HashMap<ConnId, HashSet<Arc<str>>>,
    /// Number of recursive watches: without any, changes need not look at the paths above.
    recursive: usize,
    count: usize,
}

impl Watches {
    /// Pairs of path and connection.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Number of watched paths.
    pub(crate) fn paths(&self) -> usize {
        self.by_path.len()
    }

    /// Number of connections with watches.
    pub(crate) fn connections(&self) -> usize {
        self.by_conn.len()
    }

    /// Watched paths, and who watches each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        self.by_path.iter().map(|(path, list)| (&**path, list.iter().map(|(conn, _)| *conn)))
    }

    /// Adds modes to what a connection watches on a path.
    pub(crate) fn add(&mut self, conn: ConnId, path: &str, modes: Modes) {
        let key = match self.by_path.get_key_value(path) {
            Some((key, _)) => Arc::clone(key),
            None => Arc::from(path),
        };
        let list = self.by_path.entry(Arc::clone(&key)).or_default();
        let before = match list.binary_search_by_key(&conn, |(c, _)| *c) {
            Ok(at) => {
                let had = list[at].1;
                list[at].1 = Modes(had.0 | modes.0);
                had
            }
            Err(at) => {
                list.insert(at, (conn, modes));
                self.by_conn.entry(conn).or_default().insert(key);
                self.count += 1;
                Modes(0)
            }
        };
        if modes.overlaps(Modes::RECURSIVE) && !before.overlaps(Modes::RECURSIVE) {
            self.recursive += 1;
        }
    }

    /// Whether a connection watches a path in one of the modes.
    pub(crate) fn has(&self, conn: ConnId, path: &str, modes: Modes) -> bool {
        self.by_path.get(path).is_some_and(|list| {
            list.binary_search_by_key(&conn, |(c, _)| *c).is_ok_and(|at| list[at].1.overlaps(modes))
        })
    }

    /// Removes modes from what a connection watches on a path; false if there was none of them.
    pub(crate) fn remove(&mut self, conn: ConnId, path: &str, modes: Modes) -> bool {
        let Some(list) = self.by_path.get_mut(path) else { return false };
        let Ok(at) = list.binary_search_by_key(&conn, |(c, _)| *c) else { return false };
        let had = list[at].1;
        if !had.overlaps(modes) {
            return false;
        }
        let left = had.without(modes);
        if had.overlaps(Modes::RECURSIVE) && !left.overlaps(Modes::RECURSIVE) {
            self.recursive -= 1;
        }
        if left.is_empty() {
            list.remove(at);
            if list.is_empty() {
                self.by_path.remove(path);
            }
            self.forget(conn, path);
        } else {
            list[at].1 = left;
        }
        true
    }

    /// Removes everything a connection watches.
    pub(crate) fn remove_conn(&mut self, conn: ConnId) {
        for path in self.by_conn.get(&conn).cloned().into_iter().flatten() {
            self.remove(conn, &path, Modes::ALL);
        }
    }

    /// Whether anybody would hear of this change.
    pub(crate) fn wants(&self, kind: EventKind, path: &str) -> bool {
        if self.count == 0 {
            return false;
        }
        let met = Modes::met_by(kind);
        self.by_path.get(path).is_some_and(|list| list.iter().any(|(_, modes)| modes.overlaps(met)))
            || (self.recursive > 0
                && kind != EventKind::ChildrenChanged
                && ancestors(path).any(|above| {
                    self.by_path
                        .get(above)
                        .is_some_and(|list| list.iter().any(|(_, modes)| modes.overlaps(Modes::RECURSIVE)))
                }))
    }

    /// Collects into `out` the connections that hear of a change, each once, and uses up one-shot watches.
    pub(crate) fn fire(&mut self, kind: EventKind, path: &str, out: &mut Vec<ConnId>) {
        out.clear();
        let met = Modes::met_by(kind);
        let mut used = Vec::new();
        for (conn, modes) in self.by_path.get(path).into_iter().flatten() {
            if modes.overlaps(met) {
                out.push(*conn);
                if modes.overlaps(Modes(met.0 & Modes::one_shot().0)) {
                    used.push(*conn);
                }
            }
        }
        for conn in used {
            self.remove(conn, path, Modes(met.0 & Modes::one_shot().0));
        }
        if self.recursive > 0 && kind != EventKind::ChildrenChanged {
            for list in ancestors(path).filter_map(|above| self.by_path.get(above)) {
                out.extend(list.iter().filter(|(_, m)| m.overlaps(Modes::RECURSIVE)).map(|(conn, _)| *conn));
            }
            out.sort_unstable();
            out.dedup();
        }
    }

    fn forget(&mut self, conn: ConnId, path: &str) {
        self.count -= 1;
        if let Some(paths) = self.by_conn.get_mut(&conn) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_conn.remove(&conn);
            }
        }
    }
}

/// The paths above a path, up to the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match *path {
        "/" => None,
        path => path::split(path).map(|(parent, _)| parent),
    })
    .skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn fire(watches: &mut Watches, kind: EventKind, path: &str) -> Vec<ConnId> {
        let mut out = Vec::new();
        assert_eq!(watches.wants(kind, path), {
            watches.fire(kind, path, &mut out);
            !out.is_empty()
        });
        out
    }

    #[test]
    fn one_shot_watches_fire_once() {
        let mut w = Watches::default();
        w.add(A, "/a", Modes::DATA);
        assert_eq!(fire(&mut w, EventKind::ChildrenChanged, "/a"), []);
        assert_eq!(fire(&mut w, EventKind::DataChanged, "/a"), [A]);
        assert_eq!(fire(&mut w, EventKind::DataChanged, "/a"), []);
        assert_eq!((w.len(), w.paths(), w.connections()), (0, 0, 0));
    }

    #[test]
    fn a_deletion_gives_one_event_and_uses_up_both_kinds() {
        let mut w = Watches::default();
        w.add(A, "/a", Modes::DATA);
        w.add(A, "/a", Modes::CHILD);
        w.add(B, "/a", Modes::PERSISTENT);
        assert_eq!(fire(&mut w, EventKind::Deleted, "/a"), [A, B]);
        assert_eq!(fire(&mut w, EventKind::Created, "/a"), [B]);
    }

    #[test]
    fn recursive_watches_hear_of_everything_below_but_no_children_events() {
        let mut w = Watches::default();
        w.add(A, "/", Modes::RECURSIVE);
        w.add(A, "/a/b", Modes::DATA);
        w.add(B, "/a", Modes::RECURSIVE);
        assert_eq!(fire(&mut w, EventKind::DataChanged, "/a/b"), [A, B]);
        assert_eq!(fire(&mut w, EventKind::Created, "/c"), [A]);
        assert_eq!(fire(&mut w, EventKind::ChildrenChanged, "/a"), []);
        assert_eq!(fire(&mut w, EventKind::DataChanged, "/"), [A]);
        w.remove_conn(A);
        assert_eq!(fire(&mut w, EventKind::DataChanged, "/a/b"), [B]);
        w.remove_conn(B);
        assert_eq!((w.len(), w.recursive), (0, 0));
    }

    #[test]
    fn removing_says_whether_there_was_one() {
        let mut w = Watches::default();
        w.add(A, "/a", Modes::DATA);
        w.add(A, "/a", Modes::RECURSIVE);
        assert!(!w.remove(A, "/a", Modes::of(WatcherType::Children)));
        assert!(w.remove(A, "/a", Modes::of(WatcherType::Data)));
        assert!(!w.has(A, "/a", Modes::DATA));
        assert!(w.has(A, "/a", Modes::of(WatcherType::Any)));
        assert!(w.remove(A, "/a", Modes::of(WatcherType::Any)));
        assert!(!w.remove(A, "/a", Modes::of(WatcherType::Any)));
    }
}
