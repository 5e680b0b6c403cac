//! The HTTP side for operators, and the words that look at everything.

use std::net::SocketAddr;
use std::path::Path;

use flowkeeper_zk::server::{self, Admin, Config, Server};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zookeeper_client::{Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, CreateOptions, Permission};

use crate::wire::{DEADLINE, Wire, crash_copy};

const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const AUTH: &str = "Authorization: digest super:test\r\n";

fn config(data: Option<&Path>) -> Config {
    let mut admin = Admin::at(([127, 0, 0, 1], 0).into());
    admin.pause = std::time::Duration::ZERO;
    Config {
        admin: Some(admin),
        metrics: Some(([127, 0, 0, 1], 0).into()),
        words: vec!["*".into()],
        data: data.map(Path::to_owned),
        super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into()),
        ..Config::default()
    }
}

async fn served(data: Option<&Path>) -> (Server, SocketAddr) {
    let server = server::start(config(data)).await.unwrap();
    let addr = server.admin_addr().unwrap();
    (server, addr)
}

/// An answer over HTTP.
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let exchange = async {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        // A server that refuses the head may close before it has read the body.
        let _ = socket.write_all(head.as_bytes()).await;
        let _ = socket.write_all(body).await;
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all).await;
        all
    };
    let all = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time");
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let headers = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: headers.to_ascii_lowercase(), body: all[end + 4..].to_vec() }
}

async fn get(addr: SocketAddr, command: &str) -> Value {
    let answer = ask(addr, "GET", &format!("/commands/{command}"), "", b"").await;
    assert_eq!(answer.status, 200, "{command}");
    let json = answer.json();
    assert!(json["command"].is_string(), "{command}: {json}");
    json
}

async fn word(server: &Server, word: &str) -> String {
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(word.as_bytes()).await;
    wire.text().await
}

