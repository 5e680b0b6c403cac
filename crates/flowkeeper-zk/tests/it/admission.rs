//! What the configuration forbids: strangers, writes without permission, full quotas, nodes that expire.

use flowkeeper_zk::proto::{Acl, AclVector, Create, Decoder, Encoder, Request, op};
use flowkeeper_zk::server::{self, Config};

use crate::wire::{Reply, Wire, at};

const NO_AUTH: i32 = -102;
const INVALID_ACL: i32 = -114;
const SESSION_CLOSED: i32 = -124;
const QUOTA_EXCEEDED: i32 = -125;

fn acl(perms: i32, scheme: &str, id: &str) -> AclVector<'static> {
    let mut out = Vec::new();
    let acl = Acl { perms, scheme: scheme.into(), id: id.into() };
    flowkeeper_zk::proto::acl::put_acl(&mut Encoder::new(&mut out), &[acl]);
    AclVector::decode(&mut Decoder::new(Vec::leak(out))).unwrap()
}

fn create<'a>(path: &'a str, data: &'a [u8], acl: AclVector<'a>) -> Request<'a> {
    Request::Create(Create { op: op::CREATE, path: path.into(), data: Some(data), acl, flags: 0, ttl: -1 })
}

fn open(path: &str) -> Request<'_> {
    create(path, b"", acl(31, "world", "anyone"))
}

fn set<'a>(path: &'a str, data: &'a [u8]) -> Request<'a> {
    Request::SetData { path: path.into(), data: Some(data), version: -1 }
}

fn answer(reply: &Reply) -> (i32, i64) {
    (reply.header.err, reply.header.zxid)
}

#[tokio::test]
async fn strangers_are_turned_away_where_proof_is_demanded() {
    let config = Config { required_schemes: vec!["digest".into()], ..Config::default() };
    let server = server::start(config).await.unwrap();
    let (mut stranger, session) = Wire::session(server.local_addr()).await;
    assert_eq!(answer(&stranger.call(1, &open("/a")).await), (SESSION_CLOSED, 0));
    assert_eq!(stranger.frame().await, None);

    let (mut known, _) = Wire::session(server.local_addr()).await;
    let digest = Request::Auth { scheme: "digest".into(), token: Some(b"a:b") };
    assert_eq!(answer(&known.call(op::XID_AUTH, &digest).await), (0, 0));
    assert_eq!(known.call(1, &open("/a")).await.header.err, 0);
    let (mut silent, _) = Wire::session(server.local_addr()).await;
    let nothing = Request::Auth { scheme: "digest".into(), token: None };
    assert_eq!(answer(&silent.call(op::XID_AUTH, &nothing).await), (-115, 0));
    // The session is not over: only the connection is.
    let mut again = Wire::open(server.local_addr()).await;
    assert_eq!(
        again.connect(session.session, &session.password, 5000).await.unwrap().session,
        session.session
    );
    assert_eq!(again.call(1, &Request::Ping).await.header.err, SESSION_CLOSED, "not even pings");
    // An address is a scheme as well, and everybody has one.
    let config = Config { required_schemes: vec!["digest".into(), "ip".into()], ..Config::default() };
    let server = server::start(config).await.unwrap();
    let (mut anyone, _) = Wire::session(server.local_addr()).await;
    assert_eq!(anyone.call(1, &Request::Ping).await.header.err, 0);
}

#[tokio::test]
async fn writes_without_permission_can_be_refused_before_they_count() {
    for eager in [false, true] {
        let server = server::start(Config { eager_acl_check: eager, ..Config::default() }).await.unwrap();
        let (mut wire, _) = Wire::session(server.local_addr()).await;
        let locked = create("/locked", b"", acl(1, "world", "anyone"));
        let mut zxid = wire.call(1, &locked).await.header.zxid;
        let child = || "/locked/child";
        for request in [
            open(child()),
            Request::Delete { path: child().into(), version: -1 },
            set("/locked", b"x"),
            Request::SetAcl { path: "/locked".into(), acl: acl(31, "world", "anyone"), version: -1 },
        ] {
            let reply = wire.call(2, &request).await;
            zxid += i64::from(!eager);
            assert_eq!(answer(&reply), (NO_AUTH, if eager { 0 } else { zxid }), "{request:?}");
            let now = wire.call(3, &Request::Exists { path: "/".into(), watch: false }).await.header.zxid;
            assert_eq!(now, zxid, "{request:?}");
        }
        let odd = create("/odd", b"", acl(31, "digest", "no"));
        assert_eq!(wire.call(4, &odd).await.header.err, INVALID_ACL);
        // What is wrong in another way counts as ever.
        let before = wire.call(5, &Request::Exists { path: "/".into(), watch: false }).await.header.zxid;
        assert_eq!(answer(&wire.call(6, &open("/none/child")).await), (-101, before + 1));
        assert_eq!(answer(&wire.call(7, &open("/fine")).await), (0, before + 2));
    }
}

