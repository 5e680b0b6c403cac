//! The ZooKeeper server alone: from Apache's file, from single settings, and what is refused.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flowkeeper_testkit::dev::{run, signal};
use rustix::process::Signal;

use crate::PROGRAM;

/// A running server and its listeners by name.
struct Served {
    child: Child,
    listeners: Vec<(String, String)>,
}

impl Served {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let child = Command::new(PROGRAM)
            .env_clear()
            .env("HOME", folder)
            .arg("zookeeper")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut served = Self { child, listeners: Vec::new() };
        let lines = BufReader::new(served.child.stdout.take().expect("piped")).lines();
        let lines = lines.map(|line| line.expect("text")).take_while(|line| line != "flowkeeper: ready");
        for line in lines {
            let (name, addr) = line.split_once(" listening on ").expect("a listener");
            served.listeners.push((name.trim_start_matches("flowkeeper: ").to_owned(), addr.to_owned()));
        }
        assert!(!served.listeners.is_empty(), "it gets ready");
        served
    }

    fn addr(&self, name: &str) -> &str {
        &self.listeners.iter().find(|(found, _)| found == name).expect("listens").1
    }

    fn word(&self, word: &str) -> String {
        self.exchange("zookeeper", word)
    }

    fn exchange(&self, name: &str, text: &str) -> String {
        let mut socket = TcpStream::connect(self.addr(name)).expect("connected");
        socket.write_all(text.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn a_zoo_cfg_says_it_all() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zoo.cfg");
    let data = folder.path().join("data");
    let text = format!(
        "# as Apache's\ntickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=0\nmaxClientCnxns=7\n\
         4lw.commands.whitelist=*\nadmin.serverPort=0\n\
         metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpPort=0\n",
        data.display()
    );
    std::fs::write(&file, text).expect("written");
    let path = file.to_str().expect("utf-8");
    let served = Served::start(folder.path(), &["--config", path, "-Dzookeeper.maxSessionTimeout=9000"]);
    let names: Vec<&str> = served.listeners.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["zookeeper", "zookeeper-admin", "zookeeper-metrics"]);
    let conf = served.word("conf");
    for line in ["tickTime=2000", "maxClientCnxns=7", "minSessionTimeout=4000", "maxSessionTimeout=9000"] {
        assert!(conf.lines().any(|found| found == line), "{line}: {conf}");
    }
    assert!(conf.contains(&format!("dataDir={}/zookeeper\n", data.display())), "{conf}");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(served.exchange("zookeeper-admin", &get("/commands/ruok")).contains("\"command\": \"ruok\""));
    assert!(served.exchange("zookeeper-metrics", &get("/metrics")).contains("\nznode_count "));
    drop(served);

    // Flags win.
    let other = folder.path().join("other");
    let flags = ["--data", other.to_str().expect("utf-8"), "--zookeeper-listen", "127.0.0.1:0"];
    let served = Served::start(folder.path(), &[&["--config", path][..], &flags].concat());
    assert!(served.word("conf").contains(&format!("dataDir={}/zookeeper\n", other.display())));
}

#[test]
fn a_file_without_a_plain_port_opens_none() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zoo.cfg");
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flowkeeper-zk/tests/data/tls");
    let text = format!(
        "dataDir={}\nsecureClientPort=0\nssl.keyStore.location={}\nssl.trustStore.location={}\n",
        folder.path().join("data").display(),
        keys.join("server.pem").display(),
        keys.join("root.pem").display()
    );
    std::fs::write(&file, text).expect("written");
    let served = Served::start(folder.path(), &["--config", file.to_str().expect("utf-8")]);
    let names: Vec<&str> = served.listeners.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["zookeeper-tls"]);
    // No word without a handshake: the connection ends.
    let mut socket = TcpStream::connect(served.addr("zookeeper-tls")).expect("connected");
    socket.write_all(b"srvr").expect("sent");
    socket.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"Zookeeper version"), "{answer:?}");
}

