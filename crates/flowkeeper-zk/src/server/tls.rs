//! TLS for clients: certificates, whom to trust, and what changes of them on the disk.
//!
//! The files are PEM, as Apache ZooKeeper reads them: the key store has the private key and the certificate
//! chain, the trust store the authorities that vouch for clients. They are read at start and again when they
//! change; new connections use what is new, those there are go on. New files that make no sense are told of once,
//! and the old ones stay in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::config::{ClientAuth, Tls, TlsVersion};
use super::error::Error;
use super::task;

mod der;
mod reasons;
mod subject;

pub(crate) use subject::is_name as is_subject;

/// How often the files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(3);

/// What TLS needs to know of a client and the other way round, in its newest form.
pub(crate) struct Certificates {
    settings: Tls,
    current: RwLock<Arc<ServerConfig>>,
}

/// A connection over TLS, and who is at the other end.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    /// Subject of the client's certificate, if it showed one.
    pub(crate) subject: Option<String>,
}

impl Certificates {
    /// Reads the files. It blocks.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub(crate) fn load(settings: Tls) -> Result<Self, Error> {
        let config = read(&settings)?;
        Ok(Self { settings, current: RwLock::new(config) })
    }

    /// Does the handshake of a connection that has been accepted.
    ///
    /// # Errors
    /// It failed or took longer than `time`; the client has been told what the protocol provides.
    pub(crate) async fn handshake(&self, socket: TcpStream, time: Duration) -> io::Result<Secured> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let stream = timeout(time, TlsAcceptor::from(config).accept(socket))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")))
            .map_err(|error| io::Error::new(error.kind(), reasons::handshake(&error)))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let subject = match certificate.map(|certificate| subject::name(certificate)) {
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            None => None,
        };
        Ok(Secured { stream, subject })
    }

    /// Looks at the files until stopped, and reads them again when they change.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration, stopping: CancellationToken) {
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut known = None;
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stopping.cancelled() => return,
            }
            let this = Arc::clone(&self);
            let last = known.clone();
            let looked = task::blocking("certificate", move || this.look(last)).await;
            known = looked.unwrap_or(known);
        }
    }

    /// Reads the files again if they are not as they were at the last look. Tells how they are now.
    fn look(&self, last: Option<Vec<Stamp>>) -> Option<Vec<Stamp>> {
        let now: Vec<Stamp> = files(&self.settings).map(Stamp::of).collect();
        // At the first look they may have changed since the start already.
        if last.as_ref() == Some(&now) {
            return last;
        }
        match read(&self.settings) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                if last.is_some() {
                    tracing::info!(
                        file = %self.settings.key_store.display(),
                        "certificates have changed; new connections use the new ones"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "certificates have changed, but the old ones stay in use"),
        }
        Some(now)
    }
}

fn files(settings: &Tls) -> impl Iterator<Item = &PathBuf> {
    std::iter::once(&settings.key_store).chain(&settings.trust_store)
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl Stamp {
    fn of(path: &PathBuf) -> Self {
        let file = std::fs::metadata(path).ok();
        Self { modified: file.as_ref().and_then(|f| f.modified().ok()), len: file.map_or(0, |f| f.len()) }
    }
}

fn read(settings: &Tls) -> Result<Arc<ServerConfig>, Error> {
    let store = Store { key: "ssl.keyStore.location", path: &settings.key_store };
    let text = store.read()?;
    let chain = store.certificates(&text)?;
    let key = store.private_key(&text)?;
    let wrong = |error: rustls::Error| store.unusable(&reasons::identity(&error));

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: Vec<_> = settings
        .versions
        .iter()
        .map(|version| match version {
            TlsVersion::V12 => &rustls::version::TLS12,
            TlsVersion::V13 => &rustls::version::TLS13,
        })
        .collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(wrong)?;
    let builder = match (settings.client_auth, &settings.trust_store) {
        (ClientAuth::None, _) | (_, None) => builder.with_no_client_auth(),
        (wanted, Some(path)) => {
            let trust = Store { key: "ssl.trustStore.location", path };
            let mut roots = RootCertStore::empty();
            for (at, authority) in trust.certificates(&trust.read()?)?.into_iter().enumerate() {
                roots.add(authority).map_err(|error| {
                    trust.unusable(&format!(
                        "its certificate {} is damaged ({error}); take it out, or make it anew",
                        at + 1
                    ))
                })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match wanted {
                ClientAuth::Need => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(
                verifier
                    .build()
                    .map_err(|error| trust.unusable(&format!("it vouches for nobody ({error})")))?,
            )
        }
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(wrong)
}

/// A PEM file, and the key of the configuration that names it.
struct Store<'a> {
    key: &'static str,
    path: &'a Path,
}

impl Store<'_> {
    fn read(&self) -> Result<Vec<u8>, Error> {
        std::fs::read(self.path).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::PermissionDenied => "let this user read it",
                _ => "name a PEM file",
            };
            self.unusable(&format!("it cannot be read: {error}; {advice}"))
        })
    }

    fn certificates(&self, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
        let list: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|_| self.unusable("it is no PEM text; make its file anew"))?;
        if list.is_empty() {
            return Err(self.no_pem("it holds no certificate"));
        }
        Ok(list)
    }

    fn private_key(&self, text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
        let has = |what: &[u8]| text.windows(what.len()).any(|part| part == what);
        // PKCS #8, and the older form of OpenSSL's.
        let is_locked = has(b"ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED");
        if is_locked {
            return Err(self.unusable(
                "its private key is encrypted; take the password off with 'openssl pkey -in FILE -out NEW'",
            ));
        }
        PrivateKeyDer::from_pem_slice(text).map_err(|_| self.no_pem("it holds no private key"))
    }

    /// What is missing may be there in another form.
    fn no_pem(&self, what: &str) -> Error {
        let advice = match self.path.extension().and_then(|ending| ending.to_str()) {
            Some("jks" | "p12" | "pfx" | "bcfks") => {
                "it must be a PEM file, and 'openssl pkcs12 -nodes' makes one of a PKCS #12 store"
            }
            _ => "it must be a PEM file with all that is needed, one part behind the other",
        };
        self.unusable(&format!("{what}; {advice}"))
    }

    fn unusable(&self, what: &str) -> Error {
        Error::Config(format!("{} {} cannot be used for TLS: {what}", self.key, self.path.display()))
    }
}

#[cfg(test)]
mod tests;
