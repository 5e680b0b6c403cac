//! What an app can be told: its options, from the bundled catalogue or from the metadata in its jar.

mod jar;
mod jar_file;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flowkeeper_api::apps::{AppOption, Hints};
use flowkeeper_dsl::properties::KnownProperty;
use indexmap::IndexMap;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::apps::Listed;
use crate::catalog::{BundledApp, Catalog};

/// Programs whose options are remembered, and programs read at the same time.
const MAX_REMEMBERED: usize = 256;
const MAX_READERS: usize = 4;
/// How long what was fetched is believed, and how long a failure.
const LASTS: Duration = Duration::from_secs(600);
const FAILURE_LASTS: Duration = Duration::from_secs(10);

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
}

/// Finds the options of registered apps, and remembers those it had to read from a program.
#[derive(Clone, Debug)]
pub struct OptionsReader {
    catalog: Catalog,
    client: reqwest::Client,
    remembered: Arc<Mutex<Remembered>>,
    /// Held while a program is read or fetched, which takes memory and time.
    reading: Arc<Semaphore>,
}

impl OptionsReader {
    /// Finds bundled apps in `catalog`; programs are fetched with `client`.
    pub fn new(catalog: Catalog, client: reqwest::Client) -> OptionsReader {
        let reading = Arc::new(Semaphore::new(MAX_READERS));
        OptionsReader { catalog, client, remembered: Arc::default(), reading }
    }

    /// The options of a registered app: of a bundled one, or as its jar says (`file:`, `http:`, `https:`). A jar that cannot be
    /// read has none.
    pub async fn of(&self, app: &Listed) -> Arc<Options> {
        if let Some(bundled) = self.catalog.by_uri(&app.uri) {
            return Arc::new(of_bundled(bundled));
        }
        let source = app.metadata_uri.as_deref().unwrap_or(&app.uri);
        let state = jar_file::state(source).await;
        if let Some(known) = self.recall(source, state) {
            return known;
        }
        // It is never closed.
        let _permit = self.reading.acquire().await;
        // Whoever read before us may have been asked for the same.
        if let Some(known) = self.recall(source, state) {
            return known;
        }
        let (options, is_lasting) = match self.read(source).await {
            Ok(options) => (Arc::new(options), true),
            Err(error) => {
                tracing::info!(uri = source, %error, "the options of an app could not be read from its program");
                (Arc::default(), false)
            }
        };
        self.lock()
            .put(source, Entry { options: Arc::clone(&options), state, is_lasting, at: Instant::now() });
        options
    }

    async fn read(&self, source: &str) -> Result<Options, jar::JarError> {
        match jar_file::open(&self.client, source).await? {
            Some(file) => tokio::task::spawn_blocking(move || jar::read(file))
                .await
                .map_err(|error| std::io::Error::other(error.to_string()))?,
            None => Ok(Options::default()),
        }
    }

    fn recall(&self, source: &str, state: Option<jar_file::FileState>) -> Option<Arc<Options>> {
        self.lock().get(source, state)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Options by the URI they were read from, the least recently used first.
#[derive(Debug, Default)]
struct Remembered(IndexMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    options: Arc<Options>,
    /// What the file was like; `None` for what is not a file of this machine.
    state: Option<jar_file::FileState>,
    /// False after a failure, which may pass.
    is_lasting: bool,
    at: Instant,
}

impl Remembered {
    fn get(&mut self, source: &str, state: Option<jar_file::FileState>) -> Option<Arc<Options>> {
        let entry = self.0.shift_remove(source)?;
        let lives = if entry.is_lasting { LASTS } else { FAILURE_LASTS };
        // A file is looked at each time; what was fetched is only trusted for a while.
        let is_same =
            entry.state == state && ((state.is_some() && entry.is_lasting) || entry.at.elapsed() < lives);
        if !is_same {
            return None;
        }
        let options = Arc::clone(&entry.options);
        self.0.insert(source.to_owned(), entry);
        Some(options)
    }

    fn put(&mut self, source: &str, entry: Entry) {
        self.0.shift_remove(source);
        self.0.insert(source.to_owned(), entry);
        if self.0.len() > MAX_REMEMBERED {
            self.0.shift_remove_index(0);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: Option<jar_file::FileState>, is_lasting: bool) -> Entry {
        Entry { options: Arc::default(), state, is_lasting, at: Instant::now() }
    }

    #[test]
    fn only_so_many_are_remembered_and_the_least_used_goes_first() {
        let mut remembered = Remembered::default();
        (0..MAX_REMEMBERED).for_each(|n| remembered.put(&n.to_string(), entry(None, true)));
        assert!(remembered.get("0", None).is_some());
        remembered.put("one more", entry(None, true));
        assert!(remembered.get("0", None).is_some() && remembered.get("1", None).is_none());
        assert_eq!(remembered.0.len(), MAX_REMEMBERED);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_that_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jar");
        let uri = format!("file://{}", path.display());
        std::fs::write(&path, "one").unwrap();
        let state = jar_file::state(&uri).await;
        let mut remembered = Remembered::default();
        remembered.put(&uri, entry(state, true));
        assert!(remembered.get(&uri, state).is_some());
        std::fs::write(&path, "longer").unwrap();
        let changed = jar_file::state(&uri).await;
        assert_ne!(changed, state);
        assert!(remembered.get(&uri, changed).is_none());
    }

    #[test]
    fn the_first_sentence_is_short() {
        assert_eq!(first_sentence("One. Two."), "One.");
        assert_eq!(first_sentence("One\n more e.g.this."), "One more e.g.this.");
        assert_eq!(first_sentence(""), "");
    }
}
