//! The server from outside: raw bytes, and the independent client crate `zookeeper-client`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod abuse;
mod access;
mod admin;
mod admission;
mod locks;
mod model;
mod proxy;
mod recipes;
mod sasl;
mod server_client;
mod server_raw;
mod sessions;
mod tls;
mod wire;
