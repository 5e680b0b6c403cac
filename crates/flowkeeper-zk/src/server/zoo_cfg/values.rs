//! The forms of values: numbers, switches, times, addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use super::Settings;

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// A key or value as one line of a message, whatever is in it.
pub(super) fn shown(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().take(SHOWN) {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    if text.chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

impl Settings {
    /// A whole number of at least `least`.
    pub(super) fn number(&mut self, key: &str, least: i64) -> Option<i64> {
        let value = &self.text(key)?.value;
        let number = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => value.parse().ok(),
        };
        let number = number.filter(|number| (least..=i64::from(i32::MAX)).contains(number));
        if number.is_none() {
            self.wrong(key, &format!("write a whole number from {least} to {}", i32::MAX));
        }
        number
    }

    /// A number of which -1 is "the default".
    pub(super) fn number_or_default(&mut self, key: &str, least: i64) -> Option<i64> {
        if self.text(key)?.value == "-1" { None } else { self.number(key, least) }
    }

    /// Milliseconds.
    pub(super) fn millis(&mut self, key: &str, least: i64) -> Option<Duration> {
        self.number(key, least).map(|millis| Duration::from_millis(millis.unsigned_abs()))
    }

    /// Milliseconds, of which -1 is "the default".
    pub(super) fn millis_or_default(&mut self, key: &str, least: i64) -> Option<Duration> {
        self.number_or_default(key, least).map(|millis| Duration::from_millis(millis.unsigned_abs()))
    }

    /// A switch.
    pub(super) fn switch(&mut self, key: &str) -> Option<bool> {
        let value = self.text(key)?.value.to_ascii_lowercase();
        match value.as_str() {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => {
                self.wrong(key, "write true or false");
                None
            }
        }
    }

    pub(super) fn is_on(&mut self, key: &str) -> bool {
        self.switch(key).unwrap_or(false)
    }

    /// A port; 0 is any free one.
    pub(super) fn port(&mut self, key: &str) -> Option<u16> {
        let port = self.number_or_default(key, 0)?;
        let port = u16::try_from(port).ok();
        if port.is_none() {
            self.wrong(key, "a port is a number from 0 (any free one) to 65535");
        }
        port
    }

    /// The address of a listener, from the keys of its host and port. A name is looked up; without one it is the
    /// loopback address.
    pub(super) fn listener(&mut self, host_key: &str, port_key: &str) -> Option<SocketAddr> {
        let port = self.port(port_key)?;
        self.host(host_key, port)
    }

    /// An address of the host that a key names, with this port.
    pub(super) fn host(&mut self, key: &str, port: u16) -> Option<SocketAddr> {
        let Some(given) = self.text(key) else { return Some((Ipv4Addr::LOCALHOST, port).into()) };
        let host = given.value.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some((ip, port).into());
        }
        let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
        if found.is_none() {
            self.wrong(
                key,
                "no such host is known; write an address of this machine, such as 127.0.0.1 or 0.0.0.0",
            );
        }
        found
    }

    /// Parts between commas.
    pub(super) fn list(&self, key: &str) -> Option<Vec<String>> {
        let parts = self.text(key)?.value.split(',').map(str::trim);
        Some(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// The last part of a Java class name.
    pub(super) fn class(&self, key: &str) -> Option<String> {
        self.text(key)?.value.rsplit('.').next().map(str::to_owned)
    }
}
