//! From keys to the fields of a configuration, except those of TLS and authentication.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::listeners::{self, Listener};
use super::values::shown;
use super::{Settings, Sources};
use crate::server::config::{Admin, Config};
use crate::server::core::WORDS;
use crate::server::storage::log::Durability;

/// How long writes may be on the way to the disk with `forceSync=no`.
const LAZY: Duration = Duration::from_secs(1);
/// Port of the admin side, as with Apache.
const ADMIN_PORT: u16 = 8080;
/// Port of the metrics, as with Apache.
const METRICS_PORT: u16 = 7000;

/// What Apache takes for what a file leaves out.
fn apache() -> Config {
    Config {
        tick: Duration::from_secs(3),
        min_session_timeout: Duration::from_secs(6),
        max_session_timeout: Duration::from_secs(60),
        max_connections_per_client: 60,
        words: vec!["srvr".into()],
        ..Config::default()
    }
}

/// The configuration and its listeners; what is wrong is left in the settings. `None` only if something is.
pub(super) fn config(settings: &mut Settings, sources: &Sources<'_>) -> Option<(Config, Vec<Listener>)> {
    let mut config = if sources.file.is_some() { apache() } else { sources.base.clone() };
    times(settings, &mut config);
    doors(settings, &mut config, sources);
    data(settings, &mut config, sources);
    limits(settings, &mut config);
    super::secure::apply(settings, &mut config);
    config.admin = admin(settings);
    config.metrics = metrics(settings);
    let listeners = listeners::all(settings, &config, sources);
    config.source = settings
        .given
        .iter()
        .map(|(key, given)| (key.clone(), if is_secret(key) { "***".into() } else { given.value.clone() }))
        .collect();
    if settings.problems.is_empty()
        && let Err(error) = config.validate()
    {
        settings.problem(error.to_string());
    }
    settings.problems.is_empty().then_some((config, listeners))
}

fn is_secret(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("password") || key.ends_with("superDigest")
}

fn times(settings: &mut Settings, config: &mut Config) {
    if let Some(tick) = settings.millis("tickTime", 1) {
        config.tick = tick;
        config.min_session_timeout = tick * 2;
        config.max_session_timeout = tick * 20;
    }
    if let Some(least) = settings.millis_or_default("minSessionTimeout", 1) {
        config.min_session_timeout = least;
    }
    if let Some(most) = settings.millis_or_default("maxSessionTimeout", 1) {
        config.max_session_timeout = most;
    }
    if config.min_session_timeout > config.max_session_timeout {
        let text = format!(
            "the shortest session timeout is {} ms, the longest {} ms; write minSessionTimeout and maxSessionTimeout the \
             other way round, or leave them out: they are 2 and 20 times tickTime then",
            config.min_session_timeout.as_millis(),
            config.max_session_timeout.as_millis()
        );
        let bounds = ["minSessionTimeout", "maxSessionTimeout"].map(|key| settings.text(key).cloned());
        let last = bounds.into_iter().flatten().max_by_key(|given| given.place.order);
        match last.or_else(|| settings.text("tickTime").cloned()) {
            Some(last) => settings.problem_at(&last.place, text),
            None => settings.problem(text),
        }
    }
    if let Some(every) = settings.millis("znode.container.checkIntervalMs", 1) {
        config.container_check = every;
    }
    if let Some(after) = settings.millis("znode.container.maxNeverUsedIntervalMs", 0) {
        config.container_never_used = Some(after).filter(|after| !after.is_zero());
    }
    if let Some(most) = settings.number("znode.container.maxPerMinute", 1) {
        config.container_max_per_minute = most as usize;
    }
}

fn doors(settings: &mut Settings, config: &mut Config, sources: &Sources<'_>) {
    let given = settings.listener("clientPortAddress", "clientPort");
    let is_tls_only = settings.text("secureClientPort").is_some_and(|given| given.value != "-1");
    match sources.listen.or(given) {
        Some(listen) => config.listen = listen,
        None if is_tls_only => config.plain = false,
        None if sources.file.is_some() && settings.text("clientPort").is_none() => settings.problem(
            "neither clientPort nor secureClientPort is given; write clientPort=2181, or start with --zookeeper-listen ADDR",
        ),
        None => {}
    }
    let is_loopback_by_default = sources.listen.is_none() && settings.text("clientPortAddress").is_none();
    if sources.file.is_some() && config.plain && is_loopback_by_default {
        settings.warn(
            "clientPortAddress is not given: only clients on this machine can connect; for others write \
             clientPortAddress=0.0.0.0, which is what Apache takes",
        );
    }
}

