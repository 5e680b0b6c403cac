//! Quotas over a small tree.

use proptest::prelude::*;

use super::*;
use crate::server::acl::AclId;
use crate::server::tree::{Owner, Stamp};

const STAMP: Stamp = Stamp { zxid: 1, time: 1 };

fn make(tree: &mut Tree, quotas: &mut Quotas, path: &str, data: &[u8]) -> NodeId {
    let (parent, name) = crate::proto::path::split(path).unwrap();
    let parent = tree.find(parent).unwrap();
    let (id, _) = tree.create(parent, name, Some(data), AclId::OPEN, Owner::Persistent, STAMP);
    quotas.created(tree, path, id);
    id
}

fn text(tree: &Tree, path: &str) -> String {
    let id = tree.find(path).unwrap();
    String::from_utf8_lossy(tree.node(id).data.as_deref().unwrap()).into_owned()
}

/// A quota on `/a`, which has two nodes and five bytes.
fn with_quota(limits: &str) -> (Tree, Quotas) {
    let (mut tree, mut quotas) = (Tree::new(), Quotas::default());
    for (path, data) in [
        ("/a", "xyz"),
        ("/a/b", "12"),
        ("/zookeeper/quota/a", ""),
        ("/zookeeper/quota/a/zookeeper_limits", limits),
        ("/zookeeper/quota/a/zookeeper_stats", "count=-1,bytes=-1"),
    ] {
        make(&mut tree, &mut quotas, path, data.as_bytes());
    }
    (tree, quotas)
}

fn usage(tree: &Tree) -> String {
    text(tree, "/zookeeper/quota/a/zookeeper_stats")
}

#[test]
fn limits_read_as_clients_write_them() {
    let limits = |nodes, bytes, hard_nodes, hard_bytes| Limits { nodes, bytes, hard_nodes, hard_bytes };
    assert_eq!(Limits::parse("count=5,bytes=-1"), limits(5, -1, -1, -1));
    assert_eq!(Limits::parse("count=-1,bytes=7=;byteHardLimit=100;countHardLimit=3"), limits(-1, 7, 3, 100));
    assert_eq!(Limits::parse("count=,bytes=many"), limits(-1, -1, -1, -1));
    assert_eq!(Limits::parse(""), limits(-1, -1, -1, -1));
}

#[test]
fn usage_counts_from_the_start_and_follows_changes() {
    let (mut tree, mut quotas) = with_quota("count=10,bytes=10");
    assert_eq!(usage(&tree), "count=2,bytes=5");
    let id = make(&mut tree, &mut quotas, "/a/c", b"1234");
    assert_eq!(usage(&tree), "count=3,bytes=9");
    make(&mut tree, &mut quotas, "/ab", b"beside");
    assert_eq!(usage(&tree), "count=3,bytes=9");
    quotas.resized(&mut tree, "/a", -1);
    tree.delete(id, 2);
    quotas.deleted(&mut tree, "/a/c", Some(4));
    assert_eq!(usage(&tree), "count=2,bytes=4");
    let stats = tree.find("/zookeeper/quota/a/zookeeper_stats").unwrap();
    assert_eq!(tree.node(stats).version, 0, "usage is no write");
}

#[test]
fn the_nearest_quota_counts() {
    let (mut tree, mut quotas) = with_quota("count=10,bytes=10");
    for path in [
        "/zookeeper/quota/a/b",
        "/zookeeper/quota/a/b/zookeeper_limits",
        "/zookeeper/quota/a/b/zookeeper_stats",
    ] {
        make(&mut tree, &mut quotas, path, b"count=1,bytes=-1");
    }
    make(&mut tree, &mut quotas, "/a/b/c", b"1");
    assert_eq!(text(&tree, "/zookeeper/quota/a/b/zookeeper_stats"), "count=2,bytes=3");
    assert_eq!(usage(&tree), "count=2,bytes=5");
}

