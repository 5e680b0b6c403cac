//! Sessions: who is alive until when. Time is an argument, in milliseconds of the server's own clock.
//!
//! Deadlines are rounded up to whole ticks, so a session lives between its timeout and one tick more after
//! its last packet. Touching a session only moves its deadline; it is looked at when the tick it was queued
//! for comes, and queued again if it was touched since.

use std::collections::{BTreeMap, HashMap};

use super::watches::ConnId;
use crate::proto::connect::PASSWORD_LEN;

/// A live session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Negotiated timeout in milliseconds.
    pub(crate) timeout: i32,
    /// The connection that speaks for it now.
    pub(crate) conn: Option<ConnId>,
    deadline: u64,
    /// Tick it will be looked at next.
    queued: u64,
}

/// All live sessions.
pub(crate) struct Sessions {
    by_id: HashMap<i64, Session>,
    queue: BTreeMap<u64, Vec<i64>>,
    tick: u64,
    last_id: i64,
}

impl Sessions {
    /// `tick` is in milliseconds; `wall` is the wall clock, from which new ids are made.
    pub(crate) fn new(tick: u64, wall: i64) -> Self {
        Self { by_id: HashMap::new(), queue: BTreeMap::new(), tick: tick.max(1), last_id: first_id(wall) }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Session> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: i64) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    /// Ids and timeouts of all sessions.
    pub(crate) fn timeouts(&self) -> impl Iterator<Item = (i64, i32)> {
        self.by_id.iter().map(|(id, session)| (*id, session.timeout))
    }

    /// Ids of all sessions, and when they end if nothing comes: milliseconds of the server's own clock.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (i64, u64)> {
        self.by_id.iter().map(|(id, session)| (*id, session.deadline))
    }

    /// An id no session has had.
    pub(crate) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Highest id given out.
    pub(crate) fn last_id(&self) -> i64 {
        self.last_id
    }

    /// Makes sure ids up to this one are not given out again.
    pub(crate) fn skip_ids(&mut self, id: i64) {
        self.last_id = self.last_id.max(id);
    }

    /// Adds a session with a full timeout.
    pub(crate) fn open(&mut self, id: i64, timeout: i32, now: u64) {
        self.skip_ids(id);
        self.by_id.insert(id, Session { timeout, conn: None, deadline: 0, queued: 0 });
        self.renew(id, timeout, now);
    }

    /// Removes a session; false if there is none.
    pub(crate) fn close(&mut self, id: i64) -> bool {
        self.by_id.remove(&id).is_some()
    }

    /// Gives a session a new timeout, from now on.
    pub(crate) fn renew(&mut self, id: i64, timeout: i32, now: u64) {
        let tick = self.tick;
        if let Some(session) = self.by_id.get_mut(&id) {
            session.timeout = timeout;
            session.deadline = deadline(now, timeout, tick);
            session.queued = session.deadline;
            self.queue.entry(session.deadline).or_default().push(id);
        }
    }

    /// A packet came: the session lives for another timeout.
    pub(crate) fn touch(&mut self, id: i64, now: u64) {
        let tick = self.tick;
        if let Some(session) = self.by_id.get_mut(&id) {
            session.deadline = session.deadline.max(deadline(now, session.timeout, tick));
        }
    }

    /// Sessions whose time is over. They stay until [`Sessions::close`].
    pub(crate) fn expired(&mut self, now: u64) -> Vec<i64> {
        let mut expired = Vec::new();
        while let Some(due) = self.queue.first_entry().filter(|entry| *entry.key() <= now) {
            let (at, ids) = due.remove_entry();
            for id in ids {
                let Some(session) = self.by_id.get_mut(&id).filter(|session| session.queued == at) else {
                    continue;
                };
                if session.deadline <= now {
                    expired.push(id);
                } else {
                    session.queued = session.deadline;
                    self.queue.entry(session.deadline).or_default().push(id);
                }
            }
        }
        expired
    }
}

/// The next whole tick after a timeout from now.
fn deadline(now: u64, timeout: i32, tick: u64) -> u64 {
    ((now + u64::from(timeout.unsigned_abs())) / tick + 1) * tick
}

/// Session ids begin with the server's number (1), then five bytes of the clock, then two for counting.
fn first_id(wall: i64) -> i64 {
    (1 << 56) | (((wall << 24) as u64 >> 8) as i64)
}

/// The password of a session, as every ZooKeeper server computes it: four outputs of a 48-bit linear
/// congruential generator seeded with the id. It is no secret; it is this one so that sessions survive a move
/// of the data to an ensemble.
pub(crate) fn password(id: i64) -> [u8; PASSWORD_LEN] {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((id as u64) ^ 0xB341_5C00 ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_LEN];
    for chunk in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        chunk.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_expire_between_timeout_and_a_tick_more() {
        let mut s = Sessions::new(100, 0);
        s.open(1, 1000, 50);
        for now in (0..1100).step_by(100) {
            assert!(s.expired(now).is_empty(), "at {now}");
        }
        assert_eq!(s.expired(1100), [1]);
    }

    #[test]
    fn touching_puts_the_end_off() {
        let mut s = Sessions::new(100, 0);
        s.open(1, 1000, 0);
        s.touch(1, 900);
        assert!(s.expired(1500).is_empty());
        assert_eq!(s.expired(2000), [1]);
    }

    #[test]
    fn a_shorter_timeout_after_reattaching_counts_at_once() {
        let mut s = Sessions::new(100, 0);
        s.open(1, 10_000, 0);
        s.renew(1, 1000, 0);
        assert_eq!(s.expired(1100), [1]);
        assert!(s.close(1));
        assert!(s.expired(20_000).is_empty());
    }

    #[test]
    fn ids_look_like_those_of_server_one_and_are_new() {
        let mut s = Sessions::new(100, 1_700_000_000_000);
        let first = s.next_id();
        assert_eq!(first >> 56, 1);
        s.skip_ids(first + 10);
        assert_eq!(s.next_id(), first + 11);
    }

    #[test]
    fn passwords_depend_on_the_id_alone() {
        assert_eq!(password(5), password(5));
        assert_ne!(password(5), password(6));
        // The generator of java.util.Random: its first 32 bits for seed 42 are -1170105035.
        assert_eq!(password(42 ^ 0xB341_5C00)[..4], (-1_170_105_035_i32).to_le_bytes());
    }
}
