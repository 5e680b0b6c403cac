//! One connection to a ZooKeeper server, blocking: frames out, frames in, notifications put aside.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use flowkeeper_zk::proto::connect::PASSWORD_LEN;
use flowkeeper_zk::proto::jute::put_frame;
use flowkeeper_zk::proto::{ConnectRequest, ConnectResponse, Decoder, Encoder, ReplyHeader, op};

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ: usize = 64 << 10;

/// A session by which a connection may be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: i64,
    pub password: [u8; PASSWORD_LEN],
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub header: ReplyHeader,
    pub body: Vec<u8>,
}

/// A connection in a session.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes that came, from `at` on not looked at yet.
    input: Vec<u8>,
    at: usize,
    /// Requests that are not sent yet.
    output: Vec<u8>,
    xid: i32,
    pub session: Session,
    /// Session timeout that was granted, in milliseconds.
    pub timeout_ms: i32,
    /// Notifications that came so far, whole: header and body.
    pub notifications: VecDeque<Vec<u8>>,
}

fn broken(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

impl Connection {
    /// Connects to `addr` and opens a session of `timeout_ms`, or resumes one.
    ///
    /// # Errors
    /// Nobody answers, the session is refused, or the answer is none of the protocol's.
    pub fn open(addr: &str, timeout_ms: i32, resume: Option<Session>) -> io::Result<Connection> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let session = resume.unwrap_or(Session { id: 0, password: [0; PASSWORD_LEN] });
        let mut connection = Connection {
            stream,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
            xid: 0,
            session,
            timeout_ms,
            notifications: VecDeque::new(),
        };
        let ask = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout: timeout_ms,
            session: session.id,
            password: &session.password,
            read_only: Some(false),
        };
        put_frame(&mut connection.output, |out| ask.encode(&mut Encoder::new(out)));
        connection.flush()?;
        let frame = connection.frame()?;
        let granted = ConnectResponse::decode(&mut Decoder::new(&connection.input[frame])).map_err(broken)?;
        if granted.timeout == 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the session is refused"));
        }
        connection.session = Session { id: granted.session, password: granted.password };
        connection.timeout_ms = granted.timeout;
        Ok(connection)
    }

    /// Adds a request to what is to be sent; gives its xid.
    pub fn put(&mut self, op: i32, body: impl FnOnce(&mut Encoder<'_>)) -> i32 {
        let xid = match op {
            op::PING => op::XID_PING,
            op::AUTH => op::XID_AUTH,
            op::SET_WATCHES | op::SET_WATCHES2 => op::XID_SET_WATCHES,
            _ => {
                self.xid += 1;
                self.xid
            }
        };
        put_frame(&mut self.output, |out| {
            let mut e = Encoder::new(out);
            e.i32(xid);
            e.i32(op);
            body(&mut e);
        });
        xid
    }

    /// Sends what was added.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// The next answer; notifications before it are put aside.
    ///
    /// # Errors
    /// The server hung up, or is silent for too long.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let (header, frame) = self.next()?;
        let body = self.input[frame.start + ReplyHeader::LEN..frame.end].to_vec();
        Ok(Reply { header, body })
    }

    /// The header of the next answer, for those who count only.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive_header(&mut self) -> io::Result<ReplyHeader> {
        Ok(self.next()?.0)
    }

    /// Whether an answer can be had without waiting.
    pub fn has_answer(&self) -> bool {
        whole_frame(&self.input[self.at..]).is_some()
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn call(&mut self, op: i32, body: impl FnOnce(&mut Encoder<'_>)) -> io::Result<Reply> {
        self.put(op, body);
        self.flush()?;
        self.receive()
    }

    /// The socket, for those who only listen from now on. What was read already is lost.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn next(&mut self) -> io::Result<(ReplyHeader, Range<usize>)> {
        loop {
            let frame = self.frame()?;
            let header =
                ReplyHeader::decode(&mut Decoder::new(&self.input[frame.clone()])).map_err(broken)?;
            if header.xid != op::XID_NOTIFICATION {
                return Ok((header, frame));
            }
            self.notifications.push_back(self.input[frame].to_vec());
        }
    }

    /// Where the next whole frame lies in `input`.
    fn frame(&mut self) -> io::Result<Range<usize>> {
        loop {
            if let Some(length) = whole_frame(&self.input[self.at..]) {
                let start = self.at + 4;
                self.at = start + length;
                return Ok(start..self.at);
            }
            self.input.drain(..self.at);
            self.at = 0;
            let before = self.input.len();
            self.input.resize(before + READ, 0);
            let read = self.stream.read(&mut self.input[before..]);
            self.input.truncate(before + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The length of the frame that begins `bytes`, if it is all there.
fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
    (bytes.len() - 4 >= length).then_some(length)
}
