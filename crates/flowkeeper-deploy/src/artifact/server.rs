//! A small HTTP server for tests, which can also misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What somebody asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
}

/// What to answer.
pub(super) enum Reply {
    Body(Vec<u8>),
    Status(u16),
    /// To this address.
    Redirect(String),
    /// Says how long it is, and breaks off after the bytes.
    Broken(u64, Vec<u8>),
    /// Nothing for a while.
    Silence(Duration),
    /// The body, after a while.
    Slow(Duration, Vec<u8>),
}

pub(super) struct Server {
    addr: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves until the process ends.
    pub(super) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_with(move |asked| answer(&asked.path))
    }

    pub(super) fn start_with(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, asked_log) = (Arc::new(answer), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&asked_log));
                std::thread::spawn(move || {
                    if let Some(asked) = read(&stream) {
                        log.lock().expect("log").push(asked.clone());
                        // A client that went away is no failure of the server.
                        let _ = reply(&stream, answer(&asked));
                    }
                });
            }
        });
        Server { addr, log }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The same server under another name: another host to whoever compares hosts.
    pub(super) fn alias(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.addr.port())
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.log.lock().expect("log").clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut asked = Asked { path, ..Asked::default() };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("authorization") {
            asked.authorization = Some(value.trim().to_owned());
        }
    }
    Some(asked)
}

fn reply(mut stream: &TcpStream, reply: Reply) -> std::io::Result<()> {
    let mut whole = |status: u16, header: &str, length: u64, body: &[u8]| {
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n"
        )?;
        stream.write_all(body)
    };
    match reply {
        Reply::Body(body) => whole(200, "", body.len() as u64, &body),
        Reply::Status(status) => whole(status, "", 0, b""),
        Reply::Redirect(to) => whole(302, &format!("location: {to}\r\n"), 0, b""),
        Reply::Broken(length, body) => whole(200, "", length, &body),
        Reply::Silence(time) => {
            wait(time);
            Ok(())
        }
        Reply::Slow(time, body) => {
            wait(time);
            whole(200, "", body.len() as u64, &body)
        }
    }
}

fn wait(time: Duration) {
    // The server of a test, in a thread of its own, pretends to be slow.
    std::thread::park_timeout(time);
}
