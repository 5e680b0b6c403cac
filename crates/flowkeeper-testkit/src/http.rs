//! The few lines of HTTP that tests speak to apps and servers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The first header of this name (in lower case); empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

/// Posts `body` to an app on `port`; gives the status, or `None` when nobody answered.
pub fn post(port: u16, body: &str) -> Option<u16> {
    exchange(&format!("127.0.0.1:{port}"), "POST", "/", &[], Some(body)).ok().map(|answer| answer.status)
}

/// Gets `path` from an app on `port`: status and body.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let answer = exchange(&format!("127.0.0.1:{port}"), "GET", path, &[], None).ok()?;
    Some((answer.status, answer.body))
}

/// Sends one request to `addr` over a connection of its own.
///
/// # Errors
/// When nobody answers, or not in a form that these few lines understand: bodies must have a length or end with the connection.
pub fn exchange(
    addr: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if body.is_some() || matches!(method, "POST" | "PUT") {
        head.push_str(&format!("Content-Length: {}\r\n", body.unwrap_or_default().len()));
    }
    stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes())?;
    read_answer(stream)
}

/// Posts a form of `length` bytes, however early the server answers; gives its status.
///
/// # Errors
/// As [`exchange`].
pub fn post_large_form(addr: &str, path: &str, length: usize) -> io::Result<u16> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut writer = stream.try_clone()?;
    // A server that refuses closes the connection while we write: what counts is its answer.
    let sender = std::thread::spawn(move || {
        let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&vec![b'x'; length]));
    });
    let status = read_answer(stream).map(|answer| answer.status);
    let _ = sender.join();
    status
}

fn read_answer(mut stream: TcpStream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let odd = || io::Error::other(format!("'{text}' is no answer that is understood here"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(odd)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(odd)?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let answer = Answer { status, headers: headers.collect(), body: body.to_owned() };
    if answer.header("transfer-encoding").is_empty() { Ok(answer) } else { Err(odd()) }
}

/// A port on which nothing listens now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("address").port()
}
