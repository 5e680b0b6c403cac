//! The composition of one server: connection → metadata → leader → HTTP, and its end in the opposite order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_deploy::artifact::Artifacts;
use flowkeeper_deploy::record::{VERSION, encode};
use flowkeeper_deploy::seal::{self, SealRefused};
use flowkeeper_zk::recipes::{self, AclPolicy, Auth, Connection, Keyring, Seal, Tls, Txn, TxnError};
use tokio::net::TcpListener;
use zookeeper_client::Error;

use crate::app::options::OptionsReader;
use crate::app::options::container::Registries;
use crate::catalog::Catalog;
use crate::http;
use crate::leader::{Leader, election};
use crate::link;
use crate::meta::record::ServerRecord;
use crate::meta::schema::support;
use crate::meta::{LayoutError, Meta, paths, prepare};
use crate::metrics::Metrics;
use crate::state::AppState;
use crate::task::Tasks;

/// Session timeout of a server. Leadership is fenced by versions, not by time, so it may be short.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How often the presence of an earlier process is looked at again because it vanished while it was being replaced.
const ANNOUNCE_TRIES: u32 = 3;
/// How long a start waits for ZooKeeper.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// What a server needs to know.
#[derive(Debug)]
pub struct Options {
    /// Identity of this installation, kept with its data; unique among servers.
    pub id: String,
    /// Where the API listens; bound by the caller, so that a busy port is told before anything starts.
    pub listener: TcpListener,
    /// ZooKeeper hosts with chroot: `127.0.0.1:2181/flowkeeper`.
    pub zookeeper: String,
    /// As whom it comes to ZooKeeper, and who else shares the tree.
    pub access: Access,
    pub catalog: Catalog,
    /// Where programs come from whose metadata is read.
    pub artifacts: Artifacts,
    pub settings: Settings,
}

/// Credentials of a server. Without any, everybody who reaches ZooKeeper may do everything.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What all servers share. What they create is theirs.
    pub servers: Option<Auth>,
    /// What all agents share; without it agents are kept out of a tree that servers protect.
    pub agents: Option<Auth>,
    /// Keys of documents at rest; without them documents are in clear.
    pub keyring: Option<Arc<Keyring>>,
    /// How connections to ZooKeeper are protected; without it they are in clear.
    pub tls: Option<Tls>,
}

/// Settings that requests see.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Properties that every app gets unless its own say otherwise: where the broker is.
    pub app_defaults: BTreeMap<String, String>,
    /// Register the bundled apps when they are missing.
    pub register_bundled: bool,
    /// Name of the one platform, as SCDF calls it.
    pub platform: String,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// How container registries are asked for the options of images.
    pub registries: Registries,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            app_defaults: BTreeMap::new(),
            register_bundled: true,
            platform: "default".to_owned(),
            max_body: 2 << 20,
            registries: Registries::default(),
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("zookeeper at {hosts} does not answer: {source}; start it or correct --zookeeper")]
    Zookeeper { hosts: String, source: Error },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("this server cannot be announced: {0}")]
    Announce(String),
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
}

impl StartError {
    /// True when this server may not use the tree: trying again is of no use.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StartError::Layout(error) if error.is_refusal())
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    meta: Meta,
    tasks: Tasks,
    is_new_cluster: bool,
}

