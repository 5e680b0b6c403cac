//! The figures a newcomer feels: start, memory, time to the first message, speed of the API.
//!
//! `cargo bench -p flowkeeper --bench first_flow` prints them as a table; `docs/benchmarks.md` keeps them. Everything is
//! measured on the real binary from outside, on a machine that should do nothing else.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flowkeeper_testkit::dev::Dev;
use flowkeeper_testkit::wait::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowkeeper");
const STREAMS: usize = 200;
const CONNECTIONS: usize = 8;
const LOAD: Duration = Duration::from_secs(5);

fn main() {
    println!("| figure | target | measured |\n| --- | --- | --- |");
    start_up();
    let folder = tempfile::tempdir().expect("folder");
    let dev = Dev::start(PROGRAM, &folder.path().join("data"));
    settle();
    row("idle `dev`, resident memory", "< 60 MB", &megabytes(dev.pid()));
    first_message(&dev);
    app_memory(&dev);
    dev.run(["stream", "all", "destroy", "--force"]).ok();
    list_of_streams(&dev);
}

fn row(figure: &str, target: &str, measured: &str) {
    println!("| {figure} | {target} | {measured} |");
}

/// Lets memory and caches come to rest.
#[expect(clippy::disallowed_methods, reason = "what is measured is the state of rest")]
fn settle() {
    std::thread::sleep(Duration::from_secs(3));
}

fn start_up() {
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            let folder = tempfile::tempdir().expect("folder");
            let started = Instant::now();
            let dev = Dev::start(PROGRAM, &folder.path().join("data"));
            let mut connection = Connection::open(&dev.api);
            assert_eq!(connection.get("/about").0, 200);
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    row(
        "`dev` start to first HTTP 200, new data, median of 5",
        "< 1 s",
        &format!("{} ms", times[2].as_millis()),
    );
}

fn first_message(dev: &Dev) {
    let mut times: Vec<_> = (0..5)
        .map(|n| {
            let name = format!("first{n}");
            let log = format!("/streams/logs/{name}/log");
            let mut connection = Connection::open(&dev.api);
            let started = Instant::now();
            dev.run(["stream", "create", &name, "--definition", "time | log", "--deploy"]).ok();
            until("the first line is logged", || connection.get(&log).1.contains("log-sink : "));
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    row(
        "deploy of `time \\| log` to first log line, median of 5",
        "< 1 s",
        &format!("{} ms", times[2].as_millis()),
    );
}

fn app_memory(dev: &Dev) {
    settle();
    let pids = dev.app_pids();
    for (kind, label) in [("time", "first0~time~v1~0"), ("log", "first0~log~v1~0")] {
        row(&format!("idle bundled app `{kind}`, resident memory"), "<= 10 MB", &megabytes(pids[label]));
    }
}

/// Resident memory of a process; of it, what is its own (not pages of the binary that all processes share).
fn megabytes(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("told");
        let kib: f64 =
            line.split_ascii_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        kib * 1024.0 / 1e6
    };
    format!("{:.1} MB ({:.1} MB its own)", value("VmRSS:"), value("RssAnon:"))
}

fn list_of_streams(dev: &Dev) {
    let mut connection = Connection::open(&dev.api);
    for n in 0..STREAMS {
        let body = format!("name=stream{n:03}&definition=time | log");
        assert_eq!(connection.post("/streams/definitions", &body), 201);
    }
    let path = "/streams/definitions?size=20";
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let load = |_| {
            scope.spawn(|| {
                let mut connection = Connection::open(&dev.api);
                let (mut latencies, started) = (Vec::with_capacity(100_000), Instant::now());
                while started.elapsed() < LOAD {
                    let sent = Instant::now();
                    assert_eq!(connection.get(path).0, 200);
                    latencies.push(sent.elapsed());
                }
                latencies
            })
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(load).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("loaded")).collect()
    });
    latencies.sort_unstable();
    let rate = latencies.len() as f64 / LOAD.as_secs_f64();
    let p99 = latencies[latencies.len() * 99 / 100];
    row(
        "`GET /streams/definitions?size=20` over 200 definitions, 8 connections",
        ">= 10,000/s, p99 < 4 ms",
        &format!("{rate:.0}/s, p99 {:.2} ms", p99.as_secs_f64() * 1e3),
    );
}

/// A kept-alive connection that reads answers by their length, as cheaply as a load generator should.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    host: String,
}

impl Connection {
    fn open(host: &str) -> Connection {
        let stream = TcpStream::connect(host).expect("connected");
        stream.set_nodelay(true).expect("set");
        Connection { stream, buffer: vec![0; 256 << 10], host: host.to_owned() }
    }

    fn get(&mut self, path: &str) -> (u16, String) {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\r\n", self.host);
        self.exchange(request.as_bytes())
    }

    fn post(&mut self, path: &str, body: &str) -> u16 {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.exchange(request.as_bytes()).0
    }

    fn exchange(&mut self, request: &[u8]) -> (u16, String) {
        self.stream.write_all(request).expect("sent");
        let mut filled = 0;
        loop {
            let n = self.stream.read(&mut self.buffer[filled..]).expect("answered");
            assert!(n > 0, "the server closed the connection");
            filled += n;
            let Some(head) = self.buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let total = head + 4 + length.unwrap_or(0_usize);
            if filled >= total {
                let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
                return (status, String::from_utf8_lossy(&self.buffer[head + 4..total]).into_owned());
            }
        }
    }
}
