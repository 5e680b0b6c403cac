//! A network between an agent and its server that can be cut like a cable: nothing is answered, nothing is refused.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    is_open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    #[expect(clippy::disallowed_methods, reason = "lives as long as the test's runtime")]
    pub(crate) async fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let is_open = Arc::new(watch::Sender::new(true));
        let gate = is_open.clone();
        tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                tokio::spawn(serve(inner, server, gate.subscribe()));
            }
        });
        Proxy { addr, is_open }
    }

    /// Cuts the cable: what is connected hangs, and hangs for ever, as new connections do until it is healed.
    pub(crate) fn cut(&self) {
        self.is_open.send_replace(false);
    }

    /// New connections work again; old ones end.
    pub(crate) fn heal(&self) {
        self.is_open.send_replace(true);
    }
}

async fn serve(inner: TcpStream, server: SocketAddr, mut gate: watch::Receiver<bool>) {
    if gate.wait_for(|is_open| *is_open).await.is_err() {
        return;
    }
    gate.mark_unchanged();
    let Ok(outer) = TcpStream::connect(server).await else { return };
    let (inner_read, inner_write) = inner.into_split();
    let (outer_read, outer_write) = outer.into_split();
    let cut = gate.clone();
    tokio::join!(copy(inner_read, outer_write, cut), copy(outer_read, inner_write, gate));
}

/// Copies until the cable is cut; then holds both ends until it is healed.
async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut gate: watch::Receiver<bool>,
) {
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            biased;
            changed = gate.changed() => {
                let _ = changed;
                let _ = gate.wait_for(|is_open| *is_open).await;
                return;
            }
            read = from.read(&mut buffer) => match read {
                Ok(n @ 1..) if to.write_all(&buffer[..n]).await.is_ok() => {}
                _ => return,
            }
        }
    }
}
