//! Every setting, once: flag, environment variable, TOML key, default and meaning come from the one table [`TABLE`].
//!
//! Order, later ones winning: default, file (`--config FILE`), environment (`FLOWKEEPER_…`), flag. An unknown key of the file
//! or an unknown `FLOWKEEPER_` variable is an error that names it and the nearest known one. The file may also name repositories
//! and registries as Data Flow's own configuration does ([`scdf`]). For the role `zookeeper` a file whose name does not end in
//! `.toml` is Apache's `zoo.cfg`, which that role reads by itself.

mod scdf;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use crate::exit::Failure;
pub(crate) use table::{Role, Setting, TABLE, Value};

/// Prefix of environment variables.
const ENV_PREFIX: &str = "FLOWKEEPER_";
/// Variables with the prefix that are no settings of a role: given to apps, read by commands or by tests.
const OTHER_VARIABLES: &[&str] =
    &["FENCE_TERM", "STREAM_UID", "SERVER", "VECTORS", "GOLDEN", "TEST_KAFKA", "PEERS"];

/// The effective settings of one role.
#[derive(Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, String>,
    /// Settings that somebody gave; the others have their defaults.
    given: BTreeSet<&'static str>,
    zoo_cfg: Option<PathBuf>,
    properties: Vec<String>,
}

/// The flags of `role`, for its command.
pub(crate) fn args(role: Role) -> Vec<Arg> {
    let of_role = TABLE.iter().filter(|setting| setting.roles.contains(&role));
    let mut args: Vec<Arg> = of_role.map(Setting::arg).collect();
    let config = Arg::new("config").long("config").value_name("FILE");
    if role == Role::Zookeeper {
        args.push(
            config.help("Read settings from this file: Apache's zoo.cfg, or TOML if its name ends in .toml"),
        );
        let property = Arg::new("property").short('D').value_name("KEY=VALUE").action(ArgAction::Append);
        args.push(
            property.help("One setting of zoo.cfg, with or without 'zookeeper.'; it wins over the file"),
        );
    } else {
        args.push(config.help("Read settings from this TOML file"));
    }
    args
}

impl Setting {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.key).long(self.key).help(self.help_line());
        match self.value {
            Value::Switch => arg.action(ArgAction::SetTrue),
            Value::List => arg.value_name(self.value.name()).action(ArgAction::Append),
            _ => arg.value_name(self.value.name()),
        }
    }

    fn help_line(&self) -> String {
        match self.default {
            Some(default) => format!("{} [default: {default}] [env: {}]", self.help, self.variable()),
            None => format!("{} [env: {}]", self.help, self.variable()),
        }
    }

    /// The environment variable of this setting.
    pub(crate) fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_ascii_uppercase().replace('-', "_"))
    }
}

impl Settings {
    /// Gathers the settings of `role`.
    ///
    /// # Errors
    /// When the file cannot be read, or anything in it, in the environment or in the flags is unknown or of the wrong form.
    pub(crate) fn load(
        role: Role,
        matches: &ArgMatches,
        env: &BTreeMap<String, String>,
    ) -> Result<Settings, Failure> {
        let mut values = BTreeMap::new();
        let mut given = BTreeSet::new();
        let of_role = || TABLE.iter().filter(|setting| setting.roles.contains(&role));
        for setting in of_role() {
            if let Some(default) = setting.default {
                values.insert(setting.key, default.to_owned());
            }
        }
        let file = matches.get_one::<String>("config");
        let zoo_cfg =
            file.filter(|file| role == Role::Zookeeper && !file.ends_with(".toml")).map(PathBuf::from);
        if let Some(file) = file.filter(|_| zoo_cfg.is_none()) {
            for (key, value) in read_file(Path::new(file))? {
                let setting = find(&key).ok_or_else(|| unknown(&format!("{file}: the key"), &key))?;
                values.insert(setting.key, setting.check(&value, &format!("{file}: {key}"))?);
                given.insert(setting.key);
            }
        }
        for (variable, value) in env {
            let Some(name) = variable.strip_prefix(ENV_PREFIX) else { continue };
            if cfg!(feature = "mutants") && name == "MUTANT" {
                continue;
            }
            if OTHER_VARIABLES.iter().any(|other| name.starts_with(other))
                && find_variable(variable).is_none()
            {
                continue;
            }
            let setting =
                find_variable(variable).ok_or_else(|| unknown("the environment variable", variable))?;
            values.insert(setting.key, setting.check(value, variable)?);
            given.insert(setting.key);
        }
        for setting in of_role() {
            if matches.value_source(setting.key) == Some(ValueSource::CommandLine) {
                given.insert(setting.key);
            }
            match setting.value {
                Value::Switch if matches.get_flag(setting.key) => {
                    values.insert(setting.key, "true".to_owned());
                }
                Value::Switch => {}
                Value::List => {
                    if let Some(parts) = matches.get_many::<String>(setting.key) {
                        let list = parts.map(String::as_str).collect::<Vec<_>>().join(",");
                        values.insert(setting.key, setting.check(&list, &format!("--{}", setting.key))?);
                    }
                }
                _ => {
                    if let Some(value) = matches.get_one::<String>(setting.key) {
                        values.insert(setting.key, setting.check(value, &format!("--{}", setting.key))?);
                    }
                }
            }
        }
        let properties = if role == Role::Zookeeper { matches.get_many::<String>("property") } else { None };
        let properties = properties.into_iter().flatten().cloned().collect();
        Ok(Settings { values, given, zoo_cfg, properties })
    }

