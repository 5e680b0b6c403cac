//! What the deployer properties of an app ask for: those of SCDF's local deployer (`deployer.<app>.local.…`), `memory`, `cpu`
//! and our own `health.…`, `exclusive`, `fence.…`, `criteria`, `apart` and `together`, read and checked in one place, so that a
//! server refuses what an agent could not carry out.
//!
//! Every property may be spelled as Spring reads it: `javaOpts`, `java-opts`, `java_opts`, `JAVA_OPTS`. A blank value is none.
//! Unknown keys below `local` are ignored, as SCDF does, and told in [`DeployerProperties::remarks`]; an unknown key below
//! `health` or `fence`, which only we read, is refused.

mod app;
mod error;
mod given;
mod place;
mod value;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

use crate::health::Probe;
use crate::port;
use crate::record::ManifestApp;
pub(crate) use app::{APPLICATION_JSON, application_json};
pub use error::DeployPropertyError;
pub use given::deployer_property;
pub(crate) use given::relaxed;
use given::{Given, given, given_list, named};
pub use place::{Fencing, Placing};

/// Grace time of a stop when none is given, as in SCDF's local deployer, in seconds.
const SHUTDOWN_TIMEOUT_S: i64 = 30;
/// Variables that apps inherit unless told otherwise: those of SCDF's local deployer, and what says where temporary files,
/// time zone and Java are.
const INHERITED: [&str; 9] =
    ["TMP", "LANG", "LANGUAGE", "LC_.*", "PATH", "SPRING_APPLICATION_JSON", "TMPDIR", "TZ", "JAVA_HOME"];
/// Largest compiled pattern of a variable's name, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// Keys below `local` that [`DeployerProperties::read`] reads; a map is named by its first element.
const LOCAL: [&str; 21] = [
    "workingdirectoriesroot",
    "deletefilesonexit",
    "envvarstoinherit",
    "javacmd",
    "javahomepath",
    "javaopts",
    "shutdowntimeout",
    "usespringapplicationjson",
    "portrange.low",
    "portrange.high",
    "debugport",
    "debugaddress",
    "debugsuspend",
    "inheritlogging",
    "hostname",
    "startupprobe.path",
    "healthprobe.path",
    "appadmin.user",
    "appadmin.password",
    // Known to SCDF and without meaning for a process of ours: see `remarks`.
    "maximumconcurrenttasks",
    "docker",
];
/// Keys below `health`.
const HEALTH: [&str; 3] = ["path", "alive-seconds", "timeout-seconds"];
/// Keys below `fence`.
const FENCE: [&str; 2] = ["mode", "freeze-max-seconds"];

/// What is asked for one app, with its defaults.
#[derive(Clone, Debug)]
pub struct DeployerProperties {
    /// How its virtual machine is started, when it is a Java app.
    pub java: Java,
    /// Patterns of the variables it inherits; one must match the whole name.
    pub inherited: Vec<Regex>,
    /// Whether its properties come in one variable, `SPRING_APPLICATION_JSON`; otherwise each is a variable of its name.
    pub as_json: bool,
    /// The port it is given.
    pub port: Port,
    /// Host part of its address as it is told to others; this machine's loopback address otherwise.
    pub hostname: Option<String>,
    /// Milliseconds between a polite and a forced stop; 0: at once by force.
    pub grace_ms: u64,
    /// Where its working directory is made; within the agent's own folder otherwise.
    pub root: Option<PathBuf>,
    /// Whether what it wrote stays when it is undeployed.
    pub keeps_files: bool,
    /// Whether its output also goes to that of the agent.
    pub inherits_output: bool,
    /// Who may change it through its actuator.
    pub admin: Option<Admin>,
    /// How it is asked whether it is ready.
    pub probe: Probe,
    /// Where it may run, and how surely alone.
    pub placing: Placing,
    /// What becomes of a strict instance whose node loses its contact.
    pub fence: Fencing,
    /// Sentences about what was given and has no effect.
    pub remarks: Vec<String>,
}

/// How a Java virtual machine is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Java {
    /// The command, when it is not the usual one.
    pub command: Option<String>,
    /// Generation of Spring Boot, by which one home among several is chosen.
    pub generation: String,
    /// Home of the Java installation for that generation.
    pub home: Option<PathBuf>,
    pub options: Vec<String>,
    /// Largest heap in MiB, when no option says it.
    pub heap_mib: Option<u64>,
    pub debug: Option<Debug>,
}

/// A debugger may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debug {
    /// Address for instance 0; each further one listens one port higher.
    pub address: DebugAddress,
    /// Whether the app waits for it.
    pub suspend: bool,
}

