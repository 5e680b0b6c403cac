//! Accepting connections, and the tick.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::complaints::{Complaints, complain};
use super::config::Config;
use super::conn::{Connection, Ends, Limits, Socket};
use super::core::Input;
use super::error::Error;
use super::stats::Counters;
use super::task;
use super::tls::{self, Certificates};
use super::watches::ConnId;

/// How long to wait when the system has no more sockets.
const BREATHER: Duration = Duration::from_millis(100);
/// First byte of a TLS connection. As a frame's length it would be over every limit.
const TLS_HANDSHAKE: u8 = 0x16;

/// How clients may come in.
#[derive(Clone)]
pub(crate) enum Door {
    /// Without TLS.
    Plain,
    /// With TLS.
    Secure(Arc<Certificates>),
    /// Either way; the first byte tells.
    Both(Arc<Certificates>),
}

/// Reads the certificates, if there is TLS.
///
/// # Errors
/// They are unusable.
pub(crate) async fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, Error> {
    let Some(tls) = config.tls.clone() else { return Ok(None) };
    Ok(Some(Arc::new(task::blocking("certificate", || Certificates::load(tls)).await??)))
}

/// The ports that clients come to.
pub(crate) struct Doors {
    listeners: Vec<(TcpListener, Door)>,
    certificates: Option<Arc<Certificates>>,
    /// Where clients come without TLS, and perhaps with it.
    pub(crate) plain: Option<SocketAddr>,
    /// Where they come with TLS alone.
    pub(crate) secure: Option<SocketAddr>,
}

impl Doors {
    /// Listens.
    ///
    /// # Errors
    /// An address is taken.
    pub(crate) async fn open(
        config: &Config,
        certificates: Option<Arc<Certificates>>,
    ) -> Result<Self, Error> {
        let mut doors = Self { listeners: Vec::new(), certificates, plain: None, secure: None };
        if config.plain {
            let door = match (&config.tls, &doors.certificates) {
                (Some(tls), Some(certificates)) if tls.shares_port => Door::Both(Arc::clone(certificates)),
                _ => Door::Plain,
            };
            doors.plain = Some(doors.listen(config.listen, door).await?);
        }
        let secure = config.tls.as_ref().and_then(|tls| tls.listen).zip(doors.certificates.clone());
        if let Some((addr, certificates)) = secure {
            doors.secure = Some(doors.listen(addr, Door::Secure(certificates)).await?);
        }
        Ok(doors)
    }

    async fn listen(&mut self, addr: SocketAddr, door: Door) -> Result<SocketAddr, Error> {
        let failed = |source| Error::Listen { addr, source: Arc::new(source) };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        self.listeners.push((listener, door));
        Ok(addr)
    }

    /// Lets clients in until stopped, and has an eye on the certificates.
    pub(crate) fn serve(self, reception: &Reception) {
        for (listener, door) in self.listeners {
            let acceptor = Acceptor { listener, door, reception: reception.clone() };
            task::spawn(&reception.tracker, acceptor.run());
        }
        if let Some(certificates) = self.certificates {
            let stopping = reception.ends.stopping.clone();
            task::spawn(&reception.tracker, certificates.watch(tls::LOOK, stopping));
        }
    }
}

/// What everybody gets who comes in, by whichever door.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) seats: Arc<Seats>,
    pub(crate) core: mpsc::Sender<Input>,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) complaints: Arc<Complaints>,
    pub(crate) tracker: TaskTracker,
    pub(crate) ends: Ends,
}

/// Accepts connections at one door until stopped.
struct Acceptor {
    listener: TcpListener,
    door: Door,
    reception: Reception,
}