/// Starts a server. Returns once its copy of the metadata is complete and it answers.
///
/// # Errors
/// See [`StartError`]; nothing runs then.
pub async fn start(options: Options) -> Result<Server, StartError> {
    let Options { id, listener, zookeeper, access, catalog, artifacts, settings } = options;
    let addr = listener.local_addr()?;
    let connect = recipes::Options {
        hosts: zookeeper.clone(),
        session_timeout: SESSION_TIMEOUT,
        open_timeout: OPEN_TIMEOUT,
        acls: access.servers.as_ref().map(|servers| AclPolicy {
            class: flowkeeper_deploy::access::class,
            servers: servers.id(),
            agents: access.agents.as_ref().map(Auth::id),
            node: None,
        }),
        auth: access.servers.into_iter().collect(),
        seal: access.keyring.map(|keyring| Seal { keyring, covers: seal::covers }),
        tls: access.tls,
        ..recipes::Options::default()
    };
    let (connection, driver) = Connection::open(connect).await.map_err(|source| match source {
        Error::NoAuth | Error::AuthFailed => StartError::Layout(LayoutError::Denied),
        source => StartError::Zookeeper { hosts: zookeeper.clone(), source },
    })?;
    let tasks = Tasks::new();
    tasks.spawn("zookeeper session", driver.run());
    let is_new_cluster = prepare(&connection).await?;
    let metrics = Metrics::new();
    let (meta, follower) = Meta::new(connection.clone(), metrics.clone());
    meta.set_server_name(&id);
    tasks.spawn("metadata follower", follower.run());
    tasks.spawn("key in use", seal::follow(connection.clone()));
    tasks.spawn("link", link::measure(connection.clone(), metrics.clone()));
    let api = addr.to_string();
    announce(&connection, &id, &api).await?;
    tasks.spawn("presence", keep_announced(connection.clone(), id.clone(), api.clone()));
    let settings = Arc::new(settings);
    let leader = Leader {
        meta: meta.clone(),
        metrics: metrics.clone(),
        catalog: if settings.register_bundled { catalog.clone() } else { Catalog::default() },
        defaults: settings.app_defaults.clone(),
        election: election(&meta, &id, &api),
    };
    tasks.spawn_to_end("leader", leader.run(tasks.stop_token()));
    meta.ready().await;
    if let Some(path) = connection.unreadable_seal() {
        tasks.stop().await;
        connection.close();
        return Err(LayoutError::Sealed(SealRefused::FormerKey { path }).into());
    }
    let client = reqwest::Client::new();
    let options = OptionsReader::new(catalog.clone(), artifacts, settings.registries.clone(), tasks.clone());
    let state = AppState {
        meta: meta.clone(),
        catalog,
        options,
        metrics,
        zookeeper: zookeeper.into(),
        settings,
        client,
        stopping: tasks.stop_token(),
    };
    tasks.spawn_to_end("http", http::serve(listener, state, tasks.stop_token()));
    Ok(Server { addr, meta, tasks, is_new_cluster })
}

impl Server {
    /// Where the API listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether nothing was there when it started: it made the tree of a new cluster.
    pub fn is_new_cluster(&self) -> bool {
        self.is_new_cluster
    }

    /// The metadata, for whoever composes more around it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Stops accepting, ends requests and the leadership, closes the session.
    pub async fn stop(self) {
        self.tasks.stop().await;
        self.meta.connection().close();
    }
}

/// Writes this server's presence; one that an earlier process of this installation left is replaced.
async fn announce(connection: &Connection, id: &str, api: &str) -> Result<(), StartError> {
    let path = paths::server(id);
    let mut record = ServerRecord {
        v: VERSION,
        id: id.to_owned(),
        api: api.to_owned(),
        sw: env!("CARGO_PKG_VERSION").to_owned(),
        extra: support(),
    };
    record.extra.extend(seal::known_keys(connection));
    let failed = |error: &dyn std::fmt::Display| StartError::Announce(error.to_string());
    let mut tries = 1;
    loop {
        let old = connection.client().check_stat(&path).await.map_err(|error| failed(&error))?;
        let txn = old.map_or_else(Txn::new, |stat| Txn::new().delete(&path, stat.version));
        match connection.commit(txn.create_ephemeral(&path, encode(&record))).await {
            Ok(_) => return Ok(()),
            // The session of the earlier process ended in between.
            Err(TxnError::Refused { cause: Error::NoNode, .. }) if tries < ANNOUNCE_TRIES => tries += 1,
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Announces this server again whenever its session was replaced.
async fn keep_announced(connection: Connection, id: String, api: String) {
    let mut announced = connection.link().incarnation;
    let mut link = connection.watch_link();
    while let Ok(now) = link.wait_for(|link| link.incarnation != announced).await.map(|link| *link) {
        match announce(&connection, &id, &api).await {
            Ok(()) => announced = now.incarnation,
            Err(error) => {
                tracing::warn!(%error, "this server could not be announced and tries again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
