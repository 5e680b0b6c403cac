//! The few lines of HTTP that tests speak to apps.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Posts `body` to an app on `port`; gives the status, or `None` when nobody answered.
pub fn post(port: u16, body: &str) -> Option<u16> {
    exchange(port, &format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n", body.len()), body)
        .map(|(status, _)| status)
}

/// Gets `path` from an app on `port`: status and body.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    exchange(port, &format!("GET {path} HTTP/1.1\r\n"), "")
}

fn exchange(port: u16, head: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(format!("{head}Host: localhost\r\nConnection: close\r\n\r\n{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Some((status, body))
}

/// A port on which nothing listens now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("address").port()
}
