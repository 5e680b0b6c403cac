//! The commands: what each answers, in the keys that Apache's admin server uses.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Map, Number, Value, json};

use super::{Http, NoAnswer};
use crate::server::config::{Config, VERSION};
use crate::server::core::{ConnReport, Core};
use crate::server::stats::{Counters, figures};
use crate::server::{apache, facts, task};

/// The name of each command, and its other names.
const COMMANDS: &[(&str, &[&str])] = &[
    ("configuration", &["conf", "config"]),
    ("connection_stat_reset", &["crst"]),
    ("connections", &["cons"]),
    ("dirs", &[]),
    ("dump", &[]),
    ("environment", &["env", "envi"]),
    ("get_trace_mask", &["gtmk"]),
    ("hash", &[]),
    ("initial_configuration", &["icfg"]),
    ("is_read_only", &["isro"]),
    ("last_snapshot", &["lsnp"]),
    ("leader", &["lead"]),
    ("monitor", &["mntr"]),
    ("observer_connection_stat_reset", &["orst"]),
    ("observers", &["obsr"]),
    ("restore", &["rest"]),
    ("ruok", &[]),
    ("server_stats", &["srvr"]),
    ("set_trace_mask", &["stmk"]),
    ("snapshot", &["snap"]),
    ("stat_reset", &["srst"]),
    ("stats", &["stat"]),
    ("system_properties", &["sysp"]),
    ("voting_view", &[]),
    ("watch_summary", &["wchs"]),
    ("watches", &["wchc"]),
    ("watches_by_path", &["wchp"]),
    ("zabstate", &[]),
];

/// The page of links to all commands.
pub(super) fn links(path: &str) -> String {
    // The path comes from the operator's own file, but a page is a page.
    let path = path.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    COMMANDS.iter().map(|(name, _)| format!("<a href=\"{path}/{name}\">{name}</a>\n<br/>\n")).collect()
}

/// An answer: what was found, whose command it was, and what went wrong.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    found: Map<String, Value>,
}

impl Answer {
    fn of(command: &str, found: Map<String, Value>) -> Self {
        let mut answer = Self { status: StatusCode::OK, found };
        answer.found.insert("command".into(), command.into());
        answer.found.entry("error").or_insert(Value::Null);
        answer
    }

    pub(super) fn found(command: &str, pairs: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self::of(command, pairs.into_iter().collect())
    }

    pub(super) fn refused(command: &str, status: StatusCode, why: impl Into<String>) -> Self {
        let mut answer = Self::of(command, Map::from_iter([("error".into(), Value::String(why.into()))]));
        answer.status = status;
        answer
    }

    /// As with Apache, the status says only that there is an answer.
    pub(super) fn unknown(name: &str) -> Self {
        Self::refused(name, StatusCode::OK, format!("Unknown command: {name}"))
    }

    pub(super) fn text(&self) -> String {
        // A refusal is one line: it ends in a log or a terminal. A map of plain values can always be written.
        let text = if self.status == StatusCode::OK {
            serde_json::to_string_pretty(&self.found)
        } else {
            serde_json::to_string(&self.found)
        };
        let mut text = text.unwrap_or_default();
        text.push('\n');
        text
    }
}

