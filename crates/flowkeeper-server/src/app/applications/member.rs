//! One stream of an application: what the document says of it, what there is of it, and what differs.

use std::collections::BTreeMap;

use flowkeeper_api::applications::DocumentStream;
use flowkeeper_deploy::record::Manifest;
use flowkeeper_dsl::properties::{MASK, Sanitizer};
use flowkeeper_dsl::{PrintStyle, in_one_line, parse};

use super::super::Error;
use super::super::deploy::Next;
use super::super::releases::Current;
use crate::meta::record::{MemberRecord, StreamRecord, WantState};
use crate::meta::{Model, Versioned};

/// A stream as an application is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    /// The definition, without blanks around it.
    pub(super) text: String,
    pub(super) description: String,
    pub(super) properties: BTreeMap<String, String>,
}

/// A stream that exists.
pub(super) struct Present {
    pub(super) next: Next,
    /// What it runs, when it is wanted to run.
    pub(super) current: Option<Current>,
    /// Its definition as it was typed, secrets in clear, without blanks around it.
    pub(super) text: String,
    /// The deployment properties it runs with, or is to be deployed with.
    pub(super) properties: BTreeMap<String, String>,
}

impl From<&DocumentStream> for Target {
    fn from(stream: &DocumentStream) -> Target {
        Target {
            name: stream.name.clone(),
            text: in_one_line(&stream.name, &stream.definition),
            description: stream.description.clone(),
            properties: stream.properties.clone(),
        }
    }
}

impl From<&MemberRecord> for Target {
    fn from(member: &MemberRecord) -> Target {
        Target {
            name: member.name.clone(),
            text: member.dsl.clone(),
            description: member.desc.clone(),
            properties: member.properties.clone(),
        }
    }
}

impl Target {
    /// What there is to tell of a new stream, a line each, secrets masked.
    pub(super) fn introduction(&self) -> Vec<String> {
        let definition = format!("definition: {}", masked(&self.name, &self.text));
        let property =
            |(key, value): (&String, &String)| format!("{key}: {}", Sanitizer::DataFlow.sanitize(key, value));
        [definition].into_iter().chain(self.properties.iter().map(property)).collect()
    }

    /// The record of it in a release of the application; `release` is that of the stream.
    pub(super) fn member(&self, release: u32) -> MemberRecord {
        MemberRecord {
            name: self.name.clone(),
            dsl: self.text.clone(),
            desc: self.description.clone(),
            properties: self.properties.clone(),
            rel: release,
            ..MemberRecord::default()
        }
    }
}

impl Present {
    /// A stream that exists; `known` is what its application remembers of it.
    ///
    /// # Errors
    /// [`Error::NoStream`]; [`Error::BeingUpdated`].
    pub(super) fn of(model: &Model, name: &str, known: Option<&MemberRecord>) -> Result<Present, Error> {
        let next = Next::of(model, name)?;
        let is_running = next.read.record.want.state == WantState::Deployed;
        let current = if is_running { Some(Current::of(model, name)?) } else { None };
        let shown = model.shown(name).ok_or_else(|| Error::NoStream(name.to_owned()))?;
        Ok(Present {
            text: shown.original().trim().to_owned(),
            properties: properties(model, name, known),
            next,
            current,
        })
    }

    pub(super) fn record(&self) -> &StreamRecord {
        &self.next.read.record
    }

    /// What differs, a line each, secrets masked.
    pub(super) fn differences(&self, target: &Target) -> Vec<String> {
        let mut lines = Vec::new();
        if self.text != target.text {
            let (old, new) = (masked(&target.name, &self.text), masked(&target.name, &target.text));
            if old == new {
                lines.push(format!("definition: another secret in {new}"));
            } else {
                lines.extend([format!("definition: {new}"), format!("before:     {old}")]);
            }
        }
        if self.record().desc != target.description {
            lines.push(format!("description: '{}' -> '{}'", self.record().desc, target.description));
        }
        lines.extend(property_differences(&self.properties, &target.properties));
        lines
    }

    /// Whether what is to run differs from what runs.
    pub(super) fn differs_in_what_runs(&self, target: &Target) -> bool {
        self.text != target.text || self.properties != target.properties
    }
}