#[test]
fn hard_limits_refuse_and_soft_ones_do_not() {
    let more = |nodes, bytes| Usage { nodes, bytes };
    let (tree, quotas) = with_quota("count=2,bytes=5");
    assert_eq!(quotas.check(&tree, "/a/c", more(1, 1), true), Ok(()));
    let (tree, quotas) = with_quota("count=-1,bytes=-1=;byteHardLimit=6;countHardLimit=3");
    assert_eq!(quotas.check(&tree, "/a/c", more(1, 1), true), Ok(()));
    assert_eq!(quotas.check(&tree, "/a/c", more(2, 1), true), Err(ErrorCode::QuotaExceeded));
    assert_eq!(quotas.check(&tree, "/a/c", more(1, 2), true), Err(ErrorCode::QuotaExceeded));
    assert_eq!(quotas.check(&tree, "/a/c", more(1, 2), false), Ok(()), "unless nobody enforces them");
    assert_eq!(quotas.check(&tree, "/b", more(9, 9), true), Ok(()));
    let (tree, quotas) = with_quota("count=-1,bytes=-1=;byteHardLimit=0;countHardLimit=0");
    assert_eq!(quotas.check(&tree, "/a", more(0, -1), true), Err(ErrorCode::QuotaExceeded));
}

#[test]
fn failed_transactions_leave_no_trace() {
    let (mut tree, mut quotas) = with_quota("count=10,bytes=10");
    quotas.begin();
    let stamp = Stamp { zxid: 2, time: 2 };
    let parent = tree.find("/a").unwrap();
    let (id, undo) = tree.create(parent, "c", Some(b"123"), AclId::OPEN, Owner::Persistent, stamp);
    quotas.created(&mut tree, "/a/c", id);
    assert_eq!(usage(&tree), "count=3,bytes=8");
    tree.undo(undo);
    quotas.take_back(&mut tree);
    assert_eq!(usage(&tree), "count=2,bytes=5");

    quotas.begin();
    let limits = tree.find("/zookeeper/quota/a/zookeeper_limits").unwrap();
    let undo = tree.delete(limits, 3);
    quotas.deleted(&mut tree, "/zookeeper/quota/a/zookeeper_limits", Some(17));
    assert!(quotas.by_path.is_empty());
    tree.undo(undo);
    quotas.take_back(&mut tree);
    assert_eq!(quotas.check(&tree, "/a/c", Usage { nodes: 1, bytes: 0 }, true), Ok(()));
    assert!(!quotas.by_path.is_empty());
}

proptest! {
    /// Adjusted step by step, usage is what counting from the start gives.
    #[test]
    fn adjusting_agrees_with_counting(steps in proptest::collection::vec((0..6usize, 0..3u8, 0..9usize), 0..60)) {
        let (mut tree, mut quotas) = with_quota("count=10,bytes=10");
        let paths = ["/a/1", "/a/2", "/a/b/3", "/a/b/4", "/c", "/c/5"];
        for (which, what, len) in steps {
            let path = paths[which];
            let data = vec![b'x'; len];
            match (tree.find(path), what) {
                (None, 0) => {
                    let (parent, _) = crate::proto::path::split(path).unwrap();
                    if tree.find(parent).is_some() {
                        make(&mut tree, &mut quotas, path, &data);
                    }
                }
                (Some(id), 1) if tree.node(id).children().is_empty() => {
                    let had = tree.node(id).data.as_ref().map(|data| data.len());
                    tree.delete(id, 9);
                    quotas.deleted(&mut tree, path, had);
                }
                (Some(id), 2) => {
                    let had = tree.node(id).data.as_ref().map_or(0, |data| data.len());
                    tree.set_data(id, Some(&data), STAMP);
                    quotas.resized(&mut tree, path, len as i64 - had as i64);
                }
                _ => {}
            }
        }
        let shown = usage(&tree);
        Quotas::load(&mut tree);
        prop_assert_eq!(usage(&tree), shown);
    }

    #[test]
    fn limits_of_any_text_are_read(text in ".{0,60}") {
        let _ = Limits::parse(&text);
    }
}
