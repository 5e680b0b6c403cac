//! Leases: until when a node may run instances of which there must never be two.
//!
//! A node that cannot be reached is given up by the control plane when its session expires. Its strict instances must be
//! frozen by then, though nobody can tell it so. So each acknowledged heartbeat, a `sync` sent at `a`, buys them time until
//! `a + D`, and at that moment their shims freeze them, without asking anybody ([`crate::shim`]). A `sync` and not a ping or a
//! read, because only the former has been at ZooKeeper's own leader: a server that is cut off from it goes on answering
//! pings and reads for `tickTime` × `syncLimit`.
//!
//! [`Profile::check`] is the arithmetic that makes this safe (a session that was touched at most `h` before `a` expires not
//! before `a + T − h − tick/2`) and useful (a new election of ZooKeeper's leader freezes nothing).

mod ensemble;
mod file;

use std::fmt;

pub use ensemble::{Ensemble, EnsembleError};
pub(crate) use file::{LeaseFile, read};

/// Clocks of two machines drift apart by at most this many thousandths.
const DRIFT_PERMILLE: u64 = 10;
/// Scheduling of whoever sends, answers and freezes, in ms.
const JITTER_MS: u64 = 300;
/// What an election of ZooKeeper's leader takes on top of its discovery, in ms.
const ELECTION_MS: u64 = 2_000;
/// The guard that may be asked of the control plane, in thousandths of the session: it makes up for rounding, not for a
/// profile that does not fit.
const GUARD_PERMILLE: u64 = 100;
/// Sessions that servers grant unless told otherwise last from 2 to 20 ticks.
const MAX_TICKS: u64 = 20;

/// The times of a lease, all in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `tickTime` and `syncLimit` of the ensemble it is made for.
    pub tick_ms: u64,
    pub sync_limit: u64,
    /// Session timeout T that is asked for.
    pub session_ms: u64,
    /// Longest pause h between two heartbeats.
    pub heartbeat_ms: u64,
    /// Time D from the sending of the last acknowledged heartbeat until instances are frozen.
    pub deadline_ms: u64,
    /// Time K that freezing takes at most.
    pub stop_ms: u64,
}

/// Leases that a node has been found to be able to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub profile: Profile,
    /// The session timeout that the ensemble granted.
    pub session_ms: u64,
    /// How long the control plane must wait after the session's end until everything here is frozen.
    pub guard_ms: u64,
    /// `tickTime` of the ensemble.
    pub tick_ms: u64,
}

/// Why a profile must not be used on an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    #[error(
        "D {} + K {} = {} with drift, but the session of {} with heartbeats every {} and a tick of {} leaves {}: a second \
         copy could start before the first is frozen; let the ensemble grant sessions of {} (maxSessionTimeout), or choose \
         --lease-profile auto",
        Seconds(.profile.deadline_ms), Seconds(.profile.stop_ms), Seconds(*.needed_ms), Seconds(*.session_ms),
        Seconds(.profile.heartbeat_ms), Seconds(*.tick_ms), Signed(*.left_ms), Seconds(*.session_needed_ms)
    )]
    Session {
        profile: Profile,
        needed_ms: u64,
        session_ms: u64,
        tick_ms: u64,
        left_ms: i64,
        session_needed_ms: u64,
    },
    #[error(
        "D {} is shorter than the {} that a change of ZooKeeper's leader may take (syncLimit {} × tick {} + 2 s + heartbeat \
         {}): each one would freeze every strict instance; lower syncLimit or tickTime of the ensemble, or choose \
         --lease-profile auto",
        Seconds(.profile.deadline_ms), Seconds(*.needed_ms), .sync_limit, Seconds(*.tick_ms), Seconds(.profile.heartbeat_ms)
    )]
    Election { profile: Profile, needed_ms: u64, sync_limit: u64, tick_ms: u64 },
}

impl Profile {
    /// For an ensemble with a tick of 1 s and a syncLimit of 4, as `docs/operations.md` recommends.
    pub const DEFAULT: Profile = Profile::of([1_000, 4, 12_000, 1_000, 8_500, 1_500]);
    /// For an ensemble as ZooKeeper's sample configuration makes it.
    pub const STOCK: Profile = Profile::of([2_000, 5, 24_000, 1_000, 18_000, 1_500]);
    /// For thousands of nodes: fewer heartbeats.
    pub const LARGE: Profile = Profile::of([1_000, 4, 16_000, 3_000, 10_000, 1_500]);
    /// For one fast network: a lost node is replaced soon.
    pub const FAST: Profile = Profile::of([500, 4, 6_000, 500, 4_500, 400]);

