//! Operation codes and the special transaction ids of the protocol.

/// Creates a node, answers its path.
pub const CREATE: i32 = 1;
/// Deletes a node.
pub const DELETE: i32 = 2;
/// Reads a node's stat, may leave a watch on a missing node.
pub const EXISTS: i32 = 3;
/// Reads a node's data and stat.
pub const GET_DATA: i32 = 4;
/// Replaces a node's data.
pub const SET_DATA: i32 = 5;
/// Reads a node's ACL.
pub const GET_ACL: i32 = 6;
/// Replaces a node's ACL.
pub const SET_ACL: i32 = 7;
/// Lists children.
pub const GET_CHILDREN: i32 = 8;
/// Waits for everything before it.
pub const SYNC: i32 = 9;
/// Keeps a session alive.
pub const PING: i32 = 11;
/// Lists children and answers the stat too.
pub const GET_CHILDREN2: i32 = 12;
/// Compares a version; only inside a multi.
pub const CHECK: i32 = 13;
/// Several writes, all or none.
pub const MULTI: i32 = 14;
/// As [`CREATE`], answers the stat too.
pub const CREATE2: i32 = 15;
/// Changes the ensemble.
pub const RECONFIG: i32 = 16;
/// Asks whether a watch exists.
pub const CHECK_WATCHES: i32 = 17;
/// Removes watches.
pub const REMOVE_WATCHES: i32 = 18;
/// Creates a container.
pub const CREATE_CONTAINER: i32 = 19;
/// Deletes a container; the server's own operation.
pub const DELETE_CONTAINER: i32 = 20;
/// Creates a node that goes when it was unused for a time.
pub const CREATE_TTL: i32 = 21;
/// Several reads at one moment.
pub const MULTI_READ: i32 = 22;
/// Adds an identity to the connection.
pub const AUTH: i32 = 100;
/// Restores watches after a reconnect.
pub const SET_WATCHES: i32 = 101;
/// SASL token exchange.
pub const SASL: i32 = 102;
/// Lists the session's ephemeral nodes.
pub const GET_EPHEMERALS: i32 = 103;
/// Counts descendants.
pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
/// As [`SET_WATCHES`], persistent ones too.
pub const SET_WATCHES2: i32 = 105;
/// Adds a persistent watch.
pub const ADD_WATCH: i32 = 106;
/// Lists the connection's identities.
pub const WHO_AM_I: i32 = 107;
/// Creates a session; the server's own operation.
pub const CREATE_SESSION: i32 = -10;
/// Ends the session.
pub const CLOSE_SESSION: i32 = -11;
/// Type of a failed operation's result in a multi, and of the end mark.
pub const ERROR: i32 = -1;

/// Xid of notifications.
pub const XID_NOTIFICATION: i32 = -1;
/// Xid of pings.
pub const XID_PING: i32 = -2;
/// Xid of auth packets.
pub const XID_AUTH: i32 = -4;
/// Xid of setWatches.
pub const XID_SET_WATCHES: i32 = -8;

/// Flags of a create request.
pub mod create_flags {
    /// Stays until deleted.
    pub const PERSISTENT: i32 = 0;
    /// Goes with its session.
    pub const EPHEMERAL: i32 = 1;
    /// Stays; its name gets the parent's counter.
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    /// Goes with its session; its name gets the parent's counter.
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    /// Goes some time after its last child.
    pub const CONTAINER: i32 = 4;
    /// Goes when unused for its time to live.
    pub const TTL: i32 = 5;
    /// As [`TTL`], with the parent's counter.
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// Whether a request of this type goes through the transaction log, so that it takes a zxid.
pub fn is_write(op: i32) -> bool {
    matches!(
        op,
        CREATE
            | DELETE
            | SET_DATA
            | SET_ACL
            | MULTI
            | CREATE2
            | CREATE_CONTAINER
            | CREATE_TTL
            | RECONFIG
            | CLOSE_SESSION
    )
}
