//! The model of watches: who has to hear what.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flowkeeper_zk::proto::request::{SetWatches, WatcherType};
use flowkeeper_zk::proto::{EventKind, Request, op};

use super::replies::Answer;
use super::tree::Tree;

/// A notification: zxid, kind, path.
pub(super) type Event = (i64, EventKind, String);

const NO_WATCHER: i32 = -121;

/// What one connection watches on one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Modes {
    /// Left by getData, or by exists on a node that was there.
    data: bool,
    /// Left by exists on a node that was not there. To the server it is the same.
    exist: bool,
    child: bool,
    persistent: bool,
    recursive: bool,
}

/// What one connection watches, and what it must have heard by now.
#[derive(Debug, Default)]
struct Ear {
    listens: bool,
    watches: BTreeMap<String, Modes>,
    due: Vec<Event>,
}

/// The ears of all sessions.
pub(super) struct Hearing {
    ears: Vec<Ear>,
}

impl Hearing {
    pub(super) fn new(ears: usize) -> Self {
        Self { ears: (0..ears).map(|_| Ear::default()).collect() }
    }

    /// A connection begins with no watches, or ends.
    pub(super) fn reset(&mut self, who: usize, listens: bool) {
        self.ears[who] = Ear { listens, ..Ear::default() };
    }

    /// A connection is gone. What it had watched is remembered.
    pub(super) fn pause(&mut self, who: usize) {
        self.ears[who].listens = false;
        self.ears[who].due.clear();
    }

    /// What a connection must have heard since the last call.
    pub(super) fn due(&mut self, who: usize) -> Vec<Event> {
        std::mem::take(&mut self.ears[who].due)
    }

    /// The changes of a transaction are known to all who watch.
    pub(super) fn tell(&mut self, zxid: i64, changes: &[(EventKind, String)]) {
        for (kind, path) in changes {
            for ear in self.ears.iter_mut().filter(|ear| ear.listens) {
                if ear.hears(*kind, path) {
                    ear.due.push((zxid, *kind, path.clone()));
                }
            }
        }
    }

    /// A read that succeeds, or an exists, leaves its watch.
    pub(super) fn after_read(&mut self, who: usize, request: &Request<'_>, answer: &Answer) {
        let is_there = !matches!(answer, Answer::Error(_));
        let watches = &mut self.ears[who].watches;
        match request {
            Request::Exists { path, watch: true } => {
                let modes = watches.entry(path.to_string()).or_default();
                if is_there {
                    modes.data = true;
                } else {
                    modes.exist = true;
                }
            }
            Request::GetData { path, watch: true } if is_there => {
                watches.entry(path.to_string()).or_default().data = true;
            }
            Request::GetChildren { path, watch: true } | Request::GetChildren2 { path, watch: true }
                if is_there =>
            {
                watches.entry(path.to_string()).or_default().child = true;
            }
            _ => {}
        }
    }

    /// Answers requests that are about watches alone.
    pub(super) fn answer(&mut self, who: usize, request: &Request<'_>) -> Option<Answer> {
        let watches = &mut self.ears[who].watches;
        match request {
            Request::AddWatch { path, recursive } => {
                let modes = watches.entry(path.to_string()).or_default();
                modes.recursive |= *recursive;
                modes.persistent |= !*recursive;
                Some(Answer::Count(0))
            }
            Request::CheckWatches { path, kind } | Request::RemoveWatches { path, kind } => {
                let mut left = watches.get(&**path).copied().unwrap_or_default();
                let before = left;
                let all = *kind == WatcherType::Any;
                left.child &= !(all || *kind == WatcherType::Children);
                left.data &= !(all || *kind == WatcherType::Data);
                left.exist &= !(all || *kind == WatcherType::Data);
                left.persistent &= !(all || *kind == WatcherType::Persistent);
                left.recursive &= !(all || *kind == WatcherType::PersistentRecursive);
                if left == before {
                    return Some(Answer::Error(NO_WATCHER));
                }
                if request.op() == op::REMOVE_WATCHES {
                    watches.insert(path.to_string(), left);
                }
                Some(Answer::Done)
            }
            _ => None,
        }
    }

    /// What a client asks for when it comes back: all it had, except what it has heard of.
    pub(super) fn wish(&self, who: usize, relative_zxid: i64) -> SetWatches<'static> {
        let list = |of: fn(&Modes) -> bool| {
            let paths = self.ears[who].watches.iter().filter(|(_, modes)| of(modes));
            paths.map(|(path, _)| Cow::Owned(path.clone())).collect()
        };
        SetWatches {
            op: op::SET_WATCHES2,
            relative_zxid,
            data: list(|modes| modes.data),
            exist: list(|modes| modes.exist),
            child: list(|modes| modes.child),
            persistent: list(|modes| modes.persistent),
            recursive: list(|modes| modes.recursive),
        }
    }

    /// The watches are set again, and what was missed is told at once.
    pub(super) fn grant(&mut self, who: usize, wish: &SetWatches<'_>, tree: &Tree) {
        let ear = &mut self.ears[who];
        let since = wish.relative_zxid;
        for path in &wish.data {
            match tree.stat(path) {
                Err(_) => ear.due.push((-1, EventKind::Deleted, path.to_string())),
                Ok(stat) if stat.mzxid > since => {
                    ear.due.push((-1, EventKind::DataChanged, path.to_string()));
                }
                Ok(_) => ear.watches.entry(path.to_string()).or_default().data = true,
            }
        }
        for path in &wish.exist {
            match tree.stat(path) {
                Ok(_) => ear.due.push((-1, EventKind::Created, path.to_string())),
                Err(_) => ear.watches.entry(path.to_string()).or_default().exist = true,
            }
        }
        for path in &wish.child {
            match tree.stat(path) {
                Err(_) => ear.due.push((-1, EventKind::Deleted, path.to_string())),
                Ok(stat) if stat.pzxid > since => {
                    ear.due.push((-1, EventKind::ChildrenChanged, path.to_string()));
                }
                Ok(_) => ear.watches.entry(path.to_string()).or_default().child = true,
            }
        }
        for path in &wish.persistent {
            ear.watches.entry(path.to_string()).or_default().persistent = true;
        }
        for path in &wish.recursive {
            ear.watches.entry(path.to_string()).or_default().recursive = true;
        }
    }
}

impl Ear {
    /// Whether a change is heard; one-shot watches that it meets are used up.
    fn hears(&mut self, kind: EventKind, path: &str) -> bool {
        let is_below = |above: &str| path == above || above == "/" || path.starts_with(&format!("{above}/"));
        let mut heard = kind != EventKind::ChildrenChanged
            && self.watches.iter().any(|(above, modes)| modes.recursive && is_below(above));
        let Some(modes) = self.watches.get_mut(path) else { return heard };
        heard |= modes.persistent;
        if kind != EventKind::ChildrenChanged {
            heard |= std::mem::take(&mut modes.data) | std::mem::take(&mut modes.exist);
        }
        if matches!(kind, EventKind::ChildrenChanged | EventKind::Deleted) {
            heard |= std::mem::take(&mut modes.child);
        }
        heard
    }
}
