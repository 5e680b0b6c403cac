//! The endpoint over real HTTP, with the memory binder behind it.

use flowkeeper_appkit::binder::memory::MemoryBinder;
use flowkeeper_appkit::binder::settings::OutputSettings;
use flowkeeper_appkit::binder::{Binder, Consumer, ConsumerSpec};
use flowkeeper_appkit::task::{self, Task};
use flowkeeper_appkit::value::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

struct Running {
    address: std::net::SocketAddr,
    output: Arc<Output>,
    stop: CancellationToken,
    source: Task<Result<(), Error>>,
    server: Task<()>,
}

/// A running source, and the consumer of its messages.
async fn start_source(pairs: &[(&str, &str)]) -> (Running, Box<dyn Consumer>) {
    let app = build(&Props::from_pairs(pairs.iter().copied())).unwrap();
    let Role::Source(source) = app.role else { panic!("a source") };
    let binder = MemoryBinder::default();
    let spec = ConsumerSpec {
        binding: vec!["input".to_owned()],
        topics: vec!["output".to_owned()],
        group: Some("g".to_owned()),
        instance_index: 0,
        instance_count: 1,
        concurrency: 1,
    };
    let consumer = binder.consumer(spec).await.unwrap();
    let settings = OutputSettings::read(&Props::default(), &[]).unwrap();
    let output = Arc::new(Output::open(&binder, settings, Arc::default()).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let source = task::spawn(source.run(output.clone(), stop.clone()));
    let server = task::spawn(http::serve(listener, app.http.unwrap(), stop.clone()));
    (Running { address, output, stop, source, server }, consumer)
}

impl Running {
    /// Sends a request with `connection: close` and returns the whole reply.
    async fn request(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let text = format!(
            "{head} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.replace("|", "\r\n").as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }
}

/// Takes one message and acknowledges it.
async fn take(consumer: &mut dyn Consumer) -> Message {
    let message = consumer.receive(1).await.unwrap().unwrap().remove(0);
    consumer.commit().await.unwrap();
    message
}

fn status(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or(reply)
}

#[tokio::test]
async fn a_request_is_accepted_when_its_message_is_acknowledged() {
    let (running, mut consumer) = start_source(&[]).await;
    let mut request = std::pin::pin!(running.request("POST /", "hello"));
    let message = tokio::select! {
        reply = request.as_mut() => panic!("answered before the acknowledgement: {reply}"),
        batch = consumer.receive(1) => batch.unwrap().unwrap().remove(0),
    };
    assert_eq!(message.payload, "hello");
    assert_eq!(message.headers.value("http_requestMethod"), Some("POST".into()));
    assert_eq!(message.headers.value("content-length"), Some(Value::Long(5)));
    assert_eq!(message.content_type().as_deref(), Some("application/json"));
    consumer.commit().await.unwrap();
    assert_eq!(status(&request.await), "202");
}

#[tokio::test]
async fn what_is_no_payload_for_the_endpoint_is_refused() {
    let (running, _consumer) = start_source(&[
        (PATH_PATTERN.name, "/orders"),
        (BODY_LIMIT.name, "4"),
        (CORS_ORIGINS.name, "http://a"),
    ])
    .await;
    assert_eq!(status(&running.request("POST /other", "x").await), "404");
    let get = running.request("GET /orders", "").await;
    assert_eq!(status(&get), "405");
    assert!(get.contains("allow: POST, PUT"), "{get}");
    assert_eq!(status(&running.request("POST /orders", "12345").await), "413");
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let chunked = "POST /orders HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!(status(&reply), "413");
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let foreign = "POST /orders HTTP/1.1\r\nHost: h\r\nOrigin: http://b\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    stream.write_all(foreign.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!(status(&reply), "403");
}

#[tokio::test]
async fn a_stopped_output_answers_503_at_once() {
    let (running, mut consumer) = start_source(&[]).await;
    running.output.control().set(State::Stopped);
    let reply = running.request("POST /", "x").await;
    assert_eq!(status(&reply), "503");
    assert!(reply.contains("the output binding is stopped"), "{reply}");
    running.output.control().set(State::Running);
    let (reply, message) = tokio::join!(running.request("POST /", "y"), take(&mut *consumer));
    assert_eq!((status(&reply), &*message.payload), ("202", &b"y"[..]));
}

#[tokio::test]
async fn requests_under_way_are_answered_before_the_end() {
    let (running, mut consumer) = start_source(&[]).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
    // The message is on its way when the app is told to stop.
    let message = consumer.receive(1).await.unwrap().unwrap().remove(0);
    assert_eq!(message.payload, "x");
    running.stop.cancel();
    consumer.commit().await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!(status(&reply), "202");
    running.source.join().await.unwrap();
    running.server.join().await;
}

#[tokio::test]
async fn messages_of_one_connection_keep_their_order() {
    let (running, mut consumer) = start_source(&[]).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for n in 0..5 {
        let text = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{n}");
        stream.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(take(&mut *consumer).await.payload, n.to_string());
    }
}

#[test]
fn a_late_acknowledgement_comes_with_the_reason_if_there_is_one() {
    assert_eq!(late(None), "no acknowledgement within 10 s; the message may still arrive");
    let known = late(Some("Connection refused"));
    assert_eq!(known, "no acknowledgement within 10 s (Connection refused); the message may still arrive");
}
