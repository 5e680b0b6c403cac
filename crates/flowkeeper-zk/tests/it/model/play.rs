//! Plays steps on a server and on the model, and compares what both say.

use std::net::SocketAddr;

use flowkeeper_zk::proto::{ConnectResponse, Decoder, Request, WatcherEvent, op};

use super::hearing::{Event, Hearing};
use super::replies::Times;
use super::requests::request;
use super::steps::Step;
use super::tree::Tree;
use crate::wire::{Wire, handshake, message};

/// Sessions that take part.
pub(super) const SEATS: usize = 3;
/// None ends because of its timeout.
const TIMEOUT: i32 = 60_000;

/// A session, and its connection if it has one.
struct Seat {
    wire: Option<Wire>,
    session: ConnectResponse,
    /// Highest zxid it was told.
    seen: i64,
}

/// A server and the model of it.
pub(super) struct Play {
    addr: SocketAddr,
    pub(super) tree: Tree,
    hearing: Hearing,
    times: Times,
    seats: Vec<Seat>,
    xid: i32,
}

impl Play {
    /// Opens the sessions on a fresh server, or on one of which only the nodes below `tree`'s base are known.
    pub(super) async fn begin(addr: SocketAddr, mut tree: Tree) -> Self {
        let mut hearing = Hearing::new(SEATS);
        let mut seats = Vec::new();
        for who in 0..SEATS {
            seats.push(open(addr, &mut tree).await);
            hearing.reset(who, true);
        }
        Self { addr, tree, hearing, times: Times::default(), seats, xid: 0 }
    }

    /// Lets one session do one thing. Restarts are not its business.
    pub(super) async fn step(&mut self, who: usize, step: &Step) {
        let is_here = self.seats[who].wire.is_some();
        match step {
            Step::Return if !is_here => self.attach(who).await,
            _ if !is_here => {}
            Step::Return | Step::Restart(_) => {}
            Step::Leave => {
                self.seats[who].wire = None;
                // The watches are remembered for the return.
                self.hearing.pause(who);
            }
            Step::TakeOver => {
                let older = self.seats[who].wire.take();
                self.attach(who).await;
                assert!(older.unwrap().frame().await.is_none(), "the older connection is closed");
            }
            Step::Renew => {
                self.close(who).await;
                self.seats[who] = open(self.addr, &mut self.tree).await;
                self.hearing.reset(who, true);
            }
            other => {
                let request = request(&self.tree, other);
                self.exchange(who, &request).await;
            }
        }
        self.listen().await;
    }

    /// All connections are gone, because the server is; it is back at another address, and so are they.
    pub(super) async fn restarted(&mut self, addr: SocketAddr) {
        self.addr = addr;
        let here: Vec<usize> = (0..SEATS).filter(|who| self.seats[*who].wire.is_some()).collect();
        for who in &here {
            self.seats[*who].wire = None;
            self.hearing.pause(*who);
        }
        for who in here {
            self.attach(who).await;
        }
        self.listen().await;
        self.survey().await;
    }

    /// Compares the whole tree, and ends the sessions.
    pub(super) async fn end(&mut self) {
        for who in 0..SEATS {
            if self.seats[who].wire.is_none() {
                self.attach(who).await;
            }
        }
        self.survey().await;
        for who in 0..SEATS {
            self.close(who).await;
        }
    }

    /// Compares the whole tree, as far as anybody is there to look.
    async fn survey(&mut self) {
        let here: Vec<usize> = (0..SEATS).filter(|who| self.seats[*who].wire.is_some()).collect();
        let Some(first) = here.first().copied() else { return };
        for path in self.tree.paths() {
            self.exchange(first, &Request::GetData { path: path.as_str().into(), watch: false }).await;
            self.exchange(first, &Request::GetChildren2 { path: path.into(), watch: false }).await;
        }
        self.exchange(first, &Request::GetAllChildrenNumber { path: self.tree.join(&[]).into() }).await;
        for who in here {
            self.exchange(who, &Request::GetEphemerals { prefix: "/".into() }).await;
        }
    }

