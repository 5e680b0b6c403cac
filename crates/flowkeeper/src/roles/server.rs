//! A server: REST API, candidate for leadership.

use std::collections::BTreeMap;

use flowkeeper_server::app::options::container::Registries;
use flowkeeper_server::run::Access;

use super::secrets::{credentials, keyring, tls};
use super::sources::{artifacts, registries};
use super::{block_on, say_ready};
use crate::catalog;
use crate::exit::Failure;
use crate::folder::Folder;
use crate::listen::bind;
use crate::settings::Settings;
use crate::signals::Signals;

pub(crate) fn run(settings: &Settings, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let folder = Folder::open("server", settings, env)?;
    let zookeeper = with_chroot(settings.required("zookeeper")?);
    let access = Access {
        servers: credentials(settings, "zookeeper-auth-file")?,
        agents: credentials(settings, "agents-auth-file")?,
        keyring: keyring(settings)?,
        tls: tls(settings)?,
    };
    if access.servers.is_none() && access.agents.is_some() {
        return Err(Failure::usage(
            "--agents-auth-file lets agents into a protected tree; protect it with --zookeeper-auth-file, too",
        ));
    }
    let artifacts = artifacts(settings, env, folder.path())?;
    let server_settings = server_settings(settings, settings.required("broker")?, registries(settings)?);
    block_on(async {
        let mut signals = Signals::new()?;
        let listener = bind("listen", settings.address("listen")?).await?;
        let options = flowkeeper_server::Options {
            id: folder.word("server-id", || format!("s-{}", uuid::Uuid::new_v4().simple()))?,
            listener,
            zookeeper: zookeeper.clone(),
            access,
            catalog: catalog::bundled(),
            artifacts,
            settings: server_settings,
        };
        let server = flowkeeper_server::start(options).await.map_err(|error| {
            if error.is_refusal() { Failure::not_allowed(error) } else { Failure::unavailable(error) }
        })?;
        if server.is_new_cluster() {
            tracing::warn!(
                "there was nothing at {zookeeper}: this is a new cluster; if there should be one, correct --zookeeper"
            );
        }
        say_ready(&[("api", server.local_addr())]);
        signals.received().await;
        server.stop().await;
        Ok(())
    })
}

/// Hosts with the default chroot when none is given.
pub(super) fn with_chroot(hosts: &str) -> String {
    if hosts.contains('/') { hosts.to_owned() } else { format!("{hosts}/flowkeeper") }
}

/// What requests see, from the settings and the address of the broker.
pub(super) fn server_settings(
    settings: &Settings,
    broker: &str,
    registries: Registries,
) -> flowkeeper_server::run::Settings {
    let defaults = [("spring.cloud.stream.kafka.binder.brokers", broker)];
    flowkeeper_server::run::Settings {
        app_defaults: defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        register_bundled: settings.text("bundled-apps") != Some("none"),
        max_body: settings.number("max-body-bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(2 << 20),
        registries,
        ..Default::default()
    }
}
