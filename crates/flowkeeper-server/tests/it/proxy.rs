//! A connection to a server that stops on demand, without either side being told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Connections stay open and carry nothing, and so do new ones.
    Hold,
    /// Connections are broken, and so are new ones.
    Refuse,
}

/// Passes bytes on to a server, or does not.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    late_ms: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let modes = mode.clone();
        let late_ms = Arc::new(AtomicU64::new(0));
        let late = late_ms.clone();
        #[expect(clippy::disallowed_methods, reason = "a test has no task module")]
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, modes.subscribe(), late.clone()));
            }
        });
        Proxy { addr, mode, late_ms }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What the server sends takes so much longer from now on.
    pub(crate) fn delay(&self, by: Duration) {
        self.late_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

/// A connection that was held is not taken up again: what it carried meanwhile is lost.
async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    late_ms: Arc<AtomicU64>,
) {
    if *mode.borrow_and_update() == Mode::Pass {
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        let ((mut asks, answers), (given, mut takes)) = (client.split(), server.split());
        tokio::select! {
            _ = copy(&mut asks, &mut takes) => return,
            () = copy_late(given, answers, &late_ms) => return,
            _ = mode.changed() => {}
        }
        if *mode.borrow() == Mode::Hold {
            let _ = mode.wait_for(|mode| *mode != Mode::Hold).await;
        }
        return;
    }
    let _ = mode.wait_for(|mode| *mode != Mode::Hold).await;
}

/// Passes on what comes, each piece after the delay.
async fn copy_late(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, late_ms: &AtomicU64) {
    let mut piece = vec![0; 64 << 10];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        tokio::time::sleep(Duration::from_millis(late_ms.load(Ordering::Relaxed))).await;
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
