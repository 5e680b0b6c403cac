//! Exchanges byte by byte: framing, handshake, order, and whatever no decent client sends.

use std::time::Duration;

use flowkeeper_zk::proto::op;
use flowkeeper_zk::proto::request::SetWatches;
use flowkeeper_zk::proto::{
    Acl, AclVector, Create, Decoder, Encoder, EventKind, Request, Stat, WatcherEvent,
};
use flowkeeper_zk::server::{self, Config, Error};

use crate::wire::{DEADLINE, Wire, at, crash_copy, handshake, in_memory, message};

fn open_acl() -> AclVector<'static> {
    let mut out = Vec::new();
    flowkeeper_zk::proto::acl::put_acl(&mut Encoder::new(&mut out), &[Acl::open()]);
    AclVector::decode(&mut Decoder::new(Vec::leak(out))).unwrap()
}

fn create<'a>(path: &'a str, data: &'a [u8], flags: i32) -> Request<'a> {
    Request::Create(Create {
        op: op::CREATE,
        path: path.into(),
        data: Some(data),
        acl: open_acl(),
        flags,
        ttl: -1,
    })
}

fn get(path: &str, watch: bool) -> Request<'_> {
    Request::GetData { path: path.into(), watch }
}

fn exists(path: &str, watch: bool) -> Request<'_> {
    Request::Exists { path: path.into(), watch }
}

fn event(body: &[u8]) -> (EventKind, String) {
    let event = WatcherEvent::decode(&mut Decoder::new(body)).unwrap().unwrap();
    (event.kind, event.path)
}

