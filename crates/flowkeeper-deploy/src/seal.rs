//! Which documents are sealed at rest, by which key, and how everybody comes to agree on it.
//!
//! Servers and agents have the same key file. `/meta` names the key in use, with a canary that proves whoever reads it to have
//! the right one; without it documents are written in clear. A key comes into use when every live server and agent has it: all
//! say in their presences which keys they have, the leader then writes it into `/meta`, and the others [`follow`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowkeeper_zk::recipes::{Connection, KeyId, Keyring};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zookeeper_client::Error;

use crate::access::META;
use crate::record::{DecodeError, Extra, decode};

/// What the canary is bound to instead of a path, and what it says.
const CANARY: &str = "/meta#canary";
const SONG: &[u8] = b"flowkeeper";
/// Field of a presence that lists keys.
const KEYS: &str = "keys";
/// Pause after `/meta` could not be read.
const PAUSE: Duration = Duration::from_millis(500);

/// `sealed` in `/meta`: the key in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRecord {
    /// Id of the key, in hex.
    pub key: String,
    /// A document sealed by it, in base64.
    pub canary: String,
}

/// The keys of a program are not those of the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealRefused {
    #[error(
        "the metadata is sealed by key {key}, and this program has no key: give it the cluster's key file with --cluster-key-file"
    )]
    NoKey { key: String },
    #[error(
        "the metadata is sealed by key {key}, which is not among those of --cluster-key-file ({known}): give the cluster's key \
         file"
    )]
    WrongKey { key: String, known: String },
    #[error(
        "{path} is sealed by a key that is not among those of --cluster-key-file: put the former key back behind the present \
         one, and take it out only after 'flowkeeper cluster reseal' has left nothing"
    )]
    FormerKey { path: String },
}

/// Whether the document at `path` (below the chroot) is sealed: all that may hold what users wrote or what apps said.
pub fn covers(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    matches!(
        (parts.next().unwrap_or_default(), parts.next(), parts.next()),
        ("cluster", None, None)
            | ("streams" | "state" | "applications" | "apps" | "audit", Some(_), _)
            | ("nodes", Some("status"), Some(_))
    )
}

impl SealedRecord {
    /// The record that puts the key `by` into use; `None` when it is not in the keyring.
    pub fn new(keyring: &Keyring, by: KeyId) -> Option<SealedRecord> {
        let canary = keyring.seal(by, CANARY, SONG)?;
        Some(SealedRecord { key: by.to_string(), canary: STANDARD.encode(canary) })
    }

    /// The key in use, if `keyring` proves to have it.
    ///
    /// # Errors
    /// See [`SealRefused`].
    pub fn prove(&self, keyring: Option<&Keyring>) -> Result<KeyId, SealRefused> {
        let key = self.key.clone();
        let Some(keyring) = keyring else { return Err(SealRefused::NoKey { key }) };
        let canary = STANDARD.decode(&self.canary).unwrap_or_default();
        let sings = matches!(keyring.unseal(CANARY, &canary), Ok(Some(song)) if song == SONG);
        keyring.ids().find(|id| sings && id.to_string() == key).ok_or_else(|| {
            let known: Vec<_> = keyring.ids().map(|id| id.to_string()).collect();
            SealRefused::WrongKey { key, known: known.join(", ") }
        })
    }
}

/// Has `connection` seal by the key that `sealed` of `/meta` names, or write in clear when it names none.
///
/// # Errors
/// See [`SealRefused`]; nothing is changed then.
pub fn apply(connection: &Connection, sealed: Option<&SealedRecord>) -> Result<(), SealRefused> {
    let by = sealed.map(|sealed| sealed.prove(connection.keyring())).transpose()?;
    connection.seal_by(by);
    Ok(())
}

/// What `/meta` says of seals.
///
/// # Errors
/// When it is no document of ours.
pub fn of_meta(data: &[u8]) -> Result<Option<SealedRecord>, DecodeError> {
    #[derive(Deserialize)]
    struct Known {
        #[serde(default)]
        sealed: Option<SealedRecord>,
    }
    decode::<Known>(META, data).map(|known| known.sealed)
}

/// Why the key in use is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    #[error(transparent)]
    Refused(#[from] SealRefused),
    #[error("there is no {META} below this chroot: start a server first, or correct --zookeeper")]
    NotLaidOut,
    #[error("{META} cannot be read: {0}")]
    Unreadable(String),
}

