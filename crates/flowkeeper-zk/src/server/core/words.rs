//! Four-letter words: questions in plain text, for people and monitoring.

use std::fmt::Write as _;

use super::Core;
use super::report::{ConnReport, LastReport};
use crate::server::config::VERSION;
use crate::server::stats::figures;
use crate::server::watches::ConnId;
use crate::server::{apache, facts};

/// Words that are known; others are the length of a frame, or nonsense.
pub(crate) const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr",
    "stat", "stmk", "wchc", "wchp", "wchs",
];

impl Core {
    /// Answers a word and closes.
    pub(super) fn word(&mut self, id: ConnId, word: [u8; 4]) {
        self.publish();
        let word = String::from_utf8_lossy(&word).into_owned();
        let is_allowed = self.config.words.iter().any(|w| w == "*" || *w == word);
        let answer = if is_allowed && WORDS.contains(&word.as_str()) {
            self.answer(&word)
        } else {
            format!("{word} is not executed because it is not in the whitelist.\n")
        };
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.pending.extend_from_slice(answer.as_bytes());
            self.close_conn(id);
        }
    }

    fn answer(&mut self, word: &str) -> String {
        match word {
            "ruok" => "imok".into(),
            "isro" => "rw".into(),
            "srvr" => format!("{}{}", version_line(), self.summary()),
            "stat" => format!("{}Clients:\n{}\n{}", version_line(), self.clients(false), self.summary()),
            "cons" => format!("{}\n", self.clients(true)),
            "mntr" => self.monitor(),
            "envi" => lines("Environment:\n", &facts::environment(), '='),
            "conf" => lines("", &facts::configuration(&self.config), '='),
            "dirs" => {
                let sizes = facts::folder_sizes(&self.config);
                format!("datadir_size: {}\nlogdir_size: {}\n", sizes.snapshots, sizes.logs)
            }
            "dump" => self.dump(),
            "hash" => {
                let cut = self.cut();
                format!("{:x}: {}\n", cut.last.zxid, apache::tree_digest(&cut))
            }
            "wchs" => {
                let [connections, paths, watches] = self.watch_counts();
                format!("{connections} connections watching {paths} paths\nTotal watches:{watches}\n")
            }
            "wchc" => {
                nested(self.watches_by_session().iter().map(|(id, paths)| (hex(id), paths.iter().cloned())))
            }
            "wchp" => {
                nested(self.watches_by_path().iter().map(|(path, ids)| (path.clone(), ids.iter().map(hex))))
            }
            "crst" => {
                self.reset_connections();
                "Connection stats reset.\n".into()
            }
            "srst" => {
                self.reset_stats();
                "Server stats reset.\n".into()
            }
            // Nothing is traced, whatever the mask would be.
            _ => "0".into(),
        }
    }

    fn summary(&self) -> String {
        let s = self.counters.snapshot();
        let ms = |d: std::time::Duration| d.as_micros() as f64 / 1000.0;
        format!(
            "Latency min/avg/max: {}/{:.4}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: {}\n\
             Zxid: 0x{:x}\nMode: standalone\nNode count: {}\n",
            s.min_latency.as_millis(),
            ms(s.mean_latency),
            s.max_latency.as_millis(),
            s.received,
            s.sent,
            s.connections,
            s.outstanding,
            s.zxid,
            s.nodes
        )
    }

    fn clients(&self, is_full: bool) -> String {
        self.connections().iter().map(|conn| client_line(conn, is_full)).collect()
    }

    fn monitor(&self) -> String {
        let mut text = format!("zk_version\t{VERSION}\nzk_server_state\tstandalone\n");
        for (name, value) in figures::flat(&self.counters, self.uptime()) {
            // Writing into a string does not fail.
            let _ = writeln!(text, "zk_{name}\t{}", figures::plain(value));
        }
        text
    }

    fn dump(&self) -> String {
        let sets = self.expiries();
        let mut text =
            format!("SessionTracker dump:\nSession Sets ({})/({}):\n", sets.len(), self.state.sessions.len());
        for (at, sessions) in sets {
            let _ = writeln!(text, "{} expire at {}:", sessions.len(), facts::time(at));
            for id in sessions {
                let _ = writeln!(text, "\t0x{id:x}");
            }
        }
        let ephemerals = self.ephemerals();
        let _ = writeln!(text, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", ephemerals.len());
        for (owner, paths) in ephemerals {
            let _ = writeln!(text, "0x{owner:x}:");
            for path in paths {
                let _ = writeln!(text, "\t{path}");
            }
        }
        let connections = self.connections();
        let _ = writeln!(text, "Connections dump:\nConnections ({}):", connections.len());
        for conn in connections {
            let session = conn.session.map_or(0, |session| session.id);
            let _ = writeln!(text, "\tip: /{} sessionId: 0x{session:x}", conn.peer);
        }
        text
    }
}

fn client_line(conn: &ConnReport, is_full: bool) -> String {
    // The number in brackets says of what the server waits: 1, the client's next packet.
    let mut line =
        format!(" /{}[1](queued={},recved={},sent={}", conn.peer, conn.outstanding, conn.received, conn.sent);
    if let Some(session) = conn.session.filter(|_| is_full) {
        let name = conn.last.map_or("NA", |last| last.name);
        let _ = write!(line, ",sid=0x{:x},lop={name},est={},to={}", session.id, conn.opened, session.timeout);
        if let Some(LastReport { xid, zxid, at, .. }) = conn.last {
            let _ = write!(line, ",lcxid=0x{xid:x},lzxid=0x{zxid:x},lresp={at}");
        }
        let [last, min, mean, max] =
            [conn.times.last, conn.times.min, conn.times.mean, conn.times.max].map(|time| time.as_millis());
        let _ = write!(line, ",llat={last},minlat={min},avglat={mean},maxlat={max}");
    }
    line.push_str(")\n");
    line
}

fn version_line() -> String {
    format!("Zookeeper version: {VERSION}\n")
}

fn hex(id: &i64) -> String {
    format!("0x{id:x}")
}

fn lines(head: &str, pairs: &[(String, String)], sign: char) -> String {
    let mut text = head.to_owned();
    for (key, value) in pairs {
        let _ = writeln!(text, "{key}{sign}{value}");
    }
    text
}

/// A heading and its lines below it, each.
fn nested(parts: impl Iterator<Item = (String, impl Iterator<Item = String>)>) -> String {
    let mut text = String::new();
    for (head, lines) in parts {
        let _ = writeln!(text, "{head}");
        for line in lines {
            let _ = writeln!(text, "\t{line}");
        }
    }
    text
}
