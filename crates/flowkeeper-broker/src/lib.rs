//! An embedded broker: one node, Kafka's protocol, nothing to install.
//!
//! It serves unmodified Kafka clients (Java, librdkafka) for development and for single machines; whoever needs replication
//! points the apps at Apache Kafka instead. Record batches stay opaque: the broker checks their headers and checksums,
//! numbers them, and gives them back as they came, compressed or not.
//!
//! ```text
//! connection ─► api: decode, dispatch ─► topics ─► log: a folder of segment files per partition
//!                                   └──► group: membership and rebalance, in memory
//!                                   └──► journal: topics, committed offsets, producer ids; one small file
//! ```
//!
//! **Durability.** A produce is acknowledged once it is written to the operating system, so it survives a kill of every
//! process. Against power loss the policy is [`Flush`]: by default everything is synced to disk every 100 ms; with
//! [`Flush::Always`] before each acknowledgement. A torn tail is cut off at the start and told. Records that were synced and
//! are missing or damaged make [`start`] refuse, until a person accepts the loss. A disk that takes nothing more stops nothing:
//! producers are told and wait, [`Broker::health`] says why, and writing goes on by itself when there is room.
//!
//! **Delivery.** Produces are idempotent (Kafka's producer ids and sequence numbers); reads are in order per partition.
//! Transactions are not served yet: clients that ask for them get a clear error.
//!
//! Start with [`start`]; then `api` for the protocol, `log` for the files. What is absent on purpose: replication,
//! authentication (it binds the loopback interface unless told otherwise), and any knowledge of streams.

mod api;
mod conn;
mod error;
mod group;
mod health;
mod journal;
mod log;
mod loss;
mod server;
mod signal;
mod task;
mod topics;

pub use error::Error;
pub use health::Health;
pub use server::{Broker, Config, Flush, start};