impl Acceptor {
    async fn run(self) {
        let complaints = &self.reception.complaints;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.reception.ends.stopping.cancelled() => return,
            };
            match accepted {
                Ok((socket, peer)) => match Seats::take(&self.reception.seats, peer.ip()) {
                    Ok(seat) => self.serve(socket, peer, seat),
                    Err(Full { whose, most }) => {
                        Counters::count(&self.reception.counters.rejected);
                        complain!(
                            complaints, TooManyConnections, client = %peer, most,
                            "refused: too many connections {whose}"
                        );
                    }
                },
                Err(error) => {
                    complain!(complaints, Accept, %error, "cannot accept a connection");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    fn serve(&self, socket: TcpStream, peer: SocketAddr, seat: Seat) {
        let Reception { seats, core, limits, counters, complaints, tracker, ends } = self.reception.clone();
        let conn = Connection { id: seats.next_id(), peer, core, limits, counters, complaints };
        let door = self.door.clone();
        task::spawn(&tracker, async move {
            // Replies are small and waited for.
            let _ = socket.set_nodelay(true);
            let entered = tokio::select! {
                entered = enter(door, socket, &conn) => entered,
                () = ends.stopping.cancelled() => None,
            };
            if let Some((socket, subject)) = entered {
                conn.run(socket, subject, ends).await;
            }
            drop(seat);
        });
    }
}

/// Does what the door asks for. `None` ends the connection.
async fn enter(door: Door, socket: TcpStream, conn: &Connection) -> Option<(Socket, Option<String>)> {
    let time = conn.limits.handshake_time;
    let certificates = match door {
        Door::Plain => return Some((Socket::Plain(socket), None)),
        Door::Secure(certificates) => certificates,
        Door::Both(certificates) => {
            let mut first = [0];
            match timeout(time, socket.peek(&mut first)).await {
                Ok(Ok(1..)) if first == [TLS_HANDSHAKE] => certificates,
                Ok(Ok(1..)) => return Some((Socket::Plain(socket), None)),
                Ok(_) => return None,
                Err(_) => {
                    complain!(conn.complaints, NoBeginning, client = %conn.peer, "nothing was sent in time, closing");
                    return None;
                }
            }
        }
    };
    match certificates.handshake(socket, time).await {
        Ok(secured) => Some((Socket::Secure(Box::new(secured.stream)), secured.subject)),
        // Somebody only looked whether there is a server.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(error) => {
            complain!(conn.complaints, Handshake, client = %conn.peer, %error, "a TLS handshake failed, closing");
            Counters::count(&conn.counters.bad_handshakes);
            None
        }
    }
}

/// How many connections there are, and may be.
pub(crate) struct Seats {
    max_per_client: usize,
    max: usize,
    taken: Mutex<Taken>,
    last_id: AtomicU64,
}

#[derive(Default)]
struct Taken {
    per_client: HashMap<IpAddr, usize>,
    all: usize,
}

/// There is no seat.
#[derive(Debug, PartialEq, Eq)]
struct Full {
    whose: &'static str,
    most: usize,
}

impl Seats {
    /// As many for one client address, and for all together; 0 is any number.
    pub(crate) fn new(max_per_client: usize, max: usize) -> Self {
        Self { max_per_client, max, taken: Mutex::default(), last_id: AtomicU64::new(0) }
    }

    fn next_id(&self) -> ConnId {
        ConnId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn take(this: &Arc<Self>, ip: IpAddr) -> Result<Seat, Full> {
        let mut taken = this.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if this.max != 0 && taken.all >= this.max {
            return Err(Full { whose: "in all", most: this.max });
        }
        let had = taken.per_client.get(&ip).copied().unwrap_or_default();
        if this.max_per_client != 0 && had >= this.max_per_client {
            return Err(Full { whose: "from this address", most: this.max_per_client });
        }
        taken.per_client.insert(ip, had + 1);
        taken.all += 1;
        Ok(Seat { seats: Arc::clone(this), ip })
    }
}

/// One of the connections there may be.
struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.per_client.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.per_client.remove(&self.ip);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_for_each_address_and_in_all() {
        let seats = Arc::new(Seats::new(2, 3));
        let (a, b) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let first = Seats::take(&seats, a).ok();
        let second = Seats::take(&seats, a).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(Seats::take(&seats, a).err(), Some(Full { whose: "from this address", most: 2 }));
        let third = Seats::take(&seats, b).ok();
        assert_eq!(Seats::take(&seats, b).err(), Some(Full { whose: "in all", most: 3 }));
        drop((first, second, third));
        assert_eq!((seats.next_id(), seats.next_id()), (ConnId(1), ConnId(2)));
        let taken = seats.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.per_client.is_empty());
    }
}
