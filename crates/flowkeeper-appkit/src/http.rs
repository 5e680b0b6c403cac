//! A small HTTP server: the actuator of every app, and what the `http` source serves.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections served at the same time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 512;
/// A client must send its request head within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Accepting failed, for instance for want of file descriptors: wait before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A reply; bodies are small and in memory.
pub type Reply = Response<Full<Bytes>>;

/// Answers requests.
pub trait Handler: Send + Sync {
    /// The path of its endpoint, as it is told to people.
    fn path(&self) -> &str {
        "/"
    }

    /// Answers one request. Cancel safety: dropped when the client goes away.
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Reply>;
}

/// Serves until `stop` is cancelled; requests under way are then finished.
pub async fn serve(listener: TcpListener, handler: Arc<dyn Handler>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (handler, stop) = (handler.clone(), stop.clone());
                connections.spawn(async move {
                    serve_connection(stream, handler, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("accepting a connection failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, handler: Arc<dyn Handler>, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.handle(request).await) }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection ended: {error}");
    }
}

/// Binds the address of `server.address` and `server.port`.
///
/// # Errors
/// The address is taken or not this machine's.
pub async fn bind(address: &str, port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((address, port)).await.map_err(|e| {
        let what = match e.kind() {
            io::ErrorKind::AddrInUse => {
                "the port is in use; choose another with --server.port (0: any free one)"
            }
            _ => "the address cannot be used; see server.address and server.port",
        };
        format!("cannot listen on {address}:{port}: {what}: {e}")
    })
}

/// A reply with a body of some type.
pub fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A reply without body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// An error in the form Spring Boot gives it.
pub fn error(status: StatusCode, path: &str, message: &str) -> Reply {
    let body = serde_json::json!({
        // Always three digits and a numeric offset, as Jackson writes a date.
        "timestamp": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string(),
        "status": status.as_u16(),
        "error": status.canonical_reason().unwrap_or_default(),
        "message": message,
        "path": path,
    });
    reply(status, "application/json", body.to_string())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_error_has_the_shape_of_spring_boots() {
        let reply = error(StatusCode::NOT_FOUND, "/x", "No static resource");
        let body: serde_json::Value =
            serde_json::from_slice(&reply.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!((&body["status"], &body["error"]), (&404.into(), &"Not Found".into()));
        let timestamp = body["timestamp"].as_str().unwrap();
        let shape: String = timestamp.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99T99:99:99.999+99:99");
        assert!(timestamp.ends_with("+00:00"), "{timestamp}");
    }
}
