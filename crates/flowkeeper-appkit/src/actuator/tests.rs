//! The endpoints over real HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::binder::memory::MemoryBinder;
use crate::binder::{self, ConsumerSpec, ProducerSpec};
use crate::task::{self, Task};

struct Served {
    address: std::net::SocketAddr,
    control: Control,
    health: Health,
    stop: CancellationToken,
    server: Task<()>,
}

async fn serve(binder: Arc<dyn Binder>) -> Served {
    let mut control = Control::new("input", "stream.time", true, "memory", true);
    control.group = Some("stream".to_owned());
    let (stop, health) = (CancellationToken::new(), Health::default());
    let actuator = Actuator {
        app_name: "log".to_owned(),
        app_kind: "sink".to_owned(),
        binder,
        bindings: vec![control.clone()],
        metrics: Arc::default(),
        tags: vec![("stream_name".to_owned(), "stream".to_owned())],
        app: None,
        health: health.clone(),
        stop: stop.clone(),
    };
    let listener = http::bind("127.0.0.1", 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = task::spawn(http::serve(listener, Arc::new(actuator), stop.clone()));
    Served { address, control, health, stop, server }
}

impl Served {
    /// Status and body.
    async fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn get(&self, path: &str) -> Json {
        let (status, body) = self.request("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

#[tokio::test]
async fn the_endpoints_answer_as_spring_boots_do() {
    let served = serve(Arc::new(MemoryBinder::default())).await;
    assert_eq!(served.get("/actuator").await["_links"]["health"]["href"], "http://h/actuator/health");
    let health = served.get("/actuator/health").await;
    assert_eq!(health["status"], "UP");
    assert_eq!(health["components"]["binders"]["components"]["memory"]["status"], "UP");
    assert_eq!(served.get("/actuator/health/readiness").await["status"], "UP");
    assert_eq!(served.get("/actuator/info").await["app"]["name"], "log-sink");
    let names = served.get("/actuator/metrics").await["names"].clone();
    assert!(names.as_array().unwrap().contains(&json!("spring.integration.send")));
    let sent = served.get("/actuator/metrics/spring.integration.send").await;
    assert_eq!(sent["measurements"][0]["statistic"], "COUNT");
    let (_, prometheus) = served.request("GET", "/actuator/prometheus", "").await;
    assert!(prometheus.contains("spring_integration_send_seconds_count{stream_name=\"stream\""));
    for path in ["/actuator/none", "/actuator/metrics/none", "/actuator/bindings/none", "/"] {
        assert_eq!(served.request("GET", path, "").await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_binding_is_shown_and_changed() {
    let served = serve(Arc::new(MemoryBinder::default())).await;
    let binding = served.get("/actuator/bindings").await[0].clone();
    assert_eq!(binding["name"], "stream.time");
    assert_eq!((&binding["bindingName"], &binding["state"]), (&json!("input"), &json!("running")));
    for (wanted, state) in [
        ("PAUSED", State::Paused),
        ("STOPPED", State::Stopped),
        ("STARTED", State::Running),
        ("RESUMED", State::Running),
    ] {
        let body = format!("{{\"state\":\"{wanted}\"}}");
        assert_eq!(served.request("POST", "/actuator/bindings/input", &body).await.0, 204);
        assert_eq!(served.control.state(), state);
    }
    assert_eq!(served.request("POST", "/actuator/bindings/input", "{\"state\":\"GONE\"}").await.0, 400);
    assert_eq!(served.request("POST", "/actuator/bindings/other", "{\"state\":\"STOPPED\"}").await.0, 404);
}

#[tokio::test]
async fn shutdown_answers_and_stops_the_server() {
    let served = serve(Arc::new(MemoryBinder::default())).await;
    let (status, body) = served.request("POST", "/actuator/shutdown", "").await;
    assert_eq!((status, body.contains("Shutting down")), (200, true));
    assert!(served.stop.is_cancelled());
    served.server.join().await;
}

/// A binder whose message system is away.
struct Away;

impl Binder for Away {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn consumer(&self, _: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn binder::Consumer>, binder::Error>> {
        async { Err(binder::Error::Closed) }.boxed()
    }

    fn producer(&self, _: ProducerSpec) -> BoxFuture<'_, Result<Box<dyn binder::Producer>, binder::Error>> {
        async { Err(binder::Error::Closed) }.boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), binder::Error>> {
        async { Err(binder::Error::Unavailable("no broker answers".to_owned())) }.boxed()
    }
}

#[tokio::test]
async fn an_app_without_its_message_system_is_down_but_alive() {
    let served = serve(Arc::new(Away)).await;
    let (status, body) = served.request("GET", "/actuator/health", "").await;
    assert_eq!(status, 503);
    assert!(body.contains("no broker answers"), "{body}");
    assert_eq!(served.get("/actuator/health/liveness").await["status"], "UP");
}

#[tokio::test]
async fn an_app_that_waits_for_something_is_down_and_says_for_what() {
    let served = serve(Arc::new(MemoryBinder::default())).await;
    served.health.down("the directory /x does not exist");
    for path in ["/actuator/health", "/actuator/health/readiness"] {
        let (status, body) = served.request("GET", path, "").await;
        assert_eq!(status, 503, "{path}");
        let body: Json = serde_json::from_str(&body).unwrap();
        assert_eq!(body["status"], "DOWN");
        assert_eq!(body["components"]["app"]["details"]["error"], "the directory /x does not exist");
    }
    assert_eq!(served.get("/actuator/health/liveness").await["status"], "UP");
    served.health.up();
    assert_eq!(served.get("/actuator/health").await["status"], "UP");
    assert_eq!(served.get("/actuator/health/readiness").await["status"], "UP");
}