impl From<NoAnswer> for Answer {
    fn from(_: NoAnswer) -> Self {
        let why = "This ZooKeeper instance is not currently serving requests";
        Self::refused("", StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

/// The full name of a command.
fn full(name: &str) -> Option<&'static str> {
    let known = COMMANDS.iter().find(|(full, others)| *full == name || others.contains(&name));
    known.map(|(full, _)| *full)
}

impl Http {
    /// Runs one of the commands that change nothing but statistics.
    pub(super) async fn command(&self, name: &str) -> Answer {
        let Some(command) = full(name) else { return Answer::unknown(name) };
        match self.look_up(command).await {
            Ok(found) => Answer::of(command, found),
            Err(gone) => {
                let mut answer = Answer::from(gone);
                answer.found.insert("command".into(), command.into());
                answer
            }
        }
    }

    async fn look_up(&self, command: &str) -> Result<Map<String, Value>, NoAnswer> {
        let found = match command {
            "configuration" => configuration(&self.config),
            "environment" => texts(facts::environment()),
            "initial_configuration" => {
                let lines = self.config.source.iter().map(|(key, value)| format!("{key}={value}\n"));
                json!({ "initial_configuration": lines.collect::<String>() })
            }
            "system_properties" => {
                let pairs = self.config.source.iter();
                texts(pairs.map(|(key, value)| (format!("zookeeper.{key}"), value.clone())))
            }
            "is_read_only" => json!({ "read_only": false }),
            "ruok" => json!({}),
            // Nothing is traced, whatever the mask would be.
            "get_trace_mask" => json!({ "tracemask": 0 }),
            "set_trace_mask" => {
                json!({ "error": "there is no trace here; start the server with --log-level=flowkeeper_zk=debug" })
            }
            // There is no ensemble.
            "leader" => json!({ "error": "server is not initialized" }),
            "observers" => json!({ "synced_observers": 0, "observers": [] }),
            "voting_view" => json!({ "current_config": {} }),
            "zabstate" => json!({ "voting": false, "zabstate": "" }),
            "observer_connection_stat_reset" => json!({}),
            "dirs" => {
                let sizes = facts::folder_sizes(&self.config);
                json!({ "datadir_size": sizes.snapshots, "logdir_size": sizes.logs })
            }
            "last_snapshot" => {
                let last = facts::last_snapshot(&self.config);
                json!({
                    "zxid": format!("{:x}", last.map_or(-1, |found| found.zxid)),
                    "timestamp": last.map_or(-1, |found| found.written / 1000),
                })
            }
            "monitor" => {
                self.refresh().await?;
                self.monitor()
            }
            "hash" => self.hash().await?,
            question => {
                let question = question.to_owned();
                self.ask(move |core| ask(core, &question)).await?
            }
        };
        let mut found = match found {
            Value::Object(found) => found,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        if matches!(command, "server_stats" | "stats") {
            let connections = std::mem::take(&mut found);
            found.insert("version".into(), VERSION.into());
            found.insert("read_only".into(), false.into());
            found.insert("server_stats".into(), self.server_stats());
            found.insert("node_count".into(), self.counters.snapshot().nodes.into());
            found.extend(connections);
        }
        Ok(found)
    }

    fn monitor(&self) -> Value {
        let mut found = Map::new();
        found.insert("version".into(), VERSION.into());
        found.insert("server_state".into(), "standalone".into());
        let numbers = figures::flat(&self.counters, self.uptime());
        found.extend(numbers.into_iter().map(|(name, value)| (name, number(value))));
        Value::Object(found)
    }

    fn server_stats(&self) -> Value {
        let s = self.counters.snapshot();
        let sizes = facts::folder_sizes(&self.config);
        json!({
            "packets_sent": s.sent,
            "packets_received": s.received,
            "server_state": "standalone",
            "last_processed_zxid": s.zxid,
            "outstanding_requests": s.outstanding,
            "num_alive_client_connections": s.connections,
            "min_latency": s.min_latency.as_millis() as u64,
            "avg_latency": number(s.mean_latency.as_micros() as f64 / 1000.0),
            "max_latency": s.max_latency.as_millis() as u64,
            "data_dir_size": sizes.snapshots,
            "log_dir_size": sizes.logs,
            "uptime": self.uptime(),
            "auth_failed_count": Counters::get(&self.counters.auth_failed),
        })
    }

    /// The sum over the tree, of a frozen state: it takes a while.
    async fn hash(&self) -> Result<Value, NoAnswer> {
        let cut = self.ask(|core| core.cut()).await?;
        let zxid = cut.last.zxid;
        let digest =
            task::blocking("digest", move || apache::tree_digest(&cut)).await.map_err(|_| NoAnswer)?;
        Ok(json!({ "digests": [{ "zxid": zxid, "digest_version": 2, "digest": digest }] }))
    }
}

/// What only the core knows.
fn ask(core: &mut Core, command: &str) -> Value {
    match command {
        "connections" => connections(core, true),
        "stats" => connections(core, false),
        "dump" => json!({
            "expiry_time_to_session_ids": by_number(core.expiries()),
            "session_id_to_ephemeral_paths": by_number(core.ephemerals()),
        }),
        "watch_summary" => {
            let [connections, paths, watches] = core.watch_counts();
            json!({ "num_connections": connections, "num_paths": paths, "num_total_watches": watches })
        }
        "watches" => json!({ "session_id_to_watched_paths": by_number(core.watches_by_session()) }),
        "watches_by_path" => json!({ "path_to_session_ids": core.watches_by_path() }),
        "connection_stat_reset" => {
            core.reset_connections();
            json!({})
        }
        "stat_reset" => {
            core.reset_stats();
            json!({})
        }
        // `server_stats` needs nothing of the core but its last round.
        _ => json!({}),
    }
}

fn connections(core: &Core, is_full: bool) -> Value {
    let (secure, plain): (Vec<_>, Vec<_>) = core.connections().into_iter().partition(|conn| conn.is_secure);
    let all = |conns: Vec<ConnReport>| conns.iter().map(|conn| connection(conn, is_full)).collect::<Value>();
    json!({ "connections": all(plain), "secure_connections": all(secure) })
}

fn connection(conn: &ConnReport, is_full: bool) -> Value {
    let mut found = Map::new();
    found.insert("remote_socket_address".into(), conn.peer.to_string().into());
    found.insert("outstanding_requests".into(), conn.outstanding.into());
    found.insert("packets_received".into(), conn.received.into());
    found.insert("packets_sent".into(), conn.sent.into());
    found.insert("queued_bytes".into(), conn.queued.into());
    if !is_full {
        return Value::Object(found);
    }
    found.insert("session_id".into(), conn.session.map_or(0, |session| session.id).into());
    found.insert("session_timeout".into(), conn.session.map_or(0, |session| session.timeout).into());
    found.insert("established".into(), conn.opened.into());
    if let Some(last) = conn.last {
        found.insert("last_operation".into(), last.name.into());
        found.insert("last_cxid".into(), last.xid.into());
        found.insert("last_zxid".into(), last.zxid.into());
        found.insert("last_response_time".into(), last.at.into());
    }
    let times = [
        ("last_latency", conn.times.last),
        ("min_latency", conn.times.min),
        ("avg_latency", conn.times.mean),
        ("max_latency", conn.times.max),
    ];
    found.extend(times.map(|(name, time)| (name.to_owned(), (time.as_millis() as u64).into())));
    Value::Object(found)
}

/// The settings of `conf` in the spelling of JSON, with numbers as numbers.
fn configuration(config: &Config) -> Value {
    let pairs = facts::configuration(config)
        .into_iter()
        .filter(|(key, value)| !key.ends_with("Size") && value != "-1");
    let spelled = |key: &str| {
        key.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        })
    };
    let typed = |value: String| value.parse::<u64>().map_or(Value::String(value), Value::from);
    pairs.map(|(key, value)| (spelled(&key), typed(value))).collect::<Map<_, _>>().into()
}

fn by_number(map: BTreeMap<i64, impl serde::Serialize>) -> BTreeMap<String, Value> {
    map.into_iter().map(|(id, value)| (id.to_string(), json!(value))).collect()
}

fn texts(pairs: impl IntoIterator<Item = (String, String)>) -> Value {
    Value::Object(pairs.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
}

/// A number without a fraction it does not have.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Value::Number(Number::from(value as i64));
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