    const fn of([tick_ms, sync_limit, session_ms, heartbeat_ms, deadline_ms, stop_ms]: [u64; 6]) -> Profile {
        Profile { tick_ms, sync_limit, session_ms, heartbeat_ms, deadline_ms, stop_ms }
    }

    /// A profile by its name; `None` for `auto` and for what is none.
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "default" => Some(Profile::DEFAULT),
            "stock" => Some(Profile::STOCK),
            "large" => Some(Profile::LARGE),
            "fast" => Some(Profile::FAST),
            _ => None,
        }
    }

    /// The profile `auto`: the shortest session on such an ensemble that is safe and outlives a change of its leader.
    pub fn fitting(tick_ms: u64, sync_limit: u64) -> Profile {
        let heartbeat_ms = 1_000;
        let stop_ms = 1_500;
        let shortest = sync_limit * tick_ms + ELECTION_MS + heartbeat_ms;
        let overhead = heartbeat_ms + tick_ms.div_ceil(2) + JITTER_MS;
        let session_ms = (with_drift(shortest + stop_ms) + overhead).next_multiple_of(1_000);
        let session_ms = session_ms.max(2 * tick_ms).min((MAX_TICKS * tick_ms).max(2 * tick_ms));
        // What rounding left over is given to the deadline.
        let longest = without_drift(session_ms.saturating_sub(overhead)).saturating_sub(stop_ms);
        Profile { tick_ms, sync_limit, session_ms, heartbeat_ms, deadline_ms: longest.max(shortest), stop_ms }
    }

    /// Checks the profile against what an ensemble grants: its session timeout, `tickTime` and `syncLimit`. Returns the guard
    /// in ms: how long the control plane must wait after the session's end.
    ///
    /// # Errors
    /// A sentence with the arithmetic when it is not safe, or when it would freeze instances for nothing.
    pub fn check(&self, session_ms: u64, tick_ms: u64, sync_limit: u64) -> Result<u64, Unsafe> {
        let guard = self.guard(session_ms, tick_ms)?;
        let useful = sync_limit * tick_ms + ELECTION_MS + self.heartbeat_ms;
        if self.deadline_ms < useful {
            return Err(Unsafe::Election { profile: *self, needed_ms: useful, sync_limit, tick_ms });
        }
        Ok(guard)
    }

    /// The half of the check that is about safety.
    fn guard(&self, session_ms: u64, tick_ms: u64) -> Result<u64, Unsafe> {
        let needed = with_drift(self.deadline_ms + self.stop_ms);
        let overhead = self.heartbeat_ms + tick_ms.div_ceil(2) + JITTER_MS;
        let left = signed(session_ms) - signed(overhead);
        let guard = u64::try_from(signed(needed) - left).unwrap_or(0);
        if guard > session_ms * GUARD_PERMILLE / 1_000 {
            return Err(Unsafe::Session {
                profile: *self,
                needed_ms: needed,
                session_ms,
                tick_ms,
                left_ms: left,
                session_needed_ms: needed + overhead,
            });
        }
        Ok(guard)
    }

    /// What must be left of a lease for a strict instance to be started under it, in ms.
    pub(crate) fn start_ms(&self) -> u64 {
        (self.deadline_ms / 2).min(5_000)
    }
}

fn with_drift(ms: u64) -> u64 {
    (ms * (1_000 + DRIFT_PERMILLE)).div_ceil(1_000)
}

fn without_drift(ms: u64) -> u64 {
    ms * 1_000 / (1_000 + DRIFT_PERMILLE)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Now in ns on the clock of leases: since the machine was started, sleep included, and never set by anybody.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    // The time since the start of a machine is neither negative nor five hundred years.
    seconds.unwrap_or_default() * 1_000_000_000 + nanos.unwrap_or_default()
}

/// Milliseconds as seconds, for people: `8.5 s`.
struct Seconds(u64);

/// The same for what may be negative.
struct Signed(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Signed(signed(self.0)).fmt(f)
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "−" } else { "" };
        let ms = self.0.unsigned_abs();
        let (whole, rest) = (ms / 1_000, ms % 1_000);
        match rest {
            0 => write!(f, "{sign}{whole} s"),
            // Ten thousandths of a second are noise.
            rest if rest % 100 == 0 => write!(f, "{sign}{whole}.{} s", rest / 100),
            rest => write!(f, "{sign}{whole}.{:02} s", rest / 10),
        }
    }
}

#[cfg(test)]
mod tests;
