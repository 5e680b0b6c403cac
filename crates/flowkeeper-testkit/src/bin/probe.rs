//! An app instance that gives itself away: while it runs it keeps a record that it runs, as whom and under which term, so that
//! two of them are found out even when nobody else would notice. See `flowkeeper_testkit::torture::ledger`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use flowkeeper_testkit::torture::ledger::Entry;

fn main() {
    let Some((folder, port)) = settings() else {
        return complain("the probe needs its properties 'oracle' (a folder) and server.port");
    };
    let name = |variable: &str| env(variable).unwrap_or_default();
    let key = format!("{}.{}.{}", name("FLOWKEEPER_STREAM_UID"), label(), name("INSTANCE_INDEX"));
    let entry = match Entry::open(&folder, &key, &name("FLOWKEEPER_FENCE_TERM")) {
        Ok(entry) => entry,
        Err(error) => return complain(&format!("the ledger cannot be written: {error}")),
    };
    if let Some(port) = port {
        drop(std::thread::spawn(move || answer(port)));
    }
    entry.beat_for_ever();
}

#[expect(clippy::disallowed_methods, reason = "an app of its own: its environment is its input")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Folder of the ledger, and the port to be asked for health.
fn settings() -> Option<(std::path::PathBuf, Option<u16>)> {
    let properties: serde_json::Value = serde_json::from_str(&env("SPRING_APPLICATION_JSON")?).ok()?;
    let port = properties["server.port"].as_str().and_then(|port| port.parse().ok());
    Some((properties["oracle"].as_str()?.into(), port))
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

/// Says that it is well to whoever asks.
fn answer(port: u16) {
    let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) else {
        return complain(&format!("port {port} cannot be bound"));
    };
    for mut stream in listener.incoming().flatten() {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let body = r#"{"status":"UP"}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}
