//! SASL DIGEST-MD5 (RFC 2831), the server's side: a challenge, the client's response, and a proof in return.
//!
//! It is dated: MD5 is broken for signatures, and whoever listens in may guess weak passwords offline. It is here
//! for clients that are set up for it; client certificates are the better choice. The exchange is the one that
//! Java's provider has with ZooKeeper's clients: realm `zk-sasl-md5`, service `zookeeper`, no protection of what
//! follows (`qop=auth`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::{Digest as _, Md5};

mod directives;

use directives::Directives;

/// The realm every ZooKeeper server names, and the host part of its name.
const REALM: &str = "zk-sasl-md5";
/// The name of the service a response must be for.
const URI: &str = "zookeeper/zk-sasl-md5";
/// A response of a decent client is far below this, and parsing is not free.
const MAX_TOKEN: usize = 4096;

/// Why a client is not who it says, or does not say it properly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SaslError {
    /// The exchange is over.
    #[error("it goes on after the end of the exchange")]
    Over,
    /// The response is no list of directives.
    #[error("its response is malformed: {0}")]
    Malformed(&'static str),
    /// A directive is missing or says something this server did not offer.
    #[error("its response has no acceptable {0}")]
    Unacceptable(&'static str),
    /// No such user, or not with this password.
    #[error("user '{0}' and password do not match")]
    WrongPassword(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send this token; the client must answer it.
    Challenge(Vec<u8>),
    /// Send this token; the client is this user.
    Done {
        /// Proof that the server knows the password too.
        token: Vec<u8>,
        user: String,
    },
}

/// One exchange on one connection.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Begun,
    Challenged {
        nonce: String,
    },
    Over,
}

impl Exchange {
    /// Takes the client's next token.
    ///
    /// # Errors
    /// The client is refused; the exchange is over.
    pub(crate) fn step(&mut self, token: &[u8], users: &BTreeMap<String, String>) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            // The first token should be empty, since the server begins; Java's provider does not look at it.
            Stage::Begun => {
                let nonce = nonce();
                let challenge = challenge(&nonce);
                self.stage = Stage::Challenged { nonce };
                Ok(Step::Challenge(challenge.into_bytes()))
            }
            Stage::Challenged { nonce } => check(&nonce, token, users),
            Stage::Over => Err(SaslError::Over),
        }
    }
}

fn challenge(nonce: &str) -> String {
    format!("realm=\"{REALM}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess")
}

/// Something nobody can foresee.
fn nonce() -> String {
    let mut bytes = [0; 24];
    // Fails on no system this runs on; a nonce known beforehand would still prove the password, but to whoever
    // recorded an exchange too.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return String::new();
    }
    hex(&bytes)
}

/// Checks the response to a challenge.
fn check(nonce: &str, token: &[u8], users: &BTreeMap<String, String>) -> Result<Step, SaslError> {
    if token.len() > MAX_TOKEN {
        return Err(SaslError::Malformed("it is too long"));
    }
    let directives = Directives::parse(token).map_err(SaslError::Malformed)?;
    let text = |name: &'static str| directives.get(name).ok_or(SaslError::Unacceptable(name));
    let is = |name: &'static str, expected: &str| match directives.get(name) {
        Some(given) if given.eq_ignore_ascii_case(expected.as_bytes()) => Ok(()),
        _ => Err(SaslError::Unacceptable(name)),
    };
    // What is absent has this value, says the standard.
    if directives.get("qop").is_some() {
        is("qop", "auth")?;
    }
    if directives.get("charset").is_some() {
        is("charset", "utf-8")?;
    }
    let user =
        String::from_utf8(text("username")?.to_vec()).map_err(|_| SaslError::Unacceptable("username"))?;
    is("digest-uri", URI)?;
    is("nc", "00000001")?;
    let realm = directives.get("realm").unwrap_or_default();
    if realm != REALM.as_bytes() {
        return Err(SaslError::Unacceptable("realm"));
    }
    if nonce.is_empty() || text("nonce")? != nonce.as_bytes() {
        return Err(SaslError::Unacceptable("nonce"));
    }
    let claim = Claim {
        realm,
        nonce: nonce.as_bytes(),
        cnonce: text("cnonce")?,
        uri: text("digest-uri")?,
        authzid: directives.get("authzid"),
    };
    let response = text("response")?;
    // An unknown user costs as much time as a known one.
    let password = users.get(&user);
    let secrets = secrets(&user, password.map_or("", String::as_str));
    let matching = secrets.iter().find(|(user, password)| {
        let expected = claim.digest(user, password, b"AUTHENTICATE");
        verify_slices_are_equal(expected.as_bytes(), &response.to_ascii_lowercase()).is_ok()
    });
    match matching.filter(|_| password.is_some()) {
        Some((name, secret)) => {
            let token = format!("rspauth={}", claim.digest(name, secret, b"")).into_bytes();
            match claim.authzid {
                // That would be somebody else's name.
                Some(other) if other != user.as_bytes() => Err(SaslError::Unacceptable("authzid")),
                _ => Ok(Step::Done { token, user }),
            }
        }
        None => Err(SaslError::WrongPassword(user)),
    }
}

