//! Writes whose answer is lost: what happened is found out, never guessed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use flowkeeper_zk::recipes::{Connection, Options};
use flowkeeper_zk::server::{Config, Server, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::meta::prepare;
use crate::metrics::Metrics;
use crate::task::Tasks;

/// What the proxy does with the next bytes.
const PASS: u8 = 0;
/// Swallow the next answer and break the connection.
const LOSE_ANSWER: u8 = 1;
/// Swallow the next request and break the connection.
const LOSE_REQUEST: u8 = 2;

/// A connection to `server` that loses things on demand.
async fn proxy(server: SocketAddr, mode: Arc<AtomicU8>, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let addr = listener.local_addr().expect("address");
    let spawner = tasks.clone();
    tasks.spawn("proxy", async move {
        while let Ok((client, _)) = listener.accept().await {
            let mode = mode.clone();
            spawner.spawn("proxied", async move {
                if let Ok(server) = TcpStream::connect(server).await {
                    relay(client, server, &mode).await;
                }
            });
        }
    });
    addr
}

async fn relay(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU8) {
    let (mut from_client, mut from_server) = (vec![0; 65536], vec![0; 65536]);
    let once = |what| mode.compare_exchange(what, PASS, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    loop {
        tokio::select! {
            n = client.read(&mut from_client) => match n {
                Ok(n @ 1..) if !once(LOSE_REQUEST) && server.write_all(&from_client[..n]).await.is_ok() => {}
                _ => return,
            },
            n = server.read(&mut from_server) => match n {
                Ok(n @ 1..) if !once(LOSE_ANSWER) && client.write_all(&from_server[..n]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}

struct World {
    meta: Meta,
    mode: Arc<AtomicU8>,
    _tasks: Tasks,
    _server: Server,
}

async fn world() -> World {
    let server = start(Config::default()).await.expect("started");
    let (tasks, mode) = (Tasks::new(), Arc::new(AtomicU8::new(PASS)));
    let addr = proxy(server.local_addr(), mode.clone(), &tasks).await;
    let timeout = std::time::Duration::from_secs(6);
    let options = Options {
        hosts: format!("{addr}/root"),
        session_timeout: timeout,
        open_timeout: timeout,
        ..Options::default()
    };
    let (connection, driver) = Connection::open(options).await.expect("connected");
    tasks.spawn("session", driver.run());
    prepare(&connection).await.expect("laid out");
    let (meta, follower) = Meta::new(connection, Metrics::new());
    tasks.spawn("follower", follower.run());
    meta.ready().await;
    World { meta, mode, _tasks: tasks, _server: server }
}

fn stream(name: &str) -> StreamRecord {
    StreamRecord { v: 1, name: name.into(), op: format!("op-of-{name}"), ..StreamRecord::default() }
}

fn create(name: &str) -> Write {
    Write::new().create_stream(&stream(name))
}

#[tokio::test]
async fn a_lost_answer_is_found_out_to_be_a_success() {
    let world = world().await;
    world.mode.store(LOSE_ANSWER, Ordering::SeqCst);
    let written = world.meta.write(create("s")).await.expect("it happened");
    assert!(written.zxid > 0);
    assert!(world.meta.model().stream("s").is_some());
}

#[tokio::test]
async fn a_lost_request_is_told_and_can_be_repeated() {
    let world = world().await;
    world.mode.store(LOSE_REQUEST, Ordering::SeqCst);
    let error = world.meta.write(create("s")).await.expect_err("it did not happen");
    assert_eq!(
        error.to_string(),
        "the metadata store does not answer: the connection broke before the change was made; try again"
    );
    world.meta.write(create("s")).await.expect("created");
}

#[tokio::test]
async fn a_stale_read_is_a_conflict_and_changes_nothing() {
    let world = world().await;
    world.meta.write(create("s")).await.expect("created");
    let read = world.meta.model().streams["s"].clone();
    world.meta.write(Write::new().set_stream(&read, &stream("s"))).await.expect("updated");
    let late = StreamRecord { desc: "late".into(), ..stream("s") };
    let error =
        world.meta.write(Write::new().set_stream(&read, &late)).await.expect_err("somebody was faster");
    assert!(matches!(error, WriteError::Conflict { .. }), "{error}");
    assert_eq!(world.meta.model().streams["s"].record.desc, "");
    let apps = [(AppKey::new(crate::meta::AppKind::Sink, "x"), "1".to_owned())];
    let create = create("t").needing(&world.meta.model(), apps);
    let missing = world.meta.write(create).await;
    assert!(matches!(missing, Err(WriteError::Missing { .. })), "an app that was unregistered meanwhile");
    assert!(world.meta.model().stream("t").is_none());
}

#[tokio::test]
async fn what_was_done_is_written_with_the_change_or_not_at_all() {
    let world = world().await;
    let record = |subject: &str| AuditRecord { subject: subject.into(), ..AuditRecord::default() };
    world.meta.write(create("s").audit([record("s")])).await.expect("created");
    world.meta.write(create("s").audit([record("never")])).await.expect_err("it exists");
    world.meta.write(create("t").audit([record("t"), record("u")])).await.expect("created");
    let subjects: Vec<_> = world.meta.model().audit.values().map(|record| record.subject.clone()).collect();
    assert_eq!(subjects, ["s", "t", "u"]);
}

#[tokio::test]
async fn an_app_that_changed_since_it_was_read_is_a_conflict() {
    let world = world().await;
    let key = AppKey::new(crate::meta::AppKind::Sink, "x");
    let app = |uri: &str| AppRecord { v: 1, uri: uri.into(), ..AppRecord::default() };
    let changes = [
        AppChange::CreateApp { key: key.clone(), default: AppDefaultRecord::default() },
        AppChange::CreateVersion { key: key.clone(), version: "1".into(), record: app("file:/a") },
    ];
    world.meta.write(Write::new().apps(&changes)).await.expect("registered");
    let uses = [(key.clone(), "1".to_owned())];
    let decided = create("s").needing(&world.meta.model(), uses.clone());
    let retired = AppRecord { retired: true, ..app("file:/a") };
    let mark = AppChange::UpdateVersion { key, version: "1".into(), record: retired, read: 0 };
    world.meta.write(Write::new().apps(&[mark])).await.expect("marked");
    let undecided = create("s").needing(&world.meta.model(), uses);
    for late in [decided, undecided] {
        let error = world.meta.write(late).await.expect_err("it is being unregistered");
        assert!(matches!(error, WriteError::Conflict { .. }), "{error}");
    }
}
