//! Error codes of reply headers and failed multi operations.

/// Result of an operation as the wire carries it.
///
/// Codes that only clients make up (connection loss, timeouts) are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ErrorCode {
    /// Success.
    Ok = 0,
    /// The server failed in a way that is not the client's fault.
    SystemError = -1,
    /// Not executed, because another operation of the same multi failed.
    RuntimeInconsistency = -2,
    /// The request record could not be decoded.
    MarshallingError = -5,
    /// The operation does not exist here.
    Unimplemented = -6,
    /// An argument is outside its range; a path that may not exist, for instance.
    BadArguments = -8,
    /// The node, or the parent of a node to create, does not exist.
    NoNode = -101,
    /// The node's ACL does not allow this.
    NoAuth = -102,
    /// The expected version is not the node's version.
    BadVersion = -103,
    /// Ephemeral nodes have no children.
    NoChildrenForEphemerals = -108,
    /// The node exists already.
    NodeExists = -110,
    /// The node has children.
    NotEmpty = -111,
    /// The session is over.
    SessionExpired = -112,
    /// The ACL is empty, of unknown scheme or has a malformed identity.
    InvalidAcl = -114,
    /// Authentication was refused.
    AuthFailed = -115,
    /// No watch of that kind on that path.
    NoWatcher = -121,
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123,
    /// The server serves authenticated clients only; the session is closed.
    SessionClosedRequireSaslAuth = -124,
    /// The node's subtree may not grow further.
    QuotaExceeded = -125,
}

impl ErrorCode {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }
}
