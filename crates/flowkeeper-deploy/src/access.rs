//! Who may do what in the tree: the one function from paths to access classes that servers and agents share, and how an agent
//! comes by the rest.
//!
//! With credentials (`--zookeeper-auth-file`) an agent opens its connection with two identities, that of all agents and that
//! of its node ([`node_auth`], whose secret it keeps in its folder), with `create_chroot: false`, and calls [`adopt`]
//! before it registers. What it creates then belongs to its node: no other agent can write it. Without credentials nothing of
//! this is needed, and everybody may do everything.

use flowkeeper_engine::model::NodeId;
use flowkeeper_zk::recipes::{AclClass, AclPolicy, Auth, Connection, NotAnAuth};
use serde::{Deserialize, Serialize};
use zookeeper_client::Error;

use crate::record::decode;
use crate::znode;

/// `/meta`, as far as an agent needs it.
pub const META: &str = "/meta";

/// `access` in `/meta`: ids of those who share this tree, as ACLs name them. Only hashes, but of passwords: these must be
/// long and random.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRecord {
    pub servers: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<String>,
}

/// An agent may not work in this tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error(
        "zookeeper does not let this agent read {META}: the credentials of --zookeeper-auth-file are not those that the servers \
         have in --agents-auth-file, or are missing"
    )]
    Denied,
    #[error("there is no {META} below this chroot: start a server first, or correct --zookeeper")]
    NotLaidOut,
    #[error("{META} cannot be read: {0}")]
    Unreadable(String),
}

impl AccessError {
    /// True when trying again may help.
    pub fn is_passing(&self) -> bool {
        !matches!(self, AccessError::Denied)
    }
}

/// The class of a path below the chroot.
pub fn class(path: &str) -> AclClass {
    let mut parts = path.split('/').skip(1);
    match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
        ("" | "meta" | "cluster" | "streams", ..) | ("nodes", None | Some("cfg"), _) => AclClass::Readable,
        ("nodes", Some("live"), None) => AclClass::Presence,
        ("nodes", Some(_), None) => AclClass::Joinable,
        ("nodes", Some("assign"), Some(_)) => AclClass::Readable,
        ("nodes", Some(_), Some(_)) => AclClass::Own,
        _ => AclClass::Servers,
    }
}

/// The identity of one node. `secret` is random, made once and kept in the node's folder: whoever has it is the node.
///
/// # Errors
/// When `secret` is empty or more than a line.
pub fn node_auth(node: &NodeId, secret: &str) -> Result<Auth, NotAnAuth> {
    Auth::new(&format!("node-{}", znode::encode(&node.0)), secret)
}

/// Learns from `/meta` whom an agent must let in, and gives what `connection` creates from now on to `node`. A tree without
/// access lists stays without.
///
/// # Errors
/// See [`AccessError`].
pub async fn adopt(connection: &Connection, node: &Auth) -> Result<(), AccessError> {
    #[derive(Deserialize)]
    struct Known {
        #[serde(default)]
        access: Option<AccessRecord>,
    }
    let data = match connection.client().get_data(META).await {
        Ok((data, _)) => data,
        Err(Error::NoAuth | Error::AuthFailed) => return Err(AccessError::Denied),
        Err(Error::NoNode) => return Err(AccessError::NotLaidOut),
        Err(error) => return Err(AccessError::Unreadable(error.to_string())),
    };
    let known: Known = decode(META, &data).map_err(|error| AccessError::Unreadable(error.to_string()))?;
    connection.set_acls(known.access.map(|access| AclPolicy {
        class,
        servers: access.servers,
        agents: access.agents,
        node: Some(node.id()),
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_the_class_of_its_writer() {
        let node = NodeId("n.1".into());
        assert_eq!(class("/"), AclClass::Readable);
        assert_eq!(class(&znode::release("s", 1)), AclClass::Readable);
        assert_eq!(class(&znode::node_config(&node)), AclClass::Readable);
        for own in [znode::node_registration(&node), znode::node_live(&node), znode::status_bucket(&node, 3)]
        {
            assert_eq!(class(&own), AclClass::Own, "{own}");
        }
        assert_eq!(class(znode::NODES_LIVE), AclClass::Presence);
        assert_eq!(class(znode::NODES_ASSIGN), AclClass::Joinable);
        assert_eq!(class(&znode::assignments(&node)), AclClass::Readable);
        for servers in
            ["/leader/epoch", "/state/aa/s", "/servers/s1", "/audit/e-1", "/locks", "/apps/sink/log"]
        {
            assert_eq!(class(servers), AclClass::Servers, "{servers}");
        }
    }

    #[test]
    fn names_of_nodes_cannot_break_out_of_the_credential() {
        let auth = node_auth(&NodeId("a:b".into()), "s").unwrap();
        assert_eq!(auth.user(), "node-a%3Ab");
    }
}
