//! A stream definition as it was written: apps, options, labels, destinations, and where they stand.

pub(crate) mod app;
pub(crate) mod parser;
pub(crate) mod print;
pub(crate) mod regenerate;
pub(crate) mod related;

use crate::span::Span;

/// A parsed stream definition.
///
/// Two definitions are equal when they say the same, wherever blanks and quotes stand: spans and the
/// text itself do not count.
#[derive(Clone, Debug)]
pub struct StreamDefinition {
    pub(crate) text: String,
    pub(crate) given_name: Option<String>,
    pub(crate) embedded_name: Option<String>,
    pub(crate) source: Option<Destination>,
    /// In flow order, never empty, labels unique.
    pub(crate) apps: Vec<AppNode>,
    pub(crate) sink: Option<Destination>,
    pub(crate) unbound: bool,
}

/// One app of a definition.
#[derive(Clone, Debug)]
pub struct AppNode {
    pub(crate) name: String,
    pub(crate) label: Option<String>,
    pub(crate) args: Vec<Argument>,
    pub(crate) span: Span,
}

/// One option of an app or destination: `--name=value`.
#[derive(Clone, Debug)]
pub struct Argument {
    /// The name, dots included.
    pub name: String,
    /// The value, without the quotes around it.
    pub value: String,
    /// From `--` to the end of the value.
    pub span: Span,
}

/// A named destination: the `:name` of `:name > …` or `… > :name`.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The name, without the colon.
    pub name: String,
    /// Options after the name. Only `group`, on a source destination, means anything.
    pub args: Vec<Argument>,
    /// For a source destination from its name to the `>` after it, for a sink destination from the `>`
    /// before it to its name, as SCDF counts.
    pub span: Span,
}

/// What a tap listens to: the output of one app of another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap<'a> {
    /// The stream that is tapped.
    pub stream: &'a str,
    /// The label of the app whose output is read, as far as the destination tells.
    pub label: &'a str,
}

impl StreamDefinition {
    /// The text as it was given to the parser.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The stream's name: the one given to the parser, else the one in the text.
    pub fn name(&self) -> Option<&str> {
        self.given_name.as_deref().or(self.embedded_name.as_deref())
    }

    /// The name in the text, of `name = time | log`.
    pub fn embedded_name(&self) -> Option<&str> {
        self.embedded_name.as_deref()
    }

    /// The apps in flow order; there is at least one.
    pub fn apps(&self) -> &[AppNode] {
        &self.apps
    }

    /// The apps in the order in which they are deployed: sink first, so that nobody writes to an app
    /// that does not read yet.
    pub fn deployment_order(&self) -> impl DoubleEndedIterator<Item = &AppNode> + ExactSizeIterator {
        self.apps.iter().rev()
    }

    /// The app with this label.
    pub fn app(&self, label: &str) -> Option<&AppNode> {
        self.apps.iter().find(|app| app.label() == label)
    }

    /// Where the first app reads from, of `:name > …`.
    pub fn source_destination(&self) -> Option<&Destination> {
        self.source.as_ref()
    }

    /// Where the last app writes to, of `… > :name`.
    pub fn sink_destination(&self) -> Option<&Destination> {
        self.sink.as_ref()
    }

    /// Whether the apps only run side by side (`a || b`), or there is just one without destinations.
    pub fn is_unbound(&self) -> bool {
        self.unbound
    }

    /// What the stream taps, if its source destination has the form `<stream>.<label>`.
    ///
    /// Whether such a stream exists is not for this crate to know.
    pub fn tap(&self) -> Option<Tap<'_>> {
        let (stream, label) = self.source.as_ref()?.name.split_once('.')?;
        Some(Tap { stream, label })
    }
}

impl AppNode {
    /// The name under which the app is registered.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the app within its stream: the label as written, else the registered name.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }

    /// Whether a label was written.
    pub fn is_labelled(&self) -> bool {
        self.label.is_some()
    }

    /// The options as written, repeated ones included; of those the last counts.
    pub fn args(&self) -> &[Argument] {
        &self.args
    }

    /// From the label or name to the end of the last option.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl Destination {
    /// The consumer group asked for with `--group`.
    pub fn group(&self) -> Option<&str> {
        self.args.iter().rev().find(|arg| arg.name == "group").map(|arg| arg.value.as_str())
    }
}

impl PartialEq for StreamDefinition {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.embedded_name == other.embedded_name
            && self.source == other.source
            && self.apps == other.apps
            && self.sink == other.sink
            && self.unbound == other.unbound
    }
}

impl PartialEq for AppNode {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.label, &self.args) == (&other.name, &other.label, &other.args)
    }
}

impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.value) == (&other.name, &other.value)
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.args) == (&other.name, &other.args)
    }
}

impl Eq for StreamDefinition {}
impl Eq for AppNode {}
impl Eq for Argument {}
impl Eq for Destination {}