    async fn exchange(&mut self, who: usize, request: &Request<'_>) {
        let session = self.seats[who].session.session;
        let wanted = match self.hearing.answer(who, request) {
            Some(answer) => answer,
            None => self.tree.answer(session, request, &mut self.hearing),
        };
        self.hearing.after_read(who, request, &wanted);
        self.xid += 1;
        let (heard, err, body) = self.call(who, self.xid, request).await;
        let found = self.times.answer(request, err, &body);
        assert_eq!(found, wanted, "answer to {request:?} of session {who}");
        assert_eq!(heard, self.hearing.due(who), "heard by session {who} before the answer to {request:?}");
    }

    /// Sends a request; what is heard before its answer, the answer's code and its body.
    async fn call(&mut self, who: usize, xid: i32, request: &Request<'_>) -> (Vec<Event>, i32, Vec<u8>) {
        let seat = &mut self.seats[who];
        let wire = seat.wire.as_mut().expect("a session that is here");
        wire.send(&message(xid, request)).await;
        let mut heard = Vec::new();
        loop {
            let reply = wire.reply().await.expect("the connection stays");
            seat.seen = seat.seen.max(reply.header.zxid);
            if reply.header.xid == op::XID_NOTIFICATION {
                let event = WatcherEvent::decode(&mut Decoder::new(&reply.body)).unwrap().unwrap();
                heard.push((reply.header.zxid, event.kind, event.path));
                continue;
            }
            assert_eq!(reply.header.xid, xid, "answers come in order");
            assert_eq!(reply.header.zxid, self.tree.zxid, "zxid of the answer to {request:?}");
            return (heard, reply.header.err, reply.body);
        }
    }

    /// Everybody has heard what they had to, and nothing else.
    async fn listen(&mut self) {
        for who in 0..SEATS {
            if self.seats[who].wire.is_some() {
                let (heard, ..) = self.call(who, op::XID_PING, &Request::Ping).await;
                assert_eq!(heard, self.hearing.due(who), "heard by session {who}");
            }
        }
    }

    /// Comes back to a session on a new connection, with the watches it had.
    async fn attach(&mut self, who: usize) {
        let seat = &mut self.seats[who];
        let mut wire = Wire::open(self.addr).await;
        wire.send(&handshake(seat.session.session, &seat.session.password, TIMEOUT, seat.seen)).await;
        let answer = wire.frame().await.expect("an answer to the handshake");
        let answer = ConnectResponse::decode(&mut Decoder::new(&answer)).unwrap();
        assert_eq!(answer.session, seat.session.session, "the session is still there");
        seat.wire = Some(wire);
        let wish = self.hearing.wish(who, seat.seen);
        self.hearing.reset(who, true);
        self.hearing.grant(who, &wish, &self.tree);
        let (heard, err, _) = self.call(who, op::XID_SET_WATCHES, &Request::SetWatches(wish)).await;
        assert_eq!(err, 0, "watches are set again");
        assert_eq!(heard, self.hearing.due(who), "what session {who} had missed");
    }

    /// Ends a session.
    async fn close(&mut self, who: usize) {
        self.tree.close_session(self.seats[who].session.session, &mut self.hearing);
        self.xid += 1;
        let (heard, err, body) = self.call(who, self.xid, &Request::CloseSession).await;
        assert_eq!((err, body), (0, Vec::new()), "a session ends");
        // In which order the nodes go is open.
        assert_eq!(sorted(heard), sorted(self.hearing.due(who)), "heard by session {who} before its end");
        assert!(self.seats[who].wire.take().unwrap().frame().await.is_none(), "the connection ends too");
        self.hearing.reset(who, false);
        self.listen_in_any_order().await;
    }

    async fn listen_in_any_order(&mut self) {
        for who in 0..SEATS {
            if self.seats[who].wire.is_some() {
                let (heard, ..) = self.call(who, op::XID_PING, &Request::Ping).await;
                let due = self.hearing.due(who);
                assert_eq!(sorted(heard), sorted(due), "heard by session {who} when another one ended");
            }
        }
    }
}

async fn open(addr: SocketAddr, tree: &mut Tree) -> Seat {
    let mut wire = Wire::open(addr).await;
    let session = wire.connect(0, &[0; 16], TIMEOUT).await.expect("a session");
    tree.open_session();
    Seat { wire: Some(wire), session, seen: 0 }
}

fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|(_, kind, path)| (path.clone(), *kind as i32));
    events
}
