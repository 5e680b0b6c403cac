//! Who a connection is, and which identities may stand in an ACL.

use std::net::IpAddr;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use crate::proto::ErrorCode;
use crate::proto::acl::{Acl, AclVector};
use crate::server::tls;

/// The SASL user who matches every `sasl` entry of an ACL, which is a rule of Apache's.
const SASL_SUPER: &str = "super";

/// Schemes a server offers beside those that are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Schemes {
    /// Client certificates.
    pub(crate) x509: bool,
    /// SASL.
    pub(crate) sasl: bool,
}

/// Who a connection is: its address, and whatever it authenticated as.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    list: Vec<(String, String)>,
    is_super: bool,
    schemes: Schemes,
}

impl Identities {
    pub(crate) fn from_address(ip: IpAddr) -> Self {
        Self { list: vec![("ip".into(), ip.to_canonical().to_string())], ..Self::default() }
    }

    /// The server's own hand, which may do everything.
    pub(crate) fn server() -> Self {
        Self { is_super: true, ..Self::default() }
    }

    /// The same, on a server that offers these schemes.
    pub(crate) fn offered(self, schemes: Schemes) -> Self {
        Self { schemes, ..self }
    }

    /// Adds what an auth packet proves.
    ///
    /// # Errors
    /// [`ErrorCode::AuthFailed`] for an unknown scheme, or one that has an exchange of its own.
    pub(crate) fn authenticate(
        &mut self,
        scheme: &str,
        token: &[u8],
        super_digest: Option<&str>,
    ) -> Result<(), ErrorCode> {
        match scheme {
            // Every connection has its address already.
            "ip" => Ok(()),
            // The certificate spoke for itself when the connection began.
            "x509" if self.has_scheme("x509") => Ok(()),
            "digest" => {
                let id = digest(&String::from_utf8_lossy(token));
                if super_digest == Some(id.as_str()) {
                    self.make_super();
                }
                self.add("digest", &id);
                Ok(())
            }
            _ => Err(ErrorCode::AuthFailed),
        }
    }

    /// Adds the subject of a certificate that was checked.
    pub(crate) fn add_subject(&mut self, subject: &str, super_subject: Option<&str>) {
        if super_subject == Some(subject) {
            self.make_super();
        }
        self.add("x509", subject);
    }

    /// Adds a user who has passed SASL.
    pub(crate) fn add_sasl_user(&mut self, user: &str) {
        self.add("sasl", user);
    }

    fn make_super(&mut self) {
        self.is_super = true;
        self.add("super", "");
    }

    fn add(&mut self, scheme: &str, id: &str) {
        if !self.list.iter().any(|(s, i)| s == scheme && i == id) {
            self.list.push((scheme.into(), id.into()));
        }
    }

    /// Scheme and user of each identity, without secrets.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(scheme, id)| match scheme.as_str() {
            "digest" => (scheme.as_str(), id.split(':').next().unwrap_or_default()),
            _ => (scheme.as_str(), id.as_str()),
        })
    }

    /// Whether there is an identity of this scheme.
    pub(crate) fn has_scheme(&self, scheme: &str) -> bool {
        self.list.iter().any(|(s, _)| s == scheme)
    }

    pub(crate) fn is_super(&self) -> bool {
        self.is_super
    }

    pub(super) fn matches(&self, scheme: &str, id: &str) -> bool {
        self.list.iter().any(|(s, mine)| {
            s == scheme
                && match scheme {
                    "ip" => ip_matches(mine, id),
                    "sasl" => mine == id || mine == SASL_SUPER,
                    _ => mine == id,
                }
        })
    }

    /// Checks a list that a client sent, without keeping it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAcl`], or a marshalling error.
    pub(crate) fn check(&self, list: AclVector<'_>) -> Result<(), ErrorCode> {
        let entries = list.entries().map_err(|_| ErrorCode::MarshallingError)?;
        self.resolve(entries).map(|_| ())
    }

    /// Checks a list and replaces `auth` entries by the caller's identities.
    pub(super) fn resolve(&self, entries: Vec<Acl>) -> Result<Vec<Acl>, ErrorCode> {
        let mut resolved: Vec<Acl> = Vec::with_capacity(entries.len());
        let mut add = |acl: Acl| {
            if !resolved.contains(&acl) {
                resolved.push(acl);
            }
        };
        for entry in entries {
            let valid = match entry.scheme.as_str() {
                "world" => entry.id == "anyone",
                "digest" => entry.id.split(':').count() == 2,
                "ip" => parse_network(&entry.id).is_some(),
                "x509" => self.schemes.x509 && tls::is_subject(&entry.id),
                "sasl" => self.schemes.sasl && is_principal(&entry.id),
                "auth" => {
                    let mut any = false;
                    for (scheme, id) in self.list.iter().filter(|(scheme, _)| is_proof(scheme)) {
                        any = true;
                        add(Acl { perms: entry.perms, scheme: scheme.clone(), id: id.clone() });
                    }
                    if any {
                        continue;
                    }
                    false
                }
                _ => false,
            };
            if !valid {
                return Err(ErrorCode::InvalidAcl);
            }
            add(entry);
        }
        if resolved.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(resolved) }
    }
}

