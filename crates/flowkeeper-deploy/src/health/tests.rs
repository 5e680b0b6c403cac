//! An app that answers as told, and what is made of its answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::*;
use crate::task::spawn;

/// What the app of a test answers.
#[derive(Clone, Copy, Debug)]
enum Says {
    Status(u16, &'static str),
    /// Something that is not HTTP.
    Noise,
    /// Nothing, for as long as the test runs.
    Silence,
}

/// An app that answers each path as told; it forgets everything when it is dropped.
struct App {
    port: u16,
    says: Arc<Mutex<Vec<(&'static str, Says)>>>,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: TaskTracker,
}

impl App {
    async fn start(says: &[(&'static str, Says)]) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("address").port();
        let says = Arc::new(Mutex::new(says.to_vec()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let tasks = TaskTracker::new();
        let (told, heard, inner) = (says.clone(), requests.clone(), tasks.clone());
        spawn(&tasks, "app", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (told, heard) = (told.clone(), heard.clone());
                spawn(&inner, "connection", async move {
                    let mut bytes = vec![0; 4096];
                    let n = stream.read(&mut bytes).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&bytes[..n]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    heard.lock().expect("lock").push(request);
                    let answer = told
                        .lock()
                        .expect("lock")
                        .iter()
                        .rev()
                        .find(|(known, _)| *known == path)
                        .map(|(_, says)| *says);
                    match answer.unwrap_or(Says::Status(404, "")) {
                        Says::Status(status, body) => {
                            let text = format!(
                                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                                body.len()
                            );
                            let _ = stream.write_all(text.as_bytes()).await;
                        }
                        Says::Noise => drop(stream.write_all(b"220 ready\r\n").await),
                        Says::Silence => std::future::pending().await,
                    }
                });
            }
        });
        App { port, says, requests, _tasks: tasks }
    }

    fn tell(&self, path: &'static str, says: Says) {
        self.says.lock().expect("lock").push((path, says));
    }

    fn watcher(&self, probe: Probe) -> Watcher {
        Watcher::new(Client::new(), probe, Some(self.port), Duration::ZERO)
    }
}

const PAGE: &str = "/actuator/health";
const DOWN: &str =
    r#"{"status":"DOWN","components":{"kafka":{"status":"DOWN","details":{"error":"no broker"}}}}"#;

fn usual() -> Probe {
    Probe { page: PAGE.to_owned(), ..Probe::default() }
}

fn port_that_nobody_has() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("address").port()
}

#[tokio::test]
async fn a_boot_app_is_ready_when_its_page_says_so() {
    let app = App::start(&[(PAGE, Says::Status(503, DOWN))]).await;
    let mut watcher = app.watcher(usual());
    let reason = format!("its health check on port {} says DOWN: kafka: no broker", app.port);
    assert_eq!(watcher.look().await, Health::NotReady(reason.clone()));
    app.tell(PAGE, Says::Status(200, "{}"));
    assert_eq!(watcher.look().await, Health::Ready);
    assert_eq!(watcher.pause(), PAUSE_READY);
    app.tell(PAGE, Says::Status(503, DOWN));
    assert_eq!(watcher.look().await, Health::NotReady(reason));
    app.tell(PAGE, Says::Status(500, ""));
    assert!(matches!(watcher.look().await, Health::NotReady(reason) if reason.contains("answers 500")));
}

#[tokio::test]
async fn an_app_without_the_page_is_ready_when_it_listens() {
    for says in [Says::Status(404, ""), Says::Status(401, ""), Says::Status(403, ""), Says::Noise] {
        let app = App::start(&[(PAGE, says)]).await;
        assert_eq!(app.watcher(usual()).look().await, Health::Ready, "{says:?}");
    }
    let port = port_that_nobody_has();
    let mut watcher = Watcher::new(Client::new(), usual(), Some(port), Duration::ZERO);
    assert_eq!(watcher.look().await, Health::NotReady(format!("it does not listen on port {port} yet")));
    let waiting = Probe { debugger: Some("*:5005".into()), ..usual() };
    let mut watcher = Watcher::new(Client::new(), waiting, Some(port), Duration::ZERO);
    assert!(
        matches!(watcher.look().await, Health::NotReady(reason) if reason.ends_with("waits for a debugger on *:5005"))
    );
}

#[tokio::test]
async fn an_app_without_a_page_may_have_to_live_for_a_while() {
    let app = App::start(&[]).await;
    let patient = Probe { alive_s: Some(60), ..usual() };
    let told = Health::NotReady("it counts as healthy once it has run for 60 s".into());
    assert_eq!(app.watcher(patient.clone()).look().await, told);
    app.tell(PAGE, Says::Status(200, ""));
    assert_eq!(app.watcher(patient.clone()).look().await, Health::Ready);
    let old = Duration::from_secs(61);
    for port in [None, Some(port_that_nobody_has())] {
        let watch = |age| Watcher::new(Client::new(), patient.clone(), port, age);
        assert_eq!(watch(Duration::ZERO).look().await, told);
        assert_eq!(watch(old).look().await, Health::Ready);
    }
    assert_eq!(Watcher::new(Client::new(), usual(), None, Duration::ZERO).look().await, Health::Ready);
}

#[tokio::test]
async fn a_page_that_was_named_must_be_there_and_a_started_app_fails_without() {
    let app = App::start(&[]).await;
    let named =
        Probe { health: Some("/mine".into()), credentials: Some(("u".into(), "p".into())), ..usual() };
    let mut watcher = app.watcher(named);
    let missing = format!("its health probe /mine on port {} answers 404: it has no such page", app.port);
    assert_eq!(watcher.look().await, Health::NotReady(missing.clone()));
    app.tell("/mine", Says::Status(204, ""));
    assert_eq!(watcher.look().await, Health::Ready);
    app.tell("/mine", Says::Status(404, ""));
    assert_eq!(watcher.look().await, Health::Failing(missing));
    let requests = app.requests.lock().expect("lock");
    assert!(
        requests.iter().all(|request| request.to_lowercase().contains("authorization: basic dtpw")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_start_up_probe_comes_first_and_passes_once() {
    let app = App::start(&[(PAGE, Says::Status(200, ""))]).await;
    let mut watcher = app.watcher(Probe { startup: Some("/up".into()), ..usual() });
    assert!(
        matches!(watcher.look().await, Health::NotReady(reason) if reason.starts_with("its start-up probe /up on port"))
    );
    app.tell("/up", Says::Status(200, ""));
    assert_eq!(watcher.look().await, Health::Ready);
    app.tell("/up", Says::Status(500, ""));
    assert_eq!(watcher.look().await, Health::Ready);
}

#[tokio::test]
async fn a_ready_app_may_be_silent_twice_in_a_row() {
    let app = App::start(&[(PAGE, Says::Status(200, ""))]).await;
    let mut watcher = app.watcher(usual());
    assert_eq!(watcher.look().await, Health::Ready);
    app.tell(PAGE, Says::Silence);
    watcher.timeout = Duration::from_millis(50);
    assert_eq!(watcher.look().await, Health::Ready);
    assert_eq!(watcher.look().await, Health::Ready);
    let silent = format!("its health check on port {} does not answer within 0.05 s", app.port);
    assert_eq!(watcher.look().await, Health::NotReady(silent.clone()));
    let mut new = Watcher { timeout: watcher.timeout, ..app.watcher(usual()) };
    assert_eq!(new.look().await, Health::NotReady(silent));
}

#[tokio::test]
async fn the_page_may_have_a_port_of_its_own() {
    let (app, management) = (App::start(&[]).await, App::start(&[(PAGE, Says::Status(503, DOWN))]).await);
    let mut watcher = app.watcher(Probe { management_port: Some(management.port), ..usual() });
    assert!(
        matches!(watcher.look().await, Health::NotReady(reason) if reason.contains(&management.port.to_string()))
    );
}
