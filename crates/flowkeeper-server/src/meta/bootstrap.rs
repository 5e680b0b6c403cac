//! Lays out a new tree and refuses one that is not ours to touch.

use std::collections::BTreeSet;

use flowkeeper_deploy::access::AccessRecord;
use flowkeeper_deploy::record::{VERSION, decode, encode};
use flowkeeper_deploy::seal::{self, SealRefused, SealedRecord};
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::{Connection, Election, Txn, TxnError};
use zookeeper_client::Error;

use super::lock::LOCKS;
use super::paths;
use super::record::MetaRecord;
use super::schema::{LAYOUT, OLDEST_SCHEMA, SCHEMA};

/// Directories that are split by the hash of a name.
const SHARDED: [&str; 3] = [znode::STREAMS, znode::STATE, paths::APPLICATIONS];
/// Other directories.
const DIRECTORIES: [&str; 11] = [
    paths::LEADER,
    paths::SERVERS,
    paths::SCHED,
    paths::APPS,
    paths::AUDIT,
    LOCKS,
    znode::NODES_REG,
    znode::NODES_LIVE,
    znode::NODES_CFG,
    znode::NODES_ASSIGN,
    znode::NODES_STATUS,
];

/// The tree cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("{0}")]
    Unreadable(#[from] flowkeeper_deploy::record::DecodeError),
    #[error(
        "the metadata has layout {layout} and needs programs that know schema {needed}; this one has layout {LAYOUT} and \
         schema {SCHEMA}: upgrade it"
    )]
    TooNew { layout: u32, needed: u32 },
    #[error(
        "the chroot is not empty and not Flowkeeper's: it holds {found} and no {}; choose another one in --zookeeper",
        paths::META
    )]
    Foreign { found: String },
    #[error(
        "zookeeper does not let this server at the metadata: it is protected, and the credentials of --zookeeper-auth-file are \
         wrong or missing"
    )]
    Denied,
    #[error(transparent)]
    Sealed(#[from] SealRefused),
    #[error("the metadata cannot be read or laid out: {0}")]
    Zookeeper(Error),
    #[error("the metadata cannot be laid out: {0}")]
    Txn(TxnError),
}

impl LayoutError {
    /// True when nothing is broken, but this server may not use the tree.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            LayoutError::TooNew { .. }
                | LayoutError::Foreign { .. }
                | LayoutError::Denied
                | LayoutError::Sealed(_)
        )
    }
}

impl From<Error> for LayoutError {
    fn from(error: Error) -> LayoutError {
        match error {
            Error::NoAuth | Error::AuthFailed => LayoutError::Denied,
            error => LayoutError::Zookeeper(error),
        }
    }
}

impl From<TxnError> for LayoutError {
    fn from(error: TxnError) -> LayoutError {
        match error {
            TxnError::Refused { cause: Error::NoAuth, .. } | TxnError::Unavailable(Error::NoAuth) => {
                LayoutError::Denied
            }
            error => LayoutError::Txn(error),
        }
    }
}

