//! Completion: from a definition that is still being typed to the texts it could become.
//!
//! [`StreamCompletion::new`] looks at the text and decides what may follow: an app, the name of an option, its value, a
//! stream to tap. It asks nobody. What it proposes then comes from what is registered, which the caller lends as a
//! [`Registry`], and from the options of at most one app, which [`StreamCompletion::wanted_app`] names, because it may
//! be costly to find them.
//!
//! The rules are those of SCDF 2.11, where they give an answer at all: a text that does not parse is completed where it
//! broke off, one that does is continued. Proposals are always the whole new line. They begin with what was typed, but
//! for two cases: before an option's name the blanks and dashes are put in order, and a tap is cut back to the part
//! that is known.
//!
//! `context.rs` says what may follow, `stream.rs` proposes apps, taps and labels, `options.rs` names and values of
//! options, which is the part that does not depend on the kind of definition.

mod context;
mod options;
mod proposals;
mod stream;

use std::borrow::Cow;

use crate::stream::StreamDefinition;
use crate::stream::app::AppType;

pub use stream::StreamCompletion;

/// One text that the typed one could become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The whole line, not only what is added.
    pub text: String,
    /// What it is, for people. Absent where the text says it all.
    pub explanation: Option<String>,
}

/// How much is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Options that are meant for users, under their short names.
    Common,
    /// Besides, all options under their full names, and the options of apps that have a label of their own.
    All,
}

impl Detail {
    /// What SCDF's levels mean: 1 is [`Common`](Self::Common), everything above is [`All`](Self::All).
    pub fn from_level(level: u32) -> Detail {
        if level > 1 { Self::All } else { Self::Common }
    }
}

/// A registered app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct App<'a> {
    /// What it is registered as.
    pub app_type: AppType,
    /// The name under which it is registered.
    pub name: &'a str,
}

/// What is registered. Proposals keep the order of these lists.
pub trait Registry {
    /// The apps of which streams are made. Several versions of one app are listed once.
    fn apps(&self) -> Vec<App<'_>>;

    /// The names of the streams that can be tapped.
    fn streams(&self) -> Vec<&str>;

    /// What a stream consists of, if there is one of this name and its text can be read.
    fn definition(&self, stream: &str) -> Option<StreamDefinition>;
}

/// An option of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppOption<'a> {
    /// The full name.
    pub id: &'a str,
    /// The short name, which only an option that [`is_visible`](Self::is_visible) may be given by.
    pub name: &'a str,
    /// One sentence.
    pub summary: Option<&'a str>,
    /// Whether it is meant for users.
    pub is_visible: bool,
    /// The Java type; for `java.lang.Boolean` the values are known.
    pub java_type: Option<&'a str>,
    /// Values that it is known to take.
    pub values: Vec<ValueHint<'a>>,
    /// Whether it takes other values too.
    pub takes_others: bool,
}

/// A value that an option is known to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueHint<'a> {
    /// The value, without quotes.
    pub value: Cow<'a, str>,
    /// One sentence.
    pub summary: Option<&'a str>,
}