/// Learns the key in use from `/meta`.
///
/// # Errors
/// See [`AdoptError`].
pub async fn adopt(connection: &Connection) -> Result<(), AdoptError> {
    let data = match connection.client().get_data(META).await {
        Ok((data, _)) => data,
        Err(Error::NoNode) => return Err(AdoptError::NotLaidOut),
        Err(error) => return Err(AdoptError::Unreadable(error.to_string())),
    };
    let sealed = of_meta(&data).map_err(|error| AdoptError::Unreadable(error.to_string()))?;
    Ok(apply(connection, sealed.as_ref())?)
}

/// Follows the key in use, for ever: from one to the next it goes on sealing by the one it knows. May be dropped at any await.
pub async fn follow(connection: Connection) {
    let mut told = None;
    loop {
        if connection.connected().await.is_none() {
            return;
        }
        let Ok((data, _, changed)) = connection.client().get_and_watch_data(META).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let refused = match of_meta(&data) {
            Ok(sealed) => apply(&connection, sealed.as_ref()).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if refused != told {
            refused.iter().for_each(|error| tracing::error!(alarm = true, "{error}"));
            told = refused;
        }
        changed.changed().await;
    }
}

/// What a presence says of the keys of `connection`.
pub fn known_keys(connection: &Connection) -> Option<(String, Value)> {
    let ids: Vec<_> = connection.keyring()?.ids().map(|id| Value::from(id.to_string())).collect();
    Some((KEYS.to_owned(), ids.into()))
}

/// Whether the presence with these fields says that its program has `key`.
pub fn knows(extra: &Extra, key: KeyId) -> bool {
    let listed = extra.get(KEYS).and_then(Value::as_array);
    listed.is_some_and(|ids| ids.iter().any(|id| id.as_str() == Some(&key.to_string())))
}

#[cfg(test)]
mod tests {
    use flowkeeper_engine::model::{InstanceId, NodeId};
    use flowkeeper_zk::recipes::new_key;

    use super::*;
    use crate::znode;

    fn keyring(lines: &[&str]) -> Keyring {
        lines.join("\n").parse().expect("keys")
    }

    #[test]
    fn what_users_wrote_and_apps_said_is_sealed_and_what_coordinates_is_not() {
        let node = NodeId("n".into());
        let instance = InstanceId::new("s", "log", 1, 0);
        for path in [
            &znode::stream("s"),
            &znode::release("s", 1),
            &znode::state("s"),
            "/applications/aa/a/r1",
            "/apps/sink/log",
            "/audit/e-0000000001",
            znode::CLUSTER,
            &znode::status_bucket(&node, 1),
        ] {
            assert!(covers(path), "{path}");
        }
        for path in [
            "/",
            META,
            "/leader/epoch",
            "/leader/wish",
            "/servers/s",
            "/locks/s/aa/s/l-1",
            &znode::node_live(&node),
            &znode::node_registration(&node),
            &znode::assignment(&node, &instance),
        ] {
            assert!(!covers(path), "{path}");
        }
    }

    #[test]
    fn only_the_right_key_proves_itself() {
        let (one, other) = (new_key().expect("key"), new_key().expect("key"));
        let ring = keyring(&[&one]);
        let key = ring.first().expect("there");
        let record = SealedRecord::new(&ring, key).expect("sealed");
        assert_eq!(record.prove(Some(&ring)), Ok(key));
        assert_eq!(record.prove(Some(&keyring(&[&other, &one]))), Ok(key));
        assert!(matches!(record.prove(None), Err(SealRefused::NoKey { .. })));
        assert!(matches!(record.prove(Some(&keyring(&[&other]))), Err(SealRefused::WrongKey { .. })));
        let renamed = SealedRecord { canary: String::new(), ..record };
        assert!(renamed.prove(Some(&ring)).is_err(), "a name alone proves nothing");
    }

    #[test]
    fn a_presence_tells_which_keys_its_program_has() {
        let key = keyring(&[&new_key().expect("key")]).first().expect("there");
        let extra = Extra::from_iter([(KEYS.to_owned(), Value::from(vec![key.to_string()]))]);
        assert!(knows(&extra, key));
        assert!(!knows(&Extra::new(), key));
    }
}
