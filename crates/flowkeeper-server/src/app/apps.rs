//! The app registry.

mod import;

pub use import::{Import, import, parse_boot, read_list};

use std::collections::BTreeMap;

use super::audit::{self, Action};
use super::{Error, uri, with_retry};
use crate::catalog::Catalog;
use crate::meta::record::{AppDefaultRecord, AppRecord, WantState};
use crate::meta::{AppChange, AppEntry, AppKey, AppKind, Meta, Model, Versioned, Write, WriteError, Written};

/// Longest name of an app, in characters.
const MAX_NAME: usize = 255;

/// A registered version, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: AppKey,
    pub version: String,
    pub uri: String,
    pub is_default: bool,
    /// Generation of Spring Boot, `2` or `3`.
    pub boot: String,
    /// Where its options are described, when not in the program itself.
    pub metadata_uri: Option<String>,
    /// When it was registered: later ones have higher numbers.
    pub age: i64,
}

/// Which versions to list; all by default.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub kind: Option<AppKind>,
    /// Part of the name, in any case.
    pub search: Option<String>,
    /// In any case.
    pub version: Option<String>,
    pub default_only: bool,
}

/// A registration to make.
#[derive(Clone, Debug)]
pub struct Registration {
    pub key: AppKey,
    /// Taken from the URI when absent.
    pub version: Option<String>,
    pub uri: String,
    pub metadata_uri: Option<String>,
    /// `None`: the default for a new one, unchanged for one that is replaced.
    pub boot: Option<String>,
    /// Replace what is registered under the same version.
    pub force: bool,
}

/// Registers the bundled apps of `catalog` that are not registered yet. A version that differs from the default is added
/// without moving the default, so an upgrade of this program changes no stream by itself.
///
/// # Errors
/// When the write fails; nothing was registered then.
pub async fn register_bundled(meta: &Meta, catalog: &Catalog) -> Result<(), WriteError> {
    let changes = {
        let model = meta.model();
        let mut changes = Vec::new();
        for app in catalog.apps() {
            let key = AppKey::new(app.kind, app.name.clone());
            let entry = model.apps.get(&key);
            if entry.is_some_and(|entry| entry.versions.contains_key(&app.version)) {
                continue;
            }
            if entry.is_none() {
                let default = default_record(Some(app.version.clone()));
                changes.push(AppChange::CreateApp { key: key.clone(), default });
            }
            let record = AppRecord { v: 1, uri: app.uri(), ..AppRecord::default() };
            changes.push(AppChange::CreateVersion { key, version: app.version.clone(), record });
        }
        changes
    };
    if changes.is_empty() { Ok(()) } else { meta.write(Write::new().apps(&changes)).await.map(drop) }
}

/// Registered versions, oldest registration first.
pub fn list(model: &Model, filter: &Filter) -> Vec<Listed> {
    let search = filter.search.as_deref().map(str::to_lowercase);
    let entries = model.apps.iter().filter(|(key, _)| {
        filter.kind.is_none_or(|kind| kind == key.kind)
            && search.as_deref().is_none_or(|search| key.name.to_lowercase().contains(search))
    });
    let mut listed: Vec<Listed> = entries
        .flat_map(|(key, entry)| {
            entry.versions.iter().map(move |(version, found)| listed(key, entry, version, found))
        })
        .filter(|app| {
            filter.version.as_deref().is_none_or(|version| app.version.eq_ignore_ascii_case(version))
        })
        .filter(|app| app.is_default || !filter.default_only)
        .collect();
    listed.sort_by_key(|app| app.age);
    listed
}

/// One registered version; the default one unless `version` is given.
///
/// # Errors
/// [`Error::NoApp`].
pub fn get(model: &Model, key: &AppKey, version: Option<&str>) -> Result<Listed, Error> {
    let found = model.apps.get(key).and_then(|entry| {
        let version = version.or(entry.default.as_deref())?;
        let (version, found) = entry.versions.get_key_value(version)?;
        Some(listed(key, entry, version, found))
    });
    found.ok_or_else(|| Error::NoApp(describe(key, version)))
}

