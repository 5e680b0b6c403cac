//! A client that knows nothing but frames, and folders for servers.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flowkeeper_zk::proto::jute::put_frame;
use flowkeeper_zk::proto::{
    ConnectRequest, ConnectResponse, Decoder, Encoder, ReplyHeader, Request, RequestHeader,
};
use flowkeeper_zk::server::{self, Config, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No single step of a test takes this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A reply or notification.
pub(crate) struct Reply {
    pub(crate) header: ReplyHeader,
    pub(crate) body: Vec<u8>,
}

/// A raw connection, plain unless made otherwise.
pub(crate) struct Wire<S = TcpStream> {
    socket: S,
}

impl Wire {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    /// Opens a connection with a new session.
    pub(crate) async fn session(addr: SocketAddr) -> (Self, ConnectResponse) {
        let mut wire = Self::open(addr).await;
        let answer = wire.connect(0, &[0; 16], 10_000).await.unwrap();
        (wire, answer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(socket: S) -> Self {
        Self { socket }
    }

    /// Sends a handshake; `None` if the server closes instead of answering.
    pub(crate) async fn connect(
        &mut self,
        session: i64,
        password: &[u8],
        timeout: i32,
    ) -> Option<ConnectResponse> {
        self.send(&handshake(session, password, timeout, 0)).await;
        let frame = self.frame().await?;
        Some(ConnectResponse::decode(&mut Decoder::new(&frame)).unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn call(&mut self, xid: i32, request: &Request<'_>) -> Reply {
        self.send(&message(xid, request)).await;
        self.reply().await.expect("a reply")
    }

    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let frame = self.frame().await?;
        let header = ReplyHeader::decode(&mut Decoder::new(&frame)).unwrap();
        Some(Reply { header, body: frame[ReplyHeader::LEN..].to_vec() })
    }

    /// The next frame; `None` when the server has closed.
    pub(crate) async fn frame(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let len = self.socket.read_u32().await.ok()?;
            let mut frame = vec![0; len as usize];
            self.socket.read_exact(&mut frame).await.ok()?;
            Some(frame)
        };
        tokio::time::timeout(DEADLINE, read).await.expect("the server answers or closes")
    }

    /// All the server sends until it closes, as text.
    pub(crate) async fn text(&mut self) -> String {
        let mut text = String::new();
        let read = self.socket.read_to_string(&mut text);
        tokio::time::timeout(DEADLINE, read).await.expect("the server closes").unwrap();
        text
    }
}

pub(crate) fn message(xid: i32, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, |out| {
        let mut e = Encoder::new(out);
        RequestHeader { xid, op: request.op() }.encode(&mut e);
        request.encode(&mut e);
    });
    out
}

pub(crate) fn handshake(session: i64, password: &[u8], timeout: i32, last_zxid_seen: i64) -> Vec<u8> {
    let ask = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout,
        session,
        password,
        read_only: Some(false),
    };
    let mut out = Vec::new();
    put_frame(&mut out, |out| ask.encode(&mut Encoder::new(out)));
    out
}

pub(crate) async fn in_memory() -> Server {
    server::start(Config::default()).await.unwrap()
}

pub(crate) async fn at(data: &Path, port: u16) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    server::start(Config { listen, data: Some(data.to_owned()), ..Config::default() }).await.unwrap()
}

/// What is on the disk now, as a crash would leave it: acknowledged writes, and maybe more.
pub(crate) fn crash_copy(data: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// As [`Wire::connect`], for a server that may have closed already.
    pub(crate) async fn frame_after_handshake(&mut self) -> Option<Vec<u8>> {
        self.socket.write_all(&handshake(0, &[0; 16], 5000, 0)).await.ok()?;
        self.frame().await
    }
}
