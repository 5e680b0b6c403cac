//! The language of Flowkeeper, from text to definitions.
//!
//! A user writes `http --port=9000 | filter --expression=#jsonPath(payload,'$.ok') | log`, and the
//! server, the shell and `flowkeeper run` all need the same answer to the same questions: which apps
//! are these, what binds them, and, if the text is wrong, where and what to do about it. This crate is
//! that answer. It speaks the language of Spring Cloud Data Flow (SCDF) 2.11, with the same error codes,
//! messages and positions, because scripts and clients depend on them.
//!
//! # The main types
//!
//! * [`parse`] reads a text into a [`StreamDefinition`]: [`AppNode`]s in flow order, each with a label,
//!   a registered name and [`Argument`]s, and perhaps a source or sink [`Destination`]. Everything
//!   carries a [`Span`] of bytes.
//! * [`ParseError`] is an [`ErrorCode`], a span and inserts. It prints as SCDF's one line, as SCDF's
//!   picture with a caret, or as our own picture with a hint.
//! * [`AppDefinition`] is what a definition means for one app: its [`AppType`] and the properties that
//!   bind it to its neighbours.
//! * [`StreamDefinition::to_dsl`] prints what was written and always reads back as the same
//!   definition. [`print_apps`] prints app definitions, in SCDF's lossy way or in a faithful one.
//! * [`properties`] reads the textual property lists of the shell, checks keys, expands short names and
//!   hides secrets.
//! * [`completion`] proposes how a definition that is still being typed could go on.
//!
//! # What it never does
//!
//! It keeps no registry, so it cannot say whether an app exists (completion is lent what is registered);
//! it reads no file, clock or environment; it never panics on input. A text longer than
//! [`MAX_TEXT_BYTES`] is refused before it is looked at. Every function takes time linear in its input:
//! the lexer and the parser move one cursor forward and look back at most one token, and the two searches
//! for a `>` or a `|` happen once per definition. Completion parses a text at most three times.
//!
//! # Where to start
//!
//! `stream/parser.rs` holds the grammar in the order in which one reads it, `lexer.rs` the one odd rule
//! of the language: what follows an equals sign is read differently.

#![warn(missing_docs)]

pub mod completion;
mod error;
mod html4;
pub mod keys;
mod lexer;
mod lines;
mod names;
pub mod properties;
mod span;
mod stream;

pub use error::{ErrorCode, ParseError};
pub use lines::in_one_line;
pub use names::{is_valid_kubernetes_name, is_valid_stream_name};
pub use span::{Span, utf16_offset};
pub use stream::app::{AppDefinition, AppType};
pub use stream::parser::{MAX_TEXT_BYTES, parse};
pub use stream::regenerate::{PrintStyle, print_apps};
pub use stream::related::related_streams;
pub use stream::{AppNode, Argument, Destination, StreamDefinition, Tap};
