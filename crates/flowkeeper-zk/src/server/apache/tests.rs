//! Apache's formats: round trips, damage, and transactions over snapshots that were taken under load.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::txn::{Entry, LogReader, TxnBody};
use super::*;
use crate::proto::{Decoder, Encoder, Request, op, path};
use crate::server::journal::{Record, Txn};
use crate::server::ops::tests::Ledger;
use crate::server::state::{State, StateCut};
use crate::server::storage::tests::{Step, picture, request, step};
use crate::server::tree::{Node, NodeId, Owner, Stamp, Tree};

fn written(cut: &StateCut) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(cut, &mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<State, ApacheError> {
    read_snapshot(bytes, 1000, 0)
}

/// Makes some transactions; returns the journal.
fn play(ledger: &mut Ledger, steps: Vec<Step>) -> Vec<u8> {
    for step in steps {
        match step {
            Step::Write(kind, path, arg) => {
                let _ = ledger.write(1 + i64::from(arg % 3), &request(kind, path, arg));
            }
            Step::Multi(ops) => {
                let ops = ops.into_iter().map(|(k, p, a)| request(k, p, a)).collect();
                ledger.write(1, &Request::Multi(ops)).unwrap();
            }
            Step::OpenSession(id) => ledger.open_session(id),
            Step::CloseSession(id) => ledger.close_session(id),
            Step::Commit | Step::Snapshot | Step::Restart => {}
        }
    }
    ledger.journal.take()
}

/// A snapshot that has everything: sessions, lists, all kinds of nodes, null data.
fn rich() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.open_session(2);
    let steps = [
        (0, "/a", 15),
        (0, "/b", 1),
        (0, "/e", 14),
        (0, "/a/x", 22),
        (0, "/a/y", 4),
        (3, "/a", 3),
        (4, "/b", 1),
    ];
    play(&mut ledger, steps.map(|(kind, path, arg)| Step::Write(kind, path, arg)).into());
    assert!(ledger.state.tree.len() > 8, "{:?}", picture(&ledger.state));
    ledger
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    let ledger = rich();
    let state = read(&written(&ledger.state.cut())).unwrap();
    let time =
        |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("last")).collect::<Vec<_>>();
    assert_eq!(time(picture(&state)), time(picture(&ledger.state)));
    assert_eq!(state.last.zxid, ledger.state.last.zxid);
}

#[test]
fn any_flipped_bit_and_any_missing_end_is_noticed() {
    let bytes = written(&rich().state.cut());
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        // The number of the database means nothing, but it is in the sum.
        assert!(read(&bad).is_err(), "byte {at}");
    }
    // Whole parts may be missing at the end; older releases do not write them.
    let may_end = [bytes.len(), bytes.len() - 21, bytes.len() - 21 - 33];
    for at in 0..bytes.len() {
        assert_eq!(read(&bytes[..at]).is_ok(), may_end.contains(&at), "cut at {at} of {}", bytes.len());
    }
}

/// Our journal as Apache would have logged it, with the states before each transaction.
struct Translator {
    state: State,
    cuts: Vec<StateCut>,
    log: Vec<u8>,
}

impl Translator {
    fn new() -> Self {
        let state = State::new(1000, 0);
        let cuts = vec![state.cut()];
        let mut log = Vec::new();
        let mut e = Encoder::new(&mut log);
        e.i32(LOG_MAGIC);
        e.i32(VERSION);
        e.i64(0);
        Self { state, cuts, log }
    }

    fn take(&mut self, journal: &[u8]) {
        let mut d = Decoder::new(journal);
        while let Some(record) = Record::next(&mut d, 2).unwrap() {
            let mut counters =
                Counters { state: &self.state, versions: HashMap::new(), cversions: HashMap::new() };
            let (kind, body) = counters.translate(&record.txn, record.session);
            let mut entry = Vec::new();
            let mut e = Encoder::new(&mut entry);
            e.i64(record.session);
            e.i32(record.cxid);
            e.i64(record.stamp.zxid);
            e.i64(record.stamp.time);
            e.i32(kind);
            e.raw(&body);
            // The digest.
            e.i32(2);
            e.i64(record.stamp.zxid * 77);
            let mut e = Encoder::new(&mut self.log);
            e.i64(adler::of(&entry));
            e.buffer(Some(&entry));
            e.u8(b'B');
            self.state.replay(&record).unwrap();
            self.cuts.push(self.state.cut());
        }
    }
}

