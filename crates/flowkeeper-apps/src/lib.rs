//! The bundled stream apps: what a Flowkeeper binary can run without a JVM.
//!
//! - [`mod@catalog`] lists them with their options: names, types and defaults are those of the Spring Cloud Stream applications,
//!   so that existing stream definitions run unchanged.
//! - [`run_app`] runs one as this process, the way a deployer starts it. [`run_pipeline`] runs several in this process.
//! - `sources`, `processors` and `sinks` hold one file per app: its descriptor, its options, its work, its tests.
//!
//! An app never imports another app, and knows nothing of the server. To add one: write its file after the model of
//! `processors/filter.rs`, and name its descriptor in `catalog.rs`.

pub mod catalog;
mod processors;
mod run;
mod sinks;
mod sources;

pub use self::catalog::{AppDescriptor, AppKind, OptionDescriptor, OptionError, catalog, find};
pub use self::run::{Stage, run_app, run_pipeline};
