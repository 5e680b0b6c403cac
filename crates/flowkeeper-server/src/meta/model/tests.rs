//! The model fed by hand: what it concludes from documents, in whatever order they come.

use flowkeeper_engine::phase::Phase;
use zookeeper_client::Stat;

use super::*;

#[derive(Default)]
struct Fed {
    model: Model,
    dirty: Dirty,
    zxid: i64,
}

impl Fed {
    fn put(&mut self, path: impl Into<String>, data: &str) {
        self.zxid += 1;
        let stat = Stat {
            czxid: self.zxid,
            mzxid: self.zxid,
            pzxid: self.zxid,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 0,
            num_children: 0,
        };
        let node = Some(Node { data: data.as_bytes().to_vec(), stat });
        self.model.apply(Change { path: path.into(), node }, &mut self.dirty);
    }

    fn gone(&mut self, path: impl Into<String>) {
        self.model.apply(Change { path: path.into(), node: None }, &mut self.dirty);
    }

    fn phase(&self) -> Phase {
        self.model.phase("s").expect("known").phase
    }
}

const NODE: &str = "n1";

fn instance() -> InstanceId {
    InstanceId::new("s", "log", 1, 0)
}

fn node() -> NodeId {
    NodeId(NODE.into())
}

/// A stream `s` of one app `log`, deployed as release 1, placed and ordered on `n1`.
fn deployed() -> Fed {
    let mut fed = Fed::default();
    fed.put(
        znode::stream("s"),
        r#"{"v":1,"name":"s","original":"log","want":{"state":"deployed","gen":1,"rel":1},"op":"o","at":""}"#,
    );
    fed.put(
        znode::release("s", 1),
        r#"{"v":1,"n":1,"from":"deploy","dsl":"log","at":"","apps":[{"label":"log","type":"app","app":"log","ver":"1","uri":"builtin:sink/log","count":1}]}"#,
    );
    let uid = fed.model.streams["s"].uid.clone();
    let state = format!(
        r#"{{"v":1,"uid":"{uid}","gen":1,"rel":1,"le":1,"apps":{{"log":[{{"i":0,"node":"n1","t":1,"rel":1}}]}}}}"#
    );
    fed.put(znode::state("s"), &state);
    let order = format!(r#"{{"v":1,"uid":"{uid}","t":1,"rel":1,"want":"run","le":1}}"#);
    fed.put(znode::assignment(&node(), &instance()), &order);
    fed
}

fn live(fed: &mut Fed, incarnation: &str) {
    let live =
        format!(r#"{{"v":1,"inc":"{incarnation}","boot":"b","host":"h","slots":5,"logs":"","sw":"1"}}"#);
    fed.put(znode::node_live(&node()), &live);
}

fn running(fed: &mut Fed, incarnation: &str) {
    let bucket = znode::bucket_of(&instance());
    let status = format!(
        r#"{{"v":1,"inc":"{incarnation}","inst":{{"s~log~v1~0":{{"t":1,"rel":1,"st":"RUNNING","ready":true,"since":""}}}}}}"#
    );
    fed.put(znode::status_bucket(&node(), bucket), &status);
}

#[test]
fn a_stream_is_deployed_when_its_live_node_says_so() {
    let mut fed = deployed();
    assert_eq!(fed.phase(), Phase::Partial, "nothing is known of a node that is not there");
    live(&mut fed, "one");
    assert_eq!(fed.phase(), Phase::Deploying);
    running(&mut fed, "one");
    assert_eq!(fed.phase(), Phase::Deployed);
    assert_eq!(fed.model.observed("s").nodes[&node()].used.slots, 1);
}

#[test]
fn statuses_of_an_earlier_incarnation_count_for_nothing() {
    let mut fed = deployed();
    live(&mut fed, "one");
    running(&mut fed, "one");
    live(&mut fed, "two");
    assert_eq!(fed.phase(), Phase::Deploying);
}

#[test]
fn one_bad_document_hides_nothing_else_and_comes_back_when_mended() {
    let mut fed = deployed();
    fed.put(znode::stream("bad"), "rubbish");
    assert!(fed.model.stream("bad").is_none() && fed.model.stream("s").is_some());
    assert_eq!(fed.model.unreadable.len(), 1);
    fed.put(
        znode::stream("bad"),
        r#"{"v":1,"name":"bad","original":"a","want":{"state":"none","gen":0,"rel":0},"op":"","at":""}"#,
    );
    assert!(fed.model.stream("bad").is_some() && fed.model.unreadable.is_empty());
}

#[test]
fn a_stream_of_which_something_is_unreadable_is_known_to_be_so() {
    let mut fed = deployed();
    let own = [
        znode::stream("s"),
        znode::state("s"),
        znode::release("s", 1),
        znode::assignment(&node(), &instance()),
    ];
    for path in own {
        assert!(!fed.model.is_unreadable("s"), "{path}");
        fed.put(path.clone(), "rubbish");
        assert!(fed.model.is_unreadable("s") && !fed.model.is_unreadable("t"), "{path}");
        fed.gone(path);
    }
}

#[test]
fn a_move_may_be_told_in_either_order() {
    let mut fed = deployed();
    let order = r#"{"v":1,"uid":"1","t":2,"rel":1,"want":"run","le":1}"#;
    let other = NodeId("n2".into());
    fed.put(znode::assignment(&other, &instance()), order);
    fed.gone(znode::assignment(&node(), &instance()));
    assert_eq!(fed.model.assignment(&instance()).map(|(node, _)| node.clone()), Some(other.clone()));
    fed.gone(znode::assignment(&other, &instance()));
    assert!(fed.model.assignment(&instance()).is_none());
    assert_eq!((fed.model.used(&node()).slots, fed.model.used(&other).slots), (0, 0));
}

#[test]
fn whatever_concerns_a_stream_makes_it_worth_a_look() {
    let mut fed = deployed();
    fed.dirty = Dirty::default();
    running(&mut fed, "one");
    assert_eq!(fed.dirty.streams.iter().collect::<Vec<_>>(), ["s"]);
    assert!(!fed.dirty.all);
    live(&mut fed, "one");
    assert!(fed.dirty.all);
}

#[test]
fn a_destroyed_stream_is_invisible_until_it_is_gone() {
    let mut fed = deployed();
    fed.put(
        znode::stream("s"),
        r#"{"v":1,"name":"s","original":"log","want":{"state":"destroyed","gen":2,"rel":1},"op":"o","at":""}"#,
    );
    assert!(fed.model.stream("s").is_none());
    assert!(fed.model.desired("s").is_some(), "the leader still sees it");
}
