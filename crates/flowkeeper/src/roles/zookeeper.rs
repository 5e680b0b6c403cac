//! The embedded ZooKeeper server alone, set up by Apache's `zoo.cfg`, by single settings, or by neither.

use std::collections::BTreeMap;
use std::path::Path;

use flowkeeper_zk::server::zoo_cfg::{self, Listener, Loaded};
use flowkeeper_zk::server::{self, Config};

use super::{block_on, say_ready};
use crate::exit::Failure;
use crate::folder::{self, Folder};
use crate::settings::Settings;
use crate::signals::Signals;

/// The server's own folder in that of the role.
const SUBFOLDER: &str = "zookeeper";

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let Loaded { mut config, listeners, .. } = configure(settings, env)?;
    let data = config.data.take();
    let data =
        data.ok_or_else(|| Failure::usage("there is no HOME to keep data in; say where with --data DIR"))?;
    refuse_data_of_apache(&data)?;
    // All that can be known before a folder is made: a start that fails leaves nothing behind.
    config.check().map_err(Failure::usage)?;
    listeners.iter().try_for_each(check_free)?;
    config.log = config.log.map(|log| log.join(SUBFOLDER));
    config.log.as_deref().map_or(Ok(()), make_log_folder)?;
    let folder = Folder::at(data)?;
    config.data = Some(folder.path().join(SUBFOLDER));
    block_on(async {
        let plain = Some(config.listen).filter(|_| config.plain);
        let mut signals = Signals::new()?;
        let server = server::start(config).await.map_err(refused)?;
        let plain = plain.map(|_| server.local_addr());
        let names = ["zookeeper", "zookeeper-tls", "zookeeper-admin", "zookeeper-metrics"];
        let addrs = [plain, server.secure_addr(), server.admin_addr(), server.metrics_addr()];
        let listeners: Vec<_> =
            names.into_iter().zip(addrs).filter_map(|(name, addr)| Some((name, addr?))).collect();
        say_ready(&listeners);
        tokio::select! {
            () = signals.received() => {}
            error = server.failed() => return Err(Failure::failed(error)),
        }
        server.stop().await.map_err(Failure::failed)
    })
}

/// A setting that cannot be used is the caller's mistake.
fn refused(error: server::Error) -> Failure {
    match error {
        server::Error::Config(_) => Failure::usage(error),
        _ => Failure::failed(error),
    }
}

/// Settings from the file, `-D`, environment and flags, in this order; data are where [`Folder::at`] is to look.
fn configure(settings: &Settings, env: &BTreeMap<String, String>) -> Result<Loaded, Failure> {
    let listen = settings.address("zookeeper-listen")?;
    let data = settings.path("data");
    // Without a home somebody must say where; who does is not asked for it.
    let home = folder::default_path("zookeeper", env).ok();
    let sources = zoo_cfg::Sources {
        file: settings.zoo_cfg(),
        base: Config { listen, data: home, ..Config::default() },
        properties: settings.properties(),
        listen: Some(listen).filter(|_| settings.is_given("zookeeper-listen")),
        data,
    };
    let loaded = zoo_cfg::load(&sources).map_err(Failure::usage)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded)
}

/// Fails when an address cannot be listened on, with the key that named it.
fn check_free(listener: &Listener) -> Result<(), Failure> {
    let (addr, key) = (listener.addr, listener.key);
    std::net::TcpListener::bind(addr).map(drop).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            let holder =
                flowkeeper_deploy::port::holder(addr.port()).unwrap_or_else(|| "another process".to_owned());
            return Failure::failed(format!(
                "{listener}, which is in use by {holder}; stop it, or give another {key} (port 0: any free one)"
            ));
        }
        let advice = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "give a port from 1024 on, or let this user have lower ones",
            _ => "give an address of this machine, such as 127.0.0.1 or 0.0.0.0",
        };
        Failure::failed(format!("{listener}, which cannot be listened on: {error}; {advice}"))
    })
}

/// Makes the folder of the log, of which the server would take for granted that it can be there.
fn make_log_folder(log: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(log).map_err(|error| {
        Failure::usage(format!(
            "the folder {} for dataLogDir cannot be made: {error}; give another dataLogDir, or leave it out to have the \
             log in dataDir",
            log.display()
        ))
    })
}

/// A server of Apache's keeps its data in `version-2`. Beside them this one would start empty, and clients would miss
/// everything.
fn refuse_data_of_apache(data: &Path) -> Result<(), Failure> {
    let theirs = data.join("version-2");
    let is_data = |name: &str| name.starts_with("snapshot.") || name.starts_with("log.");
    let mut entries = std::fs::read_dir(&theirs).into_iter().flatten().flatten();
    let is_theirs = entries.any(|entry| entry.file_name().to_str().is_some_and(is_data));
    if !is_theirs || data.join(SUBFOLDER).join("format").exists() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} holds the data of an Apache ZooKeeper, which this server does not use as they are; take them over with \
         'flowkeeper zookeeper import --from {} --data DIR' and give DIR as dataDir, or give an empty folder",
        theirs.display(),
        data.display()
    )))
}