/// Creates the directories of an empty tree; checks the versions and the key of an existing one, and gives it the access lists of our
/// credentials if it has none yet. True when there was no tree before.
///
/// # Errors
/// When the tree belongs to a newer program or to somebody else, or ZooKeeper does not answer. Nothing was changed then, or
/// only directories were made.
pub async fn prepare(connection: &Connection) -> Result<bool, LayoutError> {
    let client = connection.client();
    let access =
        connection.acl_policy().map(|policy| AccessRecord { servers: policy.servers, agents: policy.agents });
    match client.get_data(paths::META).await {
        Ok((data, stat)) => {
            let meta: MetaRecord = decode(paths::META, &data)?;
            let needed = meta.min_reader.max(meta.min_writer);
            if meta.layout > LAYOUT || needed > SCHEMA {
                return Err(LayoutError::TooNew { layout: meta.layout, needed });
            }
            seal::apply(connection, meta.sealed.as_ref())?;
            // An earlier version may have made it, with fewer directories.
            lay_out(connection).await?;
            // A tree that once had a leader and has no epoch was damaged by hand: candidates refuse to lead then. The leader's
            // first act is to write the cluster's defaults.
            if client.check_stat(paths::EPOCH).await?.is_none()
                && client.check_stat(znode::CLUSTER).await?.is_none()
            {
                Election::prepare(connection, paths::LEADER).await?;
            }
            if access.is_some() && meta.access != access {
                secure(connection).await?;
                let meta = MetaRecord { access, ..meta };
                connection.commit(Txn::new().set(paths::META, encode(&meta), stat.version)).await?;
            }
            return Ok(false);
        }
        Err(Error::NoNode) => {}
        Err(error) => return Err(error.into()),
    }
    refuse_foreign(connection).await?;
    lay_out(connection).await?;
    Election::prepare(connection, paths::LEADER).await?;
    // Nobody else is here yet, so our first key comes into use at once.
    let sealed = connection.keyring().and_then(|ring| SealedRecord::new(ring, ring.first()?));
    let meta = MetaRecord {
        v: VERSION,
        layout: LAYOUT,
        schema: SCHEMA,
        min_reader: OLDEST_SCHEMA,
        min_writer: OLDEST_SCHEMA,
        features: Vec::new(),
        migrating: None,
        access,
        sealed,
        extra: Default::default(),
    };
    tolerate_exists(connection.commit(Txn::new().create(paths::META, encode(&meta))).await)?;
    // Another server may have been faster, with another key.
    let (data, _) = client.get_data(paths::META).await?;
    seal::apply(connection, seal::of_meta(&data)?.as_ref())?;
    Ok(true)
}

/// Refuses a chroot in which lies what no server of ours makes. What an interrupted layout left is ours.
async fn refuse_foreign(connection: &Connection) -> Result<(), LayoutError> {
    let known = DIRECTORIES.iter().chain(&SHARDED).chain([&znode::CLUSTER]);
    let known: BTreeSet<&str> =
        known.filter_map(|path| path.split('/').nth(1)).chain(["zookeeper"]).collect();
    let found = connection.client().list_children("/").await?;
    let mut foreign: Vec<_> = found.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    foreign.sort_unstable();
    foreign.truncate(5);
    Err(LayoutError::Foreign { found: foreign.join(", ") })
}

/// Gives all znodes the lists of our policy. What nodes made gets them without the node's own identity, which the agent
/// brings when it registers anew after its node was forgotten.
async fn secure(connection: &Connection) -> Result<(), LayoutError> {
    let client = connection.client();
    let mut level = vec!["/".to_owned()];
    while let Some(path) = level.pop() {
        let slash = if path == "/" { "" } else { path.as_str() };
        match client.list_children(&path).await {
            Ok(names) => level.extend(names.into_iter().map(|name| format!("{slash}/{name}"))),
            Err(Error::NoNode) => continue,
            Err(error) => return Err(error.into()),
        }
        let list = connection.acls(&path);
        match client.set_acl(&path, &list, None).await {
            Ok(_) | Err(Error::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Creates the directories that are not there yet.
async fn lay_out(connection: &Connection) -> Result<(), LayoutError> {
    let client = connection.client();
    for path in DIRECTORIES.into_iter().chain(SHARDED) {
        connection.mkdir(path).await?;
    }
    for kind in super::AppKind::ALL {
        connection.mkdir(&format!("{}/{}", paths::APPS, kind.name())).await?;
    }
    if client.check_stat(paths::WISH).await?.is_none() {
        tolerate_exists(connection.commit(Txn::new().create(paths::WISH, [])).await)?;
    }
    for root in SHARDED {
        // All shards in one transaction, so that one of them tells of all, and no later transaction needs to know whether its
        // directory exists.
        if client.check_stat(&format!("{root}/ff")).await?.is_none() {
            let shards =
                (0..=u8::MAX).fold(Txn::new(), |txn, shard| txn.create(format!("{root}/{shard:02x}"), []));
            tolerate_exists(connection.commit(shards).await)?;
        }
    }
    Ok(())
}

/// Another server was faster, or an earlier try got that far.
fn tolerate_exists<T>(result: Result<T, TxnError>) -> Result<(), LayoutError> {
    match result {
        Ok(_) | Err(TxnError::Refused { cause: Error::NodeExists, .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
