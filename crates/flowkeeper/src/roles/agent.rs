//! A node: runs app instances. Stopping it leaves the apps running, and its session: the next agent takes both over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_deploy::access::{self, node_auth};
use flowkeeper_deploy::agent::{
    Agent, Options, SAMPLE, StopMode, Traits, node_secret, refusal, saved_session, usual_starts,
};
use flowkeeper_deploy::artifact::Artifacts;
use flowkeeper_deploy::lease::{Ensemble, Lease, Profile};
use flowkeeper_deploy::machine::{DiskLimit, capacity};
use flowkeeper_deploy::seal::{self, AdoptError};
use flowkeeper_engine::model::NodeId;
use flowkeeper_zk::recipes::{self, Auth, Connection, Keyring, Seal};
use tokio::time::{Instant, sleep};

use super::secrets::{credentials, keyring, tls};
use super::server::with_chroot;
use super::sources::artifacts;
use super::{block_on, own_program, say};
use crate::exit::Failure;
use crate::folder::Folder;
use crate::settings::Settings;
use crate::signals::Signals;

/// Session timeout of an agent without leases: how long a node may be silent before it counts as lost.
const SESSION_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a start waits for ZooKeeper.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest name of a node, in bytes; host names have no more.
const MAX_NAME: usize = 253;
/// Pause between two attempts to reach it.
const RETRY: Duration = Duration::from_millis(200);

/// What a node is apart from its settings.
pub(super) struct Place<'a> {
    pub(super) data: &'a Path,
    pub(super) artifacts: Artifacts,
    pub(super) node: String,
    pub(super) zookeeper: &'a str,
    pub(super) traits: Traits,
    /// Whether it keeps leases; it must when there are other nodes.
    pub(super) has_leases: bool,
    /// Keys of documents at rest.
    pub(super) keyring: Option<Arc<Keyring>>,
}

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let folder = Folder::open("agent", settings, env)?;
    let zookeeper = with_chroot(settings.required("zookeeper")?)?;
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node = node_name(settings.text("name").map_or_else(host, str::to_owned))?;
    let data = folder.path().join("node");
    let artifacts = artifacts(settings, env, &data)?;
    let traits = traits(settings, &zookeeper)?;
    let place = Place {
        data: &data,
        artifacts,
        node,
        zookeeper: &zookeeper,
        traits,
        has_leases: true,
        keyring: keyring(settings)?,
    };
    block_on(async {
        let mut signals = Signals::new()?;
        let (agent, connection) = tokio::select! {
            started = start(settings, env, place) => started?,
            () = signals.received() => return Ok(()),
        };
        say("flowkeeper: ready");
        signals.received().await;
        agent.stop(StopMode::LeaveApps).await;
        // The session goes on; see `start`.
        connection.close();
        Ok(())
    })
}

/// A name that can be typed again in commands, criteria and paths.
fn node_name(name: String) -> Result<String, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
        return Err(Failure::usage(format!(
            "--name: '{name}' is no name of a node: it has up to {MAX_NAME} letters, digits, dots, hyphens and underscores"
        )));
    }
    Ok(name)
}

/// Starts an agent with a ZooKeeper session of its own. With leases the session is left alone when the agent ends: its end would
/// say that nothing runs here any more.
///
/// # Errors
/// When ZooKeeper does not answer, its times allow no leases, or the node cannot be registered.
pub(super) async fn start(
    settings: &Settings,
    env: &BTreeMap<String, String>,
    place: Place<'_>,
) -> Result<(Agent, Connection), Failure> {
    let zookeeper = place.zookeeper;
    let program = own_program()?;
    let own = own_credentials(settings, &place)?;
    let wanted = if place.has_leases { Some(profile(settings, zookeeper).await?) } else { None };
    let session = wanted.map_or(SESSION_TIMEOUT, |(profile, _)| Duration::from_millis(profile.session_ms));
    let connect = recipes::Options {
        hosts: zookeeper.to_owned(),
        session_timeout: session,
        open_timeout: OPEN_TIMEOUT,
        detached: place.has_leases,
        resume: saved_session(place.data),
        auth: own.iter().flatten().cloned().collect(),
        // With credentials the servers make the tree, and give it its lists.
        create_chroot: own.is_none(),
        seal: place.keyring.clone().map(|keyring| Seal { keyring, covers: seal::covers }),
        tls: tls(settings)?,
        ..recipes::Options::default()
    };
    let (connection, driver) = Connection::open(connect).await.map_err(|error| match refusal(&error) {
        Some(refusal) if refusal.is_passing() => Failure::unavailable(refusal),
        Some(refusal) => Failure::not_allowed(refusal),
        None => Failure::unavailable(format!(
            "zookeeper at {zookeeper} does not answer: {error}; start it or correct --zookeeper"
        )),
    })?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the session lives as long as the process; nothing waits for its task"
    )]
    tokio::spawn(driver.run());
    if let Some([_, node]) = &own {
        adopt(&connection, node, zookeeper).await?;
    }
    adopt_key(&connection, zookeeper).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "it lives as long as the connection; nothing waits for it"
    )]
    tokio::spawn(seal::follow(connection.clone()));
    let lease = wanted.map(|(profile, ensemble)| lease(profile, ensemble, &connection)).transpose()?;
    let options = Options {
        node: NodeId(place.node),
        data: place.data.to_owned(),
        slots: settings.number("slots").and_then(|n| u32::try_from(n).ok()).unwrap_or(500),
        artifacts: place.artifacts,
        program,
        env: env.clone(),
        policy: Default::default(),
        lease,
        traits: place.traits,
        disk: DiskLimit::default(),
        sample: SAMPLE,
        starts: usual_starts(),
    };
    let agent = Agent::start(options, connection.clone()).await.map_err(Failure::failed)?;
    Ok((agent, connection))
}

