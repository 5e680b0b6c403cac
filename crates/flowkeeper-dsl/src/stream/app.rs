//! What a definition means for each app: its type, and the properties that bind it to its neighbours.

use std::fmt;

use indexmap::IndexMap;

use super::{AppNode, StreamDefinition};
use crate::keys;
use crate::properties::has_text;

/// The part an app plays in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AppType {
    /// Bound to nothing.
    App,
    /// Writes only.
    Source,
    /// Reads and writes.
    Processor,
    /// Reads only.
    Sink,
}

impl AppType {
    /// The word used in the registry and in properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Source => "source",
            Self::Processor => "processor",
            Self::Sink => "sink",
        }
    }
}

impl fmt::Display for AppType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One app of a stream with the properties that the definition gives it.
///
/// Plain data: the server replaces the properties after a deployment and prints the stream anew with
/// [`print_apps`](crate::print_apps).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppDefinition {
    /// The stream the app belongs to.
    pub stream: String,
    /// The name under which the app is registered.
    pub name: String,
    /// The app's name within the stream.
    pub label: String,
    /// The part it plays.
    pub app_type: AppType,
    /// Options as written, then bindings; later ones have replaced earlier ones.
    pub properties: IndexMap<String, String>,
}

impl StreamDefinition {
    /// What the definition means for each app, in flow order.
    pub fn app_definitions(&self) -> Vec<AppDefinition> {
        let stream = self.name().unwrap_or_default();
        (0..self.apps.len())
            .map(|index| AppDefinition {
                stream: stream.to_owned(),
                name: self.apps[index].name.clone(),
                label: self.apps[index].label().to_owned(),
                app_type: self.app_type(index),
                properties: self.properties(index, stream),
            })
            .collect()
    }

    /// The type of the app at `index` in flow order.
    ///
    /// A lone app without destinations is an `app`, not a source, because nobody reads from it.
    pub fn app_type(&self, index: usize) -> AppType {
        let reads = index > 0 || self.source.is_some();
        let writes = index + 1 < self.apps.len() || self.sink.is_some();
        match (reads, writes) {
            _ if self.unbound => AppType::App,
            (false, _) => AppType::Source,
            (true, true) => AppType::Processor,
            (true, false) => AppType::Sink,
        }
    }

    /// Bindings are put over what the user wrote: the language decides who is whose neighbour.
    fn properties(&self, index: usize, stream: &str) -> IndexMap<String, String> {
        let mut properties = written_properties(&self.apps[index]);
        let mut bind = |key: &str, value: String| drop(properties.insert(key.to_owned(), value));
        if index > 0 && !self.unbound {
            bind(keys::INPUT_DESTINATION, format!("{stream}.{}", self.apps[index - 1].label()));
            bind(keys::INPUT_GROUP, stream.to_owned());
        }
        if index + 1 < self.apps.len() && !self.unbound {
            bind(keys::OUTPUT_DESTINATION, format!("{stream}.{}", self.apps[index].label()));
            bind(keys::OUTPUT_REQUIRED_GROUPS, stream.to_owned());
        }
        if let Some(source) = self.source.as_ref().filter(|_| index == 0) {
            bind(keys::INPUT_DESTINATION, source.name.clone());
            bind(keys::INPUT_GROUP, source.group().unwrap_or(stream).to_owned());
        }
        if let Some(sink) = self.sink.as_ref().filter(|_| index + 1 == self.apps.len()) {
            bind(keys::OUTPUT_DESTINATION, sink.name.clone());
        }
        properties
    }
}

fn written_properties(app: &AppNode) -> IndexMap<String, String> {
    app.args
        .iter()
        .map(|arg| {
            let key = if arg.name.eq_ignore_ascii_case("inputType") {
                keys::INPUT_CONTENT_TYPE
            } else if arg.name.eq_ignore_ascii_case("outputType") {
                keys::OUTPUT_CONTENT_TYPE
            } else {
                &arg.name
            };
            // SCDF's way to carry an empty value through its YAML manifests; clients see it.
            let value = if has_text(&arg.value) { &arg.value } else { r#"\"\""# };
            (key.to_owned(), value.to_owned())
        })
        .collect()
}
