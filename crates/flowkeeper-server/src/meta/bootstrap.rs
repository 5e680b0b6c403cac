//! Lays out a new tree and refuses one that is not ours to touch.

use flowkeeper_deploy::record::{VERSION, decode, encode};
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::{Connection, Txn, TxnError};
use zookeeper_client::{Acls, CreateMode, Error};

use super::paths;
use super::record::MetaRecord;

/// Layout and schema that this program reads and writes.
const LAYOUT: u32 = 1;
const SCHEMA: u32 = 1;

/// Directories that are split by the hash of a name.
const SHARDED: [&str; 3] = [znode::STREAMS, znode::STATE, paths::APPLICATIONS];

/// The tree cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("{0}")]
    Unreadable(#[from] flowkeeper_deploy::record::DecodeError),
    #[error(
        "the metadata has layout {layout} and needs programs that read schema {min_reader}; this one has layout {LAYOUT} and \
         schema {SCHEMA}: upgrade it"
    )]
    TooNew { layout: u32, min_reader: u32 },
    #[error("the metadata cannot be read or laid out: {0}")]
    Zookeeper(#[from] Error),
    #[error("the metadata cannot be laid out: {0}")]
    Txn(#[from] TxnError),
}

/// Creates the directories of an empty tree; checks the versions of an existing one.
///
/// # Errors
/// When the tree belongs to a newer program, or ZooKeeper does not answer. Nothing was changed then, or only directories
/// were made.
pub async fn prepare(connection: &Connection) -> Result<(), LayoutError> {
    let client = connection.client();
    match client.get_data(paths::META).await {
        Ok((data, _)) => {
            let meta: MetaRecord = decode(paths::META, &data)?;
            if meta.layout > LAYOUT || meta.min_reader > SCHEMA {
                return Err(LayoutError::TooNew { layout: meta.layout, min_reader: meta.min_reader });
            }
            // An earlier version may have made it, with fewer directories.
            return lay_out(connection).await;
        }
        Err(Error::NoNode) => {}
        Err(error) => return Err(error.into()),
    }
    lay_out(connection).await?;
    let meta = MetaRecord {
        v: VERSION,
        layout: LAYOUT,
        schema: SCHEMA,
        min_reader: SCHEMA,
        extra: Default::default(),
    };
    tolerate_exists(connection.commit(Txn::new().create(paths::META, encode(&meta))).await)
}

/// Creates the directories that are not there yet.
async fn lay_out(connection: &Connection) -> Result<(), LayoutError> {
    let client = connection.client();
    let everyone = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let nodes =
        [znode::NODES_REG, znode::NODES_LIVE, znode::NODES_CFG, znode::NODES_ASSIGN, znode::NODES_STATUS];
    let roots = [paths::LEADER, paths::SERVERS, paths::APPS, paths::AUDIT].into_iter().chain(SHARDED);
    for path in roots.chain(nodes) {
        client.mkdir(path, &everyone).await?;
    }
    for kind in super::AppKind::ALL {
        client.mkdir(&format!("{}/{}", paths::APPS, kind.name()), &everyone).await?;
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
