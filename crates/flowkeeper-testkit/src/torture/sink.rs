//! What apps do to the world, and a world that looks at terms: it takes no effect of a lower term once it took one of a higher
//! (the second half of exactly-one: a lease gives at most one process, the term at most one effect).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What came of one instance, by `<uid>.<app>.<index>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Highest term that was taken.
    pub term: u64,
    /// The process whose effects are taken under it.
    pid: u32,
    /// Processes that had their turn under that term and were followed by another.
    before: Vec<u32>,
    pub taken: u64,
    pub refused: u64,
    /// Effects of two processes under one term that alternate: the term did not tell them apart.
    pub mixed: u64,
}

/// A sink of effects that checks terms. It listens until the process ends.
#[derive(Clone, Debug)]
pub struct Sink {
    addr: SocketAddr,
    effects: Arc<Mutex<BTreeMap<String, Effects>>>,
}

impl Sink {
    pub fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let effects: Arc<Mutex<BTreeMap<String, Effects>>> = Arc::default();
        let shared = effects.clone();
        drop(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let effects = shared.clone();
                drop(std::thread::spawn(move || serve(stream, &effects)));
            }
        }));
        Sink { addr, effects }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What came so far.
    pub fn effects(&self) -> BTreeMap<String, Effects> {
        lock(&self.effects).clone()
    }
}

impl Effects {
    /// Takes or refuses one effect.
    fn judge(&mut self, term: u64, pid: u32) {
        if term < self.term {
            self.refused += 1;
            return;
        }
        if term > self.term {
            (self.term, self.pid) = (term, pid);
            self.before.clear();
        }
        if pid != self.pid {
            self.mixed += u64::from(self.before.contains(&pid));
            self.before.push(std::mem::replace(&mut self.pid, pid));
        }
        self.taken += 1;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, effects: &Mutex<BTreeMap<String, Effects>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        let (Some(key), Some(term), Some(pid)) = (words.next(), words.next(), words.next()) else { continue };
        let (Ok(term), Ok(pid)) = (term.parse(), pid.parse()) else { continue };
        lock(effects).entry(key.to_owned()).or_default().judge(term, pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_term_is_refused_and_two_of_one_term_are_found_out() {
        let mut effects = Effects::default();
        for (term, pid) in [(1, 10), (1, 10), (2, 20), (1, 10), (2, 20)] {
            effects.judge(term, pid);
        }
        assert_eq!((effects.taken, effects.refused, effects.mixed), (4, 1, 0));
        // Started again under its term: one after the other.
        effects.judge(2, 21);
        assert_eq!(effects.mixed, 0);
        effects.judge(2, 20);
        assert_eq!(effects.mixed, 1);
    }

    #[test]
    fn effects_arrive() {
        use std::io::Write;
        let sink = Sink::start();
        let mut stream = TcpStream::connect(sink.addr()).expect("connected");
        stream.write_all(b"u.a.0 3 7\nnonsense\n").expect("sent");
        crate::wait::until("the effect is there", || {
            sink.effects().get("u.a.0").is_some_and(|all| all.term == 3)
        });
    }
}