#[test]
fn without_a_file_single_settings_do() {
    let folder = tempfile::tempdir().expect("folder");
    let served = Served::start(folder.path(), &["-D", "clientPort=0", "-DtickTime=300"]);
    assert_eq!(served.word("ruok"), "imok");
    assert!(folder.path().join(".flowkeeper/zookeeper/zookeeper/format").exists());
}

#[test]
fn a_file_that_is_wrong_starts_nothing_and_says_all_that_is() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zoo.cfg");
    std::fs::write(&file, "dataDir=d\nclientprot=1\nserver.1=a:1:2\nskipACL=yes\n").expect("written");
    let path = file.to_str().expect("utf-8");
    let ran = run(PROGRAM, folder.path(), &["zookeeper", "--config", path]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    for part in [
        format!("{path} line 2: the key clientprot is unknown; did you mean clientPort?"),
        format!("{path} line 3: server.1 cannot be had: this server works alone"),
        format!("{path} line 4: skipACL can be no only"),
        "write clientPort=2181".to_owned(),
    ] {
        assert!(ran.stderr.contains(&part), "{part}: {}", ran.stderr);
    }
    assert!(!folder.path().join("d").exists());
}

#[test]
fn what_cannot_be_had_is_told_by_its_key_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zoo.cfg");
    let path = file.to_str().expect("utf-8");
    let data = folder.path().join("data");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = busy.local_addr().expect("its address");
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flowkeeper-zk/tests/data/tls");
    let metrics =
        "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let holder = format!("which is in use by process {} (", std::process::id());
    for (lines, code, parts) in [
        (
            format!("clientPort=0\nadmin.serverPort={}", addr.port()),
            1,
            [
                format!("{path} line 3: admin.serverPort is {addr}, {holder}"),
                "give another admin.serverPort (".into(),
            ],
        ),
        (
            format!("clientPort=0\n{metrics}\nmetricsProvider.httpPort={}", addr.port()),
            1,
            [format!("{path} line 4: metricsProvider.httpPort is {addr}, {holder}"), "stop it, or".into()],
        ),
        (
            format!("clientPort={}", addr.port()),
            1,
            [format!("{path} line 2: clientPort is {addr}, {holder}"), "give another clientPort".into()],
        ),
        (
            "clientPort=0\nclientPortAddress=203.0.113.1".into(),
            1,
            [
                "clientPort is 203.0.113.1:0, which cannot be listened on: ".into(),
                "an address of this machine".into(),
            ],
        ),
        (
            "clientPort=0\ndataLogDir=/proc/x".into(),
            2,
            [
                "the folder /proc/x/zookeeper for dataLogDir cannot be made: ".into(),
                "give another dataLogDir".into(),
            ],
        ),
        (
            format!(
                "secureClientPort=0\nssl.clientAuth=none\nssl.keyStore.location={}",
                keys.join("locked.pem").display()
            ),
            2,
            ["ssl.keyStore.location ".into(), "its private key is encrypted".into()],
        ),
    ] {
        std::fs::write(&file, format!("dataDir={}\n{lines}\n", data.display())).expect("written");
        let ran = run(PROGRAM, folder.path(), &["zookeeper", "--config", path]);
        assert_eq!(ran.code, code, "{lines}: {}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(&part), "{part}: {}", ran.stderr);
        }
        assert!(!data.exists(), "{lines}");
    }
}

#[test]
fn data_of_apache_are_not_passed_over() {
    let folder = tempfile::tempdir().expect("folder");
    let theirs = folder.path().join("data/version-2");
    std::fs::create_dir_all(&theirs).expect("created");
    std::fs::write(theirs.join("snapshot.0"), b"ZKSN").expect("written");
    let data = folder.path().join("data").display().to_string();
    let ran =
        run(PROGRAM, folder.path(), &["zookeeper", "--data", &data, "--zookeeper-listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("'flowkeeper zookeeper import --from {data}")), "{}", ran.stderr);
}
