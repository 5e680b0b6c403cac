//! The SDK for Flowkeeper's stream apps: programs that take messages from a destination, do something, and send messages to
//! another, compatible on the wire and in their properties with Spring Cloud Stream apps.
//!
//! Main types, outside in:
//! - [`harness::run`] runs one app as a process: properties, log, bindings, actuator, signals, exit code.
//!   [`pipeline::run`] runs several in one process.
//! - [`app::App`] is what an author writes: a [`app::Source`], [`app::Processor`] or [`app::Sink`], built from [`props::Props`].
//! - [`runner`] moves messages: receive, process, send, commit, in this order, so that a crash repeats but never loses.
//! - [`binder`] reaches the message system: Kafka, memory, the console.
//! - [`fence::Fence`] tells the copies of one instance apart, so that what an older one still writes is refused: by Kafka, in
//!   a directory, in a database.
//! - [`message::Message`] is bytes and typed headers; [`expr::Expression`] is the SpEL subset; [`value::Value`] carries
//!   Java's semantics between them.
//!
//! What it never does: it knows nothing of the server, reads no global (environment and arguments come in as values), and
//! keeps no queue without a bound. Where a source is faster than its sink, the source waits.
//!
//! Start with `app.rs`, then `runner.rs`.

pub mod actuator;
pub mod app;
pub mod binder;
pub mod console;
pub mod control;
pub mod excerpt;
pub mod expr;
pub mod fence;
pub mod harness;
pub mod health;
pub mod http;
pub mod log;
pub mod message;
pub mod metrics;
pub mod output;
pub mod pipeline;
pub mod poller;
pub mod props;
pub mod runner;
pub mod skips;
pub mod suggest;
pub mod task;
pub mod value;
