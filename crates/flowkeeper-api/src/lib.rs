//! The REST contract of Flowkeeper: what travels between the server and whoever talks to it, and a typed [`Client`].
//!
//! Most of the contract is that of Spring Cloud Data Flow 2.11 (SCDF), down to member names, their order, and which members
//! are absent when empty: scripts, the Java client and the dashboard of SCDF read these documents. What Flowkeeper adds
//! lies under `/api/v1` ([`cluster`], [`nodes`], [`applications`]).
//!
//! * [`hal`]: links, pages, embedded lists: the shape all SCDF documents share;
//! * [`about`], [`apps`], [`streams`], [`releases`], [`completions`], [`runtime`], [`audit`]: the documents by area;
//! * [`applications`]: stream applications and the documents they are written in;
//! * [`error`]: the one shape of every error;
//! * [`client`]: a method per operation, errors with a [`Kind`] to act on.
//!
//! Types are here only where they are promises to clients. This crate decides nothing, knows no ZooKeeper and no engine,
//! and validates nothing beyond the shape: the server does. Start with [`Client`] or with [`streams::StreamDefinition`].

pub mod about;
pub mod applications;
pub mod apps;
pub mod audit;
pub mod client;
pub mod cluster;
pub mod completions;
pub mod error;
pub mod hal;
pub mod locks;
pub mod nodes;
pub mod releases;
pub mod runtime;
pub mod streams;
pub mod watch;

pub use client::Client;
pub use client::error::{Error, Kind};

/// Header of every answer, a ZooKeeper transaction id in decimal: the one that committed a change, or the one up to which what
/// was read is current. In a request: the answer must show at least that transaction.
pub const ZXID_HEADER: &str = "X-Flowkeeper-Zxid";

/// Header of an answer that a server without a connection gave from its copy: for how many seconds that may be out of date.
pub const STALE_HEADER: &str = "X-Flowkeeper-Stale";