fn quota(limits: &'static str) -> [(&'static str, &'static [u8]); 4] {
    [
        ("/a", b"12"),
        ("/zookeeper/quota/a", b""),
        ("/zookeeper/quota/a/zookeeper_limits", limits.as_bytes()),
        ("/zookeeper/quota/a/zookeeper_stats", b"count=0,bytes=0"),
    ]
}

async fn usage(wire: &mut Wire) -> (String, i32) {
    let path = "/zookeeper/quota/a/zookeeper_stats".into();
    let reply = wire.call(9, &Request::GetData { path, watch: false }).await;
    let mut d = Decoder::new(&reply.body);
    let text = String::from_utf8(d.buffer().unwrap().unwrap().to_vec()).unwrap();
    (text, flowkeeper_zk::proto::Stat::decode(&mut d).unwrap().data_length)
}

#[tokio::test]
async fn hard_quotas_refuse_where_they_are_enforced() {
    for enforce in [false, true] {
        let server = server::start(Config { enforce_quota: enforce, ..Config::default() }).await.unwrap();
        let (mut wire, _) = Wire::session(server.local_addr()).await;
        for (path, data) in quota("count=1,bytes=-1=;byteHardLimit=6;countHardLimit=2") {
            assert_eq!(
                wire.call(1, &create(path, data, acl(31, "world", "anyone"))).await.header.err,
                0,
                "{path}"
            );
        }
        assert_eq!(usage(&mut wire).await.0, "count=1,bytes=2");
        assert_eq!(wire.call(2, &open("/a/b")).await.header.err, 0, "over the soft limit, which only warns");
        assert_eq!(usage(&mut wire).await, ("count=2,bytes=2".into(), 15));
        let code = if enforce { QUOTA_EXCEEDED } else { 0 };
        assert_eq!(wire.call(3, &open("/a/c")).await.header.err, code);
        assert_eq!(wire.call(4, &set("/a/b", b"12345")).await.header.err, code);
        assert_eq!(wire.call(5, &set("/a/b", b"1234")).await.header.err, 0);
        let nodes = if enforce { 2 } else { 3 };
        assert_eq!(usage(&mut wire).await.0, format!("count={nodes},bytes=6"));
    }
}

#[tokio::test]
async fn usage_is_counted_anew_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let server = at(dir.path(), 0).await;
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    for (path, data) in quota("count=9,bytes=9") {
        wire.call(1, &create(path, data, acl(31, "world", "anyone"))).await;
    }
    wire.call(2, &open("/a/b")).await;
    wire.call(3, &set("/a", b"longer")).await;
    let before = usage(&mut wire).await;
    assert_eq!(before.0, "count=2,bytes=6");
    let copy = crate::wire::crash_copy(dir.path());
    let after = at(copy.path(), 0).await;
    let (mut wire, _) = Wire::session(after.local_addr()).await;
    assert_eq!(usage(&mut wire).await, before);
    after.stop().await.unwrap();
    let again = at(copy.path(), 0).await;
    let (mut wire, _) = Wire::session(again.local_addr()).await;
    assert_eq!(usage(&mut wire).await, before, "from a snapshot too");
}

#[tokio::test]
async fn nodes_that_expire_can_be_forbidden() {
    let server = server::start(Config { extended_types: false, ..Config::default() }).await.unwrap();
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    let acl = acl(31, "world", "anyone");
    for flags in [5, 6] {
        let ttl = Create { op: op::CREATE_TTL, path: "/t".into(), data: None, acl, flags, ttl: 1000 };
        assert_eq!(wire.call(1, &Request::Create(ttl)).await.header.err, -6);
    }
    assert_eq!(wire.call(2, &open("/p")).await.header.err, 0, "the connection goes on");
}
