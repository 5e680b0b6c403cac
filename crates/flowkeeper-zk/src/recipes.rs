//! Client-side recipes over the `zookeeper-client` crate: what a control plane needs beyond single requests.
//!
//! * [`Connection`] keeps a session alive across disconnections and expiry and says so ([`Link`]).
//! * [`Txn`] is a fenced `multi` whose failure names the operation that failed.
//! * [`TreeFollower`] turns a recursive watch into a stream of changes that never misses one for good.
//! * [`Election`] elects a leader with a numbered epoch whose version fences every leader write.
//!
//! Rules they share: a lost connection makes the outcome of a write *unknown*, never failed; watches are hints, so each
//! reconnect re-reads everything; authority rests on versions checked in the same transaction, never on time.

mod connection;
mod election;
mod follower;
mod txn;

pub use connection::{Connection, ConnectionDriver, Link, LinkState, Options};
pub use election::{Election, Leadership};
pub use follower::{Batch, Change, Node, TreeFollower};
pub use txn::{Committed, Txn, TxnError};
