//! What a server is told at start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::error::Error;
use super::storage::log::Durability;
use super::tls::Certificates;

/// The release clients are told: they look at the digits to see what the server can do.
pub(crate) const VERSION: &str = concat!("3.9.5-flowkeeper-", env!("CARGO_PKG_VERSION"));

/// Settings of a server. The default listens on a free port of the loopback address and keeps its data in
/// memory. [`zoo_cfg`](super::zoo_cfg) makes one from Apache's file.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 is any free port.
    pub listen: SocketAddr,
    /// Whether [`Config::listen`] is opened at all; without it clients come over TLS only.
    pub plain: bool,
    /// TLS for clients; `None` is none.
    pub tls: Option<Tls>,
    /// Data folder, created if missing; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// Folder of the log, if it is to be another one (`dataLogDir`).
    pub log: Option<PathBuf>,
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
    /// Transactions after which a snapshot is due even if the log is short (`snapCount`); `None` counts bytes
    /// only.
    pub snapshot_after: Option<u64>,
    /// Snapshots that are kept (`autopurge.snapRetainCount`), at least 2.
    pub kept_snapshots: usize,
    /// Connections one client address may have; 0 is any number.
    pub max_connections_per_client: usize,
    /// Connections there may be at all (`maxCnxns`); 0 is any number.
    pub max_connections: usize,
    /// How often containers and nodes with a time to live are looked at.
    pub container_check: Duration,
    /// How many of them are deleted in a minute at most (`znode.container.maxPerMinute`).
    pub container_max_per_minute: usize,
    /// Containers that never had a child go after this time (`znode.container.maxNeverUsedIntervalMs`); `None`
    /// is never.
    pub container_never_used: Option<Duration>,
    /// Whether nodes with a time to live may be created (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether hard quotas refuse (`enforceQuota`); without it all quotas only warn.
    pub enforce_quota: bool,
    /// Whether a write that its ACL forbids is refused before it takes a zxid (`enableEagerACLCheck`).
    pub eager_acl_check: bool,
    /// `user:base64(SHA1("user:password"))` of the user who may do everything.
    pub super_digest: Option<String>,
    /// Subject of the client certificate whose owner may do everything, as RFC 2253 text
    /// (`X509AuthenticationProvider.superUser`).
    pub super_x509: Option<String>,
    /// Users of SASL DIGEST-MD5; `None` is no SASL.
    pub sasl: Option<Sasl>,
    /// Schemes of which a connection needs one before it may do anything (`enforce.auth.schemes`); none is
    /// free access.
    pub required_schemes: Vec<String>,
    /// Four-letter words that are answered; `*` is all.
    pub words: Vec<String>,
    /// The HTTP side for operators; `None` is none.
    pub admin: Option<Admin>,
    /// Where `/metrics` is served for Prometheus; `None` is nowhere but in [`Config::admin`].
    pub metrics: Option<SocketAddr>,
    /// The file these settings came from, as `key=value` pairs for `/commands/initial_configuration`.
    pub source: BTreeMap<String, String>,
}

/// TLS for clients. At least one of [`Tls::listen`] and [`Tls::shares_port`] is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// A port where TLS is spoken and nothing else (`secureClientPort`); port 0 is any free port.
    pub listen: Option<SocketAddr>,
    /// Whether [`Config::listen`] takes TLS too (`client.portUnification`): the first bytes tell.
    pub shares_port: bool,
    /// PEM file with the certificate chain and the private key of the server, read again when it changes.
    pub key_store: PathBuf,
    /// PEM file with the certificates of authorities that may vouch for clients, read again when it changes.
    /// Needed unless clients are not asked.
    pub trust_store: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Versions that are spoken, at least one.
    pub versions: Vec<TlsVersion>,
}

/// Whether clients show a certificate (`ssl.clientAuth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Those without one are refused.
    #[default]
    Need,
    /// They may.
    Want,
    /// They are not asked.
    None,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Who may authenticate by SASL, and whether everybody must.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sasl {
    /// Passwords by user.
    pub users: BTreeMap<String, String>,
    /// Whether a session needs SASL (`sessionRequireClientSASLAuth`).
    pub is_required: bool,
}