/// The credentials of all agents and those of this node, in a tree that is protected.
fn own_credentials(settings: &Settings, place: &Place<'_>) -> Result<Option<[Auth; 2]>, Failure> {
    let Some(shared) = credentials(settings, "zookeeper-auth-file")? else { return Ok(None) };
    let secret = node_secret(place.data).map_err(|error| {
        Failure::failed(format!("the secret of this node in {}: {error}", place.data.display()))
    })?;
    let node = node_auth(&NodeId(place.node.clone()), &secret).map_err(Failure::failed)?;
    Ok(Some([shared, node]))
}

/// Learns whom to let into what the node creates; a server may still have to make the tree.
async fn adopt(connection: &Connection, node: &Auth, zookeeper: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        match access::adopt(connection, node).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_passing() => return Err(Failure::not_allowed(error)),
            Err(error) if Instant::now() >= deadline => return Err(at(zookeeper, error)),
            Err(_) => sleep(RETRY).await,
        }
    }
}

fn at(zookeeper: &str, error: impl std::fmt::Display) -> Failure {
    Failure::unavailable(format!("zookeeper at {zookeeper}: {error}"))
}

/// Learns by which key documents are sealed; a server may still have to make the tree.
async fn adopt_key(connection: &Connection, zookeeper: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        match seal::adopt(connection).await {
            Ok(()) => return Ok(()),
            Err(AdoptError::Refused(refused)) => return Err(Failure::not_allowed(refused)),
            Err(error) if Instant::now() >= deadline => return Err(at(zookeeper, error)),
            Err(_) => sleep(RETRY).await,
        }
    }
}

/// The lease profile that was asked for, and the times of the ensemble.
async fn profile(settings: &Settings, zookeeper: &str) -> Result<(Profile, Ensemble), Failure> {
    let (tick, sync_limit) = (settings.number("zookeeper-tick-ms"), settings.number("zookeeper-sync-limit"));
    if settings.path("zookeeper-tls-ca").is_some() && (tick.is_none() || sync_limit.is_none()) {
        return Err(Failure::usage(
            "servers behind --zookeeper-tls-ca are not asked for their times: say them with --zookeeper-tick-ms and \
             --zookeeper-sync-limit",
        ));
    }
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let mut is_told = false;
    let ensemble = loop {
        match Ensemble::ask(zookeeper, tick, sync_limit).await {
            Ok(ensemble) => break ensemble,
            Err(error) if Instant::now() >= deadline => return Err(Failure::unavailable(error.to_string())),
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("{error}; it is tried for {} s", OPEN_TIMEOUT.as_secs());
                }
                sleep(RETRY).await;
            }
        }
    };
    let named = settings.text("lease-profile").and_then(Profile::named);
    Ok((named.unwrap_or_else(|| Profile::fitting(ensemble.tick_ms, ensemble.sync_limit)), ensemble))
}

/// Checks the profile against what was granted.
fn lease(profile: Profile, ensemble: Ensemble, connection: &Connection) -> Result<Lease, Failure> {
    let Ensemble { tick_ms, sync_limit } = ensemble;
    let session_ms = u64::try_from(connection.session_timeout().as_millis()).unwrap_or(u64::MAX);
    let guard_ms = profile.check(session_ms, tick_ms, sync_limit).map_err(|unsafe_profile| {
        Failure::failed(format!("the leases of this node would not be safe: {unsafe_profile}"))
    })?;
    tracing::info!(?profile, session_ms, guard_ms, tick_ms, sync_limit, "leases");
    Ok(Lease { profile, session_ms, guard_ms, tick_ms })
}

fn traits(settings: &Settings, zookeeper: &str) -> Result<Traits, Failure> {
    let text = |key: &str| settings.text(key).unwrap_or_default().to_owned();
    let labels = settings.list("labels").map(|label| match label.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(Failure::usage(format!(
            "--labels: '{label}' is no label; give NAME=VALUE, several with commas between them"
        ))),
    });
    let advertised = settings.text("advertise").map(|text| {
        text.parse::<IpAddr>()
            .map_err(|_| Failure::usage(format!("--advertise: '{text}' is no IP address such as 192.0.2.7")))
    });
    let (cpu_m, mem_mib) = capacity();
    let number = |key: &str, else_: u32| match settings.number(key) {
        Some(number) => u32::try_from(number).unwrap_or(u32::MAX),
        None => else_,
    };
    Ok(Traits {
        ip: advertised.transpose()?.unwrap_or_else(|| own_address(zookeeper)).to_string(),
        zone: text("zone"),
        rack: text("rack"),
        groups: settings.list("groups").map(str::to_owned).collect(),
        labels: labels.collect::<Result<_, _>>()?,
        cpu_m: number("cpu-millis", cpu_m),
        mem_mib: number("memory-mib", mem_mib),
    })
}

/// The address from which this machine talks to ZooKeeper; nothing is sent to find it out.
fn own_address(zookeeper: &str) -> IpAddr {
    let hosts = zookeeper.split('/').next().unwrap_or_default();
    let from = |host: &str| {
        let any = if host.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(host).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    hosts.split(',').find_map(|host| from(host.trim())).unwrap_or(Ipv4Addr::LOCALHOST.into())
}
