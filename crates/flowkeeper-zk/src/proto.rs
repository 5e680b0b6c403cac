//! The ZooKeeper wire protocol: jute records, headers and path rules, without any I/O.
//!
//! A message on the wire is a four-byte length and that many bytes. Everything inside is *jute*: big-endian
//! integers, length-prefixed buffers and strings, counted vectors. [`jute`] has these primitives,
//! [`connect`] the session handshake, [`request`] what clients send, [`response`] what servers answer and
//! [`path`] which paths may exist.
//!
//! Decoding borrows from the packet and never panics; a record that does not fit its packet is a
//! [`jute::DecodeError`]. Bytes after the last field of a record are ignored, as the protocol asks.

pub mod acl;
pub mod connect;
pub mod error_code;
pub mod jute;
pub mod op;
pub mod path;
pub mod request;
pub mod response;

pub use acl::{Acl, AclVector};
pub use connect::{ConnectRequest, ConnectResponse};
pub use error_code::ErrorCode;
pub use jute::{DecodeError, Decoder, Encoder};
pub use request::{Create, Request, RequestHeader};
pub use response::{EventKind, ReplyHeader, Stat, WatcherEvent};
