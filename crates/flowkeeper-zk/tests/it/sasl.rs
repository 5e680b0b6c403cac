//! SASL DIGEST-MD5 on the wire, from a client that computes its response by itself.

use std::fmt::Write as _;
use std::net::SocketAddr;

use flowkeeper_zk::proto::{Acl, AclVector, Create, Decoder, Encoder, Request, op};
use flowkeeper_zk::server::{self, Config, Sasl, Server};
use md5::{Digest as _, Md5};

use crate::wire::{Reply, Wire};

const AUTH_FAILED: i32 = -115;
const SESSION_CLOSED: i32 = -124;

async fn started(is_required: bool) -> Server {
    let users = [("bob".to_owned(), "secret".to_owned()), ("eve".to_owned(), "other".to_owned())].into();
    let sasl = Some(Sasl { users, is_required });
    server::start(Config { sasl, ..Config::default() }).await.unwrap()
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    Md5::digest(parts.concat()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What the client sends, and the proof it expects in return.
fn respond(challenge: &str, user: &str, password: &str) -> (String, String) {
    let value = |name: &str| challenge.split(&format!("{name}=\"")).nth(1)?.split('"').next();
    let (realm, nonce) = (value("realm").unwrap(), value("nonce").unwrap());
    assert!(challenge.contains("charset=utf-8") && challenge.contains("algorithm=md5-sess"), "{challenge}");
    let secret = hash(&[user.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()]);
    let a1 = hex(&hash(&[&secret, b":", nonce.as_bytes(), b":c"]));
    let proof = |method: &str| {
        let a2 = hex(&hash(&[method.as_bytes(), b":zookeeper/zk-sasl-md5"]));
        hex(&hash(&[format!("{a1}:{nonce}:00000001:c:auth:{a2}").as_bytes()]))
    };
    let response = format!(
        "username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",cnonce=\"c\",nc=00000001,qop=auth,\
         digest-uri=\"zookeeper/zk-sasl-md5\",response={},charset=utf-8",
        proof("AUTHENTICATE")
    );
    (response, format!("rspauth={}", proof("")))
}

async fn token(wire: &mut Wire, xid: i32, token: &[u8]) -> Reply {
    let reply = wire.call(xid, &Request::Sasl { token }).await;
    assert_eq!((reply.header.xid, reply.header.zxid), (xid, 0));
    reply
}

fn text(reply: &Reply) -> String {
    String::from_utf8(Decoder::new(&reply.body).buffer().unwrap().unwrap().to_vec()).unwrap()
}

/// Goes through the exchange; the last reply.
async fn authenticate(wire: &mut Wire, user: &str, password: &str) -> (Reply, String) {
    let challenge = text(&token(wire, 1, b"").await);
    let (response, proof) = respond(&challenge, user, password);
    (token(wire, 2, response.as_bytes()).await, proof)
}

async fn as_user(addr: SocketAddr, user: &str, password: &str) -> Wire {
    let (mut wire, _) = Wire::session(addr).await;
    let (reply, proof) = authenticate(&mut wire, user, password).await;
    assert_eq!((reply.header.err, text(&reply)), (0, proof));
    wire
}

fn create<'a>(path: &'a str, scheme: &str, id: &str) -> Request<'a> {
    let mut out = Vec::new();
    let acl = Acl { perms: 31, scheme: scheme.into(), id: id.into() };
    flowkeeper_zk::proto::acl::put_acl(&mut Encoder::new(&mut out), &[acl]);
    let acl = AclVector::decode(&mut Decoder::new(Vec::leak(out))).unwrap();
    Request::Create(Create { op: op::CREATE, path: path.into(), data: None, acl, flags: 0, ttl: -1 })
}

fn get(path: &str) -> Request<'_> {
    Request::GetData { path: path.into(), watch: false }
}

#[tokio::test]
async fn nodes_of_a_user_are_for_that_user() {
    let server = started(false).await;
    let addr = server.local_addr();
    let mut bob = as_user(addr, "bob", "secret").await;
    assert_eq!(bob.call(3, &create("/named", "sasl", "bob")).await.header.err, 0);
    assert_eq!(bob.call(4, &create("/mine", "auth", "")).await.header.err, 0);
    let mut eve = as_user(addr, "eve", "other").await;
    let (mut nobody, _) = Wire::session(addr).await;
    for path in ["/named", "/mine"] {
        assert_eq!(bob.call(5, &get(path)).await.header.err, 0);
        assert_eq!(eve.call(5, &get(path)).await.header.err, -102);
        assert_eq!(nobody.call(5, &get(path)).await.header.err, -102);
    }
    let reply = bob.call(6, &Request::WhoAmI).await;
    let listed = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(listed.contains("sasl") && listed.contains("bob"), "{listed:?}");
}

