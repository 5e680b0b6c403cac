//! Sources: apps that make messages.

pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod time;
