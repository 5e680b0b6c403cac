//! Is a history of requests about one name linearizable (I4): can each of them be given one moment between its beginning and
//! its end so that all answers are those of a single, sequential store?
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the memory of Lowe ("Testing for
//! linearizability", 2017): a request that could be next is tried, and a combination of what was done and the state it led
//! to is never tried twice. Names are independent of each other, so each has a history of its own and histories stay
//! short. A request whose outcome is not known may have happened at any time after it began, or not at all.

use std::collections::HashSet;

/// What a stream definition is for this purpose: what was said when it was made, and whether it is to run.
pub type Value = Option<(String, bool)>;

/// A request about one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes the definition, with a description that no other has.
    Create(String),
    /// Makes it run: compare and set, because one that is to run already is refused.
    Deploy,
    /// Lets it run no more, whether it did or not.
    Undeploy,
    Delete,
    /// Reads with strong consistency.
    Read,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It says that the state was not so.
    Refused,
    /// What a read found.
    Found(Value),
    /// No answer, or one that leaves it open.
    Unknown,
}

/// One request with its times, on one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    pub outcome: Outcome,
    pub from_ns: u64,
    /// When the answer came; of an unknown outcome it does not count.
    pub to_ns: u64,
    /// What a refusal said, for people.
    pub why: String,
}

/// The state after `op` has the given outcome in `state`; `None`: it cannot.
fn after(state: &Value, op: &Op, outcome: &Outcome) -> Option<Value> {
    let done = match (op, state) {
        (Op::Create(text), None) => Some(Some((text.clone(), false))),
        (Op::Deploy, Some((text, false))) => Some(Some((text.clone(), true))),
        (Op::Undeploy, Some((text, _))) => Some(Some((text.clone(), false))),
        (Op::Delete, Some(_)) => Some(None),
        (Op::Create(_) | Op::Deploy | Op::Undeploy | Op::Delete | Op::Read, _) => None,
    };
    match outcome {
        Outcome::Done => done,
        Outcome::Refused => done.is_none().then(|| state.clone()),
        Outcome::Found(found) => (found == state).then(|| state.clone()),
        // Where it has no effect it might as well not have happened.
        Outcome::Unknown => done,
    }
}

/// Searches for an order. `Err`: the end of the longest beginning of one that was found and what it fails on, for people.
///
/// # Errors
/// When the history is not linearizable.
pub fn check(history: &[Call]) -> Result<(), String> {
    let mut calls: Vec<&Call> = history.iter().collect();
    calls.sort_by_key(|call| call.from_ns);
    let mut search = Search { calls: &calls, seen: HashSet::new(), best: Vec::new() };
    let mut done = vec![false; calls.len()];
    if search.extend(&mut done, &None, &mut Vec::new()) {
        return Ok(());
    }
    let shown = |calls: Vec<&Call>| calls.iter().map(|call| format!("\n    {call}")).collect::<String>();
    let best = &search.best;
    let end = best.iter().skip(best.len().saturating_sub(SHOWN)).map(|at| calls[*at]);
    let is_left = |at: &usize| !best.contains(at) && calls[*at].outcome != Outcome::Unknown;
    let rest = (0..calls.len()).filter(is_left).take(SHOWN / 2).map(|at| calls[at]);
    let (end, rest) = (shown(end.collect()), shown(rest.collect()));
    Err(format!(
        "not linearizable; {} of {} requests fit, at last{end}\n  and then none of{rest}",
        best.len(),
        calls.len()
    ))
}

/// Requests of a broken history that are shown.
const SHOWN: usize = 10;

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, took) = (self.from_ns / 1_000, self.to_ns.saturating_sub(self.from_ns) / 1_000);
        write!(f, "at {from} us for {took} us: {:?}: {:?} {}", self.op, self.outcome, self.why)
    }
}

