//! An operator's hand in the tree: reads, creates, changes and deletes single znodes, over a session of its own, with the few
//! messages of ZooKeeper's protocol that it takes. It shares no code with the product, so it can play its enemy.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const GET: i32 = 4;
const SET: i32 = 5;
const CLOSE: i32 = -11;
const ANY_VERSION: i32 = -1;
const SESSION: Duration = Duration::from_secs(10);

/// A session. Dropping it closes it.
#[derive(Debug)]
pub struct Hand {
    stream: TcpStream,
    xid: i32,
}

impl Hand {
    /// Opens a session.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn at(addr: SocketAddr) -> io::Result<Hand> {
        let mut stream = TcpStream::connect_timeout(&addr, SESSION)?;
        stream.set_read_timeout(Some(SESSION))?;
        let mut hello = Vec::new();
        // Version, last zxid, timeout, session, password.
        hello.extend(0_i32.to_be_bytes());
        hello.extend(0_i64.to_be_bytes());
        hello.extend(10_000_i32.to_be_bytes());
        hello.extend(0_i64.to_be_bytes());
        hello.extend(buffer(&[0; 16]));
        hello.push(0);
        stream.write_all(&buffer(&hello))?;
        frame(&mut stream)?;
        Ok(Hand { stream, xid: 0 })
    }

    /// Data of a znode; `None` when it is not there.
    ///
    /// # Errors
    /// The connection's, or ZooKeeper's by number.
    pub fn get(&mut self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let mut body = buffer(path.as_bytes());
        body.push(0);
        let Some(answer) = self.exchange(GET, &body)? else { return Ok(None) };
        let length = answer.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
        let end = 4 + usize::try_from(length).unwrap_or(0);
        Ok(answer.get(4..end).map(<[u8]>::to_vec))
    }

    /// Creates a znode that everybody may use.
    ///
    /// # Errors
    /// As [`Hand::get`]; also when it exists.
    pub fn create(&mut self, path: &str, data: &[u8]) -> io::Result<()> {
        let mut body = [buffer(path.as_bytes()), buffer(data)].concat();
        body.extend(1_i32.to_be_bytes());
        body.extend(31_i32.to_be_bytes());
        body.extend([buffer(b"world"), buffer(b"anyone")].concat());
        body.extend(0_i32.to_be_bytes());
        self.exchange(CREATE, &body).map(drop)
    }

    /// Replaces the data of a znode, whatever its version.
    ///
    /// # Errors
    /// As [`Hand::get`].
    pub fn set(&mut self, path: &str, data: &[u8]) -> io::Result<()> {
        let mut body = [buffer(path.as_bytes()), buffer(data)].concat();
        body.extend(ANY_VERSION.to_be_bytes());
        self.exchange(SET, &body).map(drop)
    }

    /// Deletes a znode, whatever its version; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Hand::get`].
    pub fn delete(&mut self, path: &str) -> io::Result<()> {
        let mut body = buffer(path.as_bytes());
        body.extend(ANY_VERSION.to_be_bytes());
        self.exchange(DELETE, &body).map(drop)
    }

    /// Sends a request and waits for its answer; `None`: there is no such znode.
    fn exchange(&mut self, kind: i32, body: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.xid += 1;
        let mut request = self.xid.to_be_bytes().to_vec();
        request.extend(kind.to_be_bytes());
        request.extend(body);
        self.stream.write_all(&buffer(&request))?;
        let answer = frame(&mut self.stream)?;
        let code = answer.get(12..16).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
        match code {
            Some(0) => Ok(Some(answer[16..].to_vec())),
            Some(-101) => Ok(None),
            other => Err(io::Error::other(format!("zookeeper answers {other:?} to request {kind}"))),
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(500)));
        let _ = self.exchange(CLOSE, &[]);
    }
}

/// Bytes with their length before them.
fn buffer(bytes: &[u8]) -> Vec<u8> {
    let mut out = i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap_or(0)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
