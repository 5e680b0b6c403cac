//! Accepting connections, and the tick.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::conn::{Connection, Ends, Limits};
use super::core::Input;
use super::stats::Counters;
use super::task;
use super::watches::ConnId;

/// How long to wait when the system has no more sockets.
const BREATHER: Duration = Duration::from_millis(100);

/// Accepts connections until stopped.
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    pub(crate) core: mpsc::Sender<Input>,
    pub(crate) limits: Limits,
    pub(crate) max_per_client: usize,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tracker: TaskTracker,
    pub(crate) ends: Ends,
}

/// Open connections of each client address.
type PerClient = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl Acceptor {
    pub(crate) async fn run(self) {
        let per_client = PerClient::default();
        let mut last = 0;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.ends.stopping.cancelled() => return,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let Some(seat) = Seat::take(&per_client, peer.ip(), self.max_per_client) else {
                        tracing::warn!(client = %peer, "refused: too many connections from this address");
                        continue;
                    };
                    last += 1;
                    if !self.serve(ConnId(last), socket, peer, seat).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    async fn serve(&self, id: ConnId, socket: TcpStream, peer: SocketAddr, seat: Seat) -> bool {
        let (conn, out) = Connection::new(id, self.core.clone(), self.limits, Arc::clone(&self.counters));
        if self.core.send(Input::Opened { conn: id, peer, out }).await.is_err() {
            return false;
        }
        let ends = self.ends.clone();
        task::spawn(&self.tracker, async move {
            conn.run(socket, ends).await;
            drop(seat);
        });
        true
    }
}

/// One of the connections a client address may have.
struct Seat {
    per_client: PerClient,
    ip: IpAddr,
}

impl Seat {
    fn take(per_client: &PerClient, ip: IpAddr, max: usize) -> Option<Self> {
        let mut counts = per_client.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if max != 0 && *count >= max {
            return None;
        }
        *count += 1;
        Some(Self { per_client: Arc::clone(per_client), ip })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.per_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// Sends ticks until stopped.
pub(crate) async fn tick(every: Duration, core: mpsc::Sender<Input>, stopping: CancellationToken) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stopping.cancelled() => return,
        }
        if core.send(Input::Tick).await.is_err() {
            return;
        }
    }
}
