//! A node: runs app instances. Stopping it leaves the apps running; the next agent adopts them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flowkeeper_deploy::agent::{Agent, Options, StopMode};
use flowkeeper_deploy::artifact::Artifacts;
use flowkeeper_engine::model::NodeId;
use flowkeeper_zk::recipes::{self, Connection};

use super::server::with_chroot;
use super::sources::artifacts;
use super::{block_on, own_program, say};
use crate::exit::Failure;
use crate::folder::Folder;
use crate::settings::Settings;
use crate::signals::Signals;

/// Session timeout of an agent: how long a node may be silent before it counts as lost.
const SESSION_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a start waits for ZooKeeper.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let folder = Folder::open("agent", settings, env)?;
    let zookeeper = with_chroot(settings.required("zookeeper")?);
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node = settings.text("name").map_or_else(host, str::to_owned);
    let data = folder.path().join("node");
    let artifacts = artifacts(settings, env, &data)?;
    block_on(async {
        let mut signals = Signals::new()?;
        let (agent, connection) = start(settings, env, &data, artifacts, node, &zookeeper).await?;
        say("flowkeeper: ready");
        signals.received().await;
        agent.stop(StopMode::LeaveApps).await;
        connection.close();
        Ok(())
    })
}

/// Starts an agent with a ZooKeeper session of its own.
///
/// # Errors
/// When ZooKeeper does not answer or the node cannot be registered.
pub(super) async fn start(
    settings: &Settings,
    env: &BTreeMap<String, String>,
    data: &Path,
    artifacts: Artifacts,
    node: String,
    zookeeper: &str,
) -> Result<(Agent, Connection), Failure> {
    let connect = recipes::Options {
        hosts: zookeeper.to_owned(),
        session_timeout: SESSION_TIMEOUT,
        open_timeout: OPEN_TIMEOUT,
    };
    let (connection, driver) = Connection::open(connect).await.map_err(|error| {
        Failure::unavailable(format!(
            "zookeeper at {zookeeper} does not answer: {error}; start it or correct --zookeeper"
        ))
    })?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the session lives as long as the process; nothing waits for its task"
    )]
    tokio::spawn(driver.run());
    let options = Options {
        node: NodeId(node),
        data: data.to_owned(),
        slots: settings.number("slots").and_then(|n| u32::try_from(n).ok()).unwrap_or(500),
        artifacts,
        program: own_program()?,
        env: env.clone(),
        policy: Default::default(),
    };
    let agent = Agent::start(options, connection.clone()).await.map_err(Failure::failed)?;
    Ok((agent, connection))
}