fn data(settings: &mut Settings, config: &mut Config, sources: &Sources<'_>) {
    let given = settings.text("dataDir").cloned();
    let named = given.as_ref().map(|given| given.value.clone().into());
    config.data = sources.data.clone().or(named).or(config.data.take());
    if config.data.is_none() && sources.file.is_some() {
        settings.problem("dataDir is not given; write dataDir=FOLDER, or start with --data FOLDER");
    }
    match (&sources.data, &given) {
        (Some(data), _) => is_folder(data).unwrap_or_else(|why| settings.problem(format!("--data: {why}"))),
        (None, Some(given)) => folder(settings, "dataDir", Path::new(&given.value)),
        (None, None) => {}
    }
    if let Some(log) = settings.text("dataLogDir").cloned() {
        folder(settings, "dataLogDir", Path::new(&log.value));
    }
    if let Some(given) = given.filter(|_| sources.data.is_none())
        && Path::new(&given.value).is_relative()
        && !given.value.starts_with("./")
    {
        settings.warn(format!(
            "{}: dataDir is relative, so it depends on where the server is started; write ./{} if that is wanted",
            given.place,
            shown(&given.value)
        ));
    }
    config.log = settings.text("dataLogDir").map(|given| given.value.clone().into());
    if settings.switch("forceSync") == Some(false) {
        config.durability = Durability::Interval(LAZY);
        settings.warn(
            "forceSync is off: writes are acknowledged before they are on the disk, and a crash of the machine may lose \
             the last second of them",
        );
    }
    config.snapshot_after = settings.number("snapCount", 2).map(|count| count.unsigned_abs());
    if let Some(kept) = settings.number("autopurge.snapRetainCount", 1) {
        // One alone might turn out unreadable.
        config.kept_snapshots = (kept as usize).max(config.kept_snapshots);
    }
}

/// Says so if a folder that a key names cannot be one.
fn folder(settings: &mut Settings, key: &str, path: &Path) {
    if let Err(why) = is_folder(path) {
        settings.wrong(key, &why);
    }
}

/// Whether there is a folder at a path, or may be one: nothing on the way to it is a file.
fn is_folder(path: &Path) -> Result<(), String> {
    let there = path.ancestors().find_map(|part| Some((part, std::fs::metadata(part).ok()?)));
    match there {
        Some((part, found)) if !found.is_dir() => {
            Err(format!("{} is not a folder; name another one", shown(&part.display().to_string())))
        }
        _ => Ok(()),
    }
}

fn limits(settings: &mut Settings, config: &mut Config) {
    if let Some(most) = settings.number("jute.maxbuffer", 1024) {
        config.max_frame = most as usize;
        if most > 64 << 20 {
            settings.wrong("jute.maxbuffer", "the longest request can be 64 MiB (67108864)");
        }
    }
    if let Some(most) = settings.number("maxClientCnxns", 0) {
        config.max_connections_per_client = most as usize;
    }
    if let Some(most) = settings.number("maxCnxns", 0) {
        config.max_connections = most as usize;
    }
    words(settings, config);
    // Only clients that know these nodes create them, so they are on unless somebody switches them off.
    config.extended_types = settings.switch("extendedTypesEnabled").unwrap_or(true);
    config.enforce_quota = settings.is_on("enforceQuota");
    config.eager_acl_check = settings.is_on("enableEagerACLCheck");
}

fn words(settings: &mut Settings, config: &mut Config) {
    const KEY: &str = "4lw.commands.whitelist";
    let Some(given) = settings.given.get(KEY).cloned() else { return };
    // An empty list answers none.
    config.words = settings.list(KEY).unwrap_or_default();
    for word in &config.words {
        if word != "*" && !WORDS.contains(&word.as_str()) {
            let word = shown(word);
            settings.warn(format!(
                "{}: {word} is no four-letter word here; there are {}",
                given.place,
                WORDS.join(", ")
            ));
        }
    }
}

fn admin(settings: &mut Settings) -> Option<Admin> {
    let is_meant = settings.text("admin.serverPort").or(settings.text("admin.serverAddress")).is_some();
    let switch = settings.switch("admin.enableServer");
    // Read even where nobody asks for the admin side, so that wrong values are told.
    let port = settings.port("admin.serverPort").unwrap_or(ADMIN_PORT);
    let path = command_url(settings);
    let idle = settings.millis("admin.idleTimeout", 1);
    let pause = settings.millis("admin.rateLimiterIntervalInMS", 0);
    let snapshot = settings.switch("admin.snapshot.enabled").unwrap_or(true);
    let restore = settings.switch("admin.restore.enabled").unwrap_or(true);
    if !switch.unwrap_or(is_meant) {
        if switch.is_none() {
            settings.idle("admin.", "the admin side is off; write admin.enableServer=true to have it");
        }
        return None;
    }
    let usual = Admin::at(settings.host("admin.serverAddress", port)?);
    Some(Admin {
        path: path.unwrap_or(usual.path),
        idle: idle.unwrap_or(usual.idle),
        pause: pause.unwrap_or(usual.pause),
        snapshot,
        restore,
        listen: usual.listen,
    })
}

fn command_url(settings: &mut Settings) -> Option<String> {
    const KEY: &str = "admin.commandURL";
    let path = settings.text(KEY)?.value.clone();
    if !path.starts_with('/') || path.contains(|c: char| !c.is_ascii_graphic() || "?#%".contains(c)) {
        settings.wrong(KEY, "write a path such as /commands");
    }
    let path = path.trim_matches('/');
    Some(if path.is_empty() { String::new() } else { format!("/{path}") })
}

fn metrics(settings: &mut Settings) -> Option<SocketAddr> {
    match settings.class("metricsProvider.className")?.as_str() {
        "PrometheusMetricsProvider" => {
            let port = settings.port("metricsProvider.httpPort").unwrap_or(METRICS_PORT);
            settings.host("metricsProvider.httpHost", port)
        }
        // These export nothing.
        "DefaultMetricsProvider" | "NullMetricsProvider" => None,
        _ => {
            settings.wrong(
                "metricsProvider.className",
                "there is no Java here to load it; write org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider, \
                 or remove the line",
            );
            None
        }
    }
}
