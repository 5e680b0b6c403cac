//! What a server is told at start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::error::Error;
use super::storage::log::Durability;

/// The release clients are told: they look at the digits to see what the server can do.
pub(crate) const VERSION: &str = concat!("3.9.5-flowkeeper-", env!("CARGO_PKG_VERSION"));

/// Settings of a server. The default listens on a free port of the loopback address and keeps its data in
/// memory.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 is any free port.
    pub listen: SocketAddr,
    /// Data folder, created if missing; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// Grain of session expiry: a session lives up to one tick longer than its timeout.
    pub tick: Duration,
    /// Shortest session timeout a client gets.
    pub min_session_timeout: Duration,
    /// Longest session timeout a client gets.
    pub max_session_timeout: Duration,
    /// Longest request in bytes (`jute.maxbuffer`).
    pub max_frame: usize,
    /// When acknowledged writes are on the disk.
    pub durability: Durability,
    /// Connections one client address may have; 0 is any number.
    pub max_connections_per_client: usize,
    /// How often containers and nodes with a time to live are looked at.
    pub container_check: Duration,
    /// `user:base64(SHA1("user:password"))` of the user who may do everything.
    pub super_digest: Option<String>,
    /// Four-letter words that are answered; `*` is all.
    pub words: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            data: None,
            tick: Duration::from_secs(1),
            min_session_timeout: Duration::from_secs(2),
            max_session_timeout: Duration::from_secs(60),
            max_frame: 0xf_ffff,
            durability: Durability::default(),
            max_connections_per_client: 0,
            container_check: Duration::from_secs(60),
            super_digest: None,
            words: ["srvr", "ruok", "isro"].map(String::from).into(),
        }
    }
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Config(what.to_owned()));
        if self.tick.as_millis() == 0 {
            return wrong("the tick is shorter than a millisecond; give it at least 1 ms, 1 s is usual");
        }
        if self.min_session_timeout > self.max_session_timeout {
            return wrong("the shortest session timeout is longer than the longest; swap the two");
        }
        if i32::try_from(self.max_session_timeout.as_millis()).is_err() {
            return wrong("the longest session timeout is over 24 days; the protocol cannot say that");
        }
        if self.max_frame < 1024 || self.max_frame > 64 << 20 {
            return wrong("the longest request must lie between 1 KiB and 64 MiB; 1 MiB is usual");
        }
        Ok(())
    }
}