/// Whether an identity of this scheme was proved by its owner; an address was not.
fn is_proof(scheme: &str) -> bool {
    matches!(scheme, "digest" | "x509" | "sasl")
}

/// `user:password` as it stands in ACLs: the user, and the base64 of the SHA-1 of the whole.
fn digest(text: &str) -> String {
    let user = text.split(':').next().unwrap_or_default();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(text.as_bytes()));
    format!("{user}:{hash}")
}

/// A name without `@`, or `service/host@realm` with the host left out or not.
fn is_principal(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => name.split('/').count() <= 2 && !realm.contains(['/', '@']),
    }
}

/// An address with optional prefix length, as bytes and bits.
fn parse_network(text: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<usize>().ok()?)),
        None => (text, None),
    };
    let bytes = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let all = bytes.len() * 8;
    let bits = bits.unwrap_or(all);
    (bits <= all).then_some((bytes, bits))
}

fn ip_matches(mine: &str, network: &str) -> bool {
    let (Some((mine, _)), Some((network, bits))) = (parse_network(mine), parse_network(network)) else {
        return false;
    };
    let bit = |bytes: &[u8], n: usize| bytes[n / 8] >> (7 - n % 8) & 1;
    mine.len() == network.len() && (0..bits).all(|n| bit(&mine, n) == bit(&network, n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(scheme: &str, id: &str) -> Acl {
        Acl { perms: 31, scheme: scheme.into(), id: id.into() }
    }

    fn local() -> Identities {
        Identities::from_address([127, 0, 0, 1].into())
    }

    #[test]
    fn digests_are_the_ones_everybody_computes() {
        assert_eq!(digest("super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }

    #[test]
    fn addresses_match_by_prefix_and_family() {
        assert!(ip_matches("10.1.2.3", "10.1.0.0/16"));
        assert!(!ip_matches("10.2.2.3", "10.1.0.0/16"));
        assert!(ip_matches("10.1.2.3", "10.1.2.3"));
        assert!(ip_matches("10.1.2.3", "0.0.0.0/0"));
        assert!(!ip_matches("::1", "0.0.0.0/0"));
        assert!(ip_matches("fe80::1", "fe80::/10"));
    }

    #[test]
    fn schemes_that_are_not_offered_are_no_schemes() {
        let both = [entry("x509", "CN=a"), entry("sasl", "bob")];
        for acl in &both {
            assert_eq!(local().resolve(vec![acl.clone()]), Err(ErrorCode::InvalidAcl));
        }
        let who = local().offered(Schemes { x509: true, sasl: true });
        assert_eq!(who.resolve(both.to_vec()), Ok(both.to_vec()));
        for bad in [entry("x509", "alice"), entry("sasl", "a/b/c@d"), entry("sasl", "a@b@c")] {
            assert_eq!(who.resolve(vec![bad.clone()]), Err(ErrorCode::InvalidAcl), "{bad:?}");
        }
    }

    #[test]
    fn auth_stands_for_everything_that_was_proved() {
        let mut who = local();
        assert_eq!(
            who.resolve(vec![entry("auth", "")]),
            Err(ErrorCode::InvalidAcl),
            "an address is no proof"
        );
        who.add_subject("CN=a", Some("CN=b"));
        who.add_sasl_user("bob");
        who.authenticate("digest", b"c:d", None).unwrap();
        assert!(!who.is_super());
        let list = who.resolve(vec![entry("auth", "whatever")]).unwrap();
        let schemes: Vec<_> = list.iter().map(|acl| (&*acl.scheme, &*acl.id)).collect();
        assert_eq!(schemes, [("x509", "CN=a"), ("sasl", "bob"), ("digest", &*digest("c:d"))]);
    }

    #[test]
    fn the_right_certificate_may_do_everything() {
        let mut who = local();
        who.add_subject("CN=root,O=x", Some("CN=root,O=x"));
        assert!(who.is_super());
        let users: Vec<_> = who.users().collect();
        assert_eq!(users, [("ip", "127.0.0.1"), ("super", ""), ("x509", "CN=root,O=x")]);
        assert_eq!(who.authenticate("x509", b"", None), Ok(()));
        assert_eq!(local().authenticate("x509", b"CN=root,O=x", None), Err(ErrorCode::AuthFailed));
        assert_eq!(local().authenticate("sasl", b"bob", None), Err(ErrorCode::AuthFailed));
    }

    #[test]
    fn the_sasl_user_super_matches_all_sasl_entries_and_no_others() {
        let mut who = local();
        who.add_sasl_user("super");
        assert!(who.matches("sasl", "bob") && !who.is_super());
        assert!(!who.matches("digest", "bob"));
    }

    proptest! {
        #[test]
        fn ids_of_any_text_are_checked_without_panic(scheme in "world|digest|ip|x509|sasl|auth", id in ".{0,40}") {
            let who = local().offered(Schemes { x509: true, sasl: true });
            let _ = who.resolve(vec![entry(&scheme, &id)]);
            let _ = who.matches(&scheme, &id);
        }
    }
}
