//! Clients that do harm, by malice or by mistake: they cost little and others do not notice.

use std::time::Duration;

use flowkeeper_zk::proto::{Acl, AclVector, Create, Encoder, Request, op};
use flowkeeper_zk::server::{self, Config, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::wire::{DEADLINE, Wire, handshake, message};

/// A server that gives up on clients that take nothing for a second.
async fn impatient() -> Server {
    let config = Config {
        tick: Duration::from_millis(50),
        min_session_timeout: Duration::from_millis(100),
        max_session_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    server::start(config).await.unwrap()
}

fn create<'a>(path: &'a str, data: &'a [u8]) -> Request<'a> {
    let mut out = Vec::new();
    flowkeeper_zk::proto::acl::put_acl(&mut Encoder::new(&mut out), &[Acl::open()]);
    let acl = AclVector::decode(&mut flowkeeper_zk::proto::Decoder::new(Vec::leak(out))).unwrap();
    Request::Create(Create { op: op::CREATE, path: path.into(), data: Some(data), acl, flags: 0, ttl: -1 })
}

fn get(path: &str) -> Request<'_> {
    Request::GetData { path: path.into(), watch: false }
}

/// Keeps a session alive, and checks that it is served, until something is so.
async fn serve_until(wire: &mut Wire, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            assert_eq!(wire.call(1, &Request::Ping).await.header.err, 0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("it becomes so");
}

#[tokio::test]
async fn who_asks_for_much_and_reads_nothing_is_closed() {
    let server = impatient().await;
    let (mut good, _) = Wire::session(server.local_addr()).await;
    assert_eq!(good.call(1, &create("/big", &vec![7; 1_000_000])).await.header.err, 0);
    let mut idle = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut all = handshake(0, &[0; 16], 1000, 0);
    for n in 0..500 {
        all.extend(message(n, &get("/big")));
    }
    idle.write_all(&all).await.unwrap();
    serve_until(&mut good, || server.stats().connections == 2).await;
    serve_until(&mut good, || server.stats().connections == 1).await;
}

#[tokio::test]
async fn who_sends_much_and_reads_nothing_is_held_up() {
    let server = server::start(Config::default()).await.unwrap();
    let (mut good, _) = Wire::session(server.local_addr()).await;
    assert_eq!(good.call(1, &create("/big", &vec![7; 1_000_000])).await.header.err, 0);
    let mut idle = TcpStream::connect(server.local_addr()).await.unwrap();
    idle.write_all(&handshake(0, &[0; 16], 1000, 0)).await.unwrap();
    // Small questions with big answers, in the longest packets there may be.
    let mut request = message(1, &get("/big"));
    request.resize(1_000_000, 0);
    request[..4].copy_from_slice(&(1_000_000_u32 - 4).to_be_bytes());
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), idle.write_all(&request)).await {
        written.unwrap();
        sent += 1;
        assert!(sent < 100, "the server takes whatever comes");
    }
    assert!(sent > 3);
    assert_eq!(good.call(1, &Request::Ping).await.header.err, 0);
}

#[tokio::test]
async fn who_watches_much_and_reads_nothing_is_closed() {
    let server = server::start(Config::default()).await.unwrap();
    let (mut good, _) = Wire::session(server.local_addr()).await;
    let long = format!("/{}", "x".repeat(500_000));
    good.call(1, &create("/a", b"")).await;
    let (mut idle, _) = Wire::session(server.local_addr()).await;
    idle.call(1, &Request::AddWatch { path: "/".into(), recursive: true }).await;
    let delete = Request::Delete { path: long.as_str().into(), version: -1 };
    let closed = async {
        while server.stats().connections == 2 {
            assert_eq!(good.call(2, &create(&long, b"")).await.header.err, 0);
            assert_eq!(good.call(3, &delete).await.header.err, 0);
        }
    };
    tokio::time::timeout(DEADLINE, closed).await.expect("the watcher is closed");
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let config = Config { max_connections: 3, ..Config::default() };
    let server = server::start(config).await.unwrap();
    let (mut one, _) = Wire::session(server.local_addr()).await;
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(Wire::open(server.local_addr()).await);
    }
    let mut refused = 0;
    for wire in &mut others {
        refused += usize::from(wire.frame_after_handshake().await.is_none());
    }
    assert_eq!(refused, 48);
    assert_eq!(one.call(1, &Request::Ping).await.header.err, 0);
}

#[tokio::test]
async fn any_bytes_after_any_beginning_leave_the_server_serving() {
    let server = server::start(Config { max_frame: 4096, ..Config::default() }).await.unwrap();
    let (mut good, session) = Wire::session(server.local_addr()).await;
    let mut seed = 0x0123_4567_89ab_cdef_u64;
    let mut next = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for round in 0..400 {
        let mut bytes = Vec::new();
        if round % 4 != 0 {
            // Somebody else's session, sometimes, with a guess at its password.
            let id = if next(8) == 0 { session.session } else { 0 };
            bytes.extend(handshake(id, &[next(256) as u8; 16], 1000, 0));
        }
        for _ in 0..next(6) {
            let xid = next(20) as i32 - 10;
            let mut request = match next(4) {
                0 => message(xid, &create("/r", &[1; 30])),
                1 => message(xid, &Request::Multi(vec![create("/m", b"x"), get("/m")])),
                2 => message(xid, &Request::Sasl { token: b"x" }),
                _ => message(xid, &get("/r")),
            };
            for _ in 0..next(4) {
                let at = next(request.len() as u64) as usize;
                request[at] = next(256) as u8;
            }
            bytes.extend(request);
        }
        bytes.truncate(bytes.len() - next(bytes.len() as u64 / 8 + 1) as usize);
        let mut wire = TcpStream::connect(server.local_addr()).await.unwrap();
        // The server may have closed already.
        let _ = wire.write_all(&bytes).await;
        if round % 3 != 0 {
            let _ = wire.shutdown().await;
        }
    }
    assert_eq!(good.call(1, &get("/")).await.header.err, 0);
    server.stop().await.unwrap();
}