/// The deployment properties of a stream: those it runs with, numbers of copies that were asked for since included, else those
/// its application remembers, else those it ran with.
pub(super) fn properties(
    model: &Model,
    name: &str,
    known: Option<&MemberRecord>,
) -> BTreeMap<String, String> {
    let is_running = model.stream(name).is_some_and(|stream| stream.record.want.state == WantState::Deployed);
    if let Some(known) = known.filter(|_| !is_running) {
        return known.properties.clone();
    }
    let mut properties = model.shown(name).and_then(|shown| shown.properties().cloned()).unwrap_or_default();
    if let Some(release) = model.current_release(name).filter(|_| is_running) {
        for app in &release.apps {
            let key = format!("deployer.{}.count", app.label);
            let said = properties.get(&key).or_else(|| properties.get("deployer.*.count"));
            let said = said.map_or(Ok(1), |said| said.trim().parse::<u32>());
            let is = model.count(name, release, app);
            if said != Ok(is) {
                properties.insert(key, is.to_string());
            }
        }
    }
    properties
}

/// A stream that exists and belongs to the application.
pub(super) fn owned<'a>(
    model: &'a Model,
    application: &str,
    name: &str,
) -> Option<&'a Versioned<StreamRecord>> {
    model.stream(name).filter(|stream| stream.record.application.as_deref() == Some(application))
}

/// A definition as it was typed, or, where it holds secrets, printed anew with these masked.
pub(super) fn masked(name: &str, text: &str) -> String {
    let Ok(definition) = parse(Some(name), text) else { return MASK.to_owned() };
    let masked = definition.redact(PrintStyle::Faithful);
    if masked == definition.regenerate(PrintStyle::Faithful) { text.to_owned() } else { masked }
}

/// What a release starts, keeps and stops of what runs, in one line.
pub(super) fn consequences(running: &Manifest, release: &Manifest) -> String {
    let labels =
        |apps: Vec<&str>, what: &str| (!apps.is_empty()).then(|| format!("{what} {}", apps.join(", ")));
    let of = |is_kept: bool| {
        let apps = release.apps.iter().filter(|app| (app.since != 0) == is_kept);
        apps.map(|app| app.label.as_str()).collect::<Vec<_>>()
    };
    let gone = running.apps.iter().filter(|app| release.app(&app.label).is_none());
    let gone = gone.map(|app| app.label.as_str()).collect();
    let parts = [labels(of(false), "starts"), labels(of(true), "keeps"), labels(gone, "stops")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("release {} takes the place of release {}: {}", release.n, running.n, parts.join("; "))
}

fn property_differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let shown = |key: &str, value: &str| Sanitizer::DataFlow.sanitize(key, value);
    let set = new.iter().filter_map(|(key, value)| {
        let after = shown(key, value);
        match old.get(key) {
            Some(before) if before == value => None,
            Some(_) if after == MASK => Some(format!("{key}: another secret")),
            Some(before) => Some(format!("{key}: {} -> {after}", shown(key, before))),
            None => Some(format!("{key}: {after} (new)")),
        }
    });
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| format!("{key}: removed"));
    set.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_secrets_is_shown_as_it_was_typed() {
        assert_eq!(masked("s", "time|log  --x=1"), "time|log  --x=1");
        assert_eq!(masked("s", "time|log --password=x"), "time | log --password='******'");
        assert_eq!(masked("s", "time | | log"), "******");
    }

    #[test]
    fn differences_of_properties_tell_no_secret() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let old = map(&[("app.a.x", "1"), ("app.a.y", "2"), ("app.a.z", "3"), ("app.a.password", "old")]);
        let new = map(&[
            ("app.a.x", "1"),
            ("app.a.y", "5"),
            ("app.a.w", "4"),
            ("app.a.password", "hush"),
            ("app.a.token", "hush"),
        ]);
        assert_eq!(
            property_differences(&old, &new),
            [
                "app.a.password: another secret",
                "app.a.token: ****** (new)",
                "app.a.w: 4 (new)",
                "app.a.y: 2 -> 5",
                "app.a.z: removed",
            ]
        );
        assert!(property_differences(&new, &new).is_empty());
    }
}