#[tokio::test]
async fn every_command_answers_by_all_its_names() {
    let data = tempfile::tempdir().unwrap();
    let (server, addr) = served(Some(data.path())).await;
    let page = String::from_utf8(ask(addr, "GET", "/commands", "", b"").await.body).unwrap();
    let links = page.lines().filter(|line| line.starts_with("<a"));
    let names: Vec<&str> = links.filter_map(|line| line.split('>').nth(1)?.split('<').next()).collect();
    assert_eq!(names.len(), 28, "{page}");
    for name in names.iter().filter(|name| !["snapshot", "restore"].contains(name)) {
        let json = get(addr, name).await;
        assert_eq!(json["command"], *name);
        let is_error = ["leader", "set_trace_mask"].contains(name);
        assert_eq!(json["error"].is_string(), is_error, "{json}");
    }
    for (short, full) in
        [("srvr", "server_stats"), ("mntr", "monitor"), ("conf", "configuration"), ("wchs", "watch_summary")]
    {
        assert_eq!(get(addr, short).await["command"], full);
    }
    let unknown = ask(addr, "GET", "/commands/nothing", "", b"").await;
    assert_eq!((unknown.status, &unknown.json()["error"]), (200, &"Unknown command: nothing".into()));
    for (method, path, status) in [
        ("POST", "/commands/ruok", 405),
        ("GET", "/commands/restore", 405),
        ("GET", "/", 404),
        ("GET", "/../etc/passwd", 404),
    ] {
        assert_eq!(ask(addr, method, path, "", b"").await.status, status, "{method} {path}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn commands_and_words_tell_of_sessions_nodes_and_watches() {
    let data = tempfile::tempdir().unwrap();
    let (server, addr) = served(Some(data.path())).await;
    let client = Client::connect(&server.local_addr().to_string()).await.unwrap();
    client.create("/a", b"12345", &PERSISTENT).await.unwrap();
    client.create("/a/e", b"", &EPHEMERAL).await.unwrap();
    let _watcher = client.watch("/a", AddWatchMode::PersistentRecursive).await.unwrap();
    let session = client.session_id().0;

    let monitor = get(addr, "monitor").await;
    assert_eq!(
        (&monitor["znode_count"], &monitor["ephemerals_count"], &monitor["watch_count"]),
        (&6.into(), &1.into(), &1.into())
    );
    assert_eq!(
        (&monitor["server_state"], &monitor["num_alive_connections"]),
        (&"standalone".into(), &1.into())
    );
    assert!(monitor["open_file_descriptor_count"].as_u64() > Some(5), "{monitor}");
    let dump = get(addr, "dump").await;
    assert_eq!(dump["session_id_to_ephemeral_paths"][session.to_string()], serde_json::json!(["/a/e"]));
    let expiries = dump["expiry_time_to_session_ids"].as_object().unwrap();
    assert_eq!(expiries.values().next(), Some(&serde_json::json!([session])));
    let watches = get(addr, "watches").await;
    assert_eq!(watches["session_id_to_watched_paths"][session.to_string()], serde_json::json!(["/a"]));
    assert_eq!(get(addr, "wchp").await["path_to_session_ids"]["/a"], serde_json::json!([session]));
    let cons = get(addr, "cons").await;
    let conn = &cons["connections"][0];
    assert_eq!((&conn["session_id"], &conn["last_operation"]), (&session.into(), &"ADDW".into()));
    // The session and two nodes.
    assert_eq!(conn["last_zxid"], 3);
    assert!(conn["min_latency"].as_u64() <= conn["max_latency"].as_u64(), "{conn}");
    assert_eq!(cons["secure_connections"], serde_json::json!([]));
    let stats = get(addr, "stats").await;
    assert_eq!((&stats["node_count"], &stats["connections"][0]["session_id"]), (&6.into(), &Value::Null));
    assert!(get(addr, "dirs").await["logdir_size"].as_u64() > Some(0));
    assert_eq!(get(addr, "lsnp").await["zxid"], "ffffffffffffffff");
    assert_eq!(get(addr, "conf").await["tick_time"], 1000);

    let hex = format!("0x{session:x}");
    for (asked, parts) in [
        (
            "mntr",
            vec![
                "zk_znode_count\t6\n".to_owned(),
                "zk_cnt_fsynctime\t".into(),
                "zk_p99_updatelatency\t".into(),
                "zk_max_file_descriptor_count\t".into(),
            ],
        ),
        (
            "dump",
            vec![
                "Session Sets (1)/(1):".into(),
                format!("\t{hex}\n"),
                format!("{hex}:\n\t/a/e\n"),
                "Connections dump:".into(),
            ],
        ),
        ("wchs", vec!["1 connections watching 1 paths\nTotal watches:1\n".into()]),
        ("wchc", vec![format!("{hex}\n\t/a\n")]),
        ("wchp", vec![format!("/a\n\t{hex}\n")]),
        ("cons", vec![format!("sid={hex},lop=ADDW,est="), ",lzxid=0x3,lresp=".into(), ",maxlat=".into()]),
        ("dirs", vec!["datadir_size: 0\nlogdir_size: ".into()]),
        ("gtmk", vec!["0".into()]),
    ] {
        let text = word(&server, asked).await;
        for part in parts {
            assert!(text.contains(&part), "{asked} without {part:?}: {text}");
        }
    }
    let monitor = get(addr, "monitor").await;
    for times in ["readlatency", "updatelatency", "fsynctime"] {
        let (count, most) = (&monitor[format!("cnt_{times}")], &monitor[format!("max_{times}")]);
        assert!(count.as_u64() > Some(0) && most.as_f64() > Some(0.0), "{times}: {monitor}");
    }
    let digest = get(addr, "hash").await["digests"][0]["digest"].as_i64().unwrap();
    assert!(word(&server, "hash").await.ends_with(&format!(": {digest}\n")));
    client.set_data("/a", b"other", None).await.unwrap();
    assert_ne!(get(addr, "hash").await["digests"][0]["digest"].as_i64(), Some(digest));

    assert!(get(addr, "monitor").await["packets_received"].as_u64() > Some(4));
    assert_eq!(word(&server, "srst").await, "Server stats reset.\n");
    assert_eq!(word(&server, "crst").await, "Connection stats reset.\n");
    assert_eq!(get(addr, "monitor").await["packets_received"], 0);
    assert_eq!(get(addr, "cons").await["connections"][0]["packets_received"], 0);
}

#[tokio::test]
async fn metrics_are_served_on_both_ports() {
    let (server, addr) = served(None).await;
    let _client = Client::connect(&server.local_addr().to_string()).await.unwrap();
    for addr in [addr, server.metrics_addr().unwrap()] {
        let answer = ask(addr, "GET", "/metrics", "", b"").await;
        let text = String::from_utf8(answer.body).unwrap();
        assert!(answer.headers.contains("content-type: text/plain; version=0.0.4"), "{}", answer.headers);
        for line in ["num_alive_connections 1", "znode_count 4", "connection_request_count 1"] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
    let alone = ask(server.metrics_addr().unwrap(), "GET", "/commands/ruok", "", b"").await;
    assert_eq!(alone.status, 404, "the port of the metrics has nothing else");
}

#[tokio::test]
async fn a_snapshot_taken_over_http_is_restored_and_outlives_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let (server, addr) = served(Some(data.path())).await;
    let client = Client::connect(&server.local_addr().to_string()).await.unwrap();
    client.create("/kept", b"then", &PERSISTENT).await.unwrap();
    let taken = ask(addr, "GET", "/commands/snapshot?streaming=true", AUTH, b"").await;
    assert_eq!((taken.status, &taken.body[..4]), (200, &b"ZKSN"[..]));
    assert!(taken.headers.contains(&format!("content-length: {}", taken.body.len())), "{}", taken.headers);
    assert!(taken.headers.contains("last_zxid: 0x"), "{}", taken.headers);

    client.set_data("/kept", b"now", None).await.unwrap();
    client.create("/lost", b"", &PERSISTENT).await.unwrap();
    let cut = ask(addr, "POST", "/commands/restore", AUTH, &taken.body[..taken.body.len() - 9]).await;
    assert_eq!(cut.status, 400, "{}", cut.json());
    assert_eq!(client.get_data("/kept").await.unwrap().0, b"now", "nothing was changed");
    let before = server.stats().zxid;
    let restored = ask(addr, "POST", "/commands/restore", AUTH, &taken.body).await;
    assert_eq!(restored.status, 200, "{}", restored.json());
    assert!(restored.json()["last_zxid"].as_i64() > Some(before), "{}", restored.json());

    // The session was there then, so the client comes back with it.
    let check = async |addr: SocketAddr, what: &str| {
        let client = Client::connect(&addr.to_string()).await.unwrap();
        assert_eq!(client.get_data("/kept").await.unwrap().0, b"then", "{what}");
        assert_eq!(client.check_stat("/lost").await.unwrap(), None, "{what}");
        client.create(&format!("/{what}"), b"", &PERSISTENT).await.unwrap();
    };
    check(server.local_addr(), "restored").await;
    let crashed = crash_copy(data.path());
    let after = server::start(config(Some(crashed.path()))).await.unwrap();
    check(after.local_addr(), "crashed").await;
    server.stop().await.unwrap();
    let (after, _) = served(Some(data.path())).await;
    check(after.local_addr(), "stopped").await;
}

#[tokio::test]
async fn only_those_who_may_do_everything_take_and_restore_snapshots() {
    let (server, addr) = served(None).await;
    let client = Client::connect(&server.local_addr().to_string()).await.unwrap();
    client.auth("digest", b"root:pw").await.unwrap();
    let mine = Acl::new(Permission::ALL, AuthId::authed());
    client.set_acl("/", &[mine], None).await.unwrap();
    for (headers, status) in [
        ("", 401),
        ("Authorization: digest\r\n", 401),
        ("Authorization: ip 127.0.0.1\r\n", 401),
        ("Authorization: digest other:pw\r\n", 403),
        ("Authorization: digest root:pw\r\n", 200),
        (AUTH, 200),
    ] {
        let answer = ask(addr, "GET", "/commands/snapshot?streaming=true", headers, b"").await;
        assert_eq!(answer.status, status, "{headers}");
        if status != 200 {
            let told = answer.json()["error"].as_str().unwrap().to_owned();
            let what_to_do =
                if status == 403 { "gives cdrwa, or as the super user" } else { "digest user:password" };
            assert!(told.contains(what_to_do), "{told}");
            let answer = ask(addr, "POST", "/commands/restore", headers, b"ZKSN").await;
            assert_eq!(answer.status, status, "{headers}");
        }
    }
}

#[tokio::test]
async fn what_is_switched_off_or_asked_too_often_is_refused() {
    let mut config = config(None);
    config.admin = Some(Admin { restore: false, ..Admin::at(([127, 0, 0, 1], 0).into()) });
    let server = server::start(config).await.unwrap();
    let addr = server.admin_addr().unwrap();
    assert_eq!(ask(addr, "POST", "/commands/restore", AUTH, b"").await.status, 503);
    assert_eq!(ask(addr, "GET", "/commands/snapshot", AUTH, b"").await.status, 200);
    let soon = ask(addr, "GET", "/commands/snapshot", AUTH, b"").await;
    let told = soon.json()["error"].as_str().unwrap().to_owned();
    let seconds =
        told.strip_prefix("snapshot may be asked for again in ").and_then(|rest| rest.split_once(" s; wait"));
    let seconds: u64 = seconds.expect(&told).0.parse().unwrap();
    assert!(soon.status == 429 && (100..=300).contains(&seconds), "{told}");
    assert_eq!(String::from_utf8_lossy(&soon.body).lines().count(), 1, "a refusal is one line");

    let mut config = self::config(None);
    config.admin = Some(Admin::at(([127, 0, 0, 1], 0).into()));
    let server = server::start(config).await.unwrap();
    let addr = server.admin_addr().unwrap();
    for _ in 0..2 {
        let failed = ask(addr, "POST", "/commands/restore", AUTH, b"nonsense").await;
        assert_eq!(failed.status, 400, "a failure may be followed by a better try at once");
    }
}

#[tokio::test]
async fn nonsense_harms_nobody() {
    let (server, addr) = served(None).await;
    for bytes in [&b"\0\0\0\x2c\0\0\0\0"[..], b"GET / HTTP/9.9\r\n\r\n", &[b'x'; 40_000]] {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut Vec::new())).await;
        assert!(read.is_ok(), "the connection ends");
    }
    assert_eq!(get(addr, "ruok").await["error"], Value::Null);
    server.stop().await.unwrap();

    let mut impatient = config(None);
    impatient.admin =
        impatient.admin.map(|admin| Admin { idle: std::time::Duration::from_millis(20), ..admin });
    let server = server::start(impatient).await.unwrap();
    let mut socket = TcpStream::connect(server.admin_addr().unwrap()).await.unwrap();
    socket.write_all(b"GET /commands HTTP/1.1\r\n").await.unwrap();
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut Vec::new())).await;
    assert!(read.is_ok(), "who does not go on is not waited for");
}
