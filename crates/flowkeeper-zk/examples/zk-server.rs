//! Runs the embedded ZooKeeper server alone: `zk-server zoo.cfg`.
//!
//! Reads `dataDir`, `clientPort`, `clientPortAddress`, `tickTime`, `minSessionTimeout`, `maxSessionTimeout`,
//! `maxClientCnxns` and `4lw.commands.whitelist`; a second argument is a `key=value` list, separated by
//! commas, of `superDigest`, `containerCheckMs` and `maxBuffer`. Ends on SIGTERM or Ctrl-C.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use flowkeeper_zk::server::{self, Config};
use tokio::signal::unix::{SignalKind, signal};

type Settings = HashMap<String, String>;

fn parse(text: &str, separator: char) -> Settings {
    let lines = text.split(separator).map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

fn millis(settings: &Settings, key: &str) -> Result<Option<Duration>, Box<dyn Error>> {
    match settings.get(key) {
        // Apache's way of saying "the default".
        Some(value) if value == "-1" => Ok(None),
        Some(value) => Ok(Some(Duration::from_millis(value.parse()?))),
        None => Ok(None),
    }
}

fn config(settings: &Settings) -> Result<Config, Box<dyn Error>> {
    let mut config = Config::default();
    let host = settings.get("clientPortAddress").map_or("127.0.0.1", String::as_str);
    let port = settings.get("clientPort").map_or(Ok(2181), |port| port.parse())?;
    config.listen = (host.parse::<std::net::IpAddr>()?, port).into();
    config.data = settings.get("dataDir").map(Into::into);
    config.tick = millis(settings, "tickTime")?.unwrap_or(Duration::from_secs(3));
    config.min_session_timeout = millis(settings, "minSessionTimeout")?.unwrap_or(config.tick * 2);
    config.max_session_timeout = millis(settings, "maxSessionTimeout")?.unwrap_or(config.tick * 20);
    if let Some(max) = settings.get("maxClientCnxns") {
        config.max_connections_per_client = max.parse()?;
    }
    if let Some(words) = settings.get("4lw.commands.whitelist") {
        config.words = words.split(',').map(|word| word.trim().to_owned()).collect();
    }
    config.super_digest = settings.get("superDigest").cloned();
    if let Some(every) = millis(settings, "containerCheckMs")? {
        config.container_check = every;
    }
    if let Some(max) = settings.get("maxBuffer") {
        config.max_frame = max.parse()?;
    }
    Ok(config)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: zk-server zoo.cfg [key=value,...]")?;
    let mut settings = parse(&std::fs::read_to_string(&file)?, '\n');
    settings.extend(args.next().map(|more| parse(&more, ',')).unwrap_or_default());
    let server = server::start(config(&settings)?).await?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        error = server.failed() => Err(error.into()),
        _ = term.recv() => Ok(server.stop().await?),
        _ = int.recv() => Ok(server.stop().await?),
    }
}
