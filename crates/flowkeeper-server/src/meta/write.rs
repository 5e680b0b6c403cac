//! The transactions of users' requests. Each checks what it was decided on (record versions, registered apps) in the same
//! `multi` that changes it, and carries an operation id by which a lost answer is resolved.

use std::time::Instant;

use flowkeeper_deploy::record::{Manifest, encode};
use flowkeeper_deploy::znode;
use flowkeeper_zk::recipes::{Txn, TxnError};
use zookeeper_client::Error;

use super::record::{AppDefaultRecord, AppRecord, StreamRecord};
use super::{AppKey, Meta, OWN_WRITE_WAIT, Versioned, paths};

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

impl Meta {
    /// Creates a stream definition, with its first release when it is to be deployed at once (T1). `apps` are the registered
    /// versions it uses: they must still exist.
    ///
    /// # Errors
    /// `Exists` when the name is taken, `Missing` when an app was unregistered meanwhile.
    pub async fn create_stream(
        &self,
        record: &StreamRecord,
        apps: &[(AppKey, String)],
        release: Option<&Manifest>,
    ) -> Result<Written, WriteError> {
        let path = znode::stream(&record.name);
        let mut txn = check_apps(apps).create(&path, encode(record));
        if let Some(release) = release {
            txn = txn.create(znode::release(&record.name, release.n), encode(release));
        }
        self.commit_as(txn, &path, &record.op).await
    }

    /// Replaces a stream definition read as `read`, with a new release if the request made one (T2, T3).
    ///
    /// # Errors
    /// `Conflict` when the record changed since it was read.
    pub async fn update_stream(
        &self,
        read: &Versioned<StreamRecord>,
        record: &StreamRecord,
        apps: &[(AppKey, String)],
        release: Option<&Manifest>,
    ) -> Result<Written, WriteError> {
        let path = znode::stream(&record.name);
        let mut txn = check_apps(apps).set(&path, encode(record), read.version);
        if let Some(release) = release {
            txn = txn.create(znode::release(&record.name, release.n), encode(release));
        }
        self.commit_as(txn, &path, &record.op).await
    }

    /// Registers versions of apps and moves defaults, all or nothing.
    ///
    /// # Errors
    /// `Exists` or `Conflict` when another request changed one of them meanwhile.
    pub async fn write_apps(&self, changes: &[AppChange]) -> Result<Written, WriteError> {
        let txn = changes.iter().fold(Txn::new(), |txn, change| change.add_to(txn));
        let probe = changes.first().map(AppChange::path).unwrap_or_default();
        self.commit_as(txn, &probe, "").await
    }

    /// Commits and waits until this server's own model shows it. After a lost connection `probe` is read: if it holds `op`
    /// the write happened.
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
            let client = self.connection.client();
            client.sync(probe).await?;
            client.get_data(probe).await
        };
        let late = || format!("it was lost and did not come back within {} s", RESOLVE_WAIT.as_secs());
        let found = tokio::time::timeout(RESOLVE_WAIT, read).await.map_err(|_| unavailable(&late()))?;
        match found {
            Ok((data, stat)) if !op.is_empty() && holds(&data, op) => Ok(stat.mzxid),
            Ok(_) | Err(Error::NoNode) => {
                Err(unavailable(&"the connection broke before the change was made; try again"))
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// Operation ids are unique words, so finding one in a document means that the document was written by it.
fn holds(data: &[u8], op: &str) -> bool {
    data.windows(op.len()).any(|window| window == op.as_bytes())
}

fn check_apps(apps: &[(AppKey, String)]) -> Txn {
    apps.iter().fold(Txn::new(), |txn, (key, version)| txn.check(paths::app_version(key, version), -1))
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
