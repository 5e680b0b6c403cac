//! `flowkeeper dev`: everything in one process.
//!
//! Parts start in the order in which they need each other (ZooKeeper, broker, server, agent) and stop in the opposite one,
//! apps first, so that they can still flush. If this process is killed, its apps go on, and the next `dev` on the same data
//! adopts them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flowkeeper_deploy::agent::{Agent, StopMode, Traits};
use flowkeeper_server::Server;
use flowkeeper_server::run::Access;
use flowkeeper_zk::recipes::Connection;
use flowkeeper_zk::server as zookeeper;

use super::agent::Place;
use super::secrets::own_keyring;
use super::server::server_settings;
use super::sources::{artifacts, registries};
use super::{block_on, say, say_ready};
use crate::exit::Failure;
use crate::folder::Folder;
use crate::listen::{bind, check_free};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::{catalog, demo};

/// Name of the one node.
const NODE: &str = "local";
/// Sessions of one process on one machine: short, so that a killed `dev` is forgotten soon.
const MIN_SESSION: Duration = Duration::from_secs(2);

/// All parts.
struct Parts {
    zookeeper: zookeeper::Server,
    broker: flowkeeper_broker::Broker,
    server: Server,
    agent: Agent,
    agent_connection: Connection,
}

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let started = Instant::now();
    let folder = Folder::open("dev", settings, env)?;
    block_on(async {
        let mut signals = Signals::new()?;
        let parts = tokio::select! {
            parts = start(settings, env, &folder) => parts?,
            () = signals.received() => return Ok(()),
        };
        let api = parts.server.local_addr();
        let (zookeeper, broker) = (parts.zookeeper.local_addr(), parts.broker.local_addr());
        say_ready(&[("api", api), ("zookeeper", zookeeper), ("broker", broker)]);
        banner(&folder, api, zookeeper, broker, started.elapsed());
        let demo = async {
            if settings.is_on("demo")
                && let Err(failure) = demo::run(api, folder.path()).await
            {
                say(&format!("demo: {}", failure.message));
            }
            std::future::pending::<()>().await;
        };
        let failure = tokio::select! {
            () = signals.received() => None,
            error = parts.zookeeper.failed() => Some(stopped("ZooKeeper", &error)),
            error = parts.broker.failed() => Some(stopped("broker", &error)),
            () = demo => None,
        };
        if let Some(failure) = failure {
            parts.abandon().await;
            return Err(failure);
        }
        say("flowkeeper: stopping");
        tokio::select! {
            () = parts.stop() => say("flowkeeper: stopped"),
            () = signals.received() => say("flowkeeper: stopped at once, without waiting for the apps"),
        }
        Ok(())
    })
}

async fn start(
    settings: &Settings,
    env: &BTreeMap<String, String>,
    folder: &Folder,
) -> Result<Parts, Failure> {
    let artifacts = artifacts(settings, env, &folder.path().join("node"))?;
    let registries = registries(settings)?;
    let keyring = own_keyring(settings, folder.path())?;
    let listener = bind("listen", settings.address("listen")?).await?;
    let zookeeper_listen = remembered(folder, "zookeeper-listen", settings)?;
    let broker_listen = remembered(folder, "broker-listen", settings)?;
    let data = |part: &str| folder.path().join(part);
    let zookeeper = zookeeper::Config {
        listen: zookeeper_listen,
        data: Some(data("zookeeper")),
        min_session_timeout: MIN_SESSION,
        ..zookeeper::Config::default()
    };
    let broker = flowkeeper_broker::Config {
        listen: broker_listen,
        data: data("broker"),
        ..flowkeeper_broker::Config::default()
    };
    let (zookeeper, broker) = tokio::join!(zookeeper::start(zookeeper), flowkeeper_broker::start(broker));
    let (zookeeper, broker) = (zookeeper.map_err(Failure::failed)?, broker.map_err(Failure::failed)?);
    remember(folder, "zookeeper-listen", zookeeper.local_addr())?;
    remember(folder, "broker-listen", broker.local_addr())?;
    let hosts = format!("{}/flowkeeper", zookeeper.local_addr());
    let options = flowkeeper_server::Options {
        id: folder.word("server-id", || format!("s-{}", uuid::Uuid::new_v4().simple()))?,
        listener,
        zookeeper: hosts.clone(),
        access: Access { keyring: Some(keyring.clone()), ..Access::default() },
        catalog: catalog::bundled(),
        artifacts: artifacts.clone(),
        settings: server_settings(settings, &broker.local_addr().to_string(), registries),
    };
    let server = flowkeeper_server::start(options).await.map_err(|error| {
        if error.is_refusal() { Failure::not_allowed(error) } else { Failure::failed(error) }
    })?;
    // Of one node no other could run a second copy of anything, and what it has is not shared out: its apps take what they need.
    let node = data("node");
    let place = Place {
        data: &node,
        artifacts,
        node: NODE.to_owned(),
        zookeeper: &hosts,
        traits: Traits { ip: "127.0.0.1".to_owned(), ..Traits::default() },
        has_leases: false,
        keyring: Some(keyring),
    };
    let (agent, agent_connection) = super::agent::start(settings, env, place).await?;
    Ok(Parts { zookeeper, broker, server, agent, agent_connection })
}

