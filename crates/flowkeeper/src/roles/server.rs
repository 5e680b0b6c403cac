//! A server: REST API, candidate for leadership.

use std::collections::BTreeMap;

use flowkeeper_server::app::options::container::Registries;
use flowkeeper_server::run::Access;
use flowkeeper_zk::proto::path;

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
    let zookeeper = with_chroot(settings.required("zookeeper")?)?;
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
///
/// # Errors
/// What nobody could reach: a port that is no number, a chroot that is no path.
pub(super) fn with_chroot(text: &str) -> Result<String, Failure> {
    let wrong = |what: String| {
        Failure::usage(format!("--zookeeper: {what} in '{text}'; write HOST:PORT,HOST:PORT/CHROOT"))
    };
    let (hosts, chroot) = match text.find('/') {
        Some(at) => text.split_at(at),
        None => (text, "/flowkeeper"),
    };
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    for host in &hosts {
        let (name, port) = match host.rsplit_once(':') {
            // The colons within brackets belong to an IPv6 address.
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (*host, None),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong(format!("'{host}' is no host")));
        }
        if let Some(port) = port.filter(|port| port.parse::<u16>().is_err()) {
            return Err(wrong(format!("'{port}' is no port")));
        }
    }
    if path::validate(chroot).is_err() {
        return Err(wrong(format!("'{chroot}' is no path of a znode")));
    }
    Ok(format!("{}{chroot}", hosts.join(",")))
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

#[cfg(test)]
mod tests {
    use super::with_chroot;

    #[test]
    fn addresses_that_nobody_could_reach_are_refused_at_once() {
        let good = |text: &str| with_chroot(text).expect(text);
        assert_eq!(good("h1:2181,h2"), "h1:2181,h2/flowkeeper");
        assert_eq!(good("[::1]:2181,[fe80::1]/a/b"), "[::1]:2181,[fe80::1]/a/b");
        assert_eq!(good("h1:2181, h2:2181/"), "h1:2181,h2:2181/");
        for (text, what) in [
            ("127.0.0.1:2181flowkeeper", "'2181flowkeeper' is no port"),
            ("h:99999", "'99999' is no port"),
            ("h1:2181,,h2:2181", "'' is no host"),
            ("h1 h2:2181", "'h1 h2:2181' is no host"),
            ("h/a//b", "'/a//b' is no path"),
            ("h/a/", "'/a/' is no path"),
        ] {
            let error = with_chroot(text).expect_err(text).message;
            assert!(error.contains(what) && error.contains("write HOST:PORT"), "{error}");
        }
    }
}
