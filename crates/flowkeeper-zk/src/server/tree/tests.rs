//! The tree: paths, stats, sequences, and undoing what a failed multi did.

use super::*;
use crate::server::acl::Identities;

const S: Owner = Owner::Session(7);

fn stamp(zxid: i64) -> Stamp {
    Stamp { zxid, time: 1000 + zxid }
}

fn add(tree: &mut Tree, path: &str, owner: Owner, zxid: i64) -> NodeId {
    let (parent, name) = crate::proto::path::split(path).unwrap();
    let parent = tree.find(parent).unwrap();
    tree.create(parent, name, Some(b"data"), AclId::OPEN, owner, stamp(zxid)).0
}

fn names(tree: &Tree, path: &str) -> Vec<String> {
    let id = tree.find(path).unwrap();
    tree.node(id).children().iter().map(|c| tree.node(c).name.to_string()).collect()
}

/// Everything there is to know about a tree.
fn picture(tree: &Tree) -> Vec<(String, Node)> {
    let mut nodes: Vec<_> = tree.slab.ids().map(|id| (tree.path_of(id), tree.node(id).clone())).collect();
    nodes.sort_by(|a, b| a.0.cmp(&b.0));
    nodes
}

fn assert_same(a: &Tree, b: &Tree) {
    assert_eq!(format!("{:?}", picture(a)), format!("{:?}", picture(b)));
    assert_eq!((a.len(), a.bytes(), a.ephemeral_count()), (b.len(), b.bytes(), b.ephemeral_count()));
}

#[test]
fn a_new_tree_has_the_nodes_every_server_has() {
    let tree = Tree::new();
    assert_eq!(names(&tree, "/"), ["zookeeper"]);
    assert_eq!(names(&tree, "/zookeeper"), ["config", "quota"]);
    assert_eq!(tree.find(""), tree.find("/"));
    assert_eq!(tree.stat(NodeId::ROOT).cversion, -1);
    assert_eq!(tree.stat(tree.find("/zookeeper").unwrap()).czxid, 0);
}

#[test]
fn malformed_paths_find_nothing() {
    let mut tree = Tree::new();
    add(&mut tree, "/a", Owner::Persistent, 1);
    for path in ["a", "/a/", "//a", "/b", "/a/b", "//"] {
        assert_eq!(tree.find(path), None, "{path:?}");
    }
}

#[test]
fn stats_follow_the_rules() {
    let mut tree = Tree::new();
    let a = add(&mut tree, "/a", Owner::Persistent, 1);
    let b = add(&mut tree, "/a/b", S, 2);
    add(&mut tree, "/a/c", Owner::Container, 3);
    tree.set_data(b, Some(b"longer"), stamp(4));
    let stat = tree.stat(b);
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid, stat.version), (2, 4, 2, 1));
    assert_eq!((stat.ctime, stat.mtime, stat.ephemeral_owner, stat.data_length), (1002, 1004, 7, 6));
    assert_eq!(tree.stat(tree.find("/a/c").unwrap()).ephemeral_owner, 0, "containers have no owner outside");
    let stat = tree.stat(a);
    assert_eq!((stat.mzxid, stat.pzxid, stat.version, stat.cversion, stat.num_children), (1, 3, 0, 2, 2));
    tree.delete(b, 5);
    let stat = tree.stat(a);
    assert_eq!((stat.pzxid, stat.cversion, stat.num_children), (5, 3, 1));
    assert_eq!(tree.ephemeral_count(), 0);
}

#[test]
fn children_are_sorted_whatever_the_order_of_creation() {
    let mut tree = Tree::new();
    for name in ["m", "z", "a", "q", "b"] {
        add(&mut tree, &format!("/{name}"), Owner::Persistent, 1);
    }
    assert_eq!(names(&tree, "/"), ["a", "b", "m", "q", "z", "zookeeper"]);
    tree.delete(tree.find("/m").unwrap(), 2);
    assert_eq!(names(&tree, "/"), ["a", "b", "q", "z", "zookeeper"]);
    assert_eq!(tree.count_descendants(NodeId::ROOT), 7);
}

