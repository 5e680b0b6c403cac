//! Whatever a client sends, the embedded ZooKeeper server goes on serving others: whole connections over TCP, from
//! the first byte to the last. The first byte of the input tells how the connection begins.
#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use flowkeeper_zk::proto::jute::put_frame;
use flowkeeper_zk::proto::{ConnectRequest, Encoder, Request, RequestHeader};
use flowkeeper_zk::server::{Config, Sasl, Server, start};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

/// Nothing takes this long, unless somebody is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

struct Bench {
    _runtime: Runtime,
    _server: Server,
    addr: SocketAddr,
    /// Somebody decent, whose session outlives all others.
    decent: Mutex<TcpStream>,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sasl = Some(Sasl { users: [("bob".into(), "secret".into())].into(), is_required: false });
        let config = Config {
            max_frame: 1 << 16,
            words: vec!["*".into()],
            super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into()),
            sasl,
            enforce_quota: true,
            tick: Duration::from_millis(100),
            min_session_timeout: Duration::from_millis(200),
            container_check: Duration::from_millis(200),
            ..Config::default()
        };
        let server = runtime.block_on(start(config)).unwrap();
        let addr = server.local_addr();
        let mut decent = TcpStream::connect(addr).unwrap();
        decent.set_read_timeout(Some(PATIENCE)).unwrap();
        decent.write_all(&handshake(60_000)).unwrap();
        frame(&mut decent);
        Bench { _runtime: runtime, _server: server, addr, decent: Mutex::new(decent) }
    })
}

fn handshake(timeout: i32) -> Vec<u8> {
    let ask = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout,
        session: 0,
        password: &[0; 16],
        read_only: Some(false),
    };
    let mut out = Vec::new();
    put_frame(&mut out, |out| ask.encode(&mut Encoder::new(out)));
    out
}

fn message(xid: i32, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, |out| {
        let mut e = Encoder::new(out);
        RequestHeader { xid, op: request.op() }.encode(&mut e);
        request.encode(&mut e);
    });
    out
}

fn frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

/// What the client sends: as the input has it, or framed after a proper beginning.
fn bytes(input: &[u8]) -> Vec<u8> {
    let Some((how, rest)) = input.split_first() else { return Vec::new() };
    let mut out = match how & 3 {
        0 => return rest.to_vec(),
        1 => handshake(200),
        2 => [
            handshake(200),
            message(-4, &Request::Auth { scheme: "digest".into(), token: Some(b"super:test") }),
        ]
        .concat(),
        _ => [handshake(200), message(1, &Request::Sasl { token: b"" })].concat(),
    };
    if how & 4 == 0 {
        // Frames, whose lengths the input need not guess: one byte of length, then the body.
        let mut rest = rest;
        while let Some((len, more)) = rest.split_first() {
            let (body, after) = more.split_at(more.len().min(usize::from(*len)));
            put_frame(&mut out, |out| out.extend_from_slice(body));
            rest = after;
        }
    } else {
        out.extend_from_slice(rest);
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let bench = bench();
    let mut client = TcpStream::connect(bench.addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have closed already, and then the system may know better than we do.
    let _ = client.write_all(&bytes(input));
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = client.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server neither answers nor closes");
    }
    let mut decent = bench.decent.lock().unwrap_or_else(PoisonError::into_inner);
    decent.write_all(&message(7, &Request::Ping)).unwrap();
    assert_eq!(frame(&mut decent)[..4], 7_i32.to_be_bytes(), "somebody decent is not served any more");
});
