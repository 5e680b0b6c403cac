//! Whole clusters of real processes, hurt on purpose: does what was promised hold?
//!
//! A scenario starts a [`System`] (Apache ZooKeeper or our own, a broker, servers, agents whose apps are probes), does harm
//! to it (kills, stops in the tracks, cuts of the network through [`proxy::Proxy`]), heals it, waits until it has come to rest,
//! and asks the oracles:
//!
//! * the [`ledger`] of the probes: no strictly exclusive instance ran twice, no term went back (I1, I5);
//! * the processes of the machine: exactly the wanted instances run, and those that nothing happened to have their old pids
//!   (I2, I9, I12, I13);
//! * the servers: every copy of the metadata is the same, the check of the metadata finds nothing (I10, I16).
//!
//! Scenarios are named after the faults they do. The binary `torture` runs them; `peers/check-faults` runs a selection for CI.

pub mod ensemble;
pub mod hand;
pub mod ledger;
pub mod linear;
pub mod namespace;
mod operate;
pub mod oracles;
pub mod proxy;
pub mod role;
pub mod scenarios;
pub mod sink;
pub mod system;
pub mod txnlog;

pub use ensemble::{Ensemble, Ticks};
pub use hand::Hand;
pub use oracles::Wanted;
pub use sink::Sink;
pub use system::{Plan, System};
