//! The `flowkeeper` binary in small: this very test program, called by a script, plays shim, launcher and agent.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowkeeper_deploy::agent::{Agent, Options, StopMode, Traits, saved_session};
use flowkeeper_deploy::artifact::{Artifacts, Repositories};
use flowkeeper_deploy::lease::{Lease, Profile};
use flowkeeper_deploy::machine::DiskLimit;
use flowkeeper_deploy::shim;
use flowkeeper_engine::model::NodeId;
use flowkeeper_engine::restart::RestartPolicy;
use flowkeeper_zk::recipes::{self, Connection};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

/// Times of leases in tests. Their safety is checked all the same; only an election of several servers is not to be outlived.
pub(crate) const PROFILE: Profile = Profile {
    tick_ms: 100,
    sync_limit: 1,
    session_ms: 2_000,
    heartbeat_ms: 100,
    deadline_ms: 800,
    stop_ms: 100,
};

/// What an agent of a test is told, in the file `agent.json` of its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) hosts: String,
    pub(crate) node: String,
    pub(crate) program: PathBuf,
    /// Bytes that must be free on the disk.
    pub(crate) disk: u64,
}

/// Writes the script that takes the place of the binary.
pub(crate) fn program(folder: &Path) -> PathBuf {
    let path = folder.join("flowkeeper");
    let me = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nFK_ROLE=\"$1\" FK_FOLDER=\"$2\" FK_SHIM=\"$3\"\nexport FK_ROLE FK_FOLDER FK_SHIM\n\
         exec '{}' --exact roles::role --nocapture --test-threads=1\n",
        me.display()
    );
    // Written beside and renamed: another thread that forks meanwhile must not hold it open for writing.
    std::fs::write(folder.join("flowkeeper.new"), text).unwrap();
    std::fs::set_permissions(folder.join("flowkeeper.new"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(folder.join("flowkeeper.new"), &path).unwrap();
    path
}

#[expect(clippy::disallowed_methods, reason = "how the script hands over its arguments")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// No test: does nothing unless called by the script.
#[test]
fn role() {
    let (Some(role), Some(folder)) = (told("FK_ROLE"), told("FK_FOLDER")) else { return };
    let folder = Path::new(&folder);
    let code = match role.as_str() {
        "shim" => shim::main(folder),
        "exec-app" => shim::exec_main(folder, &told("FK_SHIM").unwrap_or_default()),
        "agent" => agent(folder),
        _ => 2,
    };
    std::process::exit(code);
}

fn agent(folder: &Path) -> i32 {
    let told: Told = serde_json::from_slice(&std::fs::read(folder.join("agent.json")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let (agent, connection) = match start(folder, told).await {
            Ok(started) => started,
            Err(reason) => {
                std::fs::write(folder.join("refused"), reason).unwrap();
                return 1;
            }
        };
        std::fs::write(folder.join("ready"), if connection.link().resumed { "resumed" } else { "new" })
            .unwrap();
        terminate.recv().await;
        agent.stop(StopMode::LeaveApps).await;
        connection.close();
        0
    })
}

#[expect(clippy::disallowed_methods, reason = "the session lives as long as the process")]
async fn start(folder: &Path, told: Told) -> Result<(Agent, Connection), String> {
    let data = folder.join("node");
    let options = recipes::Options {
        hosts: told.hosts,
        session_timeout: Duration::from_millis(PROFILE.session_ms),
        detached: true,
        resume: saved_session(&data),
        ..recipes::Options::default()
    };
    let (connection, driver) = Connection::open(options).await.map_err(|error| error.to_string())?;
    tokio::spawn(driver.run());
    let session_ms = u64::try_from(connection.session_timeout().as_millis()).unwrap();
    // One server elects nobody, so there is nothing to outlive.
    let lease = Lease { profile: PROFILE, session_ms, guard_ms: 0, tick_ms: PROFILE.tick_ms };
    let options = Options {
        node: NodeId(told.node),
        data: data.clone(),
        slots: 10,
        artifacts: Artifacts::new(data.join("artifacts"), Repositories::default())
            .map_err(|error| error.to_string())?,
        program: told.program,
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        policy: RestartPolicy::default(),
        lease: Some(lease),
        traits: Traits { zone: "z1".to_owned(), ..Traits::default() },
        disk: DiskLimit { bytes: told.disk, percent: 0 },
        sample: Duration::from_millis(100),
        starts: 1,
    };
    let agent = Agent::start(options, connection.clone()).await.map_err(|error| error.to_string())?;
    Ok((agent, connection))
}
