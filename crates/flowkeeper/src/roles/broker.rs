//! The embedded broker alone.

use std::collections::BTreeMap;

use super::{block_on, say_ready};
use crate::exit::Failure;
use crate::folder::Folder;
use crate::listen::check_free;
use crate::settings::Settings;
use crate::signals::Signals;

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let folder = Folder::open("broker", settings, env)?;
    let listen = settings.address("broker-listen")?;
    block_on(async {
        check_free("broker-listen", listen)?;
        let mut signals = Signals::new()?;
        let config = flowkeeper_broker::Config {
            listen,
            data: folder.path().join("broker"),
            ..flowkeeper_broker::Config::default()
        };
        let broker = flowkeeper_broker::start(config).await.map_err(Failure::failed)?;
        say_ready(&[("broker", broker.local_addr())]);
        tokio::select! {
            () = signals.received() => {}
            error = broker.failed() => return Err(Failure::failed(error)),
        }
        broker.stop().await.map_err(Failure::failed)
    })
}
