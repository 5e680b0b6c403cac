//! How much memory znodes take and how long a start with them does: `znodes [COUNT]`, 600,000 without an argument.
//!
//! Creates nodes of 100 bytes, a thousand to a parent, on a server with a data folder in a process of its own, and
//! compares the resident memory; then starts again, once from the log that a crash leaves and once from the snapshot.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use flowkeeper_zk::proto::acl::put_acl;
use flowkeeper_zk::proto::jute::put_frame;
use flowkeeper_zk::proto::{Acl, ConnectRequest, Encoder, op};
use flowkeeper_zk::server::{self, Config};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PER_PARENT: usize = 1000;
const DEPTH: usize = 500;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let count = args.next().unwrap_or_else(|| "600000".into());
    if count == "serve" {
        let folder = args.next().unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(serve(Path::new(&folder)));
    }
    let count: usize = count.parse()?;
    let folder = tempfile::tempdir()?;
    let empty = run(folder.path(), 0, false)?;
    let full = run(folder.path(), count, true)?;
    let from_log = run(folder.path(), 0, false)?;
    let from_snapshot = run(folder.path(), 0, false)?;
    let mut out = std::io::stdout();
    writeln!(out, "{count} znodes of 100 bytes; a server without any has {} KiB resident", empty.resident)?;
    for (what, run) in [
        ("while they were created", full),
        ("started from the log", from_log),
        ("started from a snapshot", from_snapshot),
    ] {
        let per_node = run.resident.saturating_sub(empty.resident) * 1024 / count.max(1);
        writeln!(out, "{what}: {} KiB, {per_node} bytes a znode, start {} ms", run.resident, run.took)?;
    }
    Ok(())
}

struct Run {
    resident: usize,
    took: u64,
}

/// Starts a server as a process, creates nodes, and ends it: by a crash, or so that it leaves a snapshot.
fn run(folder: &Path, count: usize, crash: bool) -> Result<Run> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let (addr, took) = line.trim().split_once(' ').ok_or("the server did not start")?;
    create(addr, count)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let resident = resident.trim().trim_end_matches(" kB").parse()?;
    if crash {
        child.kill()?;
    }
    // It ends with its input.
    drop(child.stdin.take());
    child.wait()?;
    Ok(Run { resident, took: took.parse()? })
}

async fn serve(folder: &Path) -> Result<()> {
    let server = server::start(Config { data: Some(folder.to_owned()), ..Config::default() }).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{} {}", server.local_addr(), server.recovery().took.as_millis())?;
    out.flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(server.stop().await?)
}

fn create(addr: &str, count: usize) -> Result<()> {
    let mut socket = TcpStream::connect(addr)?;
    let ask = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout: 30_000,
        session: 0,
        password: &[0; 16],
        read_only: None,
    };
    let mut out = Vec::new();
    put_frame(&mut out, |out| ask.encode(&mut Encoder::new(out)));
    socket.write_all(&out)?;
    let mut replies = BufReader::new(socket.try_clone()?);
    skip(&mut replies, 1)?;
    let mut waiting = 0;
    out.clear();
    for n in 0..count {
        if n % PER_PARENT == 0 {
            put_create(&mut out, &format!("/nodes-{:04}", n / PER_PARENT), &[]);
            waiting += 1;
        }
        put_create(&mut out, &format!("/nodes-{:04}/n-{n:06}", n / PER_PARENT), &[b'x'; 100]);
        waiting += 1;
        if waiting >= DEPTH {
            socket.write_all(&out)?;
            skip(&mut replies, waiting)?;
            out.clear();
            waiting = 0;
        }
    }
    socket.write_all(&out)?;
    skip(&mut replies, waiting)
}

fn put_create(out: &mut Vec<u8>, path: &str, data: &[u8]) {
    put_frame(out, |out| {
        let mut e = Encoder::new(out);
        e.i32(1);
        e.i32(op::CREATE);
        e.string(path);
        e.buffer(Some(data));
        put_acl(&mut e, &[Acl::open()]);
        e.i32(0);
    });
}

fn skip(replies: &mut impl Read, count: usize) -> Result<()> {
    for _ in 0..count {
        let mut len = [0; 4];
        replies.read_exact(&mut len)?;
        let mut body = vec![0; u32::from_be_bytes(len) as usize];
        replies.read_exact(&mut body)?;
    }
    Ok(())
}
