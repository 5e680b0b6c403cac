//! The operations, one by one: codes, stats and side effects as Apache ZooKeeper has them.

use super::*;
use crate::proto::acl::{Acl, put_acl};
use crate::proto::response::Stat;
use crate::proto::{Decoder, RequestHeader};
use crate::server::state::State;
use crate::server::watches::{ConnId, Modes};

/// State, journal and watches, with writes the way the core makes them.
pub(crate) struct Ledger {
    pub(crate) state: State,
    pub(crate) journal: Journal,
    watches: Watches,
    changes: Vec<Change>,
    who: Identities,
    pub(crate) quotas: Quotas,
    pub(crate) rules: Rules,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            state: State::new(1000, 0),
            journal: Journal::default(),
            watches: Watches::default(),
            changes: Vec::new(),
            who: Identities::from_address([127, 0, 0, 1].into()),
            quotas: Quotas::default(),
            rules: Rules { extended_types: true, enforce_quota: true },
        }
    }

    fn transact<R>(
        &mut self,
        session: i64,
        run: impl FnOnce(&mut Writer<'_>) -> Result<R, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        let stamp = self.state.next_stamp(0);
        let mark = self.journal.begin(stamp, session, 0);
        self.changes.clear();
        let mut writer = Writer {
            tree: &mut self.state.tree,
            journal: &mut self.journal,
            watches: &self.watches,
            changes: &mut self.changes,
            stamp,
            session,
            who: &self.who,
            quotas: &mut self.quotas,
            rules: self.rules,
            failed: None,
        };
        let result = run(&mut writer);
        let failed = writer.failed;
        if let Some(code) = result.as_ref().err().copied().or(failed) {
            self.journal.fail(mark, code);
            self.changes.clear();
        }
        self.journal.end(mark);
        self.state.last = stamp;
        result
    }

    pub(crate) fn write(&mut self, session: i64, request: &Request<'_>) -> Result<Vec<u8>, ErrorCode> {
        self.transact(session, |writer| {
            let mut body = Vec::new();
            writer.run(request, &mut body).map(|()| body)
        })
    }

    pub(crate) fn open_session(&mut self, session: i64) {
        let done = self.transact(session, |writer| {
            writer.journal.create_session(5000);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        self.state.sessions.open(session, 5000, 0);
    }

    pub(crate) fn close_session(&mut self, session: i64) {
        let done = self.transact(session, |writer| {
            writer.close_session();
            Ok(())
        });
        assert_eq!(done, Ok(()));
        self.state.sessions.close(session);
    }

    fn stat(&self, path: &str) -> Stat {
        self.state.tree.stat(self.state.tree.find(path).unwrap())
    }
}

pub(crate) fn acl(entries: &[(i32, &str, &str)]) -> AclVector<'static> {
    let entries: Vec<Acl> = entries
        .iter()
        .map(|(perms, s, i)| Acl { perms: *perms, scheme: (*s).into(), id: (*i).into() })
        .collect();
    let mut out = Vec::new();
    put_acl(&mut Encoder::new(&mut out), &entries);
    AclVector::decode(&mut Decoder::new(Vec::leak(out))).unwrap()
}

pub(crate) fn create(path: &str, flags: i32) -> Request<'_> {
    create_with(path, flags, acl(&[(31, "world", "anyone")]))
}

fn create_with<'a>(path: &'a str, flags: i32, acl: AclVector<'a>) -> Request<'a> {
    Request::Create(Create { op: op::CREATE2, path: path.into(), data: Some(b"x"), acl, flags, ttl: -1 })
}

fn delete(path: &str) -> Request<'_> {
    Request::Delete { path: path.into(), version: -1 }
}

fn set(path: &str, version: i32) -> Request<'_> {
    Request::SetData { path: path.into(), data: Some(b"new"), version }
}

fn path_of(body: Result<Vec<u8>, ErrorCode>) -> String {
    Decoder::new(&body.unwrap()).string().unwrap().into_owned()
}

