//! From a step to the request that it means.

use std::sync::LazyLock;

use flowkeeper_zk::proto::request::WatcherType;
use flowkeeper_zk::proto::{Acl, AclVector, Create, Decoder, Encoder, Request, acl, op};

use super::steps::{Kind, Place, Read, Step, Version, Watches, Write};
use super::tree::Tree;

/// In milliseconds: no node reaches the end of its time.
const TTL: i64 = 3_600_000;

fn path_of(tree: &Tree, place: &Place) -> String {
    match place {
        Place::Named(names) => tree.join(names),
        Place::Known(n) => {
            let paths = tree.paths();
            paths.get(n % paths.len().max(1)).cloned().unwrap_or_else(|| tree.join(&[]))
        }
    }
}

fn write_request<'a>(tree: &Tree, write: &'a Write) -> Request<'a> {
    let right = |path: &str, version| match version {
        Version::Any => -1,
        Version::Right => tree.versions(path).0,
        Version::Wrong => tree.versions(path).0 + 1,
    };
    match write {
        Write::Create { under, name, kind, sequential, stat, data } => {
            let under = path_of(tree, under);
            let path = if under == "/" { format!("/{name}") } else { format!("{under}/{name}") };
            let flags = match kind {
                Kind::Persistent => 2 * i32::from(*sequential),
                Kind::Ephemeral => 1 + 2 * i32::from(*sequential),
                Kind::Container => 4,
                Kind::Ttl => 5 + i32::from(*sequential),
            };
            let (op, ttl) = match kind {
                Kind::Container => (op::CREATE_CONTAINER, -1),
                Kind::Ttl => (op::CREATE_TTL, TTL),
                Kind::Persistent | Kind::Ephemeral if *stat => (op::CREATE2, -1),
                Kind::Persistent | Kind::Ephemeral => (op::CREATE, -1),
            };
            Request::Create(Create {
                op,
                path: path.into(),
                data: data.as_deref(),
                acl: open_acl(),
                flags,
                ttl,
            })
        }
        Write::Delete { at, version } => {
            let path = path_of(tree, at);
            Request::Delete { version: right(&path, *version), path: path.into() }
        }
        Write::Set { at, data, version } => {
            let path = path_of(tree, at);
            let version = right(&path, *version);
            Request::SetData { path: path.into(), data: data.as_deref(), version }
        }
        Write::Check { at, version } => {
            let path = path_of(tree, at);
            Request::Check { version: right(&path, *version), path: path.into() }
        }
    }
}

/// The request that a step means, in the tree as it is.
pub(super) fn request<'a>(tree: &Tree, step: &'a Step) -> Request<'a> {
    match step {
        Step::Write(write) => write_request(tree, write),
        Step::Multi(writes) => {
            Request::Multi(writes.iter().map(|write| write_request(tree, write)).collect())
        }
        Step::SetAcl { at, version } => {
            let path = path_of(tree, at);
            let actual = tree.versions(&path).1;
            let version = match version {
                Version::Any => -1,
                Version::Right => actual,
                Version::Wrong => actual + 1,
            };
            Request::SetAcl { path: path.into(), acl: open_acl(), version }
        }
        Step::Read { read, at, watch } => {
            let (path, watch) = (path_of(tree, at).into(), *watch);
            match read {
                Read::Exists => Request::Exists { path, watch },
                Read::Data => Request::GetData { path, watch },
                Read::Children => Request::GetChildren { path, watch },
                Read::ChildrenAndStat => Request::GetChildren2 { path, watch },
            }
        }
        Step::Acl(at) => Request::GetAcl { path: path_of(tree, at).into() },
        Step::Count(at) => Request::GetAllChildrenNumber { path: path_of(tree, at).into() },
        Step::MultiRead(reads) => {
            let read = |(children, at): &(bool, Place)| {
                let path = path_of(tree, at).into();
                match children {
                    true => Request::GetChildren { path, watch: false },
                    false => Request::GetData { path, watch: false },
                }
            };
            Request::MultiRead(reads.iter().map(read).collect())
        }
        Step::Watch { at, recursive } => {
            Request::AddWatch { path: path_of(tree, at).into(), recursive: *recursive }
        }
        Step::Unwatch { at, which, only_ask } => {
            let kind = match which {
                Watches::Children => WatcherType::Children,
                Watches::Data => WatcherType::Data,
                Watches::Any => WatcherType::Any,
                Watches::Persistent => WatcherType::Persistent,
                Watches::Recursive => WatcherType::PersistentRecursive,
            };
            let path = path_of(tree, at).into();
            if *only_ask {
                Request::CheckWatches { path, kind }
            } else {
                Request::RemoveWatches { path, kind }
            }
        }
        Step::Ephemerals(at) => Request::GetEphemerals { prefix: path_of(tree, at).into() },
        Step::Sync => Request::Sync { path: tree.join(&[]).into() },
        other => panic!("{other:?} is no request"),
    }
}

/// The list that lets everybody do everything.
pub(super) fn open_acl() -> AclVector<'static> {
    static ENCODED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut out = Vec::new();
        acl::put_acl(&mut Encoder::new(&mut out), &[Acl::open()]);
        out
    });
    AclVector::decode(&mut Decoder::new(&ENCODED)).unwrap()
}