/// Versions and counters within one transaction.
struct Counters<'a> {
    state: &'a State,
    versions: HashMap<String, i32>,
    cversions: HashMap<String, i32>,
}

impl Counters<'_> {
    fn node(&self, path: &str) -> Option<&Node> {
        self.state.tree.find(path).map(|id| self.state.tree.node(id))
    }

    fn translate(&mut self, txn: &Txn<'_>, session: i64) -> (i32, Vec<u8>) {
        let open = crate::server::ops::tests::acl(&[(31, "world", "anyone")]);
        let mut body = Vec::new();
        let kind = match txn {
            Txn::CreateSession { timeout } => {
                Encoder::new(&mut body).i32(*timeout);
                op::CREATE_SESSION
            }
            Txn::CloseSession => {
                let ids = self.state.tree.ephemerals_of(session);
                let paths: Vec<String> = ids.into_iter().map(|id| self.state.tree.path_of(id)).collect();
                Encoder::new(&mut body).strings(&paths);
                op::CLOSE_SESSION
            }
            Txn::Create { path, data, acl, owner } => {
                let (parent, _) = path::split(path).unwrap();
                let before = self.node(parent).map_or(0, Node::cversion);
                let counter = self.cversions.entry(parent.to_owned()).or_insert(before);
                *counter += 1;
                let counter = *counter;
                self.cversions.insert(path.to_string(), 0);
                self.versions.insert(path.to_string(), 0);
                let mut e = Encoder::new(&mut body);
                e.string(path);
                e.buffer(*data);
                e.raw(acl.unwrap_or(open.as_bytes()));
                match owner {
                    Owner::Persistent | Owner::Session(_) => {
                        e.bool(*owner != Owner::Persistent);
                        e.i32(counter);
                        op::CREATE2
                    }
                    Owner::Container => {
                        e.i32(counter);
                        op::CREATE_CONTAINER
                    }
                    Owner::Ttl(ttl) => {
                        e.i32(counter);
                        e.i64(*ttl);
                        op::CREATE_TTL
                    }
                }
            }
            Txn::Delete { path } => {
                Encoder::new(&mut body).string(path);
                op::DELETE
            }
            Txn::SetData { path, data } => {
                let before = self.node(path).map_or(0, |node| node.version);
                let version = self.versions.entry(path.to_string()).or_insert(before);
                *version += 1;
                let mut e = Encoder::new(&mut body);
                e.string(path);
                e.buffer(*data);
                e.i32(*version);
                op::SET_DATA
            }
            Txn::SetAcl { path, acl } => {
                let version = self.node(path).map_or(0, |node| node.aversion) + 1;
                let mut e = Encoder::new(&mut body);
                e.string(path);
                e.raw(acl.unwrap_or(open.as_bytes()));
                e.i32(version);
                op::SET_ACL
            }
            Txn::Error { code } => {
                Encoder::new(&mut body).i32(*code);
                op::ERROR
            }
            Txn::Multi(ops) => {
                let ops: Vec<_> = ops.iter().map(|op| self.translate(op, session)).collect();
                let mut e = Encoder::new(&mut body);
                e.len(ops.len());
                for (kind, bytes) in ops {
                    e.i32(kind);
                    e.buffer(Some(&bytes));
                }
                op::MULTI
            }
        };
        (kind, body)
    }
}

