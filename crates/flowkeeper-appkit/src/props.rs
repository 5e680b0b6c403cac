//! Properties of an app, with Spring Boot's sources, precedence and relaxed names.
//!
//! Precedence: arguments (`--key=value`), then `SPRING_APPLICATION_JSON`, then the environment, then defaults. Names match
//! in every spelling Spring accepts (`http.supplier.path-pattern`, `pathPattern`, `HTTP_SUPPLIER_PATHPATTERN`), values may
//! hold `${name:default}` placeholders. The environment comes in as a map; nothing here reads a global.

mod duration;
mod name;
mod placeholder;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use self::duration::parse_duration;
use self::name::PropertyName;
use crate::value::Value;

/// What is wrong with a property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("property '{name}' is '{value}', but {expected} is expected")]
    Invalid { name: String, value: String, expected: String },
    #[error("property '{name}' is required: {hint}")]
    Missing { name: String, hint: String },
    #[error("property '{name}' refers to '${{{placeholder}}}', which is not set and has no default")]
    Placeholder { name: String, placeholder: String },
    #[error("property '{name}' refers to itself through placeholders")]
    Cycle { name: String },
    #[error("SPRING_APPLICATION_JSON is not a JSON object: {0}")]
    Json(String),
    #[error("argument '{0}' is not of the form --name=value")]
    Argument(String),
}

/// One source: names as written, with their canonical form.
#[derive(Debug, Clone, Default)]
struct Source {
    entries: Vec<(PropertyName, String)>,
}

/// The properties of one app.
#[derive(Debug, Clone, Default)]
pub struct Props {
    /// Highest precedence first.
    sources: Vec<Source>,
}

impl Props {
    /// Reads the sources of one app: arguments, the JSON variable within `env`, then `env` itself.
    ///
    /// # Errors
    /// An argument that is not `--name=value` (or `--name`, which means `true`), or JSON that is not an object.
    pub fn load(args: &[String], env: &BTreeMap<String, String>) -> Result<Props, Error> {
        let mut arguments = Source::default();
        for arg in args {
            let body = arg.strip_prefix("--").filter(|b| !b.is_empty() && !b.starts_with('='));
            let (name, value) = match body {
                Some(body) => body.split_once('=').unwrap_or((body, "true")),
                None => return Err(Error::Argument(arg.clone())),
            };
            arguments.put(PropertyName::parse(name), value);
        }
        let mut json = Source::default();
        // The property spelling counts too: without a shell in between a deployer may use either.
        let text = env.get("SPRING_APPLICATION_JSON").or_else(|| env.get("spring.application.json"));
        if let Some(text) = text.filter(|t| !t.trim().is_empty()) {
            match serde_json::from_str::<serde_json::Value>(text) {
                Ok(object @ serde_json::Value::Object(_)) => json.put_json("", &object.into()),
                Ok(_) => return Err(Error::Json("it is another kind of value".to_owned())),
                Err(e) => return Err(Error::Json(e.to_string())),
            }
        }
        let mut environment = Source::default();
        for (name, value) in env {
            environment.put(PropertyName::parse_env(name), value);
        }
        Ok(Props { sources: vec![arguments, json, environment] })
    }

    /// Properties from pairs, as the one source.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Props {
        let mut source = Source::default();
        for (name, value) in pairs {
            source.put(PropertyName::parse(name), value);
        }
        Props { sources: vec![source] }
    }

    /// These properties with one more source of the lowest precedence.
    #[must_use]
    pub fn with_defaults<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Props {
        self.sources.extend(Props::from_pairs(pairs).sources);
        self
    }

    /// The value with placeholders resolved; `None` when it is set nowhere.
    pub fn get(&self, name: &str) -> Result<Option<String>, Error> {
        match self.raw(name) {
            Some(raw) => placeholder::resolve(self, name, raw).map(Some),
            None => Ok(None),
        }
    }

    /// The value when set and not blank. Spring treats an empty option as an unset one nearly everywhere.
    pub fn text(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.get(name)?.filter(|v| !v.trim().is_empty()))
    }

    /// A value that must be given.
    pub fn required(&self, name: &str, hint: &str) -> Result<String, Error> {
        self.text(name)?.ok_or_else(|| Error::Missing { name: name.to_owned(), hint: hint.to_owned() })
    }

    /// `true` or `false` (also `on/off`, `yes/no`, `1/0`).
    pub fn bool(&self, name: &str) -> Result<Option<bool>, Error> {
        self.parse(name, "true or false", |v| Value::from(v).to_boolean())
    }

    /// A whole number that fits `T`.
    pub fn integer<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, Error> {
        self.parse(name, "a whole number in range", |v| v.parse::<i64>().ok().and_then(|n| n.try_into().ok()))
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        self.parse(name, "a number", |v| v.parse().ok())
    }

    /// A duration as Spring reads it: `10s`, `PT5S`, or plain milliseconds.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        let expected = "a duration such as 500ms, 10s, PT5S or a number of milliseconds";
        self.parse(name, expected, parse_duration)
    }

    /// A path.
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    /// A list: `a,b` or `name[0]`, `name[1]`…; the source of highest precedence that has it gives all of it.
    pub fn list(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let wanted = PropertyName::parse(name);
        for source in &self.sources {
            if let Some(raw) = source.find(&wanted) {
                let text = placeholder::resolve(self, name, raw)?;
                let items = text.split(',').map(str::trim).filter(|i| !i.is_empty());
                return Ok(Some(items.map(str::to_owned).collect()));
            }
            let mut items = Vec::new();
            while let Some(raw) = source.find(&wanted.index(items.len())) {
                items.push(placeholder::resolve(self, name, raw)?);
            }
            if !items.is_empty() {
                return Ok(Some(items));
            }
        }
        Ok(None)
    }

    /// Everything below a name, as a map; the rest of each name keeps its spelling.
    pub fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let prefix = PropertyName::parse(name);
        let mut out = BTreeMap::new();
        for source in &self.sources {
            for (full, raw) in &source.entries {
                if let Some(key) = full.rest_below(&prefix)
                    && !out.contains_key(&key)
                {
                    out.insert(key, placeholder::resolve(self, name, raw)?);
                }
            }
        }
        Ok(out)
    }

    /// Reads a property with a parser of its own.
    pub fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        match read(value.trim()) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(Error::Invalid { name: name.to_owned(), value, expected: expected.to_owned() }),
        }
    }

    fn raw(&self, name: &str) -> Option<&str> {
        let wanted = PropertyName::parse(name);
        self.sources.iter().find_map(|source| source.find(&wanted))
    }
}

impl Source {
    fn put(&mut self, name: PropertyName, value: &str) {
        self.entries.push((name, value.to_owned()));
    }

    /// Flattens a JSON document into dotted names; an array's elements get indexes.
    fn put_json(&mut self, prefix: &str, value: &Value) {
        match value {
            Value::Map(entries) => {
                for (key, item) in entries.iter() {
                    let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    self.put_json(&name, item);
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.put_json(&format!("{prefix}[{i}]"), item);
                }
            }
            Value::Null => self.put(PropertyName::parse(prefix), ""),
            scalar => self.put(PropertyName::parse(prefix), &scalar.to_text()),
        }
    }

    /// The last entry wins, as the last of two equal arguments does.
    fn find(&self, wanted: &PropertyName) -> Option<&str> {
        self.entries.iter().rev().find(|(name, _)| name.matches(wanted)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