/// Where a debugger connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugAddress {
    /// `*`: all addresses. `None`: loopback.
    pub host: Option<String>,
    pub port: u16,
}

/// The port an app is told to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// Any free one of these.
    Free(RangeInclusive<u16>),
    /// The one its user gave it.
    Fixed(u16),
    /// It serves nothing over HTTP.
    Nothing,
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Admin {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Checks everything that can be known before an app is started somewhere.
///
/// # Errors
/// The first property that cannot be carried out.
pub fn check_deployer_properties(app: &ManifestApp) -> Result<(), DeployPropertyError> {
    DeployerProperties::read(app).map(drop)
}

/// The port that the user fixed for `app`, if any. Cheaper than reading everything.
pub fn fixed_port(app: &ManifestApp) -> Option<u16> {
    match app::port(app, port::USUAL) {
        Ok(Port::Fixed(port)) => Some(port),
        _ => None,
    }
}

impl DeployerProperties {
    /// Reads the properties of `app`.
    ///
    /// # Errors
    /// The first that cannot be carried out.
    pub fn read(app: &ManifestApp) -> Result<DeployerProperties, DeployPropertyError> {
        let switch = |name: &str| given(app, name).map(value::switch).transpose();
        let as_json = switch("local.use-spring-application-json")?.unwrap_or(true) || app::asks_for_json(app);
        app::check(app, as_json)?;
        if let Some(seconds) = given(app, "health.timeout-seconds") {
            value::integer(seconds, 1, i64::MAX)?;
        }
        let admin = admin(app)?;
        Ok(DeployerProperties {
            java: java(app)?,
            inherited: inherited(app)?,
            as_json,
            port: app::port(app, port_range(app)?)?,
            hostname: given(app, "local.hostname").map(value::host).transpose()?,
            grace_ms: grace_ms(app)?,
            root: root(app)?,
            keeps_files: switch("local.delete-files-on-exit")?.is_some_and(|delete| !delete),
            inherits_output: switch("local.inherit-logging")?.unwrap_or(false),
            probe: probe(app, admin.as_ref())?,
            admin,
            placing: place::placing(app)?,
            fence: place::fencing(app)?,
            remarks: remarks(app)?,
        })
    }
}

fn java(app: &ManifestApp) -> Result<Java, DeployPropertyError> {
    let text = |name: &str| given(app, name).map(|given| given.value.to_owned());
    let generation =
        text("boot-version").or_else(|| app::boot_version(app)).unwrap_or_else(|| "3".to_owned());
    let options = given(app, "local.java-opts").map(value::words).transpose()?.unwrap_or_default();
    let memory = given(app, "memory").map(value::mebibytes).transpose()?;
    let limits_heap = options.iter().any(|option| option.starts_with("-Xmx"));
    Ok(Java {
        command: text("local.java-cmd").filter(|command| command != "java"),
        home: text(&format!("local.java-home-path.{generation}")).map(PathBuf::from),
        generation,
        options,
        heap_mib: memory.filter(|_| !limits_heap),
        debug: debug(app)?,
    })
}

fn debug(app: &ManifestApp) -> Result<Option<Debug>, DeployPropertyError> {
    let suspend = given(app, "local.debug-suspend").map(|given| match given.value {
        "y" | "Y" => Ok(true),
        "n" | "N" => Ok(false),
        _ => Err(given.invalid("give y, so that the app waits for a debugger, or n")),
    });
    let suspend = suspend.transpose()?.unwrap_or(true);
    // The port alone is the older of the two and yields.
    let port = given(app, "local.debug-port");
    let of_port = port.map(value::port).transpose()?.map(|port| DebugAddress { host: None, port });
    let full = given(app, "local.debug-address");
    let Some(address) = full.map(value::debug_address).transpose()?.or(of_port) else { return Ok(None) };
    let last = u64::from(address.port) + u64::from(app.count.saturating_sub(1));
    match full.or(port) {
        Some(given) if last > u64::from(u16::MAX) => Err(given.invalid(format!(
            "instance {} would be debugged on port {last}, which does not exist; give a lower port",
            app.count - 1
        ))),
        _ => Ok(Some(Debug { address, suspend })),
    }
}

fn inherited(app: &ManifestApp) -> Result<Vec<Regex>, DeployPropertyError> {
    static USUAL: LazyLock<Vec<Regex>> =
        LazyLock::new(|| INHERITED.iter().filter_map(|pattern| whole_name(pattern)).collect());
    let Some(patterns) = given_list(app, "local.env-vars-to-inherit") else { return Ok(USUAL.clone()) };
    let compiled = patterns.into_iter().map(|given: Given<'_>| {
        whole_name(given.value).ok_or_else(|| {
            given.invalid(
                "this is no regular expression that can be used; give names of variables such as HTTP_PROXY or \
                 patterns such as MY_.*, separated by commas",
            )
        })
    });
    compiled.collect()
}

