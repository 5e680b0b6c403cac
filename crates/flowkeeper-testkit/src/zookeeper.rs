//! ZooKeeper without a client library: what judges and measures servers should have nothing in between.
//!
//! * [`raw`] is one connection: frames out, frames in.
//! * [`differ`] sends the same requests to two servers and compares what they answer.

pub mod differ;
pub mod raw;