/// A snapshot as Apache takes it: each node as it is when the walk comes to it, while transactions go on.
fn fuzzy(cuts: &[StateCut], pace: usize) -> State {
    struct Walk<'a> {
        cuts: &'a [StateCut],
        pace: usize,
        visited: usize,
        nodes: Vec<(NodeId, Node)>,
    }
    impl Walk<'_> {
        fn visit(&mut self, names: &mut Vec<String>, parent: NodeId) {
            let now = (self.visited / self.pace).min(self.cuts.len() - 1);
            let slab = &self.cuts[now].tree.slab;
            let mut node = &slab[NodeId::ROOT];
            for name in names.iter() {
                // Gone by now: it was only in its parent's list.
                let Some(id) = node.children().iter().find(|id| *slab[*id].name == **name) else { return };
                node = &slab[id];
            }
            self.visited += 1;
            let id = NodeId(self.nodes.len() as u32);
            let mut copy = Node::new(
                parent,
                &node.name,
                node.data.as_deref(),
                node.acl,
                node.owner(),
                Stamp { zxid: node.czxid, time: node.ctime },
            );
            copy.mzxid = node.mzxid;
            copy.mtime = node.mtime;
            copy.version = node.version;
            copy.aversion = node.aversion;
            copy.set_family(node.pzxid(), node.cversion());
            self.nodes.push((id, copy));
            let children: Vec<String> = node.children().iter().map(|id| slab[id].name.to_string()).collect();
            for child in children {
                names.push(child);
                self.visit(names, id);
                names.pop();
            }
        }
    }
    let mut walk = Walk { cuts, pace, visited: 0, nodes: Vec::new() };
    walk.visit(&mut Vec::new(), NodeId::ROOT);
    let mut state = State::new(1000, 0);
    // Numbers of lists may mean other lists at another time; take them all by content.
    let last = cuts.last().unwrap();
    let mut acls = crate::server::acl::AclTable::new();
    let mut numbers = BTreeMap::new();
    for cut in cuts {
        for (id, list) in cut.tree.acls.iter() {
            numbers.entry(id.0).or_insert_with(|| (acls.intern_known(list), list.encoded().to_vec()));
            assert_eq!(
                numbers[&id.0].1,
                list.encoded(),
                "a number was used twice: choose steps with few lists"
            );
        }
    }
    assert!(last.last.zxid >= cuts[0].last.zxid);
    for (_, node) in &mut walk.nodes {
        node.acl = numbers[&node.acl.0].0;
    }
    state.tree = Tree::from_nodes(acls, walk.nodes).unwrap();
    for (id, timeout) in &cuts[0].sessions {
        state.sessions.open(*id, *timeout, 0);
    }
    state.last = cuts[0].last;
    state
}

/// A step whose ACLs are all the open list, so that numbers of lists stay the same.
fn open_step() -> impl Strategy<Value = Step> {
    step().prop_map(|step| match step {
        Step::Write(4, path, _) => Step::Write(3, path, 4),
        Step::Write(kind, path, arg) => Step::Write(kind, path, arg / 3 * 3),
        Step::Multi(ops) => Step::Multi(ops.into_iter().map(|(k, p, a)| (k, p, a / 3 * 3)).collect()),
        step => step,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_state_survives_a_round_trip(steps in proptest::collection::vec(step(), 0..80)) {
        let mut ledger = Ledger::new();
        play(&mut ledger, steps);
        let bytes = written(&ledger.state.cut());
        let state = read(&bytes).unwrap();
        prop_assert_eq!(picture(&state), picture(&ledger.state));
        prop_assert_eq!(tree_digest(&state.cut()), tree_digest(&ledger.state.cut()));
        // Another round gives the same, but for the numbers of lists.
        prop_assert_eq!(picture(&read(&written(&state.cut())).unwrap()), picture(&state));
    }

    #[test]
    fn a_log_leads_to_the_same_state_from_any_snapshot(
        steps in proptest::collection::vec(open_step(), 1..60),
        from in any::<proptest::sample::Index>(),
        to in any::<proptest::sample::Index>(),
        pace in 1..4usize,
    ) {
        let mut ledger = Ledger::new();
        let journal = play(&mut ledger, steps);
        let mut translator = Translator::new();
        translator.take(&journal);
        let from = from.index(translator.cuts.len());
        let to = from + to.index(translator.cuts.len() - from);
        let snapshot = fuzzy(&translator.cuts[from..=to], pace);
        let mut replay = Replay::new(snapshot, translator.cuts[from].last.zxid);
        let mut reader = LogReader::new(&translator.log).unwrap();
        while let Some(entry) = reader.next().unwrap() {
            replay.apply(&entry).unwrap();
        }
        prop_assert_eq!(replay.replayed as usize, translator.cuts.len() - 1 - from);
        prop_assert_eq!(picture(&replay.finish()), picture(&ledger.state));
    }

    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), keep in any::<proptest::sample::Index>()) {
        let _ = read(&bytes);
        let mut spoilt = written(&rich().state.cut());
        spoilt.truncate(keep.index(spoilt.len()));
        spoilt.extend_from_slice(&bytes);
        let _ = read(&spoilt);
        if let Ok(mut reader) = LogReader::new(&bytes) {
            while let Ok(Some(_)) = reader.next() {}
        }
    }

    #[test]
    fn any_entry_can_be_applied(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in -11..22i32, good in any::<bool>()) {
        let mut entry = Vec::new();
        let mut e = Encoder::new(&mut entry);
        e.i64(2);
        e.i32(1);
        e.i64(1000);
        e.i64(5);
        e.i32(kind);
        if good {
            e.string("/a");
        }
        e.raw(&bytes);
        let mut log = Vec::new();
        let mut e = Encoder::new(&mut log);
        e.i32(LOG_MAGIC);
        e.i32(VERSION);
        e.i64(0);
        e.i64(adler::of(&entry));
        e.buffer(Some(&entry));
        e.u8(b'B');
        let mut replay = Replay::new(rich().state, 10);
        if let Ok(Some(entry)) = LogReader::new(&log).unwrap().next() {
            let _ = replay.apply(&entry);
        }
        let state = replay.finish();
        prop_assert!(state.tree.find("/zookeeper").is_some() || kind == op::DELETE || kind == op::DELETE_CONTAINER || kind == op::MULTI || kind == op::CLOSE_SESSION);
    }
}