#[tokio::test]
async fn a_wrong_password_ends_the_connection() {
    for (is_required, code) in [(false, AUTH_FAILED), (true, SESSION_CLOSED)] {
        let server = started(is_required).await;
        for (user, password) in [("bob", "other"), ("mallory", "secret")] {
            let (mut wire, _) = Wire::session(server.local_addr()).await;
            let (reply, _) = authenticate(&mut wire, user, password).await;
            // As Apache's: this error carries a body, an empty token.
            assert_eq!((reply.header.err, reply.body), (code, vec![0xff; 4]));
            assert_eq!(wire.frame().await, None);
        }
    }
}

#[tokio::test]
async fn an_exchange_cannot_be_replayed_or_begun_twice() {
    let server = started(false).await;
    let mut bob = as_user(server.local_addr(), "bob", "secret").await;
    assert_eq!(token(&mut bob, 3, b"").await.header.err, AUTH_FAILED);
    assert_eq!(bob.frame().await, None);
    let (mut first, _) = Wire::session(server.local_addr()).await;
    let (response, _) = respond(&text(&token(&mut first, 1, b"").await), "bob", "secret");
    let (mut second, _) = Wire::session(server.local_addr()).await;
    token(&mut second, 1, b"").await;
    assert_eq!(token(&mut second, 2, response.as_bytes()).await.header.err, AUTH_FAILED);
    assert_eq!(token(&mut first, 2, response.as_bytes()).await.header.err, 0);
}

#[tokio::test]
async fn whoever_must_authenticate_can_do_nothing_before() {
    let server = started(true).await;
    let addr = server.local_addr();
    for request in [get("/"), Request::Ping, create("/x", "world", "anyone"), Request::CloseSession] {
        let (mut wire, _) = Wire::session(addr).await;
        let reply = wire.call(1, &request).await;
        assert_eq!((reply.header.err, reply.header.zxid, reply.body), (SESSION_CLOSED, 0, vec![]));
        assert_eq!(wire.frame().await, None);
    }
    let (mut wire, _) = Wire::session(addr).await;
    let digest = Request::Auth { scheme: "digest".into(), token: Some(b"bob:secret") };
    assert_eq!(wire.call(op::XID_AUTH, &digest).await.header.err, 0);
    assert_eq!(wire.call(1, &get("/")).await.header.err, SESSION_CLOSED, "that is another kind of proof");
    let mut bob = as_user(addr, "bob", "secret").await;
    assert_eq!(bob.call(3, &get("/")).await.header.err, 0);
}

#[tokio::test]
async fn a_server_without_users_says_nothing_against_it() {
    let server = server::start(Config::default()).await.unwrap();
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    let reply = token(&mut wire, 1, b"").await;
    assert_eq!((reply.header.err, reply.body), (0, vec![0xff; 4]));
    assert_eq!(wire.call(2, &create("/x", "sasl", "bob")).await.header.err, -114, "there is no such scheme");
}

#[tokio::test]
async fn malformed_tokens_end_their_own_connection_only() {
    let server = started(false).await;
    let mut bob = as_user(server.local_addr(), "bob", "secret").await;
    for rubbish in [&b"\""[..], b"a=b", b"=", &[0xff; 5000], b"username=\"bob\",realm=zk-sasl-md5"] {
        let (mut wire, _) = Wire::session(server.local_addr()).await;
        token(&mut wire, 1, b"").await;
        assert_eq!(token(&mut wire, 2, rubbish).await.header.err, AUTH_FAILED);
        assert_eq!(wire.frame().await, None);
    }
    // A token whose length is wrong is no request at all.
    let (mut wire, _) = Wire::session(server.local_addr()).await;
    wire.send(&[0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 102, 0, 0, 0, 9]).await;
    assert_eq!(wire.frame().await, None);
    assert_eq!(bob.call(3, &get("/")).await.header.err, 0);
}
