//! What may be wrong with a document, all of it at once.

use flowkeeper_api::applications::Document;
use flowkeeper_dsl::properties::MASK;
use flowkeeper_dsl::{StreamDefinition, is_valid_stream_name, parse};

use super::super::Error;
use super::super::streams::{self, MAX_NAME};
use super::member::Target;
use crate::state::AppState;

/// Most streams of one application: as many as one transaction is sure to hold.
pub(super) const MAX_STREAMS: usize = 200;

/// What is wrong, collected.
#[derive(Clone, Debug, Default)]
pub(super) struct Wrongs {
    lines: Vec<String>,
    /// Something is in the way that is no fault of the document.
    has_conflicts: bool,
    /// Something in the document is wrong.
    has_faults: bool,
}

impl Wrongs {
    /// Notes something that is wrong with the document.
    pub(super) fn fault(&mut self, line: impl Into<String>) {
        self.has_faults = true;
        self.lines.push(line.into());
    }

    /// Notes something that is in the way.
    pub(super) fn conflict(&mut self, line: impl Into<String>) {
        self.has_conflicts = true;
        self.lines.push(line.into());
    }

    /// Takes the value, or notes what is wrong with a stream.
    pub(super) fn of_stream<T>(&mut self, name: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(format!("stream '{name}': {error}"));
                None
            }
        }
    }

    /// # Errors
    /// Everything that was noted.
    pub(super) fn into_result(self) -> Result<(), Error> {
        let text = self.lines.join("\n");
        match (self.has_faults, self.has_conflicts) {
            (true, _) => Err(Error::InvalidApplication(text)),
            (false, true) => Err(Error::ApplicationConflict(text)),
            (false, false) => Ok(()),
        }
    }
}

/// Checks a document without its streams.
pub(super) fn check_head(name: &str, document: &Document, wrongs: &mut Wrongs) {
    if !is_valid_stream_name(name) {
        wrongs.fault(format!(
            "'{name}' cannot name a stream application: begin with a letter, and use letters, digits, '_' and '-'"
        ));
    }
    if let Some(given) = document.name.as_deref().filter(|given| *given != name) {
        wrongs.fault(format!(
            "the document is about '{given}' and not about '{name}': send it to its own path"
        ));
    }
    if name.chars().count() > MAX_NAME || document.description.chars().count() > MAX_NAME {
        wrongs.fault(format!(
            "the name and the description of a stream application may have {MAX_NAME} characters each: make them shorter"
        ));
    }
    if !document.apps.is_empty() {
        wrongs
            .fault("registrations of apps are no part of a stream application: register them by themselves");
    }
    match document.streams.len() {
        0 => wrongs.fault(format!(
            "stream application '{name}' has no streams: name at least one; to stop and forget all of them, destroy it"
        )),
        count if count > MAX_STREAMS => wrongs.fault(format!(
            "stream application '{name}' has {count} streams and may have {MAX_STREAMS}: split it"
        )),
        _ => {}
    }
    let mut names: Vec<&str> = document.streams.iter().map(|stream| stream.name.as_str()).collect();
    names.sort_unstable();
    let mut twice: Vec<&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    twice
        .into_iter()
        .for_each(|name| wrongs.fault(format!("stream '{name}' is there twice: rename one of them")));
}

/// Checks a stream and parses its definition.
pub(super) fn check_stream(
    state: &AppState,
    target: &Target,
    wrongs: &mut Wrongs,
) -> Option<StreamDefinition> {
    let Target { name, text, description, .. } = target;
    let masked = masked_keys(target);
    for key in &masked {
        wrongs.fault(format!(
            "stream '{name}': the value of '{key}' is masked ({MASK}): write the real one, or export with --secrets"
        ));
    }
    let definition = wrongs.of_stream(name, streams::check(state, name, text, description));
    definition.filter(|_| masked.is_empty())
}

/// Options and properties whose values were masked by an export.
fn masked_keys(target: &Target) -> Vec<String> {
    let definition = parse(Some(&target.name), &target.text).ok();
    let written = definition.iter().flat_map(|definition| definition.apps()).flat_map(|app| app.args());
    let written = written.map(|arg| (&arg.name, &arg.value));
    let masked = written.chain(&target.properties).filter(|(_, value)| *value == MASK);
    masked.map(|(key, _)| key.clone()).collect()
}