/// A pattern that must match all of a name; `None` when it is none.
fn whole_name(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES).build().ok()
}

/// From `low` to below `high`, as in SCDF; one end alone keeps the other's default.
fn port_range(app: &ManifestApp) -> Result<RangeInclusive<u16>, DeployPropertyError> {
    let (low, high) = (given(app, "local.port-range.low"), given(app, "local.port-range.high"));
    let Some(told) = high.or(low) else { return Ok(port::USUAL) };
    let first = low.map(value::port).transpose()?.unwrap_or(*port::USUAL.start());
    let end = high.map(|high| value::integer(high, 2, 65_536)).transpose()?;
    let end = end.unwrap_or_else(|| i64::from(*port::USUAL.end()).max(i64::from(first)) + 1);
    match u16::try_from(end - 1) {
        Ok(last) if first <= last => Ok(first..=last),
        _ => Err(told.invalid(format!(
            "no port lies from {first} to below {end}; give a portRange.high that is above portRange.low"
        ))),
    }
}

fn grace_ms(app: &ManifestApp) -> Result<u64, DeployPropertyError> {
    let seconds = given(app, "local.shutdown-timeout").map(|given| value::integer(given, -1, i64::MAX));
    let seconds = seconds.transpose()?.unwrap_or(SHUTDOWN_TIMEOUT_S);
    Ok(u64::try_from(seconds).map_or(0, |seconds| seconds.saturating_mul(1000)))
}

fn root(app: &ManifestApp) -> Result<Option<PathBuf>, DeployPropertyError> {
    let Some(given) = given(app, "local.working-directories-root") else { return Ok(None) };
    let path = PathBuf::from(given.value);
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(given
            .invalid("give a path that begins with a slash: it may be any node's that makes the directory"))
    }
}

fn admin(app: &ManifestApp) -> Result<Option<Admin>, DeployPropertyError> {
    let (user, password) = (given(app, "local.app-admin.user"), given(app, "local.app-admin.password"));
    let alone = |given: Given<'_>, other: &str| {
        let problem = format!("an administrator needs both; give {other} too");
        DeployPropertyError::new(&app.label, given.key(), None, problem)
    };
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => {
            Ok(Some(Admin { user: user.value.to_owned(), password: password.value.to_owned() }))
        }
        (Some(user), None) => Err(alone(user, "appAdmin.password")),
        (None, Some(password)) => Err(alone(password, "appAdmin.user")),
    }
}

fn probe(app: &ManifestApp, admin: Option<&Admin>) -> Result<Probe, DeployPropertyError> {
    let page = |name: &str| given(app, name).map(value::page).transpose();
    let alive = given(app, "health.alive-seconds").map(|given| value::integer(given, 0, i64::MAX));
    let of_local = page("local.health-probe.path")?;
    Ok(Probe {
        startup: page("local.startup-probe.path")?,
        health: page("health.path")?.or(of_local),
        alive_s: alive.transpose()?.and_then(|seconds| u64::try_from(seconds).ok()),
        credentials: admin.map(|admin| (admin.user.clone(), admin.password.clone())),
        ..app::pages(app)
    })
}

/// What was given and does nothing.
fn remarks(app: &ManifestApp) -> Result<Vec<String>, DeployPropertyError> {
    let mut remarks = Vec::new();
    for given in named(app) {
        let name = relaxed(given.name);
        let ours = [("health", &HEALTH[..]), ("fence", &FENCE[..])];
        let ours = ours
            .into_iter()
            .find_map(|(word, keys)| Some((word, keys, name.strip_prefix(word)?.strip_prefix('.')?)));
        if let Some((word, keys, key)) = ours {
            if !keys.iter().any(|known| relaxed(known) == key) {
                return Err(given.invalid(format!("there is no such key; {word} has {}", keys.join(", "))));
            }
        } else if let Some(key) = name.strip_prefix("local.") {
            let is = |known: &str| {
                key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            match LOCAL.iter().find(|known| is(known)) {
                None => remarks.push(format!("{} is not known and has no effect", given.key())),
                Some(&("docker" | "maximumconcurrenttasks")) => {
                    remarks.push(format!(
                        "{} has no effect on a stream app that runs as a process",
                        given.key()
                    ));
                }
                Some(_) => {}
            }
        }
    }
    Ok(remarks)
}

#[cfg(test)]
mod tests;
