//! TLS: who gets in, as whom, and certificates that change under way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_zk::proto::{Decoder, Request};
use flowkeeper_zk::server::{self, ClientAuth, Config, Server, Tls, TlsVersion};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire::{DEADLINE, Wire};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

fn settings(client_auth: ClientAuth) -> Config {
    let tls = Tls {
        listen: Some(([127, 0, 0, 1], 0).into()),
        shares_port: false,
        key_store: data("server.pem"),
        trust_store: Some(data("authority.pem")),
        client_auth,
        versions: vec![TlsVersion::V12, TlsVersion::V13],
    };
    Config { tls: Some(tls), super_x509: Some("CN=root,O=Flowkeeper".into()), ..Config::default() }
}

async fn started(client_auth: ClientAuth) -> (Server, SocketAddr) {
    let server = server::start(settings(client_auth)).await.unwrap();
    let addr = server.secure_addr().unwrap();
    (server, addr)
}

type Secure = TlsStream<TcpStream>;

/// Shakes hands as the owner of a certificate, or as nobody. With TLS 1.3 a refusal shows only later.
async fn shake(addr: SocketAddr, who: Option<&str>) -> std::io::Result<Secure> {
    shake_with(addr, who, rustls::DEFAULT_VERSIONS).await
}

async fn shake_with(
    addr: SocketAddr,
    who: Option<&str>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<Secure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data("authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match who {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let file = data(&format!("{name}.pem"));
            let certificate = CertificateDer::from_pem_file(&file).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_file(&file).unwrap())
                .unwrap()
        }
    };
    let socket = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

async fn session(addr: SocketAddr, who: Option<&str>) -> Option<Wire<Secure>> {
    let mut wire = Wire::over(shake(addr, who).await.ok()?);
    wire.frame_after_handshake().await?;
    Some(wire)
}

/// Scheme and name of everybody a connection is, apart from its address.
async fn who_am_i(wire: &mut Wire<Secure>) -> Vec<(String, String)> {
    let reply = wire.call(9, &Request::WhoAmI).await;
    let mut d = Decoder::new(&reply.body);
    let mut all = Vec::new();
    for _ in 0..d.i32().unwrap() {
        all.push((d.string().unwrap().into_owned(), d.string().unwrap().into_owned()));
    }
    all.retain(|(scheme, _)| scheme != "ip");
    all
}

