//! What no well-behaved client sends.

use flowkeeper_broker::{Broker, Config, Error, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn broker(folder: &std::path::Path) -> Broker {
    start(Config { data: folder.to_owned(), ..Config::default() }).await.expect("started")
}

/// Sends raw bytes and reads until the broker closes or answers `want` bytes.
async fn talk(broker: &Broker, bytes: &[u8], want: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(broker.local_addr()).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = vec![0; want];
    match stream.read_exact(&mut answer).await {
        Ok(_) => answer,
        Err(_) => Vec::new(),
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("small");
    [&length.to_be_bytes()[..], body].concat()
}

/// ApiVersions version 0, correlation 7, client id "x".
const API_VERSIONS: &[u8] = &[0, 18, 0, 0, 0, 0, 0, 7, 0, 1, b'x'];

#[tokio::test]
async fn rubbish_closes_its_own_connection_only() {
    let folder = tempfile::tempdir().expect("folder");
    let broker = broker(folder.path()).await;
    for rubbish in [
        frame(&[]),
        frame(&[0]),
        frame(&[0xff; 40]),
        frame(&[0, 0, 0, 9]),
        frame(&[0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff]),
        vec![0xff; 8],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        assert_eq!(talk(&broker, &rubbish, 1).await, b"", "{rubbish:?}");
        let alive = talk(&broker, &frame(API_VERSIONS), 10).await;
        assert_eq!(&alive[4..8], [0, 0, 0, 7], "still answers after {rubbish:?}");
    }
    broker.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_newer_client_is_told_what_there_is() {
    let folder = tempfile::tempdir().expect("folder");
    let broker = broker(folder.path()).await;
    let answer = talk(&broker, &frame(&[0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'x']), 10).await;
    assert_eq!(&answer[4..10], [0, 0, 0, 7, 0, 35], "UNSUPPORTED_VERSION in the oldest form");
    broker.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_folder_in_use_or_of_a_newer_release_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let first = broker(folder.path()).await;
    let config = || Config { data: folder.path().to_owned(), ..Config::default() };
    let error = start(config()).await.expect_err("in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    first.stop().await.expect("stopped");
    std::fs::write(folder.path().join("format"), "2").expect("written");
    let error = start(config()).await.expect_err("newer");
    assert!(error.to_string().contains("has format 2 of a newer release"), "{error}");
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let listen = taken.local_addr().expect("address");
    let error = start(Config { listen, data: folder.path().to_owned(), ..Config::default() })
        .await
        .expect_err("busy");
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}
