//! The transactions of users' requests. Each checks what it was decided on (record versions, registered apps) in the same
//! `multi` that changes it, and carries an operation id by which a lost answer is resolved.

use std::collections::BTreeMap;
use std::time::Instant;

use flowkeeper_deploy::record::{Manifest, NodeConfigRecord, decode, encode, encode_compact};
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::{InstanceId, NodeId};
use flowkeeper_zk::recipes::{Txn, TxnError};
use serde::Deserialize;
use zookeeper_client::Error;

use super::record::{
    AppDefaultRecord, AppRecord, ApplicationRecord, ApplicationReleaseRecord, AuditRecord, BrakeRecord,
    StreamRecord,
};
use super::{AppKey, Meta, Model, NodeEntry, OWN_WRITE_WAIT, Versioned, paths};

/// How long a write whose answer was lost waits for the connection to find out what became of it.
const RESOLVE_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// A committed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its transaction id.
    pub zxid: i64,
}

/// Why a write did not happen, by what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// What was to be created is there already.
    #[error("{path} exists already")]
    Exists { path: String },
    /// Something it depends on is gone.
    #[error("{path} does not exist")]
    Missing { path: String },
    /// Somebody else changed it since it was read: read again and decide again.
    #[error("{path} was changed by somebody else in the meantime")]
    Conflict { path: String },
    #[error("{path}: {bytes} bytes are more than the {limit} that one write may hold")]
    TooLarge { path: String, bytes: usize, limit: usize },
    /// No answer from ZooKeeper; nothing is known to have happened.
    #[error("the metadata store does not answer: {0}")]
    Unavailable(String),
}

/// The changes of one request, put together to one transaction: all of them happen, or none.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Registered versions that must still be as they were read, by data version.
    needed: BTreeMap<(AppKey, String), i32>,
    changes: Txn,
    audit: Txn,
    /// A path and the operation id that is in its document once the write happened.
    probe: Option<(String, String)>,
}

impl Write {
    pub fn new() -> Write {
        Write::default()
    }

    /// Demands that these registered versions are still as they are in `model`. One that is gone or on its way out makes the
    /// write fail.
    pub fn needing(mut self, model: &Model, apps: impl IntoIterator<Item = (AppKey, String)>) -> Write {
        for (key, version) in apps {
            let found = model.apps.get(&key).and_then(|entry| entry.versions.get(&version));
            // No node has this version: the check fails, as it must.
            let read = found.filter(|found| !found.record.retired).map_or(i32::MAX, |found| found.version);
            self.needed.insert((key, version), read);
        }
        self
    }

    /// Creates a stream definition (T1).
    pub fn create_stream(mut self, record: &StreamRecord) -> Write {
        let path = znode::stream(&record.name);
        self.changes = self.changes.create(&path, encode_compact(record));
        self.probed(path, &record.op)
    }

    /// Replaces a stream definition read as `read` (T2, T3).
    pub fn set_stream(mut self, read: &Versioned<StreamRecord>, record: &StreamRecord) -> Write {
        let path = znode::stream(&record.name);
        self.changes = self.changes.set(&path, encode_compact(record), read.version);
        self.probed(path, &record.op)
    }

    /// Adds a release to a stream.
    pub fn create_release(mut self, stream: &str, release: &Manifest) -> Write {
        self.changes = self.changes.create(znode::release(stream, release.n), encode_compact(release));
        self
    }

    /// Forgets an old release of a stream.
    pub fn delete_release(mut self, stream: &str, number: u32) -> Write {
        self.changes = self.changes.delete(znode::release(stream, number), None);
        self
    }

    /// Creates a stream application, or replaces the one read as `read` (T14).
    pub fn put_application(
        mut self,
        read: Option<&Versioned<ApplicationRecord>>,
        record: &ApplicationRecord,
    ) -> Write {
        let path = paths::application(&record.name);
        self.changes = match read {
            None => self.changes.create(&path, encode_compact(record)),
            Some(read) => self.changes.set(&path, encode_compact(record), read.version),
        };
        self.probed(path, &record.op)
    }

    /// Adds a release to a stream application.
    pub fn create_application_release(mut self, name: &str, release: &ApplicationReleaseRecord) -> Write {
        let path = paths::application_release(name, release.n);
        self.changes = self.changes.create(path, encode_compact(release));
        self
    }

