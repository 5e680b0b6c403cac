//! The model: what a ZooKeeper does, as plainly as it can be said. It shares nothing with the server but the
//! protocol's records.
//!
//! Times are the one thing it cannot know; they stay 0 in its answers.

use std::collections::BTreeMap;

use flowkeeper_zk::proto::{Create, EventKind, Request, Stat, op};

use super::hearing::Hearing;
use super::replies::Answer;

const BAD_ARGUMENTS: i32 = -8;
const NO_NODE: i32 = -101;
const BAD_VERSION: i32 = -103;
const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const NOT_EXECUTED: i32 = -2;

#[derive(Debug, Clone)]
struct Node {
    data: Option<Vec<u8>>,
    /// Without what follows from the other fields and nodes.
    stat: Stat,
    /// Children there ever were.
    made: i32,
}

/// The tree and what was last done to it.
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// The node that all others are below.
    base: String,
    pub(super) zxid: i64,
    /// Changes of the transaction under way.
    changes: Vec<(EventKind, String)>,
}

impl Tree {
    /// A fresh server's tree, with those of its own nodes that are seen from the root.
    pub(super) fn fresh() -> Self {
        let mut nodes = BTreeMap::new();
        for own in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            nodes.insert(own.to_owned(), Node { data: None, stat: Stat::default(), made: 0 });
        }
        // The root has data, if empty.
        nodes.entry("/".to_owned()).and_modify(|root| root.data = Some(Vec::new()));
        Self { nodes, base: String::new(), zxid: 0, changes: Vec::new() }
    }

    /// A tree below a node that transaction `zxid` has just made.
    pub(super) fn below(base: &str, zxid: i64) -> Self {
        let stat = Stat { czxid: zxid, mzxid: zxid, pzxid: zxid, ..Stat::default() };
        let nodes = BTreeMap::from([(base.to_owned(), Node { data: None, stat, made: 0 })]);
        Self { nodes, base: base.to_owned(), zxid, changes: Vec::new() }
    }

    /// Number of nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Paths of all nodes that tests change.
    pub(super) fn paths(&self) -> Vec<String> {
        self.nodes.keys().filter(|path| !path.starts_with("/zookeeper")).cloned().collect()
    }

    /// The full path of names below the base.
    pub(super) fn join(&self, names: &[&str]) -> String {
        let path: String = names.iter().flat_map(|name| ["/", *name]).collect();
        let path = format!("{}{path}", self.base);
        if path.is_empty() { "/".into() } else { path }
    }

    /// Data version and ACL version of a node; zeros if there is none.
    pub(super) fn versions(&self, path: &str) -> (i32, i32) {
        self.nodes.get(path).map_or((0, 0), |node| (node.stat.version, node.stat.aversion))
    }

    /// A new session is a transaction.
    pub(super) fn open_session(&mut self) {
        self.zxid += 1;
    }

    /// The end of a session takes its nodes with it.
    pub(super) fn close_session(&mut self, session: i64, hearing: &mut Hearing) {
        self.zxid += 1;
        for path in self.ephemerals(session) {
            self.remove(&path);
        }
        hearing.tell(self.zxid, &std::mem::take(&mut self.changes));
    }

    /// Answers a request of a session and lets watchers hear what it changes.
    pub(super) fn answer(&mut self, session: i64, request: &Request<'_>, hearing: &mut Hearing) -> Answer {
        if op::is_write(request.op()) {
            self.zxid += 1;
            let answer = match request {
                Request::Multi(ops) => self.multi(session, ops),
                one => self.write(session, one).unwrap_or_else(Answer::Error),
            };
            hearing.tell(self.zxid, &std::mem::take(&mut self.changes));
            return answer;
        }
        self.read(session, request).unwrap_or_else(Answer::Error)
    }

    fn multi(&mut self, session: i64, ops: &[Request<'_>]) -> Answer {
        let before = self.nodes.clone();
        let mut answers = Vec::new();
        for (at, one) in ops.iter().enumerate() {
            match self.write(session, one) {
                Ok(answer) => answers.push(answer),
                Err(code) => {
                    self.nodes = before;
                    self.changes.clear();
                    let codes = (0..ops.len()).map(|n| match n {
                        n if n < at => 0,
                        n if n == at => code,
                        _ => NOT_EXECUTED,
                    });
                    return Answer::Multi(codes.map(Answer::Error).collect());
                }
            }
        }
        Answer::Multi(answers)
    }

    fn write(&mut self, session: i64, request: &Request<'_>) -> Result<Answer, i32> {
        match request {
            Request::Create(create) => self.create(session, create),
            Request::Delete { path, version } => self.delete(path, *version),
            Request::SetData { path, data, version } => {
                let zxid = self.zxid;
                let node = self.writable(path)?;
                check(node.stat.version, *version)?;
                node.data = data.map(<[u8]>::to_vec);
                node.stat.version += 1;
                node.stat.mzxid = zxid;
                self.changes.push((EventKind::DataChanged, path.to_string()));
                Ok(Answer::Stat(self.stat(path)?))
            }
            Request::SetAcl { path, version, .. } => {
                let node = self.writable(path)?;
                check(node.stat.aversion, *version)?;
                node.stat.aversion += 1;
                Ok(Answer::Stat(self.stat(path)?))
            }
            Request::Check { path, version } => {
                check(self.writable(path)?.stat.version, *version)?;
                Ok(Answer::Done)
            }
            other => panic!("the model knows no write {other:?}"),
        }
    }

    fn create(&mut self, session: i64, create: &Create<'_>) -> Result<Answer, i32> {
        let parent = parent_of(&create.path);
        let above = self.nodes.get(&parent).ok_or(NO_NODE)?;
        let sequential = matches!(create.flags, 2 | 3 | 6);
        let ephemeral = matches!(create.flags, 1 | 3);
        let path = match sequential {
            true => format!("{}{:010}", create.path, above.made),
            false => create.path.to_string(),
        };
        if !is_well_formed(&path) {
            return Err(BAD_ARGUMENTS);
        }
        if self.nodes.contains_key(&path) {
            return Err(NODE_EXISTS);
        }
        if above.stat.ephemeral_owner != 0 {
            return Err(NO_CHILDREN_FOR_EPHEMERALS);
        }
        let zxid = self.zxid;
        if let Some(above) = self.nodes.get_mut(&parent) {
            above.made += 1;
            above.stat.pzxid = zxid;
        }
        let ephemeral_owner = if ephemeral { session } else { 0 };
        let stat = Stat { czxid: zxid, mzxid: zxid, pzxid: zxid, ephemeral_owner, ..Stat::default() };
        let data = create.data.map(<[u8]>::to_vec);
        self.nodes.insert(path.clone(), Node { data, stat, made: 0 });
        self.changes.push((EventKind::Created, path.clone()));
        self.changes.push((EventKind::ChildrenChanged, parent));
        match create.op {
            op::CREATE => Ok(Answer::Path(path)),
            _ => self.stat(&path).map(|stat| Answer::Created(path, stat)),
        }
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Answer, i32> {
        if path == "/" {
            return Err(BAD_ARGUMENTS);
        }
        let node = self.nodes.get(path).ok_or(NO_NODE)?;
        check(node.stat.version, version)?;
        if !self.children(path).is_empty() {
            return Err(NOT_EMPTY);
        }
        self.remove(path);
        Ok(Answer::Done)
    }

    fn remove(&mut self, path: &str) {
        let (parent, zxid) = (parent_of(path), self.zxid);
        self.nodes.remove(path);
        if let Some(above) = self.nodes.get_mut(&parent) {
            above.stat.pzxid = zxid;
        }
        self.changes.push((EventKind::Deleted, path.to_owned()));
        self.changes.push((EventKind::ChildrenChanged, parent));
    }

    fn read(&self, session: i64, request: &Request<'_>) -> Result<Answer, i32> {
        Ok(match request {
            Request::Exists { path, .. } | Request::GetAcl { path } => Answer::Stat(self.stat(path)?),
            Request::GetData { path, .. } => {
                let node = self.nodes.get(&**path).ok_or(NO_NODE)?;
                Answer::Data(node.data.clone(), self.stat(path)?)
            }
            Request::GetChildren { path, .. } => {
                self.stat(path)?;
                Answer::Children(self.children(path))
            }
            Request::GetChildren2 { path, .. } => {
                Answer::ChildrenAndStat(self.children(path), self.stat(path)?)
            }
            Request::GetAllChildrenNumber { path } => {
                self.stat(path)?;
                let inside = if &**path == "/" { "/".to_owned() } else { format!("{path}/") };
                let below = self.nodes.keys().filter(|key| key.starts_with(&inside) && **key != "/");
                Answer::Count(below.count() as i32)
            }
            Request::GetEphemerals { prefix } => {
                let mine = self.ephemerals(session).into_iter();
                Answer::Children(mine.filter(|path| path.starts_with(&**prefix)).collect())
            }
            Request::MultiRead(reads) => {
                let answer = |one| self.read(session, one).unwrap_or_else(Answer::Error);
                Answer::Multi(reads.iter().map(answer).collect())
            }
            Request::Sync { path } => Answer::Path(path.to_string()),
            other => panic!("the model knows no read {other:?}"),
        })
    }

    /// What clients see of a node, but for its times.
    pub(super) fn stat(&self, path: &str) -> Result<Stat, i32> {
        let node = self.nodes.get(path).ok_or(NO_NODE)?;
        let num_children = self.children(path).len() as i32;
        Ok(Stat {
            num_children,
            cversion: 2 * node.made - num_children,
            data_length: node.data.as_ref().map_or(0, Vec::len) as i32,
            ..node.stat
        })
    }

    /// Names of the children, sorted.
    fn children(&self, path: &str) -> Vec<String> {
        let inside = self.nodes.keys().filter(|key| *key != "/" && parent_of(key) == path);
        inside.filter_map(|key| key.rsplit('/').next()).map(str::to_owned).collect()
    }

    fn ephemerals(&self, session: i64) -> Vec<String> {
        let mine = self.nodes.iter().filter(|(_, node)| node.stat.ephemeral_owner == session);
        mine.map(|(path, _)| path.clone()).collect()
    }

    fn writable(&mut self, path: &str) -> Result<&mut Node, i32> {
        if !is_well_formed(path) {
            return Err(BAD_ARGUMENTS);
        }
        self.nodes.get_mut(path).ok_or(NO_NODE)
    }
}

fn parent_of(path: &str) -> String {
    match path.rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(at) => path[..at].to_owned(),
    }
}

fn is_well_formed(path: &str) -> bool {
    path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|names| names.split('/').all(|name| !matches!(name, "" | "." | "..")))
}

fn check(actual: i32, wanted: i32) -> Result<(), i32> {
    if wanted == -1 || wanted == actual { Ok(()) } else { Err(BAD_VERSION) }
}
