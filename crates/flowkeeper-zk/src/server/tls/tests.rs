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
        let text = slurp(&data("subjects").join(file)).unwrap();
        let certificate = certificates(Path::new(file), &text).unwrap().remove(0);
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
    let server = slurp(&data("server.pem")).unwrap();
    let key_alone =
        server.split_inclusive(|byte| *byte == b'\n').take(5).flatten().copied().collect::<Vec<_>>();
    let other_key = [&key_alone[..], &slurp(&data("subjects/plain.pem")).unwrap()].concat();
    for (path, reason) in [
        (data("none.pem"), "No such file"),
        (data("make"), "it holds no certificate"),
        (data("authority.pem"), "it holds no private key"),
        (data("locked.pem"), "its private key is encrypted; take the password off with 'openssl pkey'"),
        (write("key.pem", &key_alone), "it holds no certificate"),
        (write("other.pem", &other_key), "key and certificate are unusable"),
        (write("store.p12", b"\x30\x82"), "'openssl pkcs12 -nodes' makes one"),
        (
            write("broken.pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "it is no PEM text",
        ),
    ] {
        let error = read(&Tls { key_store: path.clone(), ..settings("") }).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&path.display().to_string()), "{error}");
    }
    let no_trust = Tls { trust_store: Some(data("make")), ..settings("server.pem") };
    assert!(read(&no_trust).unwrap_err().to_string().contains("it holds no certificate"));
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
