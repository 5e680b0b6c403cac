//! Sinks: apps that take messages out of a stream.

pub(crate) mod file;
pub(crate) mod log;
