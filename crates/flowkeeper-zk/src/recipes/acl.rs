//! Who may do what with the znodes we create: digest identities, and lists by class of path.
//!
//! Three kinds of identity: *servers* may do everything; *agents* share one identity, which may read what concerns nodes
//! and join; each *node* has an identity of its own, so that no agent can write what another one says of itself. An ACL holds
//! for its znode only and is fixed by whoever creates it, so all programs must agree on one function from paths to
//! [`AclClass`].

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use zookeeper_client::{Acl, AuthId, Permission};

/// Name and password of ZooKeeper's `digest` scheme. The password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    user: String,
    password: String,
}

/// A text is not `user:password`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be one line, user:password, with neither part empty")]
pub struct NotAnAuth;

impl Auth {
    /// `user` must be free of colons.
    ///
    /// # Errors
    /// [`NotAnAuth`] when a part is empty or holds what would not arrive as it was meant.
    pub fn new(user: &str, password: &str) -> Result<Auth, NotAnAuth> {
        let is_odd = |text: &str| text.is_empty() || text.contains(['\r', '\n']);
        if is_odd(user) || is_odd(password) || user.contains(':') {
            return Err(NotAnAuth);
        }
        Ok(Auth { user: user.to_owned(), password: password.to_owned() })
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// How ACLs name this identity: `user:` and the base64 of the SHA-1 of `user:password`.
    pub fn id(&self) -> String {
        let hash = Sha1::digest(self.secret());
        format!("{}:{}", self.user, base64::engine::general_purpose::STANDARD.encode(hash))
    }

    /// What is sent to the server.
    pub(super) fn secret(&self) -> Vec<u8> {
        format!("{}:{}", self.user, self.password).into_bytes()
    }
}

/// Reads `user:password`; white space around it is no part of it.
impl FromStr for Auth {
    type Err = NotAnAuth;

    fn from_str(text: &str) -> Result<Auth, NotAnAuth> {
        let (user, password) = text.trim().split_once(':').ok_or(NotAnAuth)?;
        Auth::new(user, password)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({}:…)", self.user)
    }
}

/// What the identities may do with a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclClass {
    /// Servers everything, nobody else anything.
    Servers,
    /// Servers everything; agents read.
    Readable,
    /// A directory in which every agent makes an entry of its own: servers everything; agents read and create.
    Joinable,
    /// As [`AclClass::Joinable`], but nobody deletes entries, servers included: they are ephemerals and end with the sessions
    /// that made them.
    Presence,
    /// What one node says of itself: servers and that node everything; agents read.
    Own,
}

/// The lists that a connection gives to what it creates.
///
/// An agent needs the servers' id to let them in: servers publish it (in `/meta`), and the agent sets its policy with
/// [`Connection::set_acls`](super::Connection::set_acls) before it registers.
#[derive(Clone, Debug)]
pub struct AclPolicy {
    /// Class of a path below the chroot; `/` is the chroot itself.
    pub class: fn(&str) -> AclClass,
    /// Id of the servers, as [`Auth::id`] gives it.
    pub servers: String,
    /// Id that all agents share; without it agents are kept out.
    pub agents: Option<String>,
    /// Id of the node whose agent this connection serves, if it serves one.
    pub node: Option<String>,
}

impl AclPolicy {
    /// The list for a new znode at `path`.
    pub fn acls(&self, path: &str) -> Vec<Acl> {
        let entry = |may: Permission, id: &str| Acl::new(may, AuthId::new("digest", id));
        let class = (self.class)(path);
        let servers = match class {
            AclClass::Presence => {
                Permission::READ | Permission::WRITE | Permission::CREATE | Permission::ADMIN
            }
            _ => Permission::ALL,
        };
        let mut list = vec![entry(servers, &self.servers)];
        let agents = match class {
            AclClass::Servers => Permission::NONE,
            AclClass::Readable | AclClass::Own => Permission::READ,
            AclClass::Joinable | AclClass::Presence => Permission::READ | JOIN,
        };
        if let Some(id) = self.agents.as_ref().filter(|_| agents != Permission::NONE) {
            list.push(entry(agents, id));
        }
        if let Some(id) = self.node.as_ref().filter(|_| class == AclClass::Own) {
            list.push(entry(Permission::ALL, id));
        }
        list
    }
}

const JOIN: Permission = Permission::CREATE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed_and_ids_are_those_of_the_field() {
        let auth: Auth = " super:test\n".parse().unwrap();
        assert_eq!(auth.id(), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        assert_eq!(format!("{auth:?}"), "Auth(super:…)");
        assert_eq!(auth.user(), "super");
    }

    #[test]
    fn only_one_line_with_both_parts_is_a_credential() {
        for wrong in ["", "x", ":", "a:", ":b", "a:b\nc:d", "a:b\rc"] {
            assert_eq!(wrong.parse::<Auth>(), Err(NotAnAuth), "{wrong:?}");
        }
        assert_eq!("a:b:c".parse::<Auth>().unwrap(), Auth::new("a", "b:c").unwrap());
        assert_eq!(Auth::new("a:b", "c"), Err(NotAnAuth));
    }

    #[test]
    fn each_class_lets_in_whom_it_names() {
        fn class(path: &str) -> AclClass {
            match path {
                "/s" => AclClass::Servers,
                "/r" => AclClass::Readable,
                "/j" => AclClass::Joinable,
                "/l" => AclClass::Presence,
                _ => AclClass::Own,
            }
        }
        let agents = Some("a".to_owned());
        let policy = AclPolicy { class, servers: "s".into(), agents, node: Some("n".into()) };
        let shown = |path| {
            let list = policy.acls(path);
            let entries: Vec<_> =
                list.iter().map(|acl| format!("{} {}", acl.id(), acl.permission())).collect();
            entries.join(", ")
        };
        assert_eq!(shown("/s"), "s ALL");
        assert_eq!(shown("/r"), "s ALL, a READ");
        assert_eq!(shown("/j"), "s ALL, a READ|CREATE");
        assert_eq!(shown("/l"), "s READ|WRITE|CREATE|ADMIN, a READ|CREATE");
        assert_eq!(shown("/o"), "s ALL, a READ, n ALL");
        let without = AclPolicy { agents: None, node: None, ..policy.clone() };
        assert_eq!(without.acls("/o").len(), 1);
    }
}
