//! The addresses a server will listen on, and who asked for each: so that a busy one is told by its key.

use std::fmt;
use std::net::SocketAddr;

use super::{Settings, Sources};
use crate::server::config::Config;

/// An address that will be listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// The address; port 0 is any free one.
    pub addr: SocketAddr,
    /// The key of its port, or the flag that was given instead.
    pub key: &'static str,
    /// `FILE line N`, or `-D`; `None` for a flag and for a default.
    pub place: Option<String>,
    order: usize,
}

/// The beginning of a sentence about this listener.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {} is {}", self.key, self.addr),
            None => write!(f, "{} is {}", self.key, self.addr),
        }
    }
}

/// All listeners of a configuration. That two want the same address is left in the settings.
pub(super) fn all(settings: &mut Settings, config: &Config, sources: &Sources<'_>) -> Vec<Listener> {
    let is_flag =
        sources.listen.is_some() || (sources.file.is_none() && settings.text("clientPort").is_none());
    let plain = if is_flag { "--zookeeper-listen" } else { "clientPort" };
    let wanted = [
        (plain, config.plain.then_some(config.listen)),
        ("secureClientPort", config.tls.as_ref().and_then(|tls| tls.listen)),
        ("admin.serverPort", config.admin.as_ref().map(|admin| admin.listen)),
        ("metricsProvider.httpPort", config.metrics),
    ];
    let listeners = wanted.into_iter().filter_map(|(key, addr)| {
        let place = settings.text(key).map(|given| given.place.clone());
        let order = place.as_ref().map_or(usize::MAX, |place| place.order);
        Some(Listener { addr: addr?, key, place: place.map(|place| place.text), order })
    });
    let listeners: Vec<Listener> = listeners.collect();
    for (at, one) in listeners.iter().enumerate() {
        if let Some(other) = listeners[..at].iter().find(|other| clash(one.addr, other.addr)) {
            let text = format!("{one}, and {} is {}; give each a port of its own", other.key, other.addr);
            settings.problems.push((one.order, text));
        }
    }
    listeners
}

/// Whether nobody can listen on both.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (is_all || one.ip() == other.ip())
}