    /// Forgets an old release of a stream application.
    pub fn delete_application_release(mut self, name: &str, number: u32) -> Write {
        self.changes = self.changes.delete(paths::application_release(name, number), None);
        self
    }

    /// Removes a stream application; its releases must be removed before it.
    pub fn delete_application(mut self, name: &str, version: i32) -> Write {
        self.changes = self.changes.delete(paths::application(name), version);
        self
    }

    /// Changes the app registry.
    pub fn apps(mut self, changes: &[AppChange]) -> Write {
        self.changes = changes.iter().fold(self.changes, |txn, change| change.add_to(txn));
        self
    }

    /// Notes what was decided about a node, of which `read` was decided before.
    pub fn put_node_config(
        mut self,
        node: &NodeId,
        read: Option<&Versioned<NodeConfigRecord>>,
        record: &NodeConfigRecord,
    ) -> Write {
        let path = znode::node_config(node);
        self.changes = match read {
            None => self.changes.create(path, encode(record)),
            Some(read) => self.changes.set(path, encode(record), read.version),
        };
        self
    }

    /// Removes everything about a node that is not live, with the orders to it, given by their versions.
    pub fn forget_node(
        mut self,
        node: &NodeId,
        entry: &NodeEntry,
        orders: BTreeMap<&InstanceId, i32>,
    ) -> Write {
        let mut txn = std::mem::take(&mut self.changes);
        if let Some(registration) = &entry.registration {
            // An agent that registers at the same time makes this fail.
            txn = txn.delete(znode::node_registration(node), registration.version);
        }
        for (instance, version) in orders {
            txn = txn.delete(znode::assignment(node, instance), version);
        }
        if entry.registration.is_some() {
            txn = (0..znode::STATUS_BUCKETS)
                .fold(txn, |txn, bucket| txn.delete(znode::status_bucket(node, bucket), None))
                .delete(znode::statuses(node), None)
                .delete(znode::assignments(node), None);
        }
        if let Some(config) = &entry.config {
            txn = txn.delete(znode::node_config(node), config.version);
        }
        self.changes = txn;
        self
    }

    /// Replaces what is known of the brake.
    pub fn put_brake(mut self, read: Option<&Versioned<BrakeRecord>>, record: &BrakeRecord) -> Write {
        self.changes = match read {
            None => self.changes.create(paths::BRAKE, encode(record)),
            Some(read) => self.changes.set(paths::BRAKE, encode(record), read.version),
        };
        self
    }

    /// Notes what was done and by whom.
    pub fn audit(mut self, records: impl IntoIterator<Item = AuditRecord>) -> Write {
        self.audit = records.into_iter().fold(self.audit, |txn, record| {
            txn.create_sequential(paths::AUDIT_ENTRY, encode_compact(&record))
        });
        self
    }

    fn probed(mut self, path: String, op: &str) -> Write {
        self.probe = Some((path, op.to_owned()));
        self
    }
}

impl Meta {
    /// Writes the changes of a request and waits until this server's own model shows them. When the answer is lost the record
    /// that carries the operation's id is read: if it holds that id the write happened.
    ///
    /// # Errors
    /// `Exists`, `Missing` or `Conflict` when something is not as it was when the request was decided; nothing happened then.
    pub async fn write(&self, write: Write) -> Result<Written, WriteError> {
        let checks = write.needed.iter().fold(Txn::new(), |txn, ((key, version), read)| {
            txn.check(paths::app_version(key, version), *read)
        });
        let (probe, op) = write.probe.unwrap_or_default();
        self.commit_as(checks.and(write.changes).and(write.audit), &probe, &op).await
    }

    async fn commit_as(&self, txn: Txn, probe: &str, op: &str) -> Result<Written, WriteError> {
        let started = Instant::now();
        let zxid = match self.connection.commit(txn).await {
            Ok(committed) => committed.zxid,
            Err(TxnError::Unknown { .. }) => self.resolve(probe, op).await?,
            Err(error) => return Err(error.into()),
        };
        let committed = Instant::now();
        self.metrics.update_znode.observe((committed - started).as_secs_f64());
        if self.wait_applied(zxid, OWN_WRITE_WAIT).await {
            self.metrics.update_watcher.observe(committed.elapsed().as_secs_f64());
        } else {
            tracing::warn!(zxid, "the model is late: an answer was given before it showed the write");
        }
        Ok(Written { zxid })
    }

