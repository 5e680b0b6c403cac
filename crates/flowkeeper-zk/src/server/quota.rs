//! Quotas: how many nodes and bytes a subtree has, and how many it may have.
//!
//! The limits of a subtree P are the data of `/zookeeper/quota` + P + `/zookeeper_limits`, its usage the data of
//! `zookeeper_stats` beside it. Usage is no transaction: it follows from the tree, so it is counted when the server
//! starts or the nodes are made, and adjusted with each change. Reading it, a client sees new data under an old
//! version, as everywhere.
//!
//! A subtree belongs to the quota nearest above it, P itself included. The root has none.

use std::collections::HashMap;

use super::complaints::{Complaints, complain};
use super::tree::{NodeId, Tree};
use crate::proto::ErrorCode;

/// Where quotas live.
const FOLDER: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// Nodes and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) nodes: i64,
    pub(crate) bytes: i64,
}

impl Usage {
    /// One node with this much data.
    pub(crate) fn node(data: Option<usize>) -> Self {
        Self { nodes: 1, bytes: data.unwrap_or(0) as i64 }
    }

    fn add(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.bytes += other.bytes;
    }

    fn minus(self) -> Self {
        Self { nodes: -self.nodes, bytes: -self.bytes }
    }

    fn text(self) -> String {
        format!("count={},bytes={}", self.nodes, self.bytes)
    }
}

/// Usage of every subtree with a quota.
#[derive(Default)]
pub(crate) struct Quotas {
    by_path: HashMap<Box<str>, Usage>,
    /// What the transaction under way has changed, should it have to be taken back.
    changed: Vec<(Box<str>, Usage)>,
    /// It has made or deleted quotas, not just used them.
    remade: bool,
    complaints: Complaints,
}

impl Quotas {
    /// Finds the quotas of a tree and counts what they are used for.
    pub(crate) fn load(tree: &mut Tree) -> Self {
        let mut quotas = Self::default();
        quotas.count_all(tree);
        quotas
    }

    fn count_all(&mut self, tree: &mut Tree) {
        self.by_path.clear();
        let Some(folder) = tree.find(FOLDER) else { return };
        let mut found = Vec::new();
        let mut todo = vec![folder];
        while let Some(id) = todo.pop() {
            for child in tree.node(id).children().iter() {
                match &*tree.node(child).name {
                    "zookeeper_limits" => found.push(id),
                    _ => todo.push(child),
                }
            }
        }
        for id in found {
            let path = tree.path_of(id);
            if let Some(subject) = path.strip_prefix(FOLDER).filter(|subject| !subject.is_empty()) {
                let usage = count(tree, subject);
                self.by_path.insert(subject.into(), usage);
                show(tree, subject, usage);
            }
        }
    }

    /// A transaction begins.
    pub(crate) fn begin(&mut self) {
        self.changed.clear();
        self.remade = false;
    }

    /// The transaction has failed, and the tree is as before.
    pub(crate) fn take_back(&mut self, tree: &mut Tree) {
        if std::mem::take(&mut self.remade) {
            return self.count_all(tree);
        }
        for (subject, by) in std::mem::take(&mut self.changed) {
            self.adjust(tree, &subject, by.minus());
        }
    }

