//! The catalogue: one static list of the bundled apps with their options, read by the command line, the server's metadata and
//! the documentation.

pub mod options;

use std::fmt;

use flowkeeper_appkit::app::{App, Error};
use flowkeeper_appkit::props::Props;

pub use self::options::OptionError;
use crate::{processors, sinks, sources};

/// The place of an app in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    Source,
    Processor,
    Sink,
}

impl AppKind {
    /// The word users write.
    pub fn word(self) -> &'static str {
        match self {
            AppKind::Source => "source",
            AppKind::Processor => "processor",
            AppKind::Sink => "sink",
        }
    }
}

impl fmt::Display for AppKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One bundled app.
pub struct AppDescriptor {
    pub kind: AppKind,
    pub name: &'static str,
    pub summary: &'static str,
    pub options: &'static [OptionDescriptor],
    pub(crate) build: fn(&Props) -> Result<App, Error>,
}

/// Looks at a value before an app is started with it.
pub type Check = fn(&str) -> Result<(), OptionError>;

/// One option of an app.
pub struct OptionDescriptor {
    /// The full name: `http.supplier.path-pattern`.
    pub name: &'static str,
    /// The Java type, as Data Flow shows it.
    pub java_type: &'static str,
    pub default: Option<&'static str>,
    pub description: &'static str,
    /// Checks a value beyond its type, such as an expression.
    pub check: Option<Check>,
}

static CATALOG: &[AppDescriptor] = &[
    sources::time::DESCRIPTOR,
    sources::http::DESCRIPTOR,
    sources::file::DESCRIPTOR,
    processors::transform::DESCRIPTOR,
    processors::filter::DESCRIPTOR,
    processors::splitter::DESCRIPTOR,
    processors::bridge::DESCRIPTOR,
    sinks::log::DESCRIPTOR,
    sinks::file::DESCRIPTOR,
];

/// All bundled apps.
pub fn catalog() -> &'static [AppDescriptor] {
    CATALOG
}

/// The app of a kind and name.
pub fn find(kind: AppKind, name: &str) -> Option<&'static AppDescriptor> {
    CATALOG.iter().find(|app| app.kind == kind && app.name == name)
}

/// The poller's options, for sources that poll.
pub(crate) const FIXED_DELAY: OptionDescriptor = OptionDescriptor {
    name: "spring.integration.poller.fixed-delay",
    java_type: "java.time.Duration",
    default: Some("1s"),
    description: "Pause between the end of one poll and the start of the next",
    check: None,
};

/// See [`FIXED_DELAY`].
pub(crate) const FIXED_RATE: OptionDescriptor = OptionDescriptor {
    name: "spring.integration.poller.fixed-rate",
    java_type: "java.time.Duration",
    default: None,
    description: "Time between the starts of two polls; replaces fixed-delay",
    check: None,
};

/// See [`FIXED_DELAY`].
pub(crate) const INITIAL_DELAY: OptionDescriptor = OptionDescriptor {
    name: "spring.integration.poller.initial-delay",
    java_type: "java.time.Duration",
    default: Some("0"),
    description: "Pause before the first poll",
    check: None,
};

/// See [`FIXED_DELAY`].
pub(crate) const MAX_MESSAGES: OptionDescriptor = OptionDescriptor {
    name: "spring.integration.poller.max-messages-per-poll",
    java_type: "java.lang.Long",
    default: None,
    description: "How many messages one poll may produce; unlimited when not set",
    check: None,
};

#[cfg(test)]
mod tests;
