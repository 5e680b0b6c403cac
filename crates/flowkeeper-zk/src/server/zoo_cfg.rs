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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::config::Config;

mod build;
mod jaas;
mod keys;
mod listeners;
mod properties;
mod secure;
#[cfg(test)]
mod tests;
mod values;

use keys::Fate;
pub use listeners::Listener;
use values::shown;

/// The longest file that is read; those of this world have some hundred bytes.
const MAX_FILE: u64 = 1 << 20;
/// Problems that are told one by one.
const TOLD: usize = 20;

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
    /// Every address that will be listened on, and who asked for it.
    pub listeners: Vec<Listener>,
    /// What was accepted and changes nothing, or deserves a second look: a sentence each.
    pub warnings: Vec<String>,
}

/// Why there is no configuration: a sentence for each thing that is wrong, in the order of the file; what comes from
/// no line of it stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &self.0[..self.0.len().min(TOLD)];
        f.write_str(&told.join("\n"))?;
        match self.0.len() - told.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more; is this a zoo.cfg?"),
        }
    }
}

impl std::error::Error for Problems {}

/// A value and where it was given.
#[derive(Debug, Clone)]
struct Given {
    value: String,
    place: Place,
}

/// Where something was given.
#[derive(Debug, Clone)]
struct Place {
    /// `FILE line N`, or `-D`.
    text: String,
    /// How many were given before.
    order: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Everything that was given, by key without `zookeeper.`; and what is to be told.
#[derive(Debug, Default)]
struct Settings {
    given: BTreeMap<String, Given>,
    warnings: Vec<String>,
    /// With the order of their place.
    problems: Vec<(usize, String)>,
    /// How many were given.
    count: usize,
}

/// Reads the sources.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Problems> {
    let mut settings = Settings::default();
    let properties: Vec<_> = sources.properties.iter().map(|property| pair(property)).collect();
    if let Some(file) = sources.file {
        // These replace what the file says, without a word.
        let replaced: BTreeSet<&str> = properties.iter().map(|(key, _)| plain(key)).collect();
        let (entries, is_utf8) = read(file).map_err(|problem| Problems(vec![problem]))?;
        for entry in entries {
            let place = settings.place(format!("{} line {}", file.display(), entry.line));
            if !is_utf8 && (entry.key.contains(UNKNOWN) || entry.value.contains(UNKNOWN)) {
                let key = shown(&entry.key);
                settings.problem_at(
                    &place,
                    format!("{key} has a byte that is not UTF-8; save the file as UTF-8, or write the character as \\u and four hexadecimal digits"),
                );
            } else if !replaced.contains(plain(&entry.key)) {
                settings.add(&entry.key, entry.value, place);
            }
        }
    }
    for (key, value) in properties {
        settings.given.remove(plain(key));
        let place = settings.place("-D".to_owned());
        settings.add(key, value.to_owned(), place);
    }
    let config = build::config(&mut settings, sources);
    match config {
        Some((config, listeners)) if settings.problems.is_empty() => {
            Ok(Loaded { config, listeners, warnings: settings.warnings })
        }
        _ => {
            settings.problems.sort_by_key(|(order, _)| *order);
            Err(Problems(settings.problems.into_iter().map(|(_, problem)| problem).collect()))
        }
    }
}

/// What stands for bytes that are not UTF-8.
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// The settings of a file, and whether all of it is UTF-8.
fn read(file: &Path) -> Result<(Vec<properties::Entry>, bool), String> {
    let mut bytes = Vec::new();
    // A device may have no end.
    std::fs::File::open(file).and_then(|open| open.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(
        |error| {
            format!("the configuration file {} cannot be read: {error}; name another one", file.display())
        },
    )?;
    let not_text = |why: &str| {
        Err(format!(
            "the configuration file {} is not a text file: {why}; name a zoo.cfg in UTF-8",
            file.display()
        ))
    };
    if bytes.len() as u64 > MAX_FILE {
        return not_text("it is longer than 1 MiB");
    }
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\t\n\r\x0c".contains(byte);
    if let Some(at) = bytes.iter().position(is_control) {
        return not_text(&format!("its byte {at} is 0x{:02x}", bytes[at]));
    }
    let (text, is_utf8) = properties::text(&bytes);
    let entries = properties::parse(&text).map_err(|bad| {
        format!(
            "{} line {}: {} is no character; write \\u and four hexadecimal digits, and \\\\ for a backslash",
            file.display(),
            bad.line,
            shown(&bad.escape)
        )
    })?;
    Ok((entries, is_utf8))
}

/// Key and value of a single setting.
fn pair(property: &str) -> (&str, &str) {
    let (key, value) = property.split_once('=').unwrap_or((property, ""));
    (key.trim(), value.trim())
}

/// A key without what makes it a Java property.
fn plain(key: &str) -> &str {
    key.strip_prefix(PREFIX).unwrap_or(key)
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
    fn place(&mut self, text: String) -> Place {
        self.count += 1;
        Place { text, order: self.count }
    }

    fn add(&mut self, full: &str, value: String, place: Place) {
        let key = plain(full);
        let name = shown(full);
        if key.is_empty() {
            self.problem_at(&place, "there is a value without a key; write KEY=VALUE, or remove it");
            return;
        }
        match keys::fate(key) {
            Some(Fate::Used | Fate::Only(..)) if value.is_empty() && !keys::may_be_empty(key) => {
                self.problem_at(
                    &place,
                    format!("{name} has no value; write {name}=VALUE, or remove it to get the default"),
                );
            }
            Some(Fate::Used) => {
                if let Some(older) = self.given.insert(key.to_owned(), Given { value, place }) {
                    self.warnings
                        .push(format!("{}: {name} is given again further down, which counts", older.place));
                }
            }
            Some(Fate::Idle(why)) => self.warnings.push(format!("{place}: {name} changes nothing: {why}")),
            Some(Fate::Only(wanted, _)) if same(&value, wanted) => {}
            Some(Fate::Only(wanted, why)) => {
                let value = shown(&value);
                self.problem_at(&place, format!("{name} can be {wanted} only, not '{value}': {why}"));
            }
            Some(Fate::Refused(why)) => self.problem_at(&place, format!("{name} cannot be had: {why}")),
            None => {
                let hint = keys::nearest(key).map_or_else(
                    || "remove it, or look for the right one in docs/zookeeper.md".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                self.problem_at(&place, format!("the key {name} is unknown; {hint}"));
            }
        }
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Says of the keys that begin like this that they change nothing.
    fn idle(&mut self, start: &str, why: &str) {
        let keys = self.given.iter().filter(|(key, _)| key.starts_with(start));
        let told: Vec<String> =
            keys.map(|(key, given)| format!("{}: {key} changes nothing: {why}", given.place)).collect();
        self.warnings.extend(told);
    }

    /// Something is wrong that stands in no line.
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push((usize::MAX, text.into()));
    }

    fn problem_at(&mut self, place: &Place, text: impl fmt::Display) {
        self.problems.push((place.order, format!("{place}: {text}")));
    }

    /// A value that is not empty.
    fn text(&self, key: &str) -> Option<&Given> {
        self.given.get(key).filter(|given| !given.value.is_empty())
    }

    /// Says that the value of a key is wrong, if it was given.
    fn wrong(&mut self, key: &str, why: &str) {
        let Some(Given { value, place }) = self.given.get(key).cloned() else { return };
        self.problem_at(&place, format!("{key} is '{}'; {why}", shown(&value)));
    }
}
