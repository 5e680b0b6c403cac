//! What an app can be told: its options, from the bundled catalogue, from the metadata in its jar, or from the labels of its image.
//!
//! Whatever cannot be had is told in the log and counts as "no options known": the app may still run. Metadata is somebody
//! else's: how much of it is read, for how long and into how much memory, is limited.

mod archive;
pub mod container;
mod error;
mod jar;
mod lists;
mod metadata;
mod remembered;

pub use error::OptionsError;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flowkeeper_api::apps::{AppOption, Hints};
use flowkeeper_deploy::artifact::Artifacts;
use flowkeeper_deploy::artifact::http::shown;
use flowkeeper_dsl::properties::KnownProperty;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use super::apps::Listed;
use super::uri;
use crate::catalog::{BundledApp, Catalog};
use crate::task::Tasks;
use container::Registries;
use metadata::Metadata;
use remembered::{Entry, FileState, Remembered};

/// Programs that are read at the same time, which takes memory, and that are fetched, which takes connections.
const MAX_READERS: usize = 2;
const MAX_FETCHERS: usize = 8;
/// How long somebody who asks for options waits for them.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What is known of an app's options. Empty where its metadata cannot be had: that is no error, the app may still run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub all: Vec<Described>,
    pub inbound_ports: Vec<String>,
    pub outbound_ports: Vec<String>,
    pub groups: std::collections::BTreeMap<String, Vec<String>>,
}

/// An option, and whether it is meant for users.
#[derive(Clone, Debug)]
pub struct Described {
    pub option: AppOption,
    pub is_visible: bool,
}

/// Reads the options of the jar `bytes`, as those of a registered app are read.
///
/// # Errors
/// When it is no jar, or one that wants more memory or time than a sane one.
pub fn of_jar(bytes: Vec<u8>) -> Result<Options, OptionsError> {
    jar::read_bytes(bytes)
}

impl Options {
    /// The options a user is shown.
    pub fn visible(&self) -> impl Iterator<Item = &AppOption> {
        self.all.iter().filter(|described| described.is_visible).map(|described| &described.option)
    }

    /// For the expansion of short names.
    pub fn known_properties(&self) -> Vec<KnownProperty> {
        let known = |described: &Described| KnownProperty {
            id: described.option.id.clone(),
            name: described.option.name.clone(),
            visible: described.is_visible,
        };
        self.all.iter().map(known).collect()
    }

    /// About how much memory they take.
    fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let option = |Described { option, .. }: &Described| {
            let hints = option.hints.key_hints.len() + option.hints.value_hints.len();
            let providers = option.hints.key_providers.len() + option.hints.value_providers.len();
            size_of::<Described>()
                + option.id.len()
                + option.name.len()
                + text(&option.java_type)
                + text(&option.description)
                + text(&option.short_description)
                + weight(&option.default_value)
                + (hints + providers) * 200
        };
        let lists = self.groups.values().chain([&self.inbound_ports, &self.outbound_ports]);
        size_of::<Options>()
            + self.all.iter().map(option).sum::<usize>()
            + lists.flatten().map(|name| name.len() + size_of::<String>()).sum::<usize>()
    }
}

/// Finds the options of registered apps, and remembers those it had to read from a program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OptionsReader {
    catalog: Catalog,
    artifacts: Artifacts,
    registries: Arc<Registries>,
    tasks: Tasks,
    remembered: Arc<Mutex<Remembered>>,
    /// What is being read, by its URI.
    running: Arc<Mutex<HashMap<String, Outcome>>>,
    /// Held while a program is read.
    reading: Arc<Semaphore>,
    /// Held while a program is fetched or a registry asked.
    fetching: Arc<Semaphore>,
}

/// The options once they are known.
type Outcome = watch::Receiver<Option<Arc<Options>>>;

impl OptionsReader {
    /// Finds bundled apps in `catalog`, programs with `artifacts`, and images in `registries`; reads as one of `tasks`.
    pub(crate) fn new(
        catalog: Catalog,
        artifacts: Artifacts,
        registries: Registries,
        tasks: Tasks,
    ) -> OptionsReader {
        OptionsReader {
            catalog,
            artifacts,
            registries: Arc::new(registries),
            tasks,
            remembered: Arc::default(),
            running: Arc::default(),
            reading: Arc::new(Semaphore::new(MAX_READERS)),
            fetching: Arc::new(Semaphore::new(MAX_FETCHERS)),
        }
    }

