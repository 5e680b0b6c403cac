//! How a node announces itself (T11 of the design): its registration, whose version is the node epoch, and its presence.

use std::time::Duration;

use flowkeeper_zk::recipes::{Connection, Txn, TxnError};
use tokio::time::{Instant, sleep};
use zookeeper_client::{Error, Stat};

use super::identity::{Identity, save_session};
use super::{AgentError, Options};
use crate::process::boot_id;
use crate::record::{LeaseRecord, LiveRecord, NodeRecord, StatusBucket, VERSION, decode, encode};
use crate::seal::known_keys;
use crate::znode;

/// Field of a presence that tells from which folder of which start of the machine it comes.
const PLACE: &str = "place";
/// Pause between two looks at a presence that should vanish.
const LOOK: Duration = Duration::from_millis(100);
/// Tick of an ensemble that was not asked: that of ZooKeeper's sample configuration.
const USUAL_TICK: Duration = Duration::from_secs(2);

/// A registration in force.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    /// Unique per registration; statuses of another one count for nothing.
    pub(super) incarnation: String,
    path: String,
    version: i32,
    /// The session, as numbered by the connection, that owns the presence.
    session: u64,
    /// What the presence says.
    live: LiveRecord,
    live_path: String,
}

impl Registration {
    /// Registers the node and raises its epoch; a presence that an earlier agent of this folder left is replaced, since the
    /// lock on the folder proves that agent dead. `unfit` says why the node takes nothing more.
    pub(super) async fn new(
        connection: &Connection,
        options: &Options,
        identity: &Identity,
        unfit: Option<String>,
    ) -> Result<Registration, AgentError> {
        // A lost answer may leave our own registration behind: trying again finds and replaces it.
        const TRIES: u32 = 5;
        let tick = options.lease.map_or(USUAL_TICK, |lease| Duration::from_millis(lease.tick_ms));
        let patience = Instant::now() + connection.session_timeout() + tick * 2;
        let mut last = String::new();
        let mut tries = 0;
        while tries < TRIES {
            match attempt(connection, options, identity, unfit.clone()).await {
                Ok(registration) => {
                    keep_session(connection, options).await;
                    return Ok(registration);
                }
                Err(Failure::Fatal(error)) => return Err(error),
                // It belongs to a session whose owner is dead and ends with that, or to a copy of this folder and stays.
                Err(Failure::Present) if Instant::now() < patience => {
                    sleep(LOOK).await;
                    continue;
                }
                Err(Failure::Present) => {
                    let (node, folder) = (options.node.clone(), options.data.clone());
                    return Err(AgentError::Cloned { node, folder });
                }
                Err(Failure::Retry(reason)) => last = reason,
            }
            tries += 1;
            sleep(super::RETRY / 5).await;
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

    /// Why the node takes nothing more, as its presence says.
    pub(super) fn unfit(&self) -> Option<&str> {
        self.live.unfit.as_deref()
    }

    /// The write by which the presence says something else about that.
    pub(super) fn declare(&mut self, unfit: Option<String>) -> Txn {
        self.live.unfit = unfit;
        self.fence().set(self.live_path.clone(), encode(&self.live), None)
    }
}

/// Keeps the session for the next agent. Without it that one opens a new session, and replaces the presence of this one.
async fn keep_session(connection: &Connection, options: &Options) {
    match connection.saved_session().await {
        Ok(session) => {
            if let Err(error) = save_session(&options.data, session) {
                tracing::warn!(%error, "the session cannot be saved in {}", options.data.display());
            }
        }
        Err(error) => tracing::warn!(%error, "the session cannot be saved"),
    }
}

enum Failure {
    Retry(String),
    Fatal(AgentError),
    /// A presence of this identity from another place.
    Present,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Retry(error.to_string())
    }
}

async fn attempt(
    connection: &Connection,
    options: &Options,
    identity: &Identity,
    unfit: Option<String>,
) -> Result<Registration, Failure> {
    let node = &options.node;
    let (reg, live) = (znode::node_registration(node), znode::node_live(node));
    let is_protected = connection.acl_policy().is_some();
    let (client, session) = connection.client_and_incarnation();
    let old = match client.get_data(&reg).await {
        Ok((data, stat)) => Some((decode::<NodeRecord>(&reg, &data), stat.version)),
        Err(Error::NoNode) => None,
        Err(Error::NoAuth) => return Err(Failure::Fatal(AgentError::NotOurs { node: node.clone() })),
        Err(error) => return Err(error.into()),
    };
    let present = match client.get_data(&live).await {
        Ok((data, stat)) => Some((decode::<LiveRecord>(&live, &data).ok(), stat)),
        Err(Error::NoNode) => None,
        Err(Error::NoAuth) => return Err(Failure::Fatal(AgentError::NotOurs { node: node.clone() })),
        Err(error) => return Err(error.into()),
    };
    let own = present.as_ref().is_some_and(|(_, stat)| stat.ephemeral_owner == client.session_id().0);
    let known = old.as_ref().and_then(|(record, _)| record.as_ref().ok());
    match (&present, known) {
        (Some(_), Some(record)) if record.machine != identity.machine => {
            let machine = record.machine.clone();
            return Err(Failure::Fatal(AgentError::NameTaken { node: node.clone(), machine }));
        }
        // In a protected tree nobody deletes a presence: that of a dead session ends with it.
        (Some((record, _)), _) if !own && (is_protected || !is_of(record.as_ref(), identity)) => {
            return Err(Failure::Present);
        }
        (None, Some(record)) if record.machine != identity.machine && record.guard > 0 => {
            // What ran in the other place may be frozen only after its guard.
            sleep(Duration::from_millis(record.guard)).await;
        }
        _ => {}
    }
    let incarnation = uuid::Uuid::new_v4().simple().to_string();
    let extra = known.map(|record| record.extra.clone()).unwrap_or_default();
    let record = encode(&NodeRecord {
        v: VERSION,
        inc: incarnation.clone(),
        machine: identity.machine.clone(),
        guard: options.lease.map_or(0, |lease| lease.guard_ms),
        spread: options.lease.map_or(0, |lease| lease.profile.heartbeat_ms + lease.tick_ms),
        extra,
    });
    let version = old.as_ref().map_or(0, |(_, version)| version + 1);
    let mut txn = match old {
        Some((_, version)) => Txn::new().set(&reg, record, version),
        None => first_time(Txn::new().create(&reg, record), options),
    };
    let mut record = presence(options, identity, &incarnation, unfit);
    record.extra.extend(known_keys(connection));
    txn = announce(txn, &live, &record, present.map(|(_, stat)| stat), own);
    match connection.commit(txn).await {
        Ok(_) => Ok(Registration { incarnation, path: reg, version, session, live: record, live_path: live }),
        Err(error) => Err(Failure::Retry(error.to_string())),
    }
}

/// A presence of our own session is written over; that of a dead one makes room.
fn announce(txn: Txn, live: &str, record: &LiveRecord, present: Option<Stat>, own: bool) -> Txn {
    match present {
        Some(stat) if own => txn.set(live, encode(record), stat.version),
        Some(stat) => txn.delete(live, stat.version).create_ephemeral(live, encode(record)),
        None => txn.create_ephemeral(live, encode(record)),
    }
}

/// Whether a presence comes from this very folder since the last start of this machine.
fn is_of(record: Option<&LiveRecord>, identity: &Identity) -> bool {
    let place = record.and_then(|record| record.extra.get(PLACE)).and_then(|place| place.as_str());
    place == Some(&identity.place)
}

fn presence(options: &Options, identity: &Identity, incarnation: &str, unfit: Option<String>) -> LiveRecord {
    let traits = options.traits.clone();
    let lease = options.lease.map(|lease| LeaseRecord {
        session: lease.session_ms,
        heartbeat: lease.profile.heartbeat_ms,
        deadline: lease.profile.deadline_ms,
        stop: lease.profile.stop_ms,
    });
    let mut extra = crate::record::Extra::new();
    extra.insert(PLACE.to_owned(), identity.place.clone().into());
    LiveRecord {
        v: VERSION,
        inc: incarnation.to_owned(),
        boot: boot_id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        slots: options.slots,
        logs: options.data.join("instances").display().to_string(),
        sw: env!("CARGO_PKG_VERSION").to_owned(),
        ip: traits.ip,
        zone: traits.zone,
        rack: traits.rack,
        groups: traits.groups,
        labels: traits.labels,
        cpu_m: traits.cpu_m,
        mem_mib: traits.mem_mib,
        lease,
        unfit,
        extra,
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
