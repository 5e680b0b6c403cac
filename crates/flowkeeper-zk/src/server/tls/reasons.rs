//! Why a certificate or a handshake is refused, in words for the one who has to mend it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys};

/// Why a client's handshake failed, as the end of a sentence.
pub(super) fn handshake(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        None => error.to_string(),
        Some(Error::InvalidCertificate(why)) => {
            format!("the client's certificate is refused: {}", certificate(why, "clientAuth"))
        }
        Some(Error::NoCertificatesPresented) => {
            "the client showed no certificate; give it one, or write ssl.clientAuth=want".into()
        }
        Some(Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown),
        )) => format!(
            "the client does not trust the server's certificate (alert {alert:?}); give it the authority that signed it"
        ),
        Some(Error::AlertReceived(alert)) => format!("the client broke it off (alert {alert:?})"),
        Some(Error::InvalidMessage(_)) => "what came is not TLS; the client must use TLS on this port".into(),
        Some(Error::PeerIncompatible(why)) => format!(
            "client and server have no version or cipher suite of TLS in common ({why:?}); TLS 1.2 and 1.3 can be spoken, \
             as far as ssl.enabledProtocols has them"
        ),
        Some(other) => other.to_string(),
    }
}

/// Why the server's own key and certificate are of no use, as the end of a sentence.
pub(super) fn identity(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "its private key does not belong to its first certificate; put the server's own certificate first, and the \
             key it was made for"
                .into()
        }
        Error::InvalidCertificate(why) => format!("its first certificate: {}", certificate(why, "serverAuth")),
        other => format!("key and certificate are unusable ({other})"),
    }
}

/// What is wrong with a certificate that is to be used for a purpose.
pub(super) fn certificate(why: &CertificateError, purpose: &str) -> String {
    match why {
        // The library below has no other name for it that can be reached.
        CertificateError::Other(other) if other.to_string() == "UnsupportedCertVersion" => {
            "it is not of version 3 of X.509, which 'openssl x509 -req' makes only with extensions; issue it again with \
             -extfile FILE, in which for example keyUsage=digitalSignature stands"
                .into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; renew it, or set this machine's clock".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; look at the clocks of this machine and of the one that issued it".into()
        }
        CertificateError::UnknownIssuer => {
            "no authority in ssl.trustStore.location vouches for it; add the authority that signed it there, or use a \
             certificate of one that is there"
                .into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its extendedKeyUsage does not allow this; issue it with {purpose}, or without that extension")
        }
        CertificateError::BadEncoding => "it is damaged; make its file anew".into(),
        other => format!("{other:?}; issue another one"),
    }
}
