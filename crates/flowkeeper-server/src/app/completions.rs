//! Completion of definitions: what is registered here, lent to the rules of `flowkeeper_dsl::completion`.

use std::borrow::Cow;

use flowkeeper_dsl::completion::{App, AppOption, Detail, Proposal, Registry, StreamCompletion, ValueHint};
use flowkeeper_dsl::{AppType, StreamDefinition};
use serde_json::Value;

use super::apps;
use super::options::{Described, Options};
use crate::meta::{AppKey, AppKind, Model};
use crate::state::AppState;

/// The value provider by which an option's metadata says that it takes other values than those it lists.
const ANY: &str = "any";

/// How the definition of a stream could go on after `text`. The options of one app may have to be read from its program.
pub async fn complete_stream(state: &AppState, text: &str, detail: Detail) -> Vec<Proposal> {
    let completion = StreamCompletion::new(text, detail);
    let wanted = {
        let model = state.meta.model();
        let key = completion
            .wanted_app(&Registered(&model))
            .map(|app| AppKey::new(kind_of(app.app_type), app.name));
        key.and_then(|key| apps::get(&model, &key, None).ok())
    };
    let options = match wanted {
        Some(app) => state.options.of(&app).await,
        None => Default::default(),
    };
    completion.proposals(&Registered(&state.meta.model()), &known_options(&options))
}

/// The apps that have a default version, oldest first, and the visible streams.
struct Registered<'m>(&'m Model);

impl Registry for Registered<'_> {
    fn apps(&self) -> Vec<App<'_>> {
        let found = self.0.apps.iter().filter_map(|(key, entry)| {
            let version = entry.versions.get(entry.default.as_ref()?)?;
            Some((version.age(), App { app_type: type_of(key.kind)?, name: key.name.as_str() }))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(age, _)| *age);
        found.into_iter().map(|(_, app)| app).collect()
    }

    fn streams(&self) -> Vec<&str> {
        self.0.streams_by_age().map(|(name, _)| name).collect()
    }

    fn definition(&self, stream: &str) -> Option<StreamDefinition> {
        self.0.stream(stream)?;
        self.0.shown(stream)?.definition()
    }
}

/// The part that an app of this kind plays in a stream; tasks play none.
fn type_of(kind: AppKind) -> Option<AppType> {
    match kind {
        AppKind::App => Some(AppType::App),
        AppKind::Source => Some(AppType::Source),
        AppKind::Processor => Some(AppType::Processor),
        AppKind::Sink => Some(AppType::Sink),
        AppKind::Task => None,
    }
}

fn kind_of(app_type: AppType) -> AppKind {
    match app_type {
        AppType::App => AppKind::App,
        AppType::Source => AppKind::Source,
        AppType::Processor => AppKind::Processor,
        AppType::Sink => AppKind::Sink,
    }
}

fn known_options(options: &Options) -> Vec<AppOption<'_>> {
    options.all.iter().map(known_option).collect()
}

fn known_option(described: &Described) -> AppOption<'_> {
    let Described { option, is_visible } = described;
    AppOption {
        id: &option.id,
        name: &option.name,
        summary: option.short_description.as_deref(),
        is_visible: *is_visible,
        java_type: option.java_type.as_deref(),
        values: option.hints.value_hints.iter().map(known_value).collect(),
        takes_others: option.hints.value_providers.iter().any(|provider| provider.name == ANY),
    }
}

fn known_value(hint: &flowkeeper_api::apps::ValueHint) -> ValueHint<'_> {
    let value = match &hint.value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    };
    ValueHint { value, summary: hint.short_description.as_deref() }
}

#[cfg(test)]
mod tests {
    use flowkeeper_api::apps::{self, Hints, ValueProvider};
    use serde_json::json;

    use super::*;

    #[test]
    fn hints_of_the_metadata_become_values() {
        let hint = |value: Value| apps::ValueHint { value, ..Default::default() };
        let option = |providers: &[&str]| {
            let provider = |name: &&str| ValueProvider { name: (*name).to_owned(), ..Default::default() };
            let hints = Hints {
                value_hints: vec![hint(json!("a b")), hint(json!(5)), hint(json!(true))],
                value_providers: providers.iter().map(provider).collect(),
                ..Default::default()
            };
            Described { option: apps::AppOption { hints, ..Default::default() }, is_visible: true }
        };
        let options = Options { all: vec![option(&["any"]), option(&["logger-name"])], ..Default::default() };
        let known = known_options(&options);
        let values: Vec<_> = known[0].values.iter().map(|hint| &*hint.value).collect();
        assert_eq!(values, ["a b", "5", "true"]);
        assert!(known[0].takes_others && !known[1].takes_others);
    }
}
