//! Certificates: names as Java has them, files that are of no use, files that change.

use std::path::Path;

use tokio::net::TcpListener;

use super::*;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

fn settings(key_store: &str) -> Tls {
    Tls {
        listen: Some(([127, 0, 0, 1], 0).into()),
        shares_port: false,
        key_store: data(key_store),
        trust_store: Some(data("authority.pem")),
        client_auth: ClientAuth::Need,
        versions: vec![TlsVersion::V12, TlsVersion::V13],
    }
}

#[test]
fn subjects_are_called_what_java_calls_them() {
    let names = std::fs::read_to_string(data("subjects.txt")).unwrap();
    let mut count = 0;
    for line in names.lines() {
        let (file, name) = line.split_once('\t').unwrap();
        let path = data("subjects").join(file);
        let store = Store { key: "", path: &path };
        let certificate = store.certificates(&store.read().unwrap()).unwrap().remove(0);
        assert_eq!(subject::name(&certificate).as_deref(), Ok(name), "{file}");
        // Java's own reading of such a text, with the string types it does not know left out.
        assert!(is_subject(name), "{name}");
        count += 1;
    }
    assert_eq!(count, std::fs::read_dir(data("subjects")).unwrap().count());
}

#[test]
fn unusable_files_are_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let server = std::fs::read(data("server.pem")).unwrap();
    let key_alone =
        server.split_inclusive(|byte| *byte == b'\n').take(5).flatten().copied().collect::<Vec<_>>();
    let other_key = [&key_alone[..], &std::fs::read(data("subjects/plain.pem")).unwrap()].concat();
    for (path, reason) in [
        (data("none.pem"), "it cannot be read: No such file or directory (os error 2); name a PEM file"),
        (data("make"), "it holds no certificate; it must be a PEM file"),
        (data("authority.pem"), "it holds no private key; it must be a PEM file"),
        (
            data("locked.pem"),
            "its private key is encrypted; take the password off with 'openssl pkey -in FILE -out NEW'",
        ),
        (
            write("legacy.pem", &[&server[..], b"Proc-Type: 4,ENCRYPTED\n"].concat()),
            "its private key is encrypted",
        ),
        (write("key.pem", &key_alone), "it holds no certificate"),
        (write("other.pem", &other_key), "its private key does not belong to its first certificate; put"),
        (data("old.pem"), "its first certificate: it is not of version 3 of X.509"),
        (write("store.p12", b"\x30\x82"), "'openssl pkcs12 -nodes' makes one"),
        (
            write("broken.pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "it is no PEM text",
        ),
    ] {
        let error = read(&Tls { key_store: path.clone(), ..settings("") }).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&path.display().to_string()), "{error}");
        assert!(error.starts_with("ssl.keyStore.location "), "{error}");
        // A file that is not there, or whose content is PEM but wrong, is not told to be PEM.
        let is_form = reason.contains("no certificate")
            || reason.contains("no private key")
            || reason.contains("pkcs12");
        assert_eq!(error.contains("must be a PEM file"), is_form, "{error}");
        assert!(!error.contains("KeyMismatch") && !error.contains("Other("), "{error}");
    }
    let no_trust = Tls { trust_store: Some(data("make")), ..settings("server.pem") };
    let error = read(&no_trust).unwrap_err().to_string();
    assert!(
        error.starts_with("ssl.trustStore.location ") && error.contains("it holds no certificate"),
        "{error}"
    );
}

/// Shows a certificate whatever it is.
#[derive(Debug)]
struct Shown(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What the server says about a client that shows this certificate, or none.
async fn refusal(who: Option<&str>, trust_store: &str) -> String {
    let settings = Tls { trust_store: Some(data(trust_store)), ..settings("server.pem") };
    let certificates = Certificates::load(settings).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data("authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match who {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(data(name)).unwrap()];
            let key = PrivateKeyDer::from_pem_file(data(name)).unwrap();
            let key = provider.key_provider.load_private_key(key).unwrap();
            let shown = rustls::sign::CertifiedKey::new(chain, key);
            builder.with_client_cert_resolver(Arc::new(Shown(Arc::new(shown))))
        }
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let client = connector.connect("localhost".try_into().unwrap(), socket);
    let (_client, served) = tokio::join!(client, certificates.handshake(accepted, Duration::from_secs(10)));
    served.err().unwrap().to_string()
}

#[tokio::test]
async fn refused_clients_are_told_of_with_what_to_do() {
    for (who, trust, reason) in [
        (
            Some("old.pem"),
            "old-authority.pem",
            "refused: it is not of version 3 of X.509, which 'openssl x509 -req'",
        ),
        (Some("unknown.pem"), "authority.pem", "no authority in ssl.trustStore.location vouches for it; add"),
        (None, "authority.pem", "the client showed no certificate; give it one"),
    ] {
        let told = refusal(who, trust).await;
        assert!(told.contains(reason), "{told}");
    }
    use rustls::{AlertDescription, CertificateError as Bad, Error, InvalidMessage};
    for (error, reason) in [
        (Error::InvalidCertificate(Bad::Expired), "it has expired; renew it"),
        (Error::InvalidCertificate(Bad::InvalidPurpose), "issue it with clientAuth"),
        (Error::AlertReceived(AlertDescription::UnknownCA), "does not trust the server's certificate"),
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), "what came is not TLS"),
    ] {
        let told = reasons::handshake(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(told.contains(reason), "{told}");
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_over() {
    let certificates = Certificates::load(settings("server.pem")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let error = certificates.handshake(socket, Duration::from_millis(20)).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn changed_files_are_read_again_and_broken_ones_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("server.pem");
    std::fs::copy(data("server.pem"), &store).unwrap();
    let certificates = Certificates::load(Tls { key_store: store.clone(), ..settings("") }).unwrap();
    let current = || Arc::as_ptr(&certificates.current.read().unwrap());
    let first = certificates.look(None);
    let before = current();
    assert_eq!(certificates.look(first.clone()), first);
    assert_eq!(current(), before, "nothing has changed");

    std::fs::write(&store, "rubbish").unwrap();
    let broken = certificates.look(first.clone());
    assert_ne!(broken, first);
    assert_eq!(current(), before, "what is broken is not used");
    assert_eq!(certificates.look(broken.clone()), broken, "and told of once");

    std::fs::copy(data("server-renewed.pem"), &store).unwrap();
    let renewed = certificates.look(broken);
    assert_ne!(current(), before);
    std::fs::remove_file(&store).unwrap();
    assert_ne!(certificates.look(renewed.clone()), renewed);
}
