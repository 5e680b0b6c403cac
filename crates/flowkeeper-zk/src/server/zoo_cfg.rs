//! Apache's configuration file `zoo.cfg`, made into a [`Config`].
//!
//! A file has the syntax of Java's properties (`properties`), and every key may carry the prefix `zookeeper.`, since
//! in Apache each one that the file's reader does not know becomes the Java property of that name. What becomes of
//! which key stands in one table (`keys`). A key that nobody knows is an error, so that a slip of the pen never
//! leaves a server without the protection somebody meant to give it; so is one that would need an ensemble, and one
//! whose protection this server does not have. Keys that only tune Apache's inside are accepted and told.
//!
//! In two things safety goes before likeness: without an address everything binds the loopback address, and the admin
//! side is off unless it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::config::Config;

mod build;
mod jaas;
mod keys;
mod properties;
mod secure;
#[cfg(test)]
mod tests;
mod values;

use keys::Fate;

/// Where settings come from; later ones win: `file` or `base`, `properties`, then `listen` and `data`.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The file. What it leaves out is as with Apache.
    pub file: Option<&'a Path>,
    /// What counts where there is no file.
    pub base: Config,
    /// Single settings, as `key=value`.
    pub properties: &'a [String],
    /// Where to listen, whatever file and properties say.
    pub listen: Option<SocketAddr>,
    /// Where to keep data, whatever file and properties say.
    pub data: Option<PathBuf>,
}

/// What the sources say.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration. [`Config::data`] is `dataDir` as given.
    pub config: Config,
    /// What was accepted and changes nothing, or deserves a second look: a sentence each.
    pub warnings: Vec<String>,
}

/// Why there is no configuration: a sentence for each thing that is wrong, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// A value and where it was given.
#[derive(Debug, Clone)]
struct Given {
    value: String,
    /// `FILE line N`, or `-D KEY`.
    place: String,
}

/// Everything that was given, by key without `zookeeper.`; and what is to be told.
#[derive(Debug, Default)]
struct Settings {
    given: BTreeMap<String, Given>,
    warnings: Vec<String>,
    problems: Vec<String>,
}

/// Reads the sources.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Problems> {
    let mut settings = Settings::default();
    if let Some(file) = sources.file {
        let bytes = std::fs::read(file).map_err(|error| {
            Problems(vec![format!(
                "the configuration file {} cannot be read: {error}; name another one",
                file.display()
            )])
        })?;
        let entries = properties::parse(&properties::text(&bytes)).map_err(|bad| {
            Problems(vec![format!(
                "{} line {}: {} is no character; write \\u and four hexadecimal digits, and \\\\ for a backslash",
                file.display(),
                bad.line,
                bad.escape
            )])
        })?;
        for entry in entries {
            settings.add(&entry.key, entry.value, format!("{} line {}", file.display(), entry.line));
        }
    }
    // These replace what the file says, without a word.
    for property in sources.properties {
        let (key, value) = property.split_once('=').unwrap_or((property.as_str(), ""));
        settings.given.remove(key.strip_prefix(PREFIX).unwrap_or(key));
        settings.add(key.trim(), value.trim().to_owned(), "-D".to_owned());
    }
    let config = build::config(&mut settings, sources);
    match config {
        Some(config) if settings.problems.is_empty() => Ok(Loaded { config, warnings: settings.warnings }),
        _ => Err(Problems(settings.problems)),
    }
}

/// Whether two values mean the same.
fn same(one: &str, other: &str) -> bool {
    let plain = |value: &str| match value.to_ascii_lowercase().as_str() {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        other => other.to_owned(),
    };
    plain(one) == plain(other)
}

/// What turns a key into a Java property.
const PREFIX: &str = "zookeeper.";

impl Settings {
    fn add(&mut self, full: &str, value: String, place: String) {
        let key = full.strip_prefix(PREFIX).unwrap_or(full);
        match keys::fate(key) {
            Some(Fate::Used) => {
                let given = Given { value, place };
                if let Some(older) = self.given.insert(key.to_owned(), given) {
                    self.warnings
                        .push(format!("{}: {full} is given again further down, which counts", older.place));
                }
            }
            Some(Fate::Idle(why)) => self.warnings.push(format!("{place}: {full} changes nothing: {why}")),
            Some(Fate::Only(wanted, _)) if value.is_empty() || same(&value, wanted) => {}
            Some(Fate::Only(wanted, why)) => {
                self.problems.push(format!("{place}: {full} can be {wanted} only, not '{value}': {why}"));
            }
            Some(Fate::Refused(why)) => self.problems.push(format!("{place}: {full} cannot be had: {why}")),
            None => {
                let hint = keys::nearest(key).map_or_else(
                    || "remove it, or look for the right one in docs/zookeeper.md".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                self.problems.push(format!("{place}: the key {full} is unknown; {hint}"));
            }
        }
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// A value that is not empty.
    fn text(&self, key: &str) -> Option<&Given> {
        self.given.get(key).filter(|given| !given.value.is_empty())
    }

    /// Says that the value of a key is wrong, if it was given.
    fn wrong(&mut self, key: &str, why: &str) {
        let Some(given) = self.given.get(key) else { return };
        let text = format!("{}: {key} is '{}'; {why}", given.place, given.value);
        self.problems.push(text);
    }
}
