//! Four-letter words: questions in plain text, for people and monitoring.

use std::fmt::Write as _;

use super::Core;
use crate::server::config::VERSION;
use crate::server::watches::ConnId;

impl Core {
    /// Answers a word and closes.
    pub(super) fn word(&mut self, id: ConnId, word: [u8; 4]) {
        self.publish();
        let word = String::from_utf8_lossy(&word);
        let allowed = self.config.words.iter().any(|w| w == "*" || *w == word);
        let answer = match self.answer(&word) {
            Some(answer) if allowed => answer,
            _ => format!("{word} is not executed because it is not in the whitelist.\n"),
        };
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.pending.extend_from_slice(answer.as_bytes());
            self.close_conn(id);
        }
    }

    fn answer(&self, word: &str) -> Option<String> {
        Some(match word {
            "ruok" => "imok".into(),
            "isro" => "rw".into(),
            "srvr" => format!("{}{}", version_line(), self.summary()),
            "stat" => format!("{}Clients:\n{}\n{}", version_line(), self.connections(false), self.summary()),
            "cons" => self.connections(true),
            "mntr" => self.monitor(),
            "envi" => format!("Environment:\nzookeeper.version={VERSION}\n"),
            "conf" => self.configuration(),
            "dump" => self.dump(),
            "wchs" => format!(
                "{} connections watching {} paths\nTotal watches:{}\n",
                self.watches.connections(),
                self.watches.paths(),
                self.watches.len()
            ),
            _ => return None,
        })
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

    fn connections(&self, with_session: bool) -> String {
        let mut text = String::new();
        let mut conns: Vec<_> = self.conns.iter().collect();
        conns.sort_unstable_by_key(|(id, _)| **id);
        for (_, conn) in conns {
            let (queued, received) = (conn.out.queued(), conn.received);
            // Every request gets one reply.
            let sent = received + conn.notified;
            let _ = write!(text, " /{}[1](queued={queued},recved={received},sent={sent}", conn.peer);
            if let Some(session) = conn.session.filter(|_| with_session) {
                let timeout = self.state.sessions.get(session).map_or(0, |s| s.timeout);
                let _ = write!(text, ",sid=0x{session:x},to={timeout}");
            }
            text.push_str(")\n");
        }
        text
    }

    fn monitor(&self) -> String {
        let s = self.counters.snapshot();
        let mut text = format!("zk_version\t{VERSION}\nzk_server_state\tstandalone\n");
        for (key, value) in [
            ("znode_count", s.nodes),
            ("watch_count", s.watches),
            ("ephemerals_count", s.ephemerals),
            ("approximate_data_size", s.data_bytes),
            ("global_sessions", s.sessions),
            ("num_alive_connections", s.connections),
            ("outstanding_requests", s.outstanding),
            ("packets_received", s.received),
            ("packets_sent", s.sent),
            ("min_latency", s.min_latency.as_millis() as u64),
            ("avg_latency", s.mean_latency.as_millis() as u64),
            ("max_latency", s.max_latency.as_millis() as u64),
            ("uptime", self.clock.now()),
        ] {
            let _ = writeln!(text, "zk_{key}\t{value}");
        }
        text
    }

    fn configuration(&self) -> String {
        let c = &self.config;
        format!(
            "clientPort={}\ndataDir={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\n\
             maxSessionTimeout={}\nserverId=0\n",
            c.listen.port(),
            c.data.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            c.tick.as_millis(),
            c.max_connections_per_client,
            c.min_session_timeout.as_millis(),
            c.max_session_timeout.as_millis()
        )
    }

    fn dump(&self) -> String {
        let mut text = format!("Sessions ({}):\n", self.state.sessions.len());
        let mut sessions: Vec<_> = self.state.sessions.timeouts().collect();
        sessions.sort_unstable();
        for (id, timeout) in sessions {
            let _ = writeln!(text, "\t0x{id:x}\t{timeout}ms");
        }
        let mut owners: Vec<i64> = self.state.tree.ephemeral_owners().collect();
        owners.sort_unstable();
        let _ = writeln!(text, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", owners.len());
        for owner in owners {
            let _ = writeln!(text, "0x{owner:x}:");
            for id in self.state.tree.ephemerals_of(owner) {
                let _ = writeln!(text, "\t{}", self.state.tree.path_of(id));
            }
        }
        text
    }
}

fn version_line() -> String {
    format!("Zookeeper version: {VERSION}\n")
}
