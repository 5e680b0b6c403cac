//! Property lists: how users write them, which keys are allowed, what short names mean, what is secret.
//!
//! `list` reads texts, `deploy` knows the prefixes of deployment properties, `short_names` expands
//! names, `secrets` hides values.

mod deploy;
mod list;
mod secrets;
mod short_names;

pub use deploy::{
    extract_deployer_properties, qualify_deployer_properties, validate_stream_keys, validate_task_keys,
};
pub use list::{parse_argument_list, parse_property_list, remove_quoting, split_property_list};
pub use secrets::{MASK, Sanitizer};
pub use short_names::{KnownProperty, expand_short_names, relaxed_names};

/// What can be wrong with properties. The first two texts are recorded from SCDF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A textual list starts with, or contains where a key must stand, something else.
    #[error(
        "Only deployment property keys starting with 'app.' or 'scheduler' or 'deployer.'  or 'version.' allowed. Not {0}"
    )]
    NotAProperty(String),
    /// A stream is deployed with a property that is neither the app's, the deployer's nor a version.
    #[error(
        "Only deployment property keys starting with 'app.' or 'deployer.'  or 'version.' allowed, got '{0}'"
    )]
    StreamKey(String),
    /// A task is launched with such a property.
    #[error(
        "Only deployment property keys starting with 'app.', 'deployer.' or, 'scheduler.' allowed, got '{0}'"
    )]
    TaskKey(String),
    /// A short name could mean several properties of the app.
    #[error("the property '{name}' is ambiguous: write one of {} in full", .ids.join(", "))]
    AmbiguousShortName {
        /// The name as written.
        name: String,
        /// The full names it could mean.
        ids: Vec<String>,
    },
}

/// Whether there is more than blanks in `text`; a no-break space counts as more, as in Java.
pub(crate) fn has_text(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() || matches!(c, '\u{A0}' | '\u{2007}' | '\u{202F}'))
}