    /// Checks a change before it is made. Limits that only warn are told of here.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`] if a hard limit is in the way and `enforce` says that it counts.
    pub(crate) fn check(&self, tree: &Tree, path: &str, by: Usage, enforce: bool) -> Result<(), ErrorCode> {
        let Some((subject, usage)) = self.of(path) else { return Ok(()) };
        let Some(limits) = tree.find(&place(subject, LIMITS)).map(|id| Limits::of(tree, id)) else {
            return Ok(());
        };
        // Without a place for it, usage is not watched.
        if tree.find(&place(subject, STATS)).is_none() {
            return Ok(());
        }
        let mut refused = false;
        for (what, change, total, soft, hard) in [
            ("nodes", by.nodes, usage.nodes + by.nodes, limits.nodes, limits.hard_nodes),
            ("bytes", by.bytes, usage.bytes + by.bytes, limits.bytes, limits.hard_bytes),
        ] {
            let (limit, is_hard) = if hard > -1 { (hard, true) } else { (soft, false) };
            if change == 0 || limit < 0 || total <= limit {
                continue;
            }
            complain!(self.complaints, Quota, subject, what, total, limit, is_hard, "a quota is exceeded");
            refused |= is_hard && enforce;
        }
        if refused { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }

    /// A node has been made.
    pub(crate) fn created(&mut self, tree: &mut Tree, path: &str, id: NodeId) {
        if let Some(subject) = subject_of(path, LIMITS) {
            let usage = count(tree, subject);
            self.by_path.insert(subject.into(), usage);
            self.remade = true;
        } else if let Some(subject) = subject_of(path, STATS) {
            let usage = count(tree, subject);
            if let Some(known) = self.by_path.get_mut(subject) {
                *known = usage;
            }
            show(tree, subject, usage);
            self.remade = true;
        }
        if !self.by_path.is_empty() {
            self.change(tree, path, Usage::node(tree.node(id).data.as_ref().map(|data| data.len())));
        }
    }

    /// A node with this much data is gone.
    pub(crate) fn deleted(&mut self, tree: &mut Tree, path: &str, data: Option<usize>) {
        if self.by_path.is_empty() {
            return;
        }
        if let Some(subject) = subject_of(path, LIMITS) {
            self.remade |= self.by_path.remove(subject).is_some();
        }
        self.change(tree, path, Usage::node(data).minus());
    }

    /// A node's data have become longer by so many bytes, or shorter.
    pub(crate) fn resized(&mut self, tree: &mut Tree, path: &str, bytes: i64) {
        if !self.by_path.is_empty() && bytes != 0 {
            self.change(tree, path, Usage { nodes: 0, bytes });
        }
    }

    fn change(&mut self, tree: &mut Tree, path: &str, by: Usage) {
        let Some((subject, _)) = self.of(path) else { return };
        let subject: Box<str> = subject.into();
        self.adjust(tree, &subject, by);
        self.changed.push((subject, by));
    }

    fn adjust(&mut self, tree: &mut Tree, subject: &str, by: Usage) {
        if let Some(usage) = self.by_path.get_mut(subject) {
            usage.add(by);
            show(tree, subject, *usage);
        }
    }

    /// The quota a path belongs to.
    fn of<'a>(&self, path: &'a str) -> Option<(&'a str, Usage)> {
        if self.by_path.is_empty() {
            return None;
        }
        let mut at = path;
        while !at.is_empty() {
            if let Some(usage) = self.by_path.get(at) {
                return Some((at, *usage));
            }
            at = &at[..at.rfind('/')?];
        }
        None
    }
}

/// The subtree that a node of this kind in the quota folder speaks of.
fn subject_of<'a>(path: &'a str, kind: &str) -> Option<&'a str> {
    path.strip_prefix(FOLDER)?.strip_suffix(kind).filter(|subject| !subject.is_empty())
}

fn place(subject: &str, kind: &str) -> String {
    format!("{FOLDER}{subject}{kind}")
}

/// Counts a subtree, its top included.
fn count(tree: &Tree, path: &str) -> Usage {
    let mut usage = Usage::default();
    let mut todo: Vec<NodeId> = tree.find(path).into_iter().collect();
    while let Some(id) = todo.pop() {
        let node = tree.node(id);
        usage.add(Usage::node(node.data.as_ref().map(|data| data.len())));
        todo.extend(node.children().iter());
    }
    usage
}

/// Puts usage where clients look for it.
fn show(tree: &mut Tree, subject: &str, usage: Usage) {
    if let Some(id) = tree.find(&place(subject, STATS)) {
        tree.overwrite(id, usage.text().as_bytes());
    }
}

/// Limits of a subtree; -1 is none.
#[derive(Debug, PartialEq, Eq)]
struct Limits {
    nodes: i64,
    bytes: i64,
    hard_nodes: i64,
    hard_bytes: i64,
}

impl Limits {
    fn of(tree: &Tree, id: NodeId) -> Self {
        Self::parse(&String::from_utf8_lossy(tree.node(id).data.as_deref().unwrap_or_default()))
    }

    /// Reads `count=N,bytes=N=;byteHardLimit=N;countHardLimit=N`, in any order. What is no number is no limit: a
    /// slip of an operator must not stop all writes below.
    fn parse(text: &str) -> Self {
        let mut limits = Self { nodes: -1, bytes: -1, hard_nodes: -1, hard_bytes: -1 };
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let field = match name {
                "count" => &mut limits.nodes,
                "bytes" => &mut limits.bytes,
                "countHardLimit" => &mut limits.hard_nodes,
                "byteHardLimit" => &mut limits.hard_bytes,
                _ => continue,
            };
            *field = value.parse().unwrap_or(-1);
        }
        limits
    }
}

#[cfg(test)]
mod tests;