/// Registers a version. The first one of an app becomes its default.
///
/// # Errors
/// See the texts: a bad name or URI, a version that is registered already, another artifact than the default's.
pub async fn register(
    meta: &Meta,
    catalog: &Catalog,
    request: &Registration,
) -> Result<Option<Written>, Error> {
    check_name(&request.key.name)?;
    let version = match &request.version {
        Some(version) => {
            uri::check(&request.uri)?;
            check_version(version)?;
            version.clone()
        }
        None => uri::version(&request.uri, catalog)?,
    };
    if let Some(metadata) = &request.metadata_uri {
        uri::check(metadata)?;
    }
    let entry = Entry {
        key: request.key.clone(),
        version,
        uri: request.uri.clone(),
        metadata_uri: request.metadata_uri.clone(),
        boot: request.boot.clone(),
    };
    with_retry(meta, &describe(&entry.key, Some(&entry.version)), || async {
        let changes = {
            let model = meta.model();
            let known = model.apps.get(&entry.key).and_then(|app| app.versions.get(&entry.version));
            if let Some(known) = known.filter(|_| !request.force) {
                let key = describe(&entry.key, None);
                return Err(Error::AppExists { key, uri: uri::shown(&known.record.uri) }.into());
            }
            changes_of(&model, std::slice::from_ref(&entry))?
        };
        Ok(Some(meta.write(with_records(&changes)).await?))
    })
    .await
}

/// Makes a registered version the default.
///
/// # Errors
/// [`Error::NoApp`].
pub async fn set_default(meta: &Meta, key: &AppKey, version: &str) -> Result<Option<Written>, Error> {
    let subject = describe(key, Some(version));
    with_retry(meta, &subject, || async {
        let change = {
            let model = meta.model();
            let app = get(&model, key, Some(version))?;
            let Some(entry) = model.apps.get(key) else { return Err(Error::NoApp(subject.clone()).into()) };
            let uris = (Some(app.uri.as_str()), app.metadata_uri.as_deref());
            let record = audit::app(Action::Update, key, version, uris, true);
            Write::new().apps(&[set_default_to(key, entry, Some(version.to_owned()))]).audit([record])
        };
        Ok(Some(meta.write(change).await?))
    })
    .await
}

/// Unregisters a version; the default one unless `version` is given, which leaves the app without a default.
///
/// # Errors
/// [`Error::NoApp`]; [`Error::AppInUse`] while a deployed stream uses it.
pub async fn unregister(meta: &Meta, key: &AppKey, version: Option<&str>) -> Result<Option<Written>, Error> {
    let version = get(&meta.model(), key, version)?.version;
    remove(meta, &describe(key, Some(&version)), |model| {
        get(model, key, Some(&version))?;
        if let Some(stream) = users(model).get(&(key.clone(), version.clone())) {
            return Err(Error::AppInUse {
                name: key.name.clone(),
                kind: key.kind.name(),
                version: version.clone(),
                stream: stream.clone(),
            });
        }
        Ok(vec![(key.clone(), version.clone())])
    })
    .await
}

/// Unregisters everything that no deployed stream uses.
///
/// # Errors
/// When the write fails.
pub async fn unregister_all(meta: &Meta) -> Result<Option<Written>, Error> {
    remove(meta, "the app registry", |model| {
        let users = users(model);
        let all = model.apps.iter().flat_map(|(key, entry)| {
            entry.versions.keys().map(move |version| (key.clone(), version.clone()))
        });
        Ok(all.filter(|app| !users.contains_key(app)).collect())
    })
    .await
}

