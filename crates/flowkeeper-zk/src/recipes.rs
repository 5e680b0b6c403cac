//! Client-side recipes over the `zookeeper-client` crate: what a control plane needs beyond single requests.
//!
//! * [`Connection`] keeps a session alive across disconnections and expiry and says so ([`Link`]); a session can be saved and
//!   taken up again by the next process ([`SavedSession`]).
//! * [`Auth`] and [`AclPolicy`] say who we are and who may touch what we create.
//! * [`Seal`] keeps documents unreadable for whoever has ZooKeeper's disk, and [`Tls`] for whoever has the wire.
//! * [`Txn`] is a fenced `multi` whose failure names the operation that failed.
//! * [`TreeFollower`] turns a recursive watch into a stream of changes that never misses one for good.
//! * [`Lock`] serialises what must not be done twice at once, and tells who is doing what.
//! * [`Election`] elects a leader with a numbered epoch whose version fences every leader write.
//!
//! Rules they share: a lost connection makes the outcome of a write *unknown*, never failed; watches are hints, so each
//! reconnect re-reads everything; authority rests on versions checked in the same transaction, never on time.

mod acl;
mod connection;
mod election;
mod fingerprint;
mod follower;
mod lock;
mod reseal;
mod seal;
mod session;
mod tls;
mod txn;

pub use acl::{AclClass, AclPolicy, Auth, NotAnAuth};
pub use connection::{Connection, ConnectionDriver, Link, LinkState, Options};
pub use election::{Election, ElectionError, Leadership};
pub use fingerprint::Fingerprint;
pub use follower::{Batch, Change, Node, TreeFollower};
pub use lock::{Held, Lock, LockError};
pub use reseal::Resealed;
pub use seal::{KeyId, Keyring, NotAKeyring, OVERHEAD, Seal, UnsealError, new_key, sealed_by};
pub use session::{NotASession, SavedSession};
pub use tls::{NotTls, Tls};
pub use txn::{Committed, Txn, TxnError};