#[tokio::test]
async fn a_first_exchange_byte_by_byte() {
    let server = in_memory().await;
    let mut wire = Wire::open(server.local_addr()).await;
    // A client of 2011: no read-only flag, so none comes back.
    let mut ask = vec![0, 0, 0, 44];
    ask.extend([0; 12]);
    ask.extend(5000_i32.to_be_bytes());
    ask.extend([0; 8]);
    ask.extend(16_i32.to_be_bytes());
    ask.extend([0; 16]);
    wire.send(&ask).await;
    let answer = wire.frame().await.unwrap();
    assert_eq!(answer.len(), 36);
    assert_eq!(answer[..8], [0, 0, 0, 0, 0, 0, 0x13, 0x88]);
    assert_eq!(answer[8], 1, "session ids of server 1");
    // Ping.
    wire.send(&[0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]).await;
    let mut pong = vec![0xff, 0xff, 0xff, 0xfe];
    pong.extend(1_i64.to_be_bytes());
    pong.extend([0; 4]);
    assert_eq!(wire.frame().await.unwrap(), pong);
    // Close.
    wire.send(&[0, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xf5]).await;
    assert_eq!(wire.frame().await.unwrap()[..12], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(wire.frame().await, None);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn timeouts_are_clamped() {
    let server = in_memory().await;
    for (ask, got) in [(1, 2000), (-5, 2000), (30_000, 30_000), (i32::MAX, 60_000)] {
        let mut wire = Wire::open(server.local_addr()).await;
        assert_eq!(wire.connect(0, &[], ask).await.unwrap().timeout, got);
    }
}

#[tokio::test]
async fn reattaching_asks_for_the_password_and_moves_the_session() {
    let server = in_memory().await;
    let (mut first, session) = Wire::session(server.local_addr()).await;
    let mut stranger = Wire::open(server.local_addr()).await;
    let refused = stranger.connect(session.session, &[1; 16], 9000).await.unwrap();
    assert_eq!((refused.timeout, refused.session, refused.password), (0, 0, [0; 16]));
    assert_eq!(stranger.frame().await, None);
    assert_eq!(first.call(1, &exists("/", false)).await.header.err, 0, "a wrong guess harms nobody");

    let mut second = Wire::open(server.local_addr()).await;
    let answer = second.connect(session.session, &session.password, 9000).await.unwrap();
    assert_eq!((answer.session, answer.timeout), (session.session, 9000));
    assert_eq!(first.frame().await, None, "the older connection is closed");
    assert_eq!(second.call(1, &exists("/", false)).await.header.err, 0);
}

#[tokio::test]
async fn a_client_from_the_future_is_turned_away_without_an_answer() {
    let server = in_memory().await;
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(&handshake(0, &[0; 16], 5000, 1 << 40)).await;
    assert_eq!(wire.frame().await, None);
}

#[tokio::test]
async fn everything_may_come_in_one_segment_and_is_answered_in_order() {
    let server = in_memory().await;
    let mut wire = Wire::open(server.local_addr()).await;
    let auth = Request::Auth { scheme: "digest".into(), token: Some(b"a:b") };
    let mut all = handshake(0, &[0; 16], 5000, 0);
    all.extend(message(op::XID_AUTH, &auth));
    for n in 1..=500 {
        all.extend(message(n, &create(&format!("/n{n}"), b"", 0)));
        all.extend(message(1000 + n, &get(&format!("/n{n}"), false)));
    }
    wire.send(&all).await;
    wire.frame().await.unwrap();
    let reply = wire.reply().await.unwrap();
    assert_eq!((reply.header.xid, reply.header.zxid, reply.header.err), (op::XID_AUTH, 0, 0));
    for n in 1..=500 {
        for xid in [n, 1000 + n] {
            let reply = wire.reply().await.unwrap();
            assert_eq!((reply.header.xid, reply.header.err, reply.header.zxid), (xid, 0, i64::from(n) + 1));
        }
    }
}

#[tokio::test]
async fn errors_carry_no_body_and_failed_writes_use_up_a_zxid() {
    let server = in_memory().await;
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    assert_eq!(wire.call(1, &create("/a", b"", 0)).await.header.zxid, 2);
    let reply = wire.call(2, &create("/a", b"", 0)).await;
    assert_eq!((reply.header.err, reply.header.zxid, reply.body), (-110, 3, vec![]));
    let reply = wire.call(3, &get("/none", true)).await;
    assert_eq!((reply.header.err, reply.header.zxid), (-101, 3));
    // A create whose record is cut off is no write yet.
    wire.send(&[0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1, 0]).await;
    let reply = wire.reply().await.unwrap();
    assert_eq!((reply.header.xid, reply.header.err, reply.header.zxid), (4, -5, 3));
    assert_eq!(wire.call(5, &exists("/a", false)).await.header.err, 0, "the connection stays");
}

#[tokio::test]
async fn unknown_and_internal_operations_are_refused_and_end_the_connection() {
    let server = in_memory().await;
    let check = Request::Check { path: "/".into(), version: -1 };
    for request in [Request::Unknown(77), Request::Unknown(op::CREATE_SESSION), Request::Unknown(20), check] {
        let (mut wire, _) = Wire::session(server.local_addr()).await;
        assert_eq!(wire.call(1, &request).await.header.err, -6, "{request:?}");
        assert_eq!(wire.frame().await, None);
    }
}

#[tokio::test]
async fn garbage_closes_its_own_connection_only() {
    let server = in_memory().await;
    let (mut good, _) = Wire::session(server.local_addr()).await;
    for garbage in [
        &[0xff; 8][..],
        &[0, 0x10, 0, 0, 0],
        &[0, 0, 0, 3, 1, 2, 3],
        &[0, 0, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
        b"word",
    ] {
        let mut wire = Wire::open(server.local_addr()).await;
        wire.send(garbage).await;
        assert_eq!(wire.frame().await, None, "{garbage:?}");
    }
    let (mut short, _) = Wire::session(server.local_addr()).await;
    short.send(&[0, 0, 0, 2, 1, 2]).await;
    assert_eq!(short.frame().await, None);
    assert_eq!(good.call(1, &exists("/", false)).await.header.err, 0);
}

#[tokio::test]
async fn requests_with_random_bodies_never_bring_the_server_down() {
    let server = in_memory().await;
    let (mut good, _) = Wire::session(server.local_addr()).await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for op in (-12..23).chain(99..109) {
        for _ in 0..8 {
            let len = (next() % 60) as usize;
            // Small numbers, so that many lengths and counts inside the record fit.
            let body: Vec<u8> =
                (0..len).map(|_| if next() % 3 == 0 { next() as u8 % 70 } else { 0 }).collect();
            let mut frame = (8 + len as i32).to_be_bytes().to_vec();
            frame.extend(7_i32.to_be_bytes());
            frame.extend(i32::to_be_bytes(op));
            frame.extend(body);
            let (mut wire, _) = Wire::session(server.local_addr()).await;
            wire.send(&frame).await;
            wire.frame().await;
        }
    }
    assert_eq!(good.call(1, &exists("/", false)).await.header.err, 0);
}

#[tokio::test]
async fn notifications_come_before_the_reply_that_shows_the_change() {
    let server = in_memory().await;
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    wire.call(1, &exists("/a", true)).await;
    wire.send(&message(2, &create("/a", b"", 0))).await;
    let notice = wire.reply().await.unwrap();
    assert_eq!((notice.header.xid, notice.header.zxid, notice.header.err), (-1, 2, 0));
    assert_eq!(event(&notice.body), (EventKind::Created, "/a".into()));
    assert_eq!(wire.reply().await.unwrap().header.xid, 2);

    let (mut other, _) = Wire::session(server.local_addr()).await;
    for round in 0..50 {
        other.call(1, &get("/a", true)).await;
        let set = Request::SetData { path: "/a".into(), data: Some(b"x"), version: -1 };
        wire.send(&message(3, &set)).await;
        let mut seen = false;
        loop {
            // Reads race with the write: whichever shows the new version comes after the event.
            other.send(&message(4, &exists("/a", false))).await;
            let mut reply = other.reply().await.unwrap();
            if reply.header.xid == -1 {
                seen = true;
                reply = other.reply().await.unwrap();
            }
            let stat = Stat::decode(&mut Decoder::new(&reply.body)).unwrap();
            assert!(stat.version == round || seen, "version {} was seen before its event", stat.version);
            if seen {
                break;
            }
        }
        wire.reply().await.unwrap();
    }
}

#[tokio::test]
async fn set_watches_reports_what_was_missed_and_arms_the_rest() {
    let server = in_memory().await;
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    for path in ["/same", "/changed", "/parent"] {
        wire.call(1, &create(path, b"", 0)).await;
    }
    let seen = wire.call(2, &exists("/", false)).await.header.zxid;
    let set = Request::SetData { path: "/changed".into(), data: None, version: -1 };
    wire.call(3, &set).await;
    wire.call(4, &create("/parent/child", b"", 0)).await;
    let watches = Request::SetWatches(SetWatches {
        op: op::SET_WATCHES2,
        relative_zxid: seen,
        data: vec!["/same".into(), "/changed".into(), "/gone".into()],
        exist: vec!["/parent".into(), "/not-yet".into()],
        child: vec!["/parent".into()],
        persistent: vec![],
        recursive: vec!["/parent".into()],
    });
    wire.send(&message(op::XID_SET_WATCHES, &watches)).await;
    let mut events = Vec::new();
    loop {
        let reply = wire.reply().await.unwrap();
        if reply.header.xid == op::XID_SET_WATCHES {
            assert_eq!(reply.header.err, 0);
            break;
        }
        assert_eq!((reply.header.xid, reply.header.zxid), (-1, -1));
        events.push(event(&reply.body));
    }
    let expected = [
        (EventKind::DataChanged, "/changed"),
        (EventKind::Deleted, "/gone"),
        (EventKind::Created, "/parent"),
        (EventKind::ChildrenChanged, "/parent"),
    ];
    assert_eq!(events, expected.map(|(kind, path)| (kind, path.to_owned())));
    wire.send(&message(5, &create("/not-yet", b"", 0))).await;
    assert_eq!(event(&wire.reply().await.unwrap().body), (EventKind::Created, "/not-yet".into()));
    assert_eq!(wire.reply().await.unwrap().header.xid, 5);
    wire.send(&message(6, &Request::Delete { path: "/parent/child".into(), version: -1 })).await;
    assert_eq!(event(&wire.reply().await.unwrap().body), (EventKind::Deleted, "/parent/child".into()));
}

#[tokio::test]
async fn a_client_that_pipelines_large_reads_gets_them_all() {
    let server = in_memory().await;
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    wire.call(1, &create("/big", &vec![7; 1_000_000], 0)).await;
    let mut all = Vec::new();
    for n in 0..100 {
        all.extend(message(n, &get("/big", false)));
    }
    wire.send(&all).await;
    for n in 0..100 {
        let reply = wire.reply().await.unwrap();
        assert_eq!((reply.header.xid, reply.body.len()), (n, 4 + 1_000_000 + Stat::LEN));
    }
}

#[tokio::test]
async fn sessions_without_packets_expire_and_take_their_nodes_with_them() {
    let config = Config {
        tick: Duration::from_millis(20),
        min_session_timeout: Duration::from_millis(40),
        ..Config::default()
    };
    let server = server::start(config).await.unwrap();
    let (mut watcher, _) = Wire::session(server.local_addr()).await;
    let mut silent = Wire::open(server.local_addr()).await;
    let session = silent.connect(0, &[0; 16], 40).await.unwrap();
    silent.call(1, &create("/e", b"", 1)).await;
    watcher.call(1, &exists("/e", true)).await;
    assert_eq!(silent.frame().await, None, "the server hangs up");
    assert_eq!(event(&watcher.reply().await.unwrap().body), (EventKind::Deleted, "/e".into()));
    let mut late = Wire::open(server.local_addr()).await;
    assert_eq!(late.connect(session.session, &session.password, 40).await.unwrap().timeout, 0);
}

#[tokio::test]
async fn unused_containers_and_old_nodes_are_reaped() {
    let config = Config {
        tick: Duration::from_millis(10),
        container_check: Duration::from_millis(10),
        ..Config::default()
    };
    let server = server::start(config).await.unwrap();
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    let make = |op, path: &'static str, flags, ttl| {
        Request::Create(Create { op, path: path.into(), data: None, acl: open_acl(), flags, ttl })
    };
    for request in [
        make(op::CREATE_CONTAINER, "/fresh", 4, -1),
        make(op::CREATE_CONTAINER, "/used", 4, -1),
        make(op::CREATE, "/used/child", 0, -1),
        make(op::CREATE_TTL, "/old", 5, 1),
        make(op::CREATE_TTL, "/young", 5, 1_000_000),
    ] {
        assert_eq!(wire.call(1, &request).await.header.err, 0);
    }
    let watch = Request::AddWatch { path: "/used".into(), recursive: true };
    assert_eq!(wire.call(2, &watch).await.body, [0; 4]);
    wire.send(&message(3, &Request::Delete { path: "/used/child".into(), version: -1 })).await;
    let mut frames = Vec::new();
    while frames.last() != Some(&(EventKind::Deleted, "/used".to_owned())) {
        let reply = wire.reply().await.unwrap();
        frames.extend((reply.header.xid == -1).then(|| event(&reply.body)));
    }
    let (mut other, _) = Wire::session(server.local_addr()).await;
    let gone = async { while other.call(1, &exists("/old", false)).await.header.err == 0 {} };
    tokio::time::timeout(DEADLINE, gone).await.expect("the old node goes");
    assert_eq!(other.call(2, &exists("/used", false)).await.header.err, -101);
    assert_eq!(other.call(3, &exists("/fresh", false)).await.header.err, 0);
    assert_eq!(other.call(4, &exists("/young", false)).await.header.err, 0);
}

#[tokio::test]
async fn words_are_answered_if_allowed() {
    let server = in_memory().await;
    for (word, answer) in [
        ("ruok", "imok"),
        ("isro", "rw"),
        ("mntr", "mntr is not executed because it is not in the whitelist.\n"),
    ] {
        let mut wire = Wire::open(server.local_addr()).await;
        wire.send(word.as_bytes()).await;
        assert_eq!(wire.text().await, answer);
    }
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(b"srvr").await;
    let text = wire.text().await;
    assert!(text.starts_with("Zookeeper version: 3.9.5-flowkeeper-"), "{text}");
    assert!(text.contains("\nMode: standalone\nNode count: 4\n"), "{text}");

    let server = server::start(Config { words: vec!["*".into()], ..Config::default() }).await.unwrap();
    let (mut client, session) = Wire::session(server.local_addr()).await;
    client.call(1, &create("/e", b"12345", 1)).await;
    for (word, part) in [
        ("mntr", "zk_znode_count\t5\n".to_owned()),
        ("mntr", "zk_ephemerals_count\t1\n".to_owned()),
        ("cons", format!("sid=0x{:x}", session.session)),
        ("dump", format!("0x{:x}:\n\t/e\n", session.session)),
        ("envi", "Environment:\nzookeeper.version=3.9.5".to_owned()),
        ("conf", format!("clientPort={}\n", server.local_addr().port())),
        ("stat", "Clients:\n /127.0.0.1:".to_owned()),
        ("wchs", "0 connections watching 0 paths\n".to_owned()),
    ] {
        let mut wire = Wire::open(server.local_addr()).await;
        wire.send(word.as_bytes()).await;
        let text = wire.text().await;
        assert!(text.contains(&part), "{word}: {text}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = in_memory().await;
    let error = server::start(Config { listen: server.local_addr(), ..Config::default() }).await.unwrap_err();
    assert!(matches!(error, Error::Listen { addr, .. } if addr == server.local_addr()), "{error}");
    assert!(error.to_string().contains(&server.local_addr().to_string()), "{error}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash_with_its_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let server = at(dir.path(), 0).await;
    let (mut wire, session) = Wire::session(server.local_addr()).await;
    for n in 0..100 {
        assert_eq!(wire.call(n, &create(&format!("/n{n}"), b"x", n % 2)).await.header.err, 0);
    }
    let crashed = crash_copy(dir.path());
    let zxid = wire.call(101, &exists("/", false)).await.header.zxid;
    let after = at(crashed.path(), 0).await;
    assert_eq!((after.recovery().zxid, after.recovery().nodes, after.recovery().sessions), (zxid, 104, 1));
    let mut wire = Wire::open(after.local_addr()).await;
    let again = wire.connect(session.session, &session.password, 9000).await.unwrap();
    assert_eq!(again.session, session.session);
    for n in 0..100 {
        assert_eq!(wire.call(n, &exists(&format!("/n{n}"), false)).await.header.err, 0, "/n{n}");
    }
    after.stop().await.unwrap();
    let clean = at(crashed.path(), 0).await;
    assert_eq!(
        (clean.recovery().replayed, clean.recovery().snapshot),
        (0, Some(zxid)),
        "a stop leaves a snapshot"
    );
}

#[tokio::test]
async fn a_dropped_server_frees_its_port_and_folder() {
    let dir = tempfile::tempdir().unwrap();
    let server = at(dir.path(), 0).await;
    let addr = server.local_addr();
    let (mut wire, _) = Wire::session(addr).await;
    drop(server);
    assert_eq!(wire.frame().await, None);
    let again = tokio::time::timeout(DEADLINE, async {
        loop {
            let config = Config { listen: addr, data: Some(dir.path().to_owned()), ..Config::default() };
            match server::start(config).await {
                Ok(server) => return server,
                Err(Error::FolderInUse { .. } | Error::Listen { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(again.await.unwrap().recovery().sessions, 1);
}

#[tokio::test]
async fn connections_of_one_address_are_counted() {
    let config = Config { max_connections_per_client: 2, ..Config::default() };
    let server = server::start(config).await.unwrap();
    let (mut one, _) = Wire::session(server.local_addr()).await;
    let (_two, _) = Wire::session(server.local_addr()).await;
    let mut three = Wire::open(server.local_addr()).await;
    assert_eq!(three.frame().await, None);
    assert_eq!(one.call(1, &Request::CloseSession).await.header.err, 0);
    assert_eq!(one.frame().await, None);
    drop(one);
    // The seat is free as soon as the server has noticed.
    let seated = tokio::time::timeout(DEADLINE, async {
        loop {
            let mut wire = Wire::open(server.local_addr()).await;
            if wire.frame_after_handshake().await.is_some() {
                return;
            }
        }
    });
    seated.await.unwrap();
}
