//! The same requests to two servers, one after the other, and whether they answer the same.
//!
//! Both must be empty. A few sessions on each side take turns in sending random requests, good and bad. After each request
//! every session reads something, which brings in all notifications that the request caused. Compared is everything that a
//! client can see, field by field, but for what cannot be the same: times are left out, ids of sessions become the order in
//! which they were opened, and zxids count from the beginning of the run. Lists without an order are sorted.

mod answer;
mod generate;

use std::io;

use flowkeeper_zk::proto::op;

use super::raw::Connection;
use answer::Names;
pub use generate::Generator;
use generate::Step;

/// Session timeout of the run; longer than any run.
const TIMEOUT_MS: i32 = 40_000;
/// Sessions on each side.
const SESSIONS: usize = 3;

/// One of the two servers.
struct Side {
    addr: String,
    connections: Vec<Connection>,
    names: Names,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// Requests that both sides were sent.
    pub requests: u64,
    /// Of those, how many were answered with an error or by hanging up.
    pub refused: u64,
    /// Notifications that came, on one side.
    pub notifications: u64,
}

/// Sends `count` requests to the servers at `left` and `right`. Of what led to a difference the last `told` requests are told.
///
/// # Errors
/// The first difference, with what led to it; or a server that cannot be reached.
pub fn run(left: &str, right: &str, seed: u64, count: u64, told: usize) -> Result<Ran, String> {
    let mut generator = Generator::new(seed, SESSIONS);
    let mut sides = [Side::open(left)?, Side::open(right)?];
    let mut ran = Ran { requests: 0, refused: 0, notifications: 0 };
    let mut history: Vec<String> = Vec::new();
    for _ in 0..count {
        let (own, step) = generator.draw();
        history.push(format!("session {own}: {}", step.what));
        ran.requests += 1;
        let answers: Vec<Vec<String>> = sides.iter_mut().map(|side| side.answer(own, &step)).collect();
        let differ = |what: &str, answers: &[Vec<String>]| {
            let last = history[history.len().saturating_sub(told)..].join("\n    ");
            format!(
                "request {} of seed {seed}: {what}\n    {last}\n  {left} answers\n    {}\n  {right} answers\n    {}",
                history.len(),
                answers[0].join("\n    "),
                answers[1].join("\n    ")
            )
        };
        if answers[0] != answers[1] {
            return Err(differ("answers differ", &answers));
        }
        ran.refused += u64::from(answers[0][0] != answer::OK);
        let heard: Vec<Vec<String>> = sides.iter_mut().map(Side::told).collect();
        if heard[0] != heard[1] {
            return Err(differ("notifications differ", &heard));
        }
        ran.notifications += heard[0].len() as u64;
        for own in (0..SESSIONS).filter(|own| heard[0].contains(&gone(*own))) {
            sides.iter_mut().try_for_each(|side| side.open_again(own))?;
        }
    }
    Ok(ran)
}

impl Side {
    fn open(addr: &str) -> Result<Side, String> {
        let mut side = Side { addr: addr.to_owned(), connections: Vec::new(), names: Names::default() };
        for _ in 0..SESSIONS {
            let connection = side.connect()?;
            side.connections.push(connection);
        }
        let sees = side.connections[0].call(op::EXISTS, |e| {
            e.string("/");
            e.bool(false);
        });
        side.names.base = sees.map_err(|error| format!("{addr}: {error}"))?.header.zxid;
        Ok(side)
    }

    fn connect(&mut self) -> Result<Connection, String> {
        let connection = Connection::open(&self.addr, TIMEOUT_MS, None);
        let connection = connection.map_err(|error| format!("{} cannot be reached: {error}", self.addr))?;
        self.names.session(connection.session.id);
        Ok(connection)
    }

    fn open_again(&mut self, own: usize) -> Result<(), String> {
        let mut connection = self.connect()?;
        if self.connections[own].session.id != 0 {
            // A connection that the server hung up on leaves its session; it is ended so that both sides know when.
            let old = self.connections[own].session;
            if let Ok(mut resumed) = Connection::open(&self.addr, TIMEOUT_MS, Some(old)) {
                drop(resumed.call(op::CLOSE_SESSION, |_| {}));
            }
        }
        std::mem::swap(&mut self.connections[own], &mut connection);
        Ok(())
    }

    /// What the server makes of a request, in lines.
    fn answer(&mut self, own: usize, step: &Step) -> Vec<String> {
        let base = self.names.base;
        let connection = &mut self.connections[own];
        let reply = connection.call(step.op, |e| {
            if let Some(zxid) = step.relative_zxid {
                e.i64(base + zxid);
            }
            e.raw(&step.body);
        });
        match reply {
            Ok(reply) => answer::facts(step.op, &reply, &mut self.names),
            Err(error) if is_hung_up(&error) => vec![answer::CLOSED.to_owned()],
            Err(error) => vec![format!("{error}")],
        }
    }

    /// All notifications that came, per session, and which sessions the server hung up on.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for (own, connection) in self.connections.iter_mut().enumerate() {
            // What is read now comes behind all that was to be told before.
            let seen = connection.call(op::EXISTS, |e| {
                e.string("/");
                e.bool(false);
            });
            let frames = connection.notifications.drain(..);
            let mut own_told: Vec<String> = frames
                .map(|frame| format!("session {own}: {}", answer::notification(&frame, &self.names)))
                .collect();
            // The order in which the ephemeral nodes of a session go is nobody's promise.
            own_told.sort_unstable();
            told.append(&mut own_told);
            match seen {
                Ok(_) => {}
                Err(error) if is_hung_up(&error) => told.push(gone(own)),
                Err(error) => told.push(format!("session {own}: {error}")),
            }
        }
        told
    }
}

fn gone(own: usize) -> String {
    format!("session {own} is gone")
}

fn is_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe | ConnectionAborted)
}