/// What to say when an embedded part had to stop by itself.
fn stopped(part: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "the embedded {part} had to stop: {error}; the apps go on, and 'flowkeeper dev' on the same data adopts them"
    ))
}

impl Parts {
    /// Ends the control plane at once and leaves the apps alone: what fails here is no fault of theirs.
    async fn abandon(self) {
        self.agent.stop(StopMode::LeaveApps).await;
        if let Err(error) = self.broker.stop().await {
            tracing::error!(%error, "the broker did not stop cleanly; the next start recovers");
        }
    }

    async fn stop(self) {
        self.agent.stop(StopMode::StopApps).await;
        self.agent_connection.close();
        self.server.stop().await;
        if let Err(error) = self.broker.stop().await {
            tracing::error!(%error, "the broker did not stop cleanly; the next start recovers");
        }
        if let Err(error) = self.zookeeper.stop().await {
            tracing::error!(%error, "the embedded ZooKeeper did not stop cleanly; the next start recovers");
        }
    }
}

/// A listener's address: port 0 means any free one, but the same as last time when that is free, because running apps and
/// other programs know it.
fn remembered(folder: &Folder, key: &'static str, settings: &Settings) -> Result<SocketAddr, Failure> {
    let wanted = settings.address(key)?;
    if wanted.port() != 0 {
        check_free(key, wanted)?;
        return Ok(wanted);
    }
    let last = std::fs::read_to_string(folder.path().join(key)).ok();
    let last =
        last.and_then(|text| text.trim().parse::<SocketAddr>().ok()).filter(|last| last.ip() == wanted.ip());
    Ok(last.filter(|last| check_free(key, *last).is_ok()).unwrap_or(wanted))
}

fn remember(folder: &Folder, key: &'static str, addr: SocketAddr) -> Result<(), Failure> {
    std::fs::write(folder.path().join(key), format!("{addr}\n"))
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", folder.path().display())))
}

fn banner(folder: &Folder, api: SocketAddr, zookeeper: SocketAddr, broker: SocketAddr, took: Duration) {
    let data = if folder.is_ephemeral() {
        format!("{} (removed at the end)", folder.path().display())
    } else {
        format!("{} (kept; delete the folder to start afresh, or use --ephemeral)", folder.path().display())
    };
    // Commands look for the default address by themselves.
    let server = if api.port() == 9393 { String::new() } else { format!(" --server http://{api}") };
    say(&format!(
        "\n  Flowkeeper {} is up after {} ms\n\
         \n    API        http://{api}\
         \n    ZooKeeper  {zookeeper}, tree /flowkeeper\
         \n    broker     {broker} (Kafka protocol)\
         \n    data       {data}\n\
         \n  Try: flowkeeper stream create --name ticktock --definition 'time | log' --deploy --wait{server}\
         \n       flowkeeper stream logs ticktock{server}\
         \n  Ctrl-C stops everything.\n",
        env!("CARGO_PKG_VERSION"),
        took.as_millis(),
    ));
}
