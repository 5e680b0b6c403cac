//! What an app can be told: its options, from the bundled catalogue or from the metadata in its jar.

mod jar;

use std::sync::Arc;

use flowkeeper_api::apps::{AppOption, Hints};
use flowkeeper_dsl::properties::KnownProperty;
use serde_json::Value;

use super::apps::Listed;
use super::uri;
use crate::catalog::{BundledApp, Catalog};

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

/// The options of a registered app. Reads the app's jar, if it lies on this machine.
pub async fn of(catalog: &Catalog, app: &Listed) -> Arc<Options> {
    if let Some(bundled) = catalog.by_uri(&app.uri) {
        return Arc::new(of_bundled(bundled));
    }
    let source = app.metadata_uri.as_deref().unwrap_or(&app.uri);
    let Some(path) = uri::file_path(source) else { return Arc::default() };
    let read = tokio::task::spawn_blocking(move || jar::read(&path).map_err(|error| (path, error)));
    match read.await {
        Ok(Ok(options)) => Arc::new(options),
        Ok(Err((path, error))) => {
            tracing::info!(path = %path.display(), %error, "the options of an app could not be read from its program");
            Arc::default()
        }
        Err(error) => {
            tracing::error!(%error, "reading the options of an app ended early");
            Arc::default()
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

    #[test]
    fn the_first_sentence_is_short() {
        assert_eq!(first_sentence("One. Two."), "One.");
        assert_eq!(first_sentence("One\n more e.g.this."), "One more e.g.this.");
        assert_eq!(first_sentence(""), "");
    }
}