// Passwords stay out of logs.
impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&String> = self.users.keys().collect();
        f.debug_struct("Sasl").field("users", &users).field("is_required", &self.is_required).finish()
    }
}

/// The HTTP side for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; port 0 is any free port.
    pub listen: SocketAddr,
    /// First part of the paths, `/commands` as a rule; empty, or with a slash in front and none behind.
    pub path: String,
    /// A connection on which nothing comes for this long is closed.
    pub idle: Duration,
    /// Time between two calls of `snapshot`, and of `restore`; sooner ones are refused.
    pub pause: Duration,
    /// Whether `snapshot` may be asked for (`admin.snapshot.enabled`).
    pub snapshot: bool,
    /// Whether `restore` may be asked for (`admin.restore.enabled`).
    pub restore: bool,
}

impl Admin {
    /// The usual paths at an address.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            path: "/commands".into(),
            idle: Duration::from_secs(30),
            pause: Duration::from_secs(300),
            snapshot: true,
            restore: true,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            plain: true,
            tls: None,
            data: None,
            log: None,
            tick: Duration::from_secs(1),
            min_session_timeout: Duration::from_secs(2),
            max_session_timeout: Duration::from_secs(60),
            max_frame: 0xf_ffff,
            durability: Durability::default(),
            snapshot_after: None,
            kept_snapshots: 2,
            max_connections_per_client: 0,
            max_connections: 0,
            container_check: Duration::from_secs(60),
            container_max_per_minute: 10_000,
            container_never_used: None,
            extended_types: true,
            enforce_quota: false,
            eager_acl_check: false,
            super_digest: None,
            super_x509: None,
            sasl: None,
            required_schemes: Vec::new(),
            words: ["srvr", "ruok", "isro"].map(String::from).into(),
            admin: None,
            metrics: None,
            source: BTreeMap::new(),
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
        if self.kept_snapshots < 2 {
            return wrong("fewer than two snapshots would be kept; keep 2, in case one turns out unreadable");
        }
        let secure = self.tls.as_ref();
        if !self.plain && secure.is_none_or(|tls| tls.listen.is_none()) {
            return wrong("neither a client port nor a secure one is given; give one of them");
        }
        if secure.is_some_and(|tls| tls.client_auth != ClientAuth::None && tls.trust_store.is_none()) {
            return wrong(
                "clients shall show certificates, but there is no trust store to check them against; name one, or \
                 ask for none",
            );
        }
        if self.required_schemes.iter().any(|scheme| scheme == "x509") && secure.is_none() {
            return wrong(
                "clients must authenticate by x509, but there is no TLS; give a secure port or another scheme",
            );
        }
        if self.required_schemes.iter().any(|scheme| scheme == "sasl") && self.sasl.is_none() {
            return wrong(
                "clients must authenticate by SASL, but there are no users; name a JAAS file with some",
            );
        }
        if self.sasl.as_ref().is_some_and(|sasl| sasl.is_required && sasl.users.is_empty()) {
            return wrong("every client must authenticate by SASL, but there are no users; name some");
        }
        Ok(())
    }

    /// Whether a server can be started with this, apart from what the disk and the ports say: it makes sense, and the
    /// certificates can be used. It blocks while it reads them.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<(), Error> {
        self.validate()?;
        self.tls.clone().map_or(Ok(()), |tls| Certificates::load(tls).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_use_is_refused_before_anything_starts() {
        let sasl = |users: &[&str]| {
            let users = users.iter().map(|user| ((*user).to_owned(), "password".to_owned())).collect();
            Config { sasl: Some(Sasl { users, is_required: true }), ..Config::default() }
        };
        sasl(&["alice"]).check().expect("somebody can come");
        let told = sasl(&[]).check().expect_err("nobody can").to_string();
        assert!(told.contains("but there are no users"), "{told}");

        let tls = Tls {
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            shares_port: false,
            key_store: "/no/such.pem".into(),
            trust_store: None,
            client_auth: ClientAuth::None,
            versions: vec![TlsVersion::V13],
        };
        let config = Config { tls: Some(tls), ..Config::default() };
        let told = config.check().expect_err("no certificate").to_string();
        assert!(told.starts_with("ssl.keyStore.location /no/such.pem cannot be used for TLS: "), "{told}");
    }
}
