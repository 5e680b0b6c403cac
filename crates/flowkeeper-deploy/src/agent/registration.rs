//! How a node announces itself (T11 of the design): its registration, whose version is the node epoch, and its presence.

use flowkeeper_zk::recipes::{Connection, Txn, TxnError};
use zookeeper_client::Error;

use super::{AgentError, Options};
use crate::process::boot_id;
use crate::record::{LiveRecord, NodeRecord, StatusBucket, VERSION, decode, encode};
use crate::znode;

/// A registration in force.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    /// Unique per registration; statuses of another one count for nothing.
    pub(super) incarnation: String,
    path: String,
    version: i32,
    /// The session, as numbered by the connection, that owns the presence.
    session: u64,
}

impl Registration {
    /// Registers the node and raises its epoch; a presence that an earlier agent of this machine left is replaced, since the
    /// lock on the data folder proves that agent dead.
    pub(super) async fn new(connection: &Connection, options: &Options) -> Result<Registration, AgentError> {
        // A lost answer may leave our own registration behind: trying again finds and replaces it.
        const TRIES: u32 = 5;
        let mut last = String::new();
        for _ in 0..TRIES {
            match attempt(connection, options).await {
                Ok(registration) => return Ok(registration),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Retry(reason)) => last = reason,
            }
            tokio::time::sleep(super::RETRY / 5).await;
            connection.connected().await;
        }
        Err(AgentError::Zookeeper(last))
    }

    /// The check that opens every write of this agent.
    pub(super) fn fence(&self) -> Txn {
        Txn::new().check(self.path.clone(), self.version)
    }

    /// True when `error` says that another incarnation of this node has registered since.
    pub(super) fn is_replaced_by(&self, error: &TxnError) -> bool {
        error.is_refused(&self.path, &Error::BadVersion)
    }

    pub(super) fn incarnation_of_link(&self) -> u64 {
        self.session
    }
}

enum Failure {
    Retry(String),
    Fatal(AgentError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Retry(error.to_string())
    }
}

async fn attempt(connection: &Connection, options: &Options) -> Result<Registration, Failure> {
    let node = &options.node;
    let (reg, live) = (znode::node_registration(node), znode::node_live(node));
    let session = connection.link().incarnation;
    let client = connection.client();
    let machine = machine_id();
    let old = match client.get_data(&reg).await {
        Ok((data, stat)) => Some((decode::<NodeRecord>(&reg, &data), stat.version)),
        Err(Error::NoNode) => None,
        Err(error) => return Err(error.into()),
    };
    let present = client.check_stat(&live).await?;
    let mut txn = Txn::new();
    if let Some(stat) = present {
        match &old {
            Some((Ok(record), _)) if record.machine != machine => {
                let machine = record.machine.clone();
                return Err(Failure::Fatal(AgentError::NameTaken { node: node.clone(), machine }));
            }
            _ => txn = txn.delete(&live, stat.version),
        }
    }
    let incarnation = uuid::Uuid::new_v4().simple().to_string();
    let extra =
        old.as_ref().and_then(|(record, _)| Some(record.as_ref().ok()?.extra.clone())).unwrap_or_default();
    let record = encode(&NodeRecord { v: VERSION, inc: incarnation.clone(), machine, guard: 0, extra });
    let version = old.as_ref().map_or(0, |(_, version)| version + 1);
    txn = match old {
        Some((_, version)) => txn.set(&reg, record, version),
        None => first_time(txn.create(&reg, record), options),
    };
    let record = LiveRecord {
        v: VERSION,
        inc: incarnation.clone(),
        boot: boot_id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        slots: options.slots,
        logs: options.data.join("instances").display().to_string(),
        sw: env!("CARGO_PKG_VERSION").to_owned(),
        ..LiveRecord::default()
    };
    txn = txn.create_ephemeral(&live, encode(&record));
    match connection.commit(txn).await {
        Ok(_) => Ok(Registration { incarnation, path: reg, version, session }),
        Err(error) => Err(Failure::Retry(error.to_string())),
    }
}

/// Directories and empty buckets of a node that was never seen.
fn first_time(mut txn: Txn, options: &Options) -> Txn {
    let node = &options.node;
    txn = txn.create(znode::assignments(node), []).create(znode::statuses(node), []);
    let empty = encode(&StatusBucket { v: VERSION, ..StatusBucket::default() });
    (0..znode::STATUS_BUCKETS)
        .fold(txn, |txn, bucket| txn.create(znode::status_bucket(node, bucket), empty.clone()))
}

/// Identity of this machine; the boot id where there is no other.
fn machine_id() -> String {
    let id =
        std::fs::read_to_string("/etc/machine-id").map(|text| text.trim().to_owned()).unwrap_or_default();
    if id.is_empty() { boot_id() } else { id }
}
