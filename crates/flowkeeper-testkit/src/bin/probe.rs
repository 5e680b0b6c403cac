//! An app instance that gives itself away: while it runs it keeps a record that it runs, as whom and under which term, so that
//! two of them are found out even when nobody else would notice. See `flowkeeper_testkit::torture::ledger`.
//!
//! Properties: `oracle` (folder of the ledger), `server.port` (asked for health); `sink` (address to which every beat is sent with
//! the term, see `flowkeeper_testkit::torture::sink`), `crash` (ends at once), `sick` (never healthy), `stubborn` (does not
//! hear the signal to end, and leaves children and grandchildren of the same kind).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use flowkeeper_testkit::torture::ledger::{BEAT, Entry};

/// Says of itself that it is one of those that a stubborn probe leaves behind.
const CHILD: &str = "PROBE_CHILD";
/// Set once the signal to end is ignored, which is handed down.
const DEAF: &str = "PROBE_DEAF";

#[derive(Debug)]
struct Settings {
    oracle: PathBuf,
    port: Option<u16>,
    sink: Option<String>,
    is_sick: bool,
    is_stubborn: bool,
}

fn main() {
    if env(CHILD).is_some() {
        return linger();
    }
    let Some(settings) = settings() else {
        return complain("the probe needs its properties 'oracle' (a folder) and server.port");
    };
    if settings.is_stubborn && env(DEAF).is_none() {
        return deafen();
    }
    let name = |variable: &str| env(variable).unwrap_or_default();
    let key = format!("{}.{}.{}", name("FLOWKEEPER_STREAM_UID"), label(), name("INSTANCE_INDEX"));
    let term = name("FLOWKEEPER_FENCE_TERM");
    let entry = match Entry::open(&settings.oracle, &key, &term) {
        Ok(entry) => entry,
        Err(error) => return complain(&format!("the ledger cannot be written: {error}")),
    };
    if settings.is_stubborn {
        leave_children();
    }
    if let Some(port) = settings.port {
        let is_sick = settings.is_sick;
        drop(std::thread::spawn(move || answer(port, is_sick)));
    }
    if let Some(sink) = settings.sink {
        drop(std::thread::spawn(move || act(&sink, &key, &term)));
    }
    entry.beat_for_ever();
}

#[expect(clippy::disallowed_methods, reason = "an app of its own: its environment is its input")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn settings() -> Option<Settings> {
    let properties: serde_json::Value = serde_json::from_str(&env("SPRING_APPLICATION_JSON")?).ok()?;
    let text = |name: &str| properties[name].as_str().map(str::to_owned);
    let is_set = |name: &str| properties[name].as_str() == Some("true");
    if is_set("crash") {
        complain("the probe was told to crash");
    }
    Some(Settings {
        oracle: text("oracle")?.into(),
        port: text("server.port").and_then(|port| port.parse().ok()),
        sink: text("sink"),
        is_sick: is_set("sick"),
        is_stubborn: is_set("stubborn"),
    })
}

/// The app's label, out of the name SCDF gives an instance: `<stream>.<label>-v<release>-<index>`.
fn label() -> String {
    let guid = env("SPRING_CLOUD_APPLICATION_GUID").unwrap_or_default();
    let label = guid.split_once('.').and_then(|(_, rest)| rest.rsplit_once("-v"));
    label.map_or_else(|| guid.clone(), |(label, _)| label.to_owned())
}

#[expect(clippy::print_stderr, reason = "the output of an app")]
fn complain(what: &str) {
    eprintln!("{what}");
    std::process::exit(1);
}

/// Becomes a probe that ignores the signal to end: what is ignored stays so in the program that follows.
fn deafen() {
    let own = std::env::current_exe().unwrap_or_default();
    let error = Command::new("sh").args(["-c", "trap '' TERM; exec \"$0\""]).arg(own).env(DEAF, "1").exec();
    complain(&format!("sh cannot be run: {error}"));
}

/// Leaves a child, and a grandchild in a session of its own whose parent is gone.
fn leave_children() {
    let own = std::env::current_exe().unwrap_or_default();
    let child = Command::new(&own).env(CHILD, "1").spawn();
    let grandchild = Command::new("sh").args(["-c", "setsid \"$0\" &"]).arg(&own).env(CHILD, "1").status();
    if let (Err(error), _) | (_, Err(error)) = (child.map(drop), grandchild.map(drop)) {
        complain(&format!("no children can be made: {error}"));
    }
}

#[expect(clippy::disallowed_methods, reason = "all that a child does")]
fn linger() {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Says that it is well, or not, to whoever asks.
fn answer(port: u16, is_sick: bool) {
    let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) else {
        return complain(&format!("port {port} cannot be bound"));
    };
    let (status, body) = if is_sick {
        ("503 Service Unavailable", r#"{"status":"DOWN"}"#)
    } else {
        ("200 OK", r#"{"status":"UP"}"#)
    };
    for mut stream in listener.incoming().flatten() {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}

/// Has an effect at every beat: a line to the sink.
#[expect(clippy::disallowed_methods, reason = "the beat of a probe")]
fn act(sink: &str, key: &str, term: &str) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(sink) {
            let line = format!("{key} {term} {}\n", std::process::id());
            while stream.write_all(line.as_bytes()).is_ok() {
                std::thread::sleep(BEAT);
            }
        }
        std::thread::sleep(BEAT);
    }
}
