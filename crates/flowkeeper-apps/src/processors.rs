//! Processors: apps that make messages from messages.

pub(crate) mod bridge;
pub(crate) mod filter;
pub(crate) mod splitter;
pub(crate) mod transform;
