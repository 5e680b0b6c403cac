//! The embedded ZooKeeper server alone.

use std::collections::BTreeMap;

use flowkeeper_zk::server;

use super::{block_on, say_ready};
use crate::exit::Failure;
use crate::folder::Folder;
use crate::listen::check_free;
use crate::settings::Settings;
use crate::signals::Signals;

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let folder = Folder::open("zookeeper", settings, env)?;
    let listen = settings.address("zookeeper-listen")?;
    block_on(async {
        check_free("zookeeper-listen", listen)?;
        let mut signals = Signals::new()?;
        let config = server::Config {
            listen,
            data: Some(folder.path().join("zookeeper")),
            ..server::Config::default()
        };
        let server = server::start(config).await.map_err(Failure::failed)?;
        say_ready(&[("zookeeper", server.local_addr())]);
        tokio::select! {
            () = signals.received() => {}
            error = server.failed() => return Err(Failure::failed(error)),
        }
        server.stop().await.map_err(Failure::failed)
    })
}
