//! TLS to ZooKeeper: whom to trust, and who we are.

use zookeeper_client::TlsOptions;

/// Certificates for connections to ZooKeeper's secure client port.
#[derive(Clone, Debug)]
pub struct Tls {
    options: TlsOptions,
}

/// Texts are no certificates. What they hold is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTls {
    #[error("it holds no certificate of an authority in PEM")]
    Ca,
    #[error("they are no certificate and private key in PEM")]
    Identity,
}

impl Tls {
    /// Trusts servers whose certificate was signed by an authority in `ca` (PEM) and names the host we connect to. `identity`,
    /// certificate chain and private key (PEM), is shown to servers that ask for it.
    ///
    /// # Errors
    /// See [`NotTls`].
    pub fn new(ca: &str, identity: Option<(&str, &str)>) -> Result<Tls, NotTls> {
        let mut options = TlsOptions::new().with_pem_ca(ca).map_err(|_| NotTls::Ca)?;
        if let Some((certificate, key)) = identity {
            options = options.with_pem_identity(certificate, key).map_err(|_| NotTls::Identity)?;
        }
        Ok(Tls { options })
    }

    pub(super) fn options(&self) -> TlsOptions {
        self.options.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_and_not_repeated() {
        assert_eq!(Tls::new("rubbish", None).map(drop), Err(NotTls::Ca));
        assert_eq!(Tls::new("", Some(("a", "b"))).map(drop), Err(NotTls::Ca));
    }
}
