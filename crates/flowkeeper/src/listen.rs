//! Listeners of roles: bound first, so that a busy port is told before anything starts.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::exit::Failure;

/// Binds `addr` for the setting `key`.
///
/// # Errors
/// When it cannot be bound; a busy port is told with its holder.
pub(crate) async fn bind(key: &str, addr: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(addr).await.map_err(|error| refused(key, addr, &error))
}

/// The sentence for an address that cannot be bound.
pub(crate) fn refused(key: &str, addr: SocketAddr, error: &std::io::Error) -> Failure {
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return Failure::failed(format!(
            "{addr} cannot be bound: {error}; give another address with --{key}"
        ));
    }
    let holder = flowkeeper_deploy::port::holder(addr.port()).unwrap_or_else(|| "another process".to_owned());
    Failure::failed(format!(
        "{addr} is in use by {holder}; stop it, or give another address with --{key} (port 0: any free one)"
    ))
}

/// Fails when `addr` is busy, for servers that bind by themselves.
///
/// # Errors
/// As [`bind`].
pub(crate) fn check_free(key: &str, addr: SocketAddr) -> Result<(), Failure> {
    std::net::TcpListener::bind(addr).map(drop).map_err(|error| refused(key, addr, &error))
}