/// Removes the versions that `choose` finds free, in two steps (T13). First they are marked: a deployment that is decided after
/// that finds them gone, and one that was decided before fails on their changed version. What was deployed before the mark is
/// in the model once the mark is, so the second look at the users is the truth.
async fn remove(
    meta: &Meta,
    subject: &str,
    choose: impl Fn(&Model) -> Result<Vec<(AppKey, String)>, Error>,
) -> Result<Option<Written>, Error> {
    with_retry(meta, subject, || async {
        let marks = {
            let model = meta.model();
            retire(&model, &choose(&model)?, true)
        };
        if marks.is_empty() {
            return Ok(None);
        }
        let marked = meta.write(Write::new().apps(&marks)).await?;
        if meta.applied_zxid() < marked.zxid {
            return Err(Error::Unavailable(
                "this server's copy of the metadata is late; try again".to_owned(),
            )
            .into());
        }
        let (free, changes) = {
            let model = meta.model();
            let free = choose(&model);
            let chosen = free.as_deref().unwrap_or_default();
            let kept: Vec<_> =
                marks.iter().filter_map(AppChange::subject).filter(|app| !chosen.contains(app)).collect();
            let mut changes = retire(&model, &kept, false);
            let mut by_app: BTreeMap<&AppKey, Vec<&str>> = BTreeMap::new();
            chosen.iter().for_each(|(key, version)| by_app.entry(key).or_default().push(version));
            for (key, versions) in by_app {
                changes.extend(
                    model.apps.get(key).map(|entry| removal(key, entry, &versions)).unwrap_or_default(),
                );
            }
            (free.map(drop), changes)
        };
        let written = meta.write(with_records(&changes)).await?;
        free?;
        Ok(Some(written))
    })
    .await
}

/// Marks versions as on their way out, or takes the mark away.
fn retire(model: &Model, apps: &[(AppKey, String)], retired: bool) -> Vec<AppChange> {
    let change = |(key, version): &(AppKey, String)| {
        let found = model.apps.get(key)?.versions.get(version)?;
        let record = AppRecord { retired, ..AppRecord::clone(&found.record) };
        Some(AppChange::UpdateVersion {
            key: key.clone(),
            version: version.clone(),
            record,
            read: found.version,
        })
    };
    apps.iter().filter_map(change).collect()
}

/// Changes of the registry with the records of them: what is registered, replaced and removed.
fn with_records(changes: &[AppChange]) -> Write {
    let defaults: Vec<(&AppKey, Option<&String>)> = changes
        .iter()
        .filter_map(|change| match change {
            AppChange::CreateApp { key, default } | AppChange::SetDefault { key, default, .. } => {
                Some((key, default.default.as_ref()))
            }
            _ => None,
        })
        .collect();
    let becomes_default = |key: &AppKey, version: &String| defaults.contains(&(key, Some(version)));
    let records = changes.iter().filter_map(|change| match change {
        AppChange::CreateVersion { key, version, record } => {
            let uris = (Some(record.uri.as_str()), record.metadata_uri.as_deref());
            Some(audit::app(Action::Create, key, version, uris, becomes_default(key, version)))
        }
        AppChange::UpdateVersion { key, version, record, .. } if !record.retired => {
            let uris = (Some(record.uri.as_str()), record.metadata_uri.as_deref());
            Some(audit::app(Action::Update, key, version, uris, becomes_default(key, version)))
        }
        // SCDF tells no more than the name.
        AppChange::DeleteVersion { key, version, .. } => {
            Some(audit::app(Action::Delete, key, version, (Some(""), Some("")), false))
        }
        _ => None,
    });
    Write::new().apps(changes).audit(records)
}

/// `type:name` or `type:name:version`, as messages name apps.
pub fn describe(key: &AppKey, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{}:{}:{version}", key.kind.name(), key.name),
        None => format!("{}:{}", key.kind.name(), key.name),
    }
}

/// What is to be registered, with its version known.
#[derive(Clone, Debug)]
struct Entry {
    key: AppKey,
    version: String,
    uri: String,
    metadata_uri: Option<String>,
    boot: Option<String>,
}