/// User and password as bytes: as the standard has it, ISO 8859-1 where that can be, and in UTF-8, which is what
/// several clients send all the same.
fn secrets(user: &str, password: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let plain = (user.as_bytes().to_vec(), password.as_bytes().to_vec());
    let narrow = (latin1(user), latin1(password));
    if plain == narrow { vec![plain] } else { vec![narrow, plain] }
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).ok())
        .collect::<Option<_>>()
        .unwrap_or_else(|| text.as_bytes().to_vec())
}

/// What both sides hash.
struct Claim<'a> {
    realm: &'a [u8],
    nonce: &'a [u8],
    cnonce: &'a [u8],
    uri: &'a [u8],
    /// As whom the client wants to act, if it says so: Java's does, and names the user.
    authzid: Option<&'a [u8]>,
}

impl Claim<'_> {
    /// The response value of RFC 2831, section 2.1.2.1; `method` is empty for the server's own proof.
    fn digest(&self, user: &[u8], password: &[u8], method: &[u8]) -> String {
        let secret = hash(&[user, b":", self.realm, b":", password]);
        let (colon, authzid) = self.authzid.map_or((&b""[..], &b""[..]), |id| (b":", id));
        let a1 = hash(&[&secret, b":", self.nonce, b":", self.cnonce, colon, authzid]);
        let a2 = hash(&[method, b":", self.uri]);
        let (a1, a2) = (hex(&a1), hex(&a2));
        hex(&hash(&[a1.as_bytes(), b":", self.nonce, b":00000001:", self.cnonce, b":auth:", a2.as_bytes()]))
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn users() -> BTreeMap<String, String> {
        [("alice", "secret"), ("bjørn", "pässword"), ("日本", "鍵")].map(|(u, p)| (u.into(), p.into())).into()
    }

    /// A client's response, with one directive left out or replaced.
    fn response(nonce: &str, user: &[u8], password: &[u8], change: (&str, Option<&str>)) -> Vec<u8> {
        let claim = Claim {
            realm: REALM.as_bytes(),
            nonce: nonce.as_bytes(),
            cnonce: b"abc",
            uri: URI.as_bytes(),
            authzid: change.1.filter(|_| change.0 == "authzid").map(str::as_bytes),
        };
        let digest = claim.digest(user, password, b"AUTHENTICATE");
        let name = String::from_utf8_lossy(user).into_owned();
        let mut parts = Vec::new();
        for (key, value) in [
            ("username", &*name),
            ("realm", REALM),
            ("nonce", nonce),
            ("cnonce", "abc"),
            ("nc", "00000001"),
            ("qop", "auth"),
            ("digest-uri", URI),
            ("response", &*digest),
            ("charset", "utf-8"),
            ("authzid", ""),
        ] {
            let value = if key == change.0 { change.1 } else { Some(value).filter(|_| key != "authzid") };
            parts.extend(value.map(|value| match key {
                "nc" | "qop" | "response" | "charset" => format!("{key}={value}"),
                _ => format!("{key}=\"{value}\""),
            }));
        }
        parts.join(",").into_bytes()
    }

    fn begin() -> (Exchange, String) {
        let mut exchange = Exchange::default();
        let Ok(Step::Challenge(token)) = exchange.step(b"", &users()) else { panic!("no challenge") };
        let text = String::from_utf8(token).unwrap();
        let nonce = text.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(text.starts_with("realm=\"zk-sasl-md5\","), "{text}");
        assert_eq!(nonce.len(), 48);
        (exchange, nonce.to_owned())
    }

    #[test]
    fn digests_are_those_of_the_standards_example() {
        let claim = Claim {
            realm: b"elwood.innosoft.com",
            nonce: b"OA6MG9tEQGm2hh",
            cnonce: b"OA6MHXh6VqTrRk",
            uri: b"imap/elwood.innosoft.com",
            authzid: None,
        };
        let digest = |method| claim.digest(b"chris", b"secret", method);
        assert_eq!(digest(b"AUTHENTICATE"), "d388dad90d4bbd760a152321f2143af7");
        assert_eq!(digest(b""), "ea40f60335c427b5527b84dbabcdfffd");
    }

    #[test]
    fn who_knows_the_password_is_let_in_and_gets_a_proof() {
        for (user, password) in users() {
            // Both encodings of what ISO 8859-1 can say are taken.
            for (name, secret) in secrets(&user, &password) {
                let (mut exchange, nonce) = begin();
                let mut sent = response(&nonce, &name, &secret, ("", None));
                let lossy = String::from_utf8_lossy(&name).into_owned();
                sent = String::from_utf8(sent).unwrap().replace(&lossy, &user).into_bytes();
                let Ok(Step::Done { token, user: known }) = exchange.step(&sent, &users()) else {
                    panic!("{user} is refused");
                };
                assert_eq!(known, user);
                assert!(token.starts_with(b"rspauth=") && token.len() == 40);
                assert_eq!(exchange.step(&sent, &users()), Err(SaslError::Over));
            }
        }
    }

    #[test]
    fn strangers_and_wrong_passwords_are_refused() {
        for (user, password) in [("alice", "wrong"), ("alice", ""), ("mallory", ""), ("mallory", "secret")] {
            let (mut exchange, nonce) = begin();
            let sent = response(&nonce, user.as_bytes(), password.as_bytes(), ("", None));
            assert_eq!(exchange.step(&sent, &users()), Err(SaslError::WrongPassword(user.into())));
        }
    }

    #[test]
    fn responses_that_were_not_asked_for_are_refused() {
        assert!(
            matches!(Exchange::default().step(b"x", &users()), Ok(Step::Challenge(_))),
            "there was no question"
        );
        for (key, value) in [
            ("username", None),
            ("realm", None),
            ("realm", Some("elsewhere")),
            ("nonce", Some("of an earlier exchange")),
            ("nc", Some("00000002")),
            ("qop", Some("auth-conf")),
            ("digest-uri", Some("imap/zk-sasl-md5")),
            ("cnonce", None),
            ("response", None),
            ("charset", Some("latin1")),
            ("authzid", Some("root")),
        ] {
            let (mut exchange, nonce) = begin();
            let sent = response(&nonce, b"alice", b"secret", (key, value));
            assert_eq!(exchange.step(&sent, &users()), Err(SaslError::Unacceptable(key)), "{key}={value:?}");
        }
    }

    #[test]
    fn a_user_may_say_twice_who_it_is() {
        // Java's client does.
        let (mut exchange, nonce) = begin();
        let sent = response(&nonce, b"alice", b"secret", ("authzid", Some("alice")));
        assert!(matches!(exchange.step(&sent, &users()), Ok(Step::Done { user, .. }) if user == "alice"));
        let vector = Claim {
            realm: b"zk-sasl-md5",
            nonce: b"aa76d99f22d8705aff0b9bf55cb339fd80ab4abce115065a",
            cnonce: b"xJkrKFcA8taWF3zQzQbeXLRvh3RzShCuIZczMC5Q",
            uri: URI.as_bytes(),
            authzid: Some(b"jaasuser"),
        };
        let digest = vector.digest(b"jaasuser", b"jaas_password", b"AUTHENTICATE");
        assert_eq!(digest, "d42d2d6154f129d59c6c4c1043f7e96a", "what Java sends");
    }

    proptest! {
        #[test]
        fn no_token_brings_the_exchange_down(token in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (mut exchange, _) = begin();
            prop_assert!(exchange.step(&token, &users()).is_err());
        }
    }
}