#[tokio::test]
async fn clients_are_whom_their_certificate_names() {
    let (server, addr) = started(ClientAuth::Need).await;
    let mut client = session(addr, Some("client")).await.unwrap();
    let x509 = |name: &str| ("x509".to_owned(), name.to_owned());
    assert_eq!(who_am_i(&mut client).await, [x509("CN=client,O=Flowkeeper,C=DE")]);
    let mut root = session(addr, Some("root")).await.unwrap();
    assert_eq!(
        who_am_i(&mut root).await,
        [("super".to_owned(), String::new()), x509("CN=root,O=Flowkeeper")]
    );
    assert!(session(addr, Some("unknown")).await.is_none(), "a stranger's authority vouches for nobody");
    assert!(session(addr, None).await.is_none(), "who shows nothing stays outside");
    // The other door needs no key.
    Wire::session(server.local_addr()).await;
    drop(client);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn asking_politely_lets_everybody_in_but_liars() {
    let (_server, addr) = started(ClientAuth::Want).await;
    assert_eq!(who_am_i(&mut session(addr, None).await.unwrap()).await, []);
    assert_eq!(who_am_i(&mut session(addr, Some("client")).await.unwrap()).await.len(), 1);
    assert!(session(addr, Some("unknown")).await.is_none());
    let (_server, addr) = started(ClientAuth::None).await;
    assert_eq!(who_am_i(&mut session(addr, Some("client")).await.unwrap()).await, [], "nobody is asked");
}

#[tokio::test]
async fn one_port_may_take_both() {
    let mut config = settings(ClientAuth::Need);
    config.words = vec!["ruok".into()];
    if let Some(tls) = &mut config.tls {
        (tls.listen, tls.shares_port) = (None, true);
    }
    let server = server::start(config).await.unwrap();
    assert_eq!(server.secure_addr(), None);
    let addr = server.local_addr();
    Wire::session(addr).await;
    assert_eq!(who_am_i(&mut session(addr, Some("client")).await.unwrap()).await.len(), 1);
    let mut plain = Wire::open(addr).await;
    plain.send(b"ruok").await;
    assert_eq!(plain.text().await, "imok");
    let mut secure = Wire::over(shake(addr, Some("client")).await.unwrap());
    secure.send(b"ruok").await;
    assert_eq!(secure.text().await, "imok");
}

#[tokio::test]
async fn without_a_plain_port_there_is_no_way_in_but_tls() {
    let server = server::start(Config { plain: false, ..settings(ClientAuth::Need) }).await.unwrap();
    let addr = server.local_addr();
    assert_eq!(server.secure_addr(), Some(addr));
    assert!(session(addr, Some("client")).await.is_some());
    let mut plain = Wire::open(addr).await;
    // Whatever comes back is no session but an alert.
    let answer = plain.frame_after_handshake().await;
    assert!(answer.is_none(), "{answer:?}");
}

#[tokio::test]
async fn large_replies_and_many_requests_go_through() {
    let (_server, addr) = started(ClientAuth::Need).await;
    let mut wire = session(addr, Some("client")).await.unwrap();
    let data = vec![7; 1_000_000];
    let set = Request::SetData { path: "/zookeeper/quota".into(), data: Some(&data), version: -1 };
    assert_eq!(wire.call(1, &set).await.header.err, 0);
    let get = Request::GetData { path: "/zookeeper/quota".into(), watch: false };
    let all: Vec<u8> = (0..40).flat_map(|n| crate::wire::message(n, &get)).collect();
    wire.send(&all).await;
    for n in 0..40 {
        let reply = wire.reply().await.unwrap();
        assert_eq!((reply.header.xid, reply.body[4..1_000_004] == data[..]), (n, true));
    }
    assert_eq!(wire.call(2, &Request::CloseSession).await.header.err, 0);
    assert_eq!(wire.frame().await, None);
}

#[tokio::test]
async fn renewed_certificates_are_used_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("server.pem");
    std::fs::copy(data("server.pem"), &store).unwrap();
    let mut config = settings(ClientAuth::None);
    if let Some(tls) = &mut config.tls {
        tls.key_store.clone_from(&store);
    }
    let server = server::start(config).await.unwrap();
    let addr = server.secure_addr().unwrap();
    let shown = async || {
        let stream = shake(addr, None).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let of = |name| CertificateDer::from_pem_file(data(name)).unwrap();
    assert_eq!(shown().await, of("server.pem"));
    let mut old = session(addr, None).await.unwrap();
    std::fs::write(&store, "rubbish").unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(shown().await, of("server.pem"));
    std::fs::copy(data("server-renewed.pem"), &store).unwrap();
    let renewed = async {
        while shown().await != of("server-renewed.pem") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, renewed).await.expect("the new certificate comes into use");
    assert_eq!(old.call(1, &Request::Ping).await.header.err, 0, "old connections go on");
}

#[tokio::test]
async fn old_versions_can_be_left_out() {
    use rustls::version::{TLS12, TLS13};
    let mut config = settings(ClientAuth::None);
    if let Some(tls) = &mut config.tls {
        tls.versions = vec![TlsVersion::V13];
    }
    let server = server::start(config).await.unwrap();
    let addr = server.secure_addr().unwrap();
    assert!(shake_with(addr, None, &[&TLS12]).await.is_err());
    assert!(shake_with(addr, None, &[&TLS13]).await.is_ok());
    let (_server, addr) = started(ClientAuth::None).await;
    assert!(shake_with(addr, None, &[&TLS12]).await.is_ok());
}

#[tokio::test]
async fn rubbish_on_the_secure_port_harms_nobody() {
    let (_server, addr) = started(ClientAuth::Need).await;
    let mut good = session(addr, Some("client")).await.unwrap();
    for rubbish in
        [&[0x16, 3, 1, 0xff, 0xff][..], &[0x16; 600], &[0; 100], b"ruok", b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut wire = Wire::open(addr).await;
        wire.send(rubbish).await;
        drop(wire);
    }
    assert_eq!(good.call(1, &Request::Ping).await.header.err, 0);
}
