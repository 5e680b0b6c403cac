//! Everything ZooKeeper: the wire protocol, an embedded single-node server, and coordination recipes.
//!
//! * [`proto`] is the wire protocol as pure functions: bytes in, records out, and back. It does no I/O.
//! * [`server`] is a ZooKeeper server for one machine. It speaks to unmodified clients of Apache ZooKeeper
//!   3.9, keeps its data in a folder, and acknowledges nothing that is not on the disk. Start with
//!   [`server::start`] and [`server::Config`].
//! * [`recipes`] is the client side of a control plane, over the `zookeeper-client` crate: supervised sessions,
//!   fenced transactions, a followed subtree, leader election.
//!
//! What this crate never does: it writes no quorum protocol (who needs several servers runs Apache ZooKeeper),
//! it knows nothing of streams or deployments, and its server never uses a client.

pub mod mutant;
pub mod proto;
pub mod recipes;
pub mod server;