    async fn resolve(&self, probe: &str, op: &str) -> Result<i64, WriteError> {
        let unavailable = |reason: &dyn std::fmt::Display| WriteError::Unavailable(reason.to_string());
        let read = async {
            self.connection.connected().await;
            self.connection.client().sync(probe).await?;
            self.connection.get_data(probe).await
        };
        let late = || format!("it was lost and did not come back within {} s", RESOLVE_WAIT.as_secs());
        if probe.is_empty() {
            return Err(unavailable(
                &"the connection broke, and whether the change was made is not known; look, and try again",
            ));
        }
        let found = tokio::time::timeout(RESOLVE_WAIT, read).await.map_err(|_| unavailable(&late()))?;
        match found {
            Ok((data, stat)) if !op.is_empty() && is_by(probe, &data, op) => Ok(stat.mzxid),
            Ok(_) | Err(Error::NoNode) => {
                Err(unavailable(&"the connection broke before the change was made; try again"))
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// Whether a document was written by this operation.
fn is_by(path: &str, data: &[u8], op: &str) -> bool {
    #[derive(Deserialize)]
    struct Signed {
        op: String,
    }
    decode::<Signed>(path, data).is_ok_and(|document| document.op == op)
}

/// One change of the app registry.
#[derive(Clone, Debug)]
pub enum AppChange {
    /// The first version of an app: creates its directory with the default.
    CreateApp {
        key: AppKey,
        default: AppDefaultRecord,
    },
    /// Another default for an app whose directory was read at `version`.
    SetDefault {
        key: AppKey,
        default: AppDefaultRecord,
        version: i32,
    },
    CreateVersion {
        key: AppKey,
        version: String,
        record: AppRecord,
    },
    /// Replaces what was read at `read`.
    UpdateVersion {
        key: AppKey,
        version: String,
        record: AppRecord,
        read: i32,
    },
    DeleteVersion {
        key: AppKey,
        version: String,
        read: i32,
    },
    /// Removes the directory after its last version.
    DeleteApp {
        key: AppKey,
        version: i32,
    },
}

impl AppChange {
    /// The version it is about, if it is about one.
    pub fn subject(&self) -> Option<(AppKey, String)> {
        match self {
            AppChange::CreateVersion { key, version, .. }
            | AppChange::UpdateVersion { key, version, .. }
            | AppChange::DeleteVersion { key, version, .. } => Some((key.clone(), version.clone())),
            AppChange::CreateApp { .. } | AppChange::SetDefault { .. } | AppChange::DeleteApp { .. } => None,
        }
    }

    fn path(&self) -> String {
        match self {
            AppChange::CreateApp { key, .. }
            | AppChange::SetDefault { key, .. }
            | AppChange::DeleteApp { key, .. } => paths::app(key),
            AppChange::CreateVersion { key, version, .. }
            | AppChange::UpdateVersion { key, version, .. }
            | AppChange::DeleteVersion { key, version, .. } => paths::app_version(key, version),
        }
    }

    fn add_to(&self, txn: Txn) -> Txn {
        let path = self.path();
        match self {
            AppChange::CreateApp { default, .. } => txn.create(path, encode(default)),
            AppChange::SetDefault { default, version, .. } => txn.set(path, encode(default), *version),
            AppChange::CreateVersion { record, .. } => txn.create(path, encode(record)),
            AppChange::UpdateVersion { record, read, .. } => txn.set(path, encode(record), *read),
            AppChange::DeleteVersion { read, .. } => txn.delete(path, *read),
            AppChange::DeleteApp { version, .. } => txn.delete(path, *version),
        }
    }
}

impl From<TxnError> for WriteError {
    fn from(error: TxnError) -> WriteError {
        match error {
            TxnError::Refused { path, cause, .. } => match cause {
                Error::NodeExists => WriteError::Exists { path },
                Error::NoNode => WriteError::Missing { path },
                Error::BadVersion | Error::NotEmpty => WriteError::Conflict { path },
                cause => WriteError::Unavailable(format!("{path}: {cause}")),
            },
            TxnError::TooLarge { path, bytes, limit } => WriteError::TooLarge { path, bytes, limit },
            error @ (TxnError::Unknown { .. } | TxnError::Unavailable(_)) => {
                WriteError::Unavailable(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;