#[test]
fn a_torn_entry_is_told_apart_from_the_end() {
    let mut ledger = Ledger::new();
    let steps = vec![Step::Write(0, "/a", 3), Step::Write(0, "/b", 3)];
    let mut translator = Translator::new();
    translator.take(&play(&mut ledger, steps));
    let log = translator.log;
    let count = |bytes: &[u8]| {
        let mut reader = LogReader::new(bytes).unwrap();
        let mut n = 0;
        loop {
            match reader.next() {
                Ok(Some(_)) => n += 1,
                Ok(None) => return (n, true),
                Err(_) => return (n, false),
            }
        }
    };
    assert_eq!(count(&log), (2, true));
    let padded = [&log[..], &[0; 500]].concat();
    assert_eq!(count(&padded), (2, true));
    assert_eq!(count(&log[..log.len() - 1]), (1, false));
    let mut flipped = log.clone();
    let at = log.len() - 10;
    flipped[at] ^= 1;
    assert_eq!(count(&flipped), (1, false));
    assert!(LogReader::new(b"ZKSNxxxxxxxxxxxx").is_err());
}

#[test]
fn the_end_of_a_session_is_read_with_and_without_its_nodes() {
    let body = |rest: &[u8]| {
        let mut entry = Vec::new();
        let mut e = Encoder::new(&mut entry);
        e.i64(7);
        e.i32(0);
        e.i64(9);
        e.i64(5);
        e.i32(op::CLOSE_SESSION);
        e.raw(rest);
        let mut log = Vec::new();
        let mut e = Encoder::new(&mut log);
        e.i32(LOG_MAGIC);
        e.i32(VERSION);
        e.i64(0);
        e.i64(adler::of(&entry));
        e.buffer(Some(&entry));
        e.u8(b'B');
        let entry: Entry<'_> = LogReader::new(&log).unwrap().next().unwrap().unwrap();
        match entry.body {
            TxnBody::CloseSession { paths } => {
                paths.into_iter().map(std::borrow::Cow::into_owned).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let digest: &[u8] = &[0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
    let paths: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 2, b'/', b'a'];
    assert_eq!(body(&[]), Vec::<String>::new());
    assert_eq!(body(digest), Vec::<String>::new());
    assert_eq!(body(&[0, 0, 0, 0]), Vec::<String>::new());
    assert_eq!(body(paths), ["/a"]);
    assert_eq!(body(&[paths, digest].concat()), ["/a"]);
}