    /// Whether anybody gave this setting, so that it does not just have its default.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.given.contains(key)
    }

    /// The file of Apache's form that the role `zookeeper` is to read.
    pub(crate) fn zoo_cfg(&self) -> Option<&Path> {
        self.zoo_cfg.as_deref()
    }

    /// Single settings of that form, as `key=value`.
    pub(crate) fn properties(&self) -> &[String] {
        &self.properties
    }

    /// The text of a setting, if it has one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A setting that the table gives a default, or that the role cannot do without.
    ///
    /// # Errors
    /// When it was not given; the sentence names the flag.
    pub(crate) fn required(&self, key: &str) -> Result<&str, Failure> {
        self.text(key).ok_or_else(|| Failure::usage(format!("--{key} is needed; see 'flowkeeper help'")))
    }

    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.text(key) == Some("true")
    }

    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// An address; its form was checked when it was loaded.
    ///
    /// # Errors
    /// When it was not given.
    pub(crate) fn address(&self, key: &str) -> Result<SocketAddr, Failure> {
        let text = self.required(key)?;
        text.parse()
            .map_err(|_| Failure::usage(format!("--{key}: '{text}' is not an address like 127.0.0.1:9393")))
    }

    /// The parts of a list; none when it was not given.
    pub(crate) fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        let parts = self.text(key).unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty())
    }

    /// A number; its form was checked when it was loaded.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}

impl Setting {
    /// Checks the form of a value given at `place`.
    fn check(&self, value: &str, place: &str) -> Result<String, Failure> {
        let is_fine = match self.value {
            Value::Address => value.parse::<SocketAddr>().is_ok(),
            Value::Number => value.parse::<u64>().is_ok_and(|number| number > 0),
            Value::Switch => matches!(value, "true" | "false"),
            Value::OneOf(words) => words.contains(&value),
            Value::Text | Value::Path | Value::List => !value.is_empty(),
        };
        if is_fine {
            return Ok(value.to_owned());
        }
        Err(Failure::usage(format!("{place}: '{value}' is not {}", self.value.expected())))
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.key == key)
}

fn find_variable(variable: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.variable() == variable)
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let fail = |reason: &dyn std::fmt::Display| {
        Failure::usage(format!("the configuration file {} cannot be used: {reason}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    let table: toml::Table = text.parse().map_err(|error| fail(&error))?;
    let mut values = Vec::new();
    flatten("", table, &mut values).map_err(|error| fail(&error))?;
    scdf::translate(values).map_err(|error| fail(&error))
}

/// The values of a table, those of tables in it with dots in their keys.
fn flatten(prefix: &str, table: toml::Table, values: &mut Vec<(String, String)>) -> Result<(), String> {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            toml::Value::Array(parts) if find(&key).is_some_and(|setting| setting.value == Value::List) => {
                let parts = parts.iter().map(|part| part.as_str());
                let parts: Option<Vec<&str>> = parts.collect();
                parts.ok_or_else(|| format!("{key} holds something else than strings"))?.join(",")
            }
            toml::Value::Table(inner) if scdf::is_prefix(&key) => {
                flatten(&format!("{key}."), inner, values)?;
                continue;
            }
            other => {
                return Err(format!(
                    "{key} holds a {}; write a string, number or true/false",
                    other.type_str()
                ));
            }
        };
        values.push((key, text));
    }
    Ok(())
}

fn unknown(what: &str, name: &str) -> Failure {
    let spelled = |setting: &Setting| {
        if name.starts_with(ENV_PREFIX) { setting.variable() } else { setting.key.to_owned() }
    };
    let names: Vec<String> = TABLE.iter().map(spelled).collect();
    let near = flowkeeper_appkit::suggest::nearest(name, names.iter().map(String::as_str));
    let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
    Failure::usage(format!("{what} {name} is no setting; {hint}'flowkeeper help ROLE' lists them"))
}

#[cfg(test)]
mod tests;