struct Search<'a> {
    calls: &'a [&'a Call],
    /// What was done, with the state it led to.
    seen: HashSet<(Vec<bool>, Value)>,
    best: Vec<usize>,
}

impl Search<'_> {
    fn extend(&mut self, done: &mut Vec<bool>, state: &Value, order: &mut Vec<usize>) -> bool {
        if order.len() > self.best.len() {
            self.best.clone_from(order);
        }
        let is_open = |at: &usize| !done[*at] && self.calls[*at].outcome != Outcome::Unknown;
        let open: Vec<usize> = (0..self.calls.len()).filter(is_open).collect();
        // What ended first must come before everything that began after it.
        let Some(limit) = open.iter().map(|at| self.calls[*at].to_ns).min() else { return true };
        if !self.seen.insert((done.clone(), state.clone())) {
            return false;
        }
        let could_be_next: Vec<usize> =
            (0..self.calls.len()).filter(|at| !done[*at] && self.calls[*at].from_ns <= limit).collect();
        for at in could_be_next {
            let call = self.calls[at];
            let Some(next) = after(state, &call.op, &call.outcome) else { continue };
            done[at] = true;
            order.push(at);
            if self.extend(done, &next, order) {
                return true;
            }
            order.pop();
            done[at] = false;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(op: Op, outcome: Outcome, from_ns: u64, to_ns: u64) -> Call {
        Call { op, outcome, from_ns, to_ns, why: String::new() }
    }

    fn made(text: &str) -> Op {
        Op::Create(text.into())
    }

    fn found(text: &str, is_deployed: bool) -> Outcome {
        Outcome::Found(Some((text.into(), is_deployed)))
    }

    #[test]
    fn what_a_single_store_could_have_answered_is_accepted() {
        let history = [
            call(made("a"), Outcome::Done, 0, 10),
            call(made("b"), Outcome::Refused, 5, 20),
            call(Op::Read, found("a", false), 11, 15),
            call(Op::Deploy, Outcome::Done, 16, 30),
            call(Op::Read, found("a", false), 17, 29),
            call(Op::Read, found("a", true), 18, 29),
            call(Op::Deploy, Outcome::Refused, 31, 32),
            call(Op::Undeploy, Outcome::Done, 33, 34),
            call(Op::Delete, Outcome::Done, 35, 40),
            call(Op::Read, Outcome::Found(None), 36, 37),
        ];
        assert_eq!(check(&history), Ok(()));
    }

    #[test]
    fn a_lost_write_a_stale_read_and_two_winners_are_found() {
        let lost = [call(made("a"), Outcome::Done, 0, 10), call(Op::Read, Outcome::Found(None), 11, 12)];
        assert!(check(&lost).is_err());
        let stale = [
            call(made("a"), Outcome::Done, 0, 1),
            call(Op::Deploy, Outcome::Done, 2, 3),
            call(Op::Read, found("a", false), 4, 5),
        ];
        assert!(check(&stale).is_err());
        let winners = [call(made("a"), Outcome::Done, 0, 9), call(made("b"), Outcome::Done, 1, 8)];
        assert!(check(&winners).is_err());
        let back = [
            call(made("a"), Outcome::Done, 0, 1),
            call(Op::Delete, Outcome::Done, 2, 3),
            call(Op::Read, found("a", false), 4, 5),
        ];
        assert!(check(&back).is_err());
    }

    #[test]
    fn an_unknown_outcome_may_have_happened_late_or_never() {
        for seen in [Outcome::Found(None), found("a", false)] {
            let history = [call(made("a"), Outcome::Unknown, 0, 1), call(Op::Read, seen, 50, 60)];
            assert_eq!(check(&history), Ok(()));
        }
        let both = [
            call(made("a"), Outcome::Unknown, 0, 1),
            call(Op::Read, found("a", false), 50, 60),
            call(Op::Read, Outcome::Found(None), 61, 62),
        ];
        assert!(check(&both).is_err(), "it cannot unhappen");
    }
}
