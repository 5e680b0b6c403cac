//! A whole server on a disk that is full or broken, as its clients see it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::faults::{disk_error, full_disk};
use super::*;
use crate::proto::jute::put_frame;
use crate::proto::{ConnectRequest, ConnectResponse, Decoder, Encoder, op};
use crate::server::storage::disk::script::{Op, Script};
use crate::server::{Config, Server, start};

/// Over loopback nothing takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

async fn serve(path: &Path) -> Server {
    start(Config { data: Some(path.to_owned()), ..Config::default() }).await.unwrap()
}

/// A client that waits for each reply.
struct Client {
    socket: TcpStream,
    session: i64,
    password: [u8; 16],
    xid: i32,
}

impl Client {
    /// Opens a session, or takes one up again. `None` if the server hangs up.
    fn connect(addr: SocketAddr, session: i64, password: &[u8]) -> Option<Self> {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self { socket, session: 0, password: [0; 16], xid: 0 };
        let ask = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout: 20_000,
            session,
            password,
            read_only: None,
        };
        let mut frame = Vec::new();
        put_frame(&mut frame, |out| ask.encode(&mut Encoder::new(out)));
        client.socket.write_all(&frame).unwrap();
        let answer = client.frame()?;
        let answer = ConnectResponse::decode(&mut Decoder::new(&answer)).unwrap();
        (client.session, client.password) = (answer.session, answer.password);
        Some(client)
    }

    fn open(addr: SocketAddr) -> Self {
        Self::connect(addr, 0, &[0; 16]).expect("a session")
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).ok()?;
        let mut body = vec![0; u32::from_be_bytes(len) as usize];
        self.socket.read_exact(&mut body).ok()?;
        Some(body)
    }

    /// The code of the reply, `None` if the server hangs up instead.
    fn call(&mut self, kind: i32, body: impl FnOnce(&mut Encoder<'_>)) -> Option<i32> {
        self.xid += 1;
        let mut frame = Vec::new();
        put_frame(&mut frame, |out| {
            let mut e = Encoder::new(out);
            e.i32(self.xid);
            e.i32(kind);
            body(&mut e);
        });
        self.socket.write_all(&frame).ok()?;
        let reply = self.frame()?;
        let mut d = Decoder::new(&reply);
        assert_eq!(d.i32(), Ok(self.xid));
        d.i64().unwrap();
        d.i32().ok()
    }

    fn create(&mut self, path: &str, len: usize) -> Option<i32> {
        self.call(op::CREATE, |e| {
            e.string(path);
            e.buffer(Some(&vec![7; len]));
            e.raw(acl(&[(31, "world", "anyone")]).as_bytes());
            e.i32(0);
        })
    }

    fn exists(&mut self, path: &str) -> bool {
        let code = self.call(op::EXISTS, |e| {
            e.string(path);
            e.bool(false);
        });
        assert!(matches!(code, Some(0 | -101)), "{code:?}");
        code == Some(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_writes_are_refused_and_reads_served_until_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::on(dir.path());
    let server = serve(dir.path()).await;
    let addr = server.local_addr();
    let mut client = Client::open(addr);
    let mut leaving = Client::open(addr);
    script.fail(|op| matches!(op, Op::Create { .. } | Op::Reserve { .. }).then(full_disk));
    // Some fit into what was reserved before.
    let mut taken = 0;
    let code = loop {
        match client.create(&format!("/n{taken}"), 50 << 10) {
            Some(0) => taken += 1,
            other => break other,
        }
        assert!(taken < 1000, "the disk is never full");
    };
    assert_eq!(code, Some(-1), "a system error, so that the client knows that nothing was done");
    assert!(taken > 0);
    assert!(!client.exists(&format!("/n{taken}")));
    assert!(client.exists("/n0"));
    assert_eq!(
        client.call(op::DELETE, |e| {
            e.string("/n0");
            e.i32(-1);
        }),
        Some(-1)
    );
    assert_eq!(
        client.call(op::MULTI, |e| {
            e.i32(-1);
            e.bool(true);
            e.i32(-1);
        }),
        Some(-1)
    );
    // No session can begin, but one can end, and one can move.
    assert!(Client::connect(addr, 0, &[0; 16]).is_none());
    assert_eq!(leaving.call(op::CLOSE_SESSION, |_| {}), Some(0));
    let mut moved = Client::connect(addr, client.session, &client.password).expect("the same session");
    assert!(moved.exists("/n0"));
    script.heal();
    let begun = Instant::now();
    while moved.create("/after", 10) != Some(0) {
        assert!(begun.elapsed() < DEADLINE, "space has returned, and nobody notices");
        tokio::task::yield_now().await;
    }
    drop(Client::open(addr));
    server.stop().await.unwrap();
    let server = serve(dir.path()).await;
    let mut client = Client::open(server.local_addr());
    assert!((0..taken).all(|n| client.exists(&format!("/n{n}"))) && client.exists("/after"));
    assert!(!client.exists(&format!("/n{taken}")), "what was refused is not there");
    assert!(
        Client::connect(server.local_addr(), leaving.session, &leaving.password)
            .is_some_and(|c| c.session == 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_on_a_full_disk_serves_reads() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path()).await;
    let mut client = Client::open(server.local_addr());
    assert_eq!(client.create("/a", 10), Some(0));
    server.stop().await.unwrap();
    let script = Script::on(dir.path());
    script.fail(|op| matches!(op, Op::Create { .. } | Op::Reserve { .. } | Op::Write { .. }).then(full_disk));
    let server = serve(dir.path()).await;
    let mut client = Client::connect(server.local_addr(), client.session, &client.password).unwrap();
    assert!(client.exists("/a"));
    assert_eq!(client.create("/b", 10), Some(-1));
    assert_eq!(client.call(op::CLOSE_SESSION, |_| {}), Some(-1), "there is not even room for that");
    script.heal();
    let begun = Instant::now();
    while client.create("/b", 10) != Some(0) {
        assert!(begun.elapsed() < DEADLINE, "space has returned, and nobody notices");
        tokio::task::yield_now().await;
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_answered_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::on(dir.path());
    let server = serve(dir.path()).await;
    let mut client = Client::open(server.local_addr());
    assert_eq!(client.create("/kept", 10), Some(0));
    let mut idle = Client::open(server.local_addr());
    let mut silent = TcpStream::connect(server.local_addr()).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    script.fail(|op| matches!(op, Op::Sync { .. }).then(disk_error));
    assert_eq!(client.create("/unknown", 10), None, "neither success nor refusal");
    let error = server.failed().await;
    assert!(matches!(error, Error::Disk { what: "sync log", .. }), "{error}");
    assert_eq!(idle.frame(), None, "who waits for nothing is let go too");
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "and who never said anything");
    assert!(
        TcpStream::connect(server.local_addr()).is_err(),
        "nobody is kept waiting by a server that is gone"
    );
    assert_eq!(server.stop().await.unwrap_err().to_string(), error.to_string());
    script.heal();
    let server = serve(dir.path()).await;
    let mut client = Client::connect(server.local_addr(), client.session, &client.password).unwrap();
    assert!(client.session != 0 && client.exists("/kept"));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data: Some(dir.path().to_owned()), snapshot_after: Some(50), ..Config::default() };
    let server = start(config).await.unwrap();
    let mut client = Client::open(server.local_addr());
    assert_eq!(client.create("/a", 10), Some(0));
    let size = || -> u64 {
        let files = fs::read_dir(dir.path()).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
    };
    let mut most = 0;
    for n in 0..600 {
        let code = client.call(op::SET_DATA, |e| {
            e.string("/a");
            e.buffer(Some(&[n as u8; 20 << 10]));
            e.i32(-1);
        });
        assert_eq!(code, Some(0));
        most = most.max(size());
    }
    // 12 MiB were written. There are three snapshots at most, each of one node, the log of the intervals between them,
    // and the reserve.
    assert!(most < 4 * (50 * (20 << 10)) + (2 << 20), "{most} bytes");
    server.stop().await.unwrap();
}
