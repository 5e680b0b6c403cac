//! A node that leaves again and again: its penalty and its quarantine.

use super::{MINUTE, Quarantine};

/// So many departures within so long are too many.
const DEPARTURES: usize = 3;
const WINDOW_MS: u64 = 10 * MINUTE;
const FIRST_QUARANTINE_MS: u64 = 5 * MINUTE;
const LONGEST_QUARANTINE_MS: u64 = 60 * MINUTE;
/// Quiet for so long after a quarantine, a node begins anew.
const FORGIVEN_MS: u64 = 60 * MINUTE;

/// Points, in thousandths, that a departure costs, and the most that all of them cost.
const PER_DEPARTURE: u64 = 20_000;
const MOST: u64 = 50_000;
const HALF_LIFE_MS: u64 = 10 * MINUTE;

/// What is remembered of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Restless {
    /// Departures within the window that count.
    departures: Vec<u64>,
    /// Points in thousandths, at a moment.
    points: u64,
    points_at: u64,
    quarantine: Option<Spell>,
}

#[derive(Clone, Debug)]
struct Spell {
    until: u64,
    times: u32,
    reason: String,
}

impl Restless {
    pub(super) fn leave(&mut self, at_ms: u64) {
        self.departures.retain(|at| at_ms.saturating_sub(*at) < WINDOW_MS);
        self.departures.push(at_ms);
        self.points = (self.points(at_ms) + PER_DEPARTURE).min(MOST);
        self.points_at = at_ms;
    }

    /// Departures of the last minute were not its own fault.
    pub(super) fn forgive(&mut self, at_ms: u64) {
        let recent = |at: &u64| at_ms.saturating_sub(*at) <= MINUTE;
        let forgiven = self.departures.iter().filter(|at| recent(at)).count();
        self.departures.retain(|at| !recent(at));
        self.points = self.points.saturating_sub(PER_DEPARTURE.saturating_mul(forgiven as u64));
    }

    /// Begins a quarantine after a departure too many, unless it is the last node that is open.
    pub(super) fn judge(&mut self, at_ms: u64, is_last: bool) {
        if self.departures.len() < DEPARTURES || is_last {
            return;
        }
        let before = self.quarantine.take().filter(|spell| at_ms < spell.until + FORGIVEN_MS);
        let times = before.map_or(0, |spell| spell.times) + 1;
        let lasts = FIRST_QUARANTINE_MS.saturating_mul(1 << (times - 1).min(16)).min(LONGEST_QUARANTINE_MS);
        let reason = format!("it left {} times within {} min", self.departures.len(), WINDOW_MS / MINUTE);
        self.quarantine = Some(Spell { until: at_ms + lasts, times, reason });
        self.departures.clear();
    }

    pub(super) fn seed(&mut self, times: u32, until: u64, reason: &str) {
        self.quarantine = Some(Spell { until, times, reason: reason.to_owned() });
    }

    pub(super) fn quarantine(&self, at_ms: u64) -> Option<Quarantine> {
        let Spell { until, times, reason } = self.quarantine.as_ref().filter(|spell| spell.until > at_ms)?;
        Some(Quarantine { left_ms: until - at_ms, times: *times, reason: reason.clone() })
    }

    /// Points off its score, 0 to 50.
    pub(super) fn penalty(&self, at_ms: u64) -> u8 {
        u8::try_from((self.points(at_ms) + 500) / 1000).unwrap_or(50)
    }

    /// Halved with each half-life; in between along a straight line, so that whole numbers do.
    fn points(&self, at_ms: u64) -> u64 {
        let age = at_ms.saturating_sub(self.points_at);
        let halved = self.points.checked_shr(u32::try_from(age / HALF_LIFE_MS).unwrap_or(64)).unwrap_or(0);
        halved - halved * (age % HALF_LIFE_MS) / (2 * HALF_LIFE_MS)
    }

    pub(super) fn is_forgotten(&self, at_ms: u64) -> bool {
        let is_over = |spell: &Spell| at_ms >= spell.until + FORGIVEN_MS;
        self.penalty(at_ms) == 0
            && self.departures.iter().all(|at| at_ms.saturating_sub(*at) >= WINDOW_MS)
            && self.quarantine.as_ref().is_none_or(is_over)
    }
}
