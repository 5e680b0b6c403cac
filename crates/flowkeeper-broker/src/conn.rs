//! Connections: frames in, frames out, in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::server::Shared;
use crate::{api, task};

/// Pause after an accept failed (file descriptors exhausted).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the broker stops.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>, tracker: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let shared = shared.clone();
                task::spawn(&tracker, async move {
                    let stop = shared.stop.clone();
                    let served = tokio::select! {
                        served = serve(stream, shared) => served,
                        () = stop.cancelled() => return,
                    };
                    if let Err(error) = served {
                        tracing::debug!(%peer, %error, "a connection was closed");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. Requests are handled one after the other, as Kafka does: answers must come in order, and a client
/// that sends faster than it is answered is held up by TCP.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    let (mut reader, mut writer) = stream.split();
    while let Some(frame) = read_frame(&mut reader, shared.config.max_request).await? {
        match api::handle(&shared, peer, frame).await {
            Ok(Some(answer)) => {
                let length = u32::try_from(answer.len()).map_err(std::io::Error::other)?;
                writer.write_all(&length.to_be_bytes()).await?;
                writer.write_all(&answer).await?;
            }
            Ok(None) => {}
            Err(error) => return Err(std::io::Error::other(error)),
        }
    }
    Ok(())
}

/// The next frame; `None` at the end of the stream.
async fn read_frame(reader: &mut (impl AsyncReadExt + Unpin), max: usize) -> std::io::Result<Option<Bytes>> {
    let length = match reader.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > max {
        return Err(std::io::Error::other(format!(
            "a request of {length} bytes is larger than the {max} allowed"
        )));
    }
    // Grown as bytes come in: a length alone costs nothing.
    let mut frame = BytesMut::with_capacity(length.min(64 << 10));
    while frame.len() < length {
        let mut rest = (&mut *reader).take((length - frame.len()) as u64);
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(frame.freeze()))
}
