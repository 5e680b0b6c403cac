//! A TCP proxy that can do what a bad network does: hold everything back as a dead switch would, in one direction or both, cut
//! what is open, or refuse.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wait::pause;

/// How long a new leader of an ensemble is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Pass,
    /// Nothing arrives, and nobody is told: connections stay half-open.
    Hold,
}

#[derive(Debug)]
struct State {
    forth: Flow,
    back: Flow,
    is_refusing: bool,
    is_closed: bool,
    open: Vec<TcpStream>,
}

/// A proxy in front of one address. Dropping it closes it.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    /// Listens on a free port and passes on to `target`, which need not exist yet.
    pub fn start(target: SocketAddr) -> Proxy {
        Proxy::start_on(Ipv4Addr::LOCALHOST.into(), target)
    }

    /// As [`Proxy::start`], but listens on another address of this machine.
    pub fn start_on(here: IpAddr, target: SocketAddr) -> Proxy {
        Proxy::start_with(here, target, Duration::ZERO)
    }

    /// As [`Proxy::start`], but waits for a target that does not listen yet. Members of an ensemble try again when their new
    /// leader refuses a connection, and not when one that was accepted ends.
    pub fn start_patient(target: SocketAddr) -> Proxy {
        Proxy::start_with(Ipv4Addr::LOCALHOST.into(), target, PATIENCE)
    }

    fn start_with(here: IpAddr, target: SocketAddr, patience: Duration) -> Proxy {
        let listener = TcpListener::bind((here, 0)).expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let state = State {
            forth: Flow::Pass,
            back: Flow::Pass,
            is_refusing: false,
            is_closed: false,
            open: Vec::new(),
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let of_listener = shared.clone();
        drop(std::thread::spawn(move || accept(&listener, target, patience, &of_listener)));
        Proxy { addr, shared }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Holds back or passes what is sent to the target (`forth`) and what it answers (`back`).
    pub fn set(&self, forth: Flow, back: Flow) {
        let mut state = lock(&self.shared.0);
        (state.forth, state.back) = (forth, back);
        self.shared.1.notify_all();
    }

    /// Holds everything back, or passes it again.
    pub fn hold(&self, is_held: bool) {
        let flow = if is_held { Flow::Hold } else { Flow::Pass };
        self.set(flow, flow);
    }

    /// Closes what is open; new connections are refused until further notice, or not.
    pub fn cut(&self, is_refusing: bool) {
        let mut state = lock(&self.shared.0);
        state.is_refusing = is_refusing;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.1.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.shared.0).is_closed = true;
        self.cut(true);
        // Wakes the listener, which then sees that it is closed.
        let _ = TcpStream::connect(self.addr);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(
    listener: &TcpListener,
    target: SocketAddr,
    patience: Duration,
    shared: &Arc<(Mutex<State>, Condvar)>,
) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        if lock(&shared.0).is_closed {
            return;
        }
        if lock(&shared.0).is_refusing {
            continue;
        }
        let shared = shared.clone();
        // The connection to the target is made beside, because one that is held would hold all others up.
        drop(std::thread::spawn(move || {
            let Some(server) = connect(target, patience) else { return };
            let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone()) else {
                return;
            };
            // Requests are small and waited for: gathering them would cost 40 ms each.
            drop(client.set_nodelay(true).and(server.set_nodelay(true)));
            {
                let mut state = lock(&shared.0);
                state.open.retain(|stream| stream.peer_addr().is_ok());
                state.open.extend([client.try_clone(), server.try_clone()].into_iter().flatten());
            }
            let of_back = shared.clone();
            drop(std::thread::spawn(move || copy(server_again, client_again, &of_back, |state| state.back)));
            copy(client, server, &shared, |state| state.forth);
        }));
    }
}

fn connect(target: SocketAddr, patience: Duration) -> Option<TcpStream> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(target) {
            Ok(stream) => return Some(stream),
            Err(_) if began.elapsed() < patience => pause(),
            Err(_) => return None,
        }
    }
}

fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    shared: &Arc<(Mutex<State>, Condvar)>,
    flow: impl Fn(&State) -> Flow,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let mut state = lock(&shared.0);
        while flow(&state) == Flow::Hold && !state.is_closed {
            state = shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let addr = listener.local_addr().expect("bound");
        drop(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(std::thread::spawn(move || {
                    let (mut from, mut to) = (stream.try_clone().expect("handle"), stream);
                    let _ = std::io::copy(&mut from, &mut to);
                }));
            }
        }));
        addr
    }

    #[test]
    fn what_is_held_arrives_once_it_is_let_go() {
        let proxy = Proxy::start(echo());
        let mut stream = TcpStream::connect(proxy.addr()).expect("connected");
        let mut answer = [0; 3];
        stream.write_all(b"one").expect("sent");
        stream.read_exact(&mut answer).expect("answered");
        proxy.hold(true);
        stream.write_all(b"two").expect("sent");
        stream.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("set");
        assert!(stream.read_exact(&mut answer).is_err());
        stream.set_read_timeout(None).expect("set");
        proxy.hold(false);
        stream.read_exact(&mut answer).expect("answered");
        assert_eq!(&answer, b"two");
    }

    #[test]
    fn what_is_cut_is_closed_and_can_be_made_anew() {
        let proxy = Proxy::start(echo());
        let mut stream = TcpStream::connect(proxy.addr()).expect("connected");
        let mut answer = [0; 1];
        stream.write_all(b"1").expect("sent");
        stream.read_exact(&mut answer).expect("answered");
        proxy.cut(false);
        assert_eq!(stream.read(&mut answer).unwrap_or(0), 0);
        let mut again = TcpStream::connect(proxy.addr()).expect("connected");
        again.write_all(b"2").expect("sent");
        again.read_exact(&mut answer).expect("answered");
        assert_eq!(&answer, b"2");
    }
}