    /// The options of a registered app: of a bundled one, or as its metadata URI, its program or the labels of its image say. One
    /// whose metadata cannot be had in a minute has none yet; it is fetched to the end nevertheless, for those who ask later.
    ///
    /// Cancel safe.
    pub async fn of(&self, app: &Listed) -> Arc<Options> {
        if let Some(bundled) = self.catalog.by_uri(&app.uri) {
            return Arc::new(of_bundled(bundled));
        }
        let source = app.metadata_uri.as_deref().unwrap_or(&app.uri);
        let state = state(source).await;
        if let Some(known) = lock(&self.remembered).get(source, state) {
            return known;
        }
        let mut outcome = self.run(source, state);
        // The sender goes without a word only when the server stops.
        let found = async { outcome.wait_for(Option::is_some).await.ok().and_then(|found| found.clone()) };
        match tokio::time::timeout(MAX_WAIT, found).await {
            Ok(found) => found.unwrap_or_default(),
            Err(_) => {
                tell(source, &OptionsError::Late(MAX_WAIT.as_secs()));
                Arc::default()
            }
        }
    }

    /// Reads `source` in a task of its own, once for all who want it.
    fn run(&self, source: &str, state: Option<FileState>) -> Outcome {
        let mut running = lock(&self.running);
        if let Some(outcome) = running.get(source) {
            return outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        running.insert(source.to_owned(), outcome.clone());
        let (reader, source) = (self.clone(), source.to_owned());
        self.tasks.spawn("options of an app", async move {
            let (options, is_lasting) = reader.read(&source, state).await.unwrap_or_else(|error| {
                tell(&source, &error);
                (Options::default(), false)
            });
            let options = Arc::new(options);
            let entry = Entry { options: Arc::clone(&options), state, is_lasting, at: Instant::now() };
            lock(&reader.remembered).put(&source, entry);
            lock(&reader.running).remove(&source);
            sender.send_replace(Some(options));
        });
        outcome
    }

    /// Options, and whether they may be believed for long.
    async fn read(&self, source: &str, state: Option<FileState>) -> Result<(Options, bool), OptionsError> {
        if let Some(image) = uri::image(source) {
            // It is never closed.
            let _permit = self.fetching.acquire().await;
            let labels = container::labels(self.artifacts.http(), &self.registries, image).await?;
            return Ok((of_labels(&labels)?, true));
        }
        let path = {
            // What lies here waits for nobody's network.
            let is_local = uri::file_path(source).is_some();
            let _permit = if is_local { None } else { self.fetching.acquire().await.ok() };
            self.artifacts.file(source).await?
        };
        let permit = Arc::clone(&self.reading).acquire_owned().await;
        // What lies in a folder can change without a trace on the folder.
        let is_lasting = state.is_some() || !path.is_dir();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            jar::read(&path)
        });
        let options = read.await.map_err(|error| std::io::Error::other(error.to_string()))??;
        Ok((options, is_lasting))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(source: &str, error: &OptionsError) {
    let uri = shown(source);
    tracing::warn!(uri, %error, "the options of an app are not known, because its metadata could not be read");
}

/// The state of the file that `source` names; `None` when it names none, or there is none.
async fn state(source: &str) -> Option<FileState> {
    let found = tokio::fs::metadata(uri::file_path(source)?).await.ok()?;
    found.is_file().then_some(FileState { modified: found.modified().ok()?, size: found.len() })
}

/// Metadata as an image carries it: one document with the options for users, and the lists by their names.
fn of_labels(labels: &std::collections::BTreeMap<String, String>) -> Result<Options, OptionsError> {
    let mut found = Metadata::default();
    if let Some(document) = labels.get(container::METADATA_LABEL) {
        found.add(&format!("the label {}", container::METADATA_LABEL), document.as_bytes())?;
    }
    for (name, value) in labels {
        found.lists.add(name, value);
    }
    Ok(found.into_chosen_options())
}

fn of_bundled(app: &BundledApp) -> Options {
    let described = |option: &crate::catalog::BundledOption| Described {
        option: AppOption {
            id: option.name.clone(),
            name: option.short_name.clone(),
            java_type: Some(option.java_type.clone()),
            description: Some(option.description.clone()),
            short_description: Some(first_sentence(&option.description)),
            default_value: option.default.clone().map_or(Value::Null, Value::String),
            hints: Hints::default(),
            deprecation: None,
            deprecated: false,
        },
        is_visible: true,
    };
    Options { all: app.options.iter().map(described).collect(), ..Options::default() }
}

/// The text up to its first full stop, on one line.
fn first_sentence(text: &str) -> String {
    let end = text.find(". ").map(|at| at + 1).or_else(|| text.find(".\n").map(|at| at + 1));
    let sentence = &text[..end.unwrap_or(text.len())];
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// About how much memory a value takes.
fn weight(value: &Value) -> usize {
    let inner: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inner
}

#[cfg(test)]
mod tests;