#[test]
fn versions_never_become_the_wildcard() {
    assert_eq!(next_version(0), 1);
    assert_eq!(next_version(i32::MAX), i32::MIN);
    assert_eq!(next_version(-2), 0);
}

#[test]
fn undoing_in_reverse_leaves_no_trace() {
    let mut tree = Tree::new();
    let a = add(&mut tree, "/a", Owner::Persistent, 1);
    let gone = add(&mut tree, "/a/gone", S, 2);
    let list = AclList::world_readable();
    let acl = tree.acls.intern_known(&list);
    tree.set_acl(gone, acl);
    let mut same = Tree::new();
    add(&mut same, "/a", Owner::Persistent, 1);
    let gone_too = add(&mut same, "/a/gone", S, 2);
    let acl = same.acls.intern_known(&list);
    same.set_acl(gone_too, acl);

    let mut undos = vec![tree.set_data(a, None, stamp(3)), tree.delete(gone, 3)];
    for n in 0..100 {
        undos.push(tree.create(a, &format!("n{n}"), Some(b"x"), acl, Owner::Ttl(9), stamp(3)).1);
    }
    let last = tree.find("/a/n50").unwrap();
    undos.push(tree.delete(last, 3));
    undos.push(tree.create(a, "gone", None, AclId::OPEN, Owner::Persistent, stamp(3)).1);
    for undo in undos.into_iter().rev() {
        tree.undo(undo);
    }
    assert_same(&tree, &same);
    assert_eq!(tree.find("/a/gone"), Some(gone));
    assert!(!tree.acl_of(gone).unwrap().allows(crate::proto::acl::WRITE, &Identities::default()));
    assert_eq!(tree.perishable().count(), 0);
}

#[test]
fn a_cut_does_not_see_later_changes() {
    let mut tree = Tree::new();
    let a = add(&mut tree, "/a", Owner::Persistent, 1);
    let cut = tree.cut();
    tree.set_data(a, Some(b"new"), stamp(2));
    add(&mut tree, "/a/b", Owner::Persistent, 3);
    assert_eq!(cut.slab[a].data.as_deref(), Some(&b"data"[..]));
    assert!(cut.slab[a].children().is_empty());
    assert_eq!(cut.slab.ids().count() + 1, tree.len());
}

#[test]
fn nodes_that_do_not_form_a_tree_are_refused() {
    let node = |parent: u32, name: &str, acl| {
        Node::new(NodeId(parent), name, None, AclId(acl), Owner::Persistent, stamp(1))
    };
    let build = |nodes: Vec<(u32, Node)>| {
        let nodes = nodes.into_iter().map(|(id, node)| (NodeId(id), node));
        Tree::from_nodes(AclTable::new(), nodes).map(|tree| tree.len())
    };
    assert_eq!(build(vec![(0, node(0, "", 0)), (70, node(0, "a", 0))]), Ok(2));
    assert!(build(vec![(1, node(0, "a", 0))]).is_err(), "no root");
    assert!(build(vec![(0, node(0, "", 0)), (1, node(9, "a", 0))]).is_err(), "no parent");
    assert!(build(vec![(0, node(0, "", 0)), (0, node(0, "", 0))]).is_err(), "same number");
    assert!(
        build(vec![(0, node(0, "", 0)), (1, node(0, "a", 0)), (2, node(0, "a", 0))]).is_err(),
        "same name"
    );
    assert!(build(vec![(0, node(0, "", 5))]).is_err(), "unknown ACL");
}

#[test]
fn a_leaf_takes_little_memory() {
    // With the name inside. Beside it there are the data, and a few bytes in the index and in its parent's list.
    assert_eq!(size_of::<Option<Node>>(), 104);
}