/// The changes that register `entries` in the present registry.
fn changes_of(model: &Model, entries: &[Entry]) -> Result<Vec<AppChange>, Error> {
    let mut changes = Vec::new();
    // Defaults as they will stand: of several new versions in one request the first becomes the default.
    let mut defaults: BTreeMap<&AppKey, (String, String)> = BTreeMap::new();
    for entry in entries {
        let Entry { key, version, uri, metadata_uri, boot } = entry;
        let known = model.apps.get(key);
        let registered = known.and_then(|known| Some((known, known.default.as_ref()?)));
        if let Some((known, default)) = registered {
            let uri = known.versions.get(default).map(|found| found.record.uri.clone()).unwrap_or_default();
            defaults.entry(key).or_insert((default.clone(), uri));
        }
        match defaults.get(key) {
            Some((default, default_uri)) if !uri::is_same_artifact(default_uri, default, uri, version) => {
                return Err(Error::InvalidArgument(format!(
                    "Existing default application [{}] can only differ by a version but is [{}]",
                    uri::shown(default_uri),
                    uri::shown(uri)
                )));
            }
            Some(_) => {}
            None => {
                changes.push(match known {
                    Some(known) => set_default_to(key, known, Some(version.clone())),
                    None => AppChange::CreateApp {
                        key: key.clone(),
                        default: default_record(Some(version.clone())),
                    },
                });
                defaults.insert(key, (version.clone(), uri.clone()));
            }
        }
        let old = known.and_then(|known| known.versions.get(version));
        let record = AppRecord {
            v: 1,
            uri: uri.clone(),
            metadata_uri: metadata_uri.clone(),
            boot: boot.clone().or_else(|| old.and_then(|old| old.record.boot.clone())),
            retired: false,
            extra: old.map(|old| old.record.extra.clone()).unwrap_or_default(),
        };
        let (key, version) = (key.clone(), version.clone());
        changes.push(match old {
            Some(old) => AppChange::UpdateVersion { key, version, record, read: old.version },
            None => AppChange::CreateVersion { key, version, record },
        });
    }
    Ok(changes)
}

fn removal(key: &AppKey, entry: &AppEntry, versions: &[&str]) -> Vec<AppChange> {
    let mut changes = Vec::new();
    let loses_default = entry.default.as_deref().is_some_and(|default| versions.contains(&default));
    if loses_default && versions.len() < entry.versions.len() {
        changes.push(set_default_to(key, entry, None));
    }
    for version in versions {
        let read = entry.versions.get(*version).map_or(-1, |found| found.version);
        changes.push(AppChange::DeleteVersion { key: key.clone(), version: (*version).to_owned(), read });
    }
    if versions.len() == entry.versions.len() {
        changes.push(AppChange::DeleteApp { key: key.clone(), version: entry.default_version });
    }
    changes
}

fn set_default_to(key: &AppKey, entry: &AppEntry, default: Option<String>) -> AppChange {
    AppChange::SetDefault {
        key: key.clone(),
        default: default_record(default),
        version: entry.default_version,
    }
}

fn default_record(default: Option<String>) -> AppDefaultRecord {
    AppDefaultRecord { v: 1, default, ..Default::default() }
}

/// Versions that deployed streams use, each with one of these streams.
fn users(model: &Model) -> BTreeMap<(AppKey, String), String> {
    let deployed = model.streams.iter().filter(|(_, stream)| stream.record.want.state == WantState::Deployed);
    let mut users = BTreeMap::new();
    for (name, _) in deployed {
        let replaced = model.replacing(name).and_then(|(_, from)| model.release(name, from));
        let releases = model.current_release(name).into_iter().chain(replaced);
        for app in releases.flat_map(|release| &release.apps) {
            if let Some(kind) = AppKind::parse(&app.kind) {
                users.insert((AppKey::new(kind, app.app.clone()), app.ver.clone()), name.clone());
            }
        }
    }
    users
}

fn listed(key: &AppKey, entry: &AppEntry, version: &str, found: &Versioned<AppRecord>) -> Listed {
    Listed {
        key: key.clone(),
        version: version.to_owned(),
        uri: found.record.uri.clone(),
        is_default: entry.default.as_deref() == Some(version),
        boot: found.record.boot.clone().unwrap_or_else(|| "2".to_owned()),
        metadata_uri: found.record.metadata_uri.clone(),
        age: found.age(),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.chars().count() > MAX_NAME {
        return Err(Error::InvalidAppName(
            "Length of application name must be less than 256 characters".to_owned(),
        ));
    }
    if name.contains(':') {
        return Err(Error::InvalidAppName(format!("Application name: '{name}' cannot contain: ':'")));
    }
    if name.trim().is_empty() {
        return Err(Error::InvalidAppName("Application name cannot be empty".to_owned()));
    }
    Ok(())
}

fn check_version(version: &str) -> Result<(), Error> {
    let is_good = !version.trim().is_empty() && version.chars().count() <= MAX_NAME;
    if is_good {
        Ok(())
    } else {
        Err(Error::InvalidArgument(format!("'{version}' is not a version of an app")))
    }
}