/// Type and error of each result of a multi; bodies are skipped by their known lengths.
fn results(body: &[u8]) -> Vec<(i32, i32)> {
    let mut d = Decoder::new(body);
    let mut results = Vec::new();
    loop {
        let RequestHeader { xid: kind, .. } = RequestHeader { xid: d.i32().unwrap(), op: 0 };
        let (done, err) = (d.bool().unwrap(), d.i32().unwrap());
        if done {
            assert!(d.rest().is_empty());
            return results;
        }
        results.push((kind, err));
        match kind {
            op::ERROR => assert_eq!(d.i32(), Ok(err)),
            op::CREATE2 => {
                d.string().unwrap();
                Stat::decode(&mut d).unwrap();
            }
            op::SET_DATA => {
                Stat::decode(&mut d).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn create_finds_errors_in_apaches_order() {
    let mut l = Ledger::new();
    l.write(1, &create("/a", 0)).unwrap();
    l.write(1, &create("/e", 1)).unwrap();
    l.write(1, &create_with("/closed", 0, acl(&[(1, "world", "anyone")]))).unwrap();
    let bad_acl = || acl(&[(31, "auth", "")]);
    for (request, code) in [
        (create("/a", 9), ErrorCode::BadArguments),
        (create("a", 0), ErrorCode::BadArguments),
        (create_with("/none/\0", 0, bad_acl()), ErrorCode::BadArguments),
        (create_with("/none/b", 0, bad_acl()), ErrorCode::InvalidAcl),
        (create("/none/..", 0), ErrorCode::NoNode),
        (create("/closed/..", 0), ErrorCode::NoAuth),
        (create("/a/..", 0), ErrorCode::BadArguments),
        (create("/a/", 0), ErrorCode::BadArguments),
        (create("/", 0), ErrorCode::NodeExists),
        (create("/a", 0), ErrorCode::NodeExists),
        (create("/e/child", 0), ErrorCode::NoChildrenForEphemerals),
    ] {
        assert_eq!(l.write(1, &request), Err(code), "{request:?}");
    }
    assert_eq!(l.state.last.zxid, 14, "refused writes use up a zxid too");
}

#[test]
fn delete_and_set_find_errors_in_apaches_order() {
    let mut l = Ledger::new();
    l.write(1, &create("/a", 0)).unwrap();
    l.write(1, &create("/a/b", 0)).unwrap();
    l.write(1, &create_with("/closed", 0, acl(&[(1, "world", "anyone")]))).unwrap();
    let stale = Request::Delete { path: "/a".into(), version: 5 };
    let set_acl = |path: &'static str, acl, version| Request::SetAcl { path: path.into(), acl, version };
    let open = || acl(&[(31, "world", "anyone")]);
    for (request, code) in [
        (delete("/"), ErrorCode::BadArguments),
        (delete("/zookeeper/quota"), ErrorCode::BadArguments),
        (delete("/none/b"), ErrorCode::NoNode),
        (delete("/closed/none"), ErrorCode::NoAuth),
        (delete("/none"), ErrorCode::NoNode),
        (stale, ErrorCode::BadVersion),
        (delete("/a"), ErrorCode::NotEmpty),
        (set("/a/", -1), ErrorCode::BadArguments),
        (set("/none", -1), ErrorCode::NoNode),
        (set("/closed", 7), ErrorCode::NoAuth),
        (set("/a", 7), ErrorCode::BadVersion),
        (set_acl("/none", acl(&[]), -1), ErrorCode::InvalidAcl),
        (set_acl("/closed", open(), 7), ErrorCode::NoAuth),
        (set_acl("/a", open(), 7), ErrorCode::BadVersion),
        (Request::Reconfig, ErrorCode::ReconfigDisabled),
    ] {
        assert_eq!(l.write(1, &request), Err(code), "{request:?}");
    }
}

#[test]
fn sequences_count_every_creation_and_no_deletion() {
    let mut l = Ledger::new();
    l.write(1, &create("/q", 0)).unwrap();
    assert_eq!(path_of(l.write(1, &create("/q/n-", 2))), "/q/n-0000000000");
    l.write(1, &create("/q/plain", 0)).unwrap();
    l.write(1, &delete("/q/plain")).unwrap();
    assert_eq!(l.write(1, &create("/q/n-0000000000", 0)), Err(ErrorCode::NodeExists));
    assert_eq!(path_of(l.write(1, &create("/q/", 3))), "/q/0000000002");
    let stat = l.stat("/q");
    assert_eq!((stat.cversion, stat.num_children), (4, 2));
}

#[test]
fn ttl_must_fit_the_mode() {
    let mut l = Ledger::new();
    let ttl = |flags, ttl| {
        let acl = acl(&[(31, "world", "anyone")]);
        Request::Create(Create { op: op::CREATE_TTL, path: "/t".into(), data: None, acl, flags, ttl })
    };
    for (flags, time) in [(5, 0), (5, -1), (5, 1 << 40), (0, 5)] {
        assert_eq!(l.write(1, &ttl(flags, time)), Err(ErrorCode::BadArguments), "{flags} {time}");
    }
    l.write(1, &ttl(5, (1 << 40) - 1)).unwrap();
    let id = l.state.tree.find("/t").unwrap();
    assert_eq!(l.state.tree.node(id).owner(), Owner::Ttl((1 << 40) - 1));
}

#[test]
fn nodes_that_expire_can_be_switched_off() {
    let mut l = Ledger::new();
    l.rules.extended_types = false;
    let Request::Create(mut request) = create("/t", 5) else { unreachable!() };
    (request.op, request.ttl) = (op::CREATE_TTL, 1000);
    assert_eq!(l.write(1, &Request::Create(request)), Err(ErrorCode::Unimplemented));
    l.write(1, &create("/p", 0)).unwrap();
}

fn quota(l: &mut Ledger, subject: &str, limits: &'static [u8]) {
    let folder = format!("/zookeeper/quota{subject}");
    l.write(1, &create(&folder, 0)).unwrap();
    for (name, data) in [("zookeeper_limits", limits), ("zookeeper_stats", b"count=0,bytes=0")] {
        let path = format!("{folder}/{name}");
        let Request::Create(request) = create(&path, 0) else { unreachable!() };
        l.write(1, &Request::Create(Create { data: Some(data), ..request })).unwrap();
    }
}

#[test]
fn hard_quotas_refuse_what_would_grow_a_subtree_too_far() {
    let mut l = Ledger::new();
    l.write(1, &create("/a", 0)).unwrap();
    quota(&mut l, "/a", b"count=-1,bytes=-1=;byteHardLimit=8;countHardLimit=3");
    let fill =
        |data: &'static [u8], version| Request::SetData { path: "/a".into(), data: Some(data), version };
    assert_eq!(
        l.write(1, &fill(b"123456789", 7)),
        Err(ErrorCode::QuotaExceeded),
        "before the version is looked at"
    );
    l.write(1, &fill(b"12345", -1)).unwrap();
    l.write(1, &create("/a/b", 0)).unwrap();
    // Neither half of a transaction that fails stays in the count.
    let two = vec![create("/a/c", 0), create("/a/d", 0)];
    assert_eq!(
        results(&l.write(1, &Request::Multi(two)).unwrap()),
        [(-1, 0), (-1, ErrorCode::QuotaExceeded.code())]
    );
    l.write(1, &create("/a/c", 0)).unwrap();
    assert_eq!(l.write(1, &create("/a/d", 0)), Err(ErrorCode::QuotaExceeded));
    assert_eq!(l.write(1, &create("/a/c", 0)), Err(ErrorCode::NodeExists), "looked at before the quota");
    l.write(1, &Request::Delete { path: "/a/c".into(), version: -1 }).unwrap();
    l.write(1, &create("/a/d", 1)).unwrap();
    l.close_session(1);
    l.write(1, &create("/a/e", 0)).unwrap();
    l.rules.enforce_quota = false;
    l.write(1, &create("/a/f", 0)).unwrap();
}

#[test]
fn containers_come_from_their_own_operation_only() {
    let mut l = Ledger::new();
    l.write(1, &create("/plain", create_flags::CONTAINER)).unwrap();
    let Request::Create(mut request) = create("/real", 0) else { unreachable!() };
    request.op = op::CREATE_CONTAINER;
    l.write(1, &Request::Create(request)).unwrap();
    let owner = |path| l.state.tree.node(l.state.tree.find(path).unwrap()).owner();
    assert_eq!((owner("/plain"), owner("/real")), (Owner::Persistent, Owner::Container));
}

#[test]
fn a_multi_sees_its_own_effects() {
    let mut l = Ledger::new();
    let check = Request::Check { path: "/a/b".into(), version: 1 };
    let ops = vec![create("/a", 0), create("/a/b", 0), set("/a/b", 0), check, delete("/a/b")];
    let body = l.write(1, &Request::Multi(ops)).unwrap();
    assert_eq!(results(&body), [(15, 0), (15, 0), (5, 0), (13, 0), (2, 0)]);
    assert_eq!(l.state.last.zxid, 1);
    assert_eq!(l.stat("/a").pzxid, 1);
}

#[test]
fn a_failed_multi_leaves_nothing_not_even_a_counter() {
    let mut l = Ledger::new();
    l.write(1, &create("/a", 0)).unwrap();
    l.write(1, &create("/a/old", 0)).unwrap();
    let (before, old) = (l.stat("/a"), l.stat("/a/old"));
    l.watches.add(ConnId(1), "/", Modes::RECURSIVE);
    let ops = vec![create("/a/s-", 2), set("/a/old", 0), delete("/a/old"), set("/none", 0), delete("/a")];
    let body = l.write(1, &Request::Multi(ops)).unwrap();
    assert_eq!(results(&body), [(-1, 0), (-1, 0), (-1, 0), (-1, -101), (-1, -2)]);
    assert_eq!((l.stat("/a"), l.stat("/a/old")), (before, old));
    assert!(l.changes.is_empty());
    assert_eq!(path_of(l.write(1, &create("/a/s-", 2))), "/a/s-0000000001");
    assert_eq!(results(&l.write(1, &Request::Multi(vec![])).unwrap()), []);
}

#[test]
fn closing_a_session_takes_its_nodes_oldest_first() {
    let mut l = Ledger::new();
    l.open_session(5);
    l.write(5, &create("/z", 1)).unwrap();
    l.write(5, &create("/b", 1)).unwrap();
    l.write(6, &create("/other", 1)).unwrap();
    l.watches.add(ConnId(1), "/", Modes::RECURSIVE);
    l.close_session(5);
    let gone: Vec<_> = l.changes.iter().map(|c| (&*c.path, c.kind)).collect();
    assert_eq!(gone, [("/z", EventKind::Deleted), ("/b", EventKind::Deleted)]);
    assert!(l.state.tree.find("/other").is_some());
    assert_eq!(l.stat("/").pzxid, l.state.last.zxid);
}
