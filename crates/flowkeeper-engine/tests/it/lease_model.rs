//! Why an instance that must not run twice does not: every interleaving of one of them, two nodes and two leaders.
//!
//! # What is modelled
//!
//! One strict instance is ordered on node 0. What can happen, in any order and with any delay between:
//!
//! * A node is **cut** off from ZooKeeper, or its agent dies or is told to stop. While it is, no heartbeat of it is
//!   acknowledged, so the **deadline** that its shim holds passes and the process is frozen; later it may be killed. A cut
//!   **heals** when the session is still there: then the node goes on with what it knows.
//! * ZooKeeper lets the session **expire**, and the node's presence vanishes. Real time is left out: that the deadline passes
//!   before the expiry is what the arithmetic of leases (design, "Lease arithmetic") is for, so here expiry is only possible
//!   when nothing runs unfrozen under that session, and nothing is about to.
//! * The node **registers** again: one transaction raises its epoch and creates its presence anew. Its process, frozen or still
//!   within its old lease, is there as before. Then it **lists** its orders after a `sync`, and **goes on** with what is still
//!   ordered. The two steps are apart, so that anything may happen between them.
//! * A leader **sees** that a node's presence is gone, **decides** to move the instance, and some time later its transaction
//!   arrives and **commits** or is refused: it checks the leader's epoch, the order and the node's epoch. Another leader may
//!   be elected meanwhile, while the first one still believes in itself.
//! * A node **sees** that its order is gone, and ends the process; it **lists** a new order and starts it, behind the same gate.
//!
//! # What is shown
//!
//! With all guards no reachable state has two unfrozen processes, and the instance does get to the other node, does return to
//! its own, and is moved by either leader. Each guard is then taken out alone, and a shortest way to two unfrozen processes is
//! found, which a test holds fast:
//!
//! 1. *The move checks the node's epoch.* Without it a decision about a lost node lands after that node has come back.
//! 2. *A node lists its orders before it goes on.* Without it a node goes on with what it knew before it was cut off.
//! 3. *What was listed counts for its session only.* A node that registered, was cut off before it listed, and came back within
//!    that session, has still listed nothing.
//! 4. *No session is closed while apps run.* Without it a polite agent tells the leader that its node is gone, while its shims
//!    run on.
//! 5. *Presence and epoch are one view.* A leader that finds the presence gone and then reads the epoch of the node that came
//!    back meanwhile checks the wrong number. Both are written in one transaction and must be seen as one.
//!
//! The search is breadth first over all states, each packed into a few bytes. Counters are capped (so many registrations, terms
//! and elections), which is enough for every guard to be needed.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// What keeps the instance from running twice.
#[derive(Clone, Copy, Debug)]
struct Guards {
    epoch_in_move: bool,
    list_before_going_on: bool,
    list_counts_per_session: bool,
    keep_session: bool,
    one_view: bool,
}

const ALL: Guards = Guards {
    epoch_in_move: true,
    list_before_going_on: true,
    list_counts_per_session: true,
    keep_session: true,
    one_view: true,
};

const TERMS: u8 = 3;
const REGISTRATIONS: u8 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Process {
    #[default]
    None,
    Running(u8),
    Frozen(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    /// Its agent is there and its heartbeats are acknowledged.
    up: bool,
    /// Its presence stands in ZooKeeper.
    live: bool,
    /// Its epoch: how many times it registered again.
    epoch: u8,
    process: Process,
    /// Its agent has listed an order under this term in this session, and is about to act on it.
    listed: Option<u8>,
    /// The lease of its process is renewed in this session.
    renews: bool,
    /// Its agent has listed its orders in this session.
    has_listed: bool,
}

/// How far a leader is with a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Move {
    #[default]
    None,
    /// It has seen the presence of this node gone.
    Seen(u8),
    /// Its transaction is on its way.
    Sent { from: u8, epoch: u8, term: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: [Node; 2],
    /// The order: node and term.
    on: u8,
    term: u8,
    /// Which leader was elected last.
    leader: u8,
    moves: [Move; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Cut(u8),
    /// The agent is told to stop.
    Stop(u8),
    Deadline(u8),
    /// What was frozen for too long is killed.
    Kill(u8),
    Heal(u8),
    Expire(u8),
    Register(u8),
    List(u8),
    GoOn(u8),
    /// The agent sees that the order is not there any more.
    EndProcess(u8),
    Elect,
    SeeLost(u8, u8),
    Decide(u8),
    Commit(u8),
}

impl State {
    fn start() -> State {
        let node = |process| Node {
            up: true,
            live: true,
            renews: true,
            has_listed: true,
            process,
            ..Node::default()
        };
        State {
            nodes: [node(Process::Running(1)), node(Process::None)],
            on: 0,
            term: 1,
            leader: 0,
            moves: [Move::None; 2],
        }
    }

    fn is_ordered(&self, node: u8, term: u8) -> bool {
        (self.on, self.term) == (node, term)
    }

    fn has_two(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node.process, Process::Running(_)))
    }

    /// The state after an event. `None`: it cannot happen now.
    fn after(mut self, event: Event, guards: Guards) -> Option<State> {
        use Process::{Frozen, Running};
        match event {
            Event::Cut(n) => {
                let node = &mut self.nodes[usize::from(n)];
                (node.up, node.renews) = (node.up.then_some(false)?, false);
            }
            Event::Stop(n) => {
                let node = &mut self.nodes[usize::from(n)];
                (node.up, node.renews) = (node.up.then_some(false)?, false);
                // The rule: detach instead, unless nothing runs here. Without it the session is closed.
                node.live = guards.keep_session && (node.process != Process::None || node.listed.is_some());
                node.listed = None;
            }
            Event::Deadline(n) => {
                let node = &mut self.nodes[usize::from(n)];
                if node.renews {
                    return None;
                }
                let before = *node;
                if let Running(term) = node.process {
                    node.process = Frozen(term);
                }
                // What it was about to do was allowed until then, unless a heartbeat is acknowledged still.
                node.listed = node.listed.filter(|_| node.up);
                (*node != before).then_some(())?;
            }
            Event::Kill(n) => {
                let node = &mut self.nodes[usize::from(n)];
                let Frozen(_) = node.process else { return None };
                node.process = Process::None;
            }
            Event::Heal(n) => {
                let node = &mut self.nodes[usize::from(n)];
                if node.up || !node.live {
                    return None;
                }
                // The same session: nobody can have taken an order away that was there at its first list.
                node.up = true;
                node.listed = match node.process {
                    Running(term) | Frozen(term) if node.has_listed || !guards.list_counts_per_session => {
                        Some(term)
                    }
                    _ => None,
                };
            }
            Event::Expire(n) => {
                let node = &mut self.nodes[usize::from(n)];
                let may_act = matches!(node.process, Running(_)) || node.listed.is_some();
                if node.up || !node.live || may_act {
                    return None;
                }
                node.live = false;
            }
            Event::Register(n) => {
                let node = &mut self.nodes[usize::from(n)];
                if node.up || node.epoch == REGISTRATIONS {
                    return None;
                }
                (node.up, node.live, node.epoch, node.renews) = (true, true, node.epoch + 1, false);
                node.has_listed = !guards.list_before_going_on;
                node.listed = match node.process {
                    // What it knew before it was cut off.
                    Running(term) | Frozen(term) if !guards.list_before_going_on => Some(term),
                    _ => None,
                };
            }
            Event::List(n) => {
                let (on, term) = (self.on, self.term);
                let node = &mut self.nodes[usize::from(n)];
                if !node.up
                    || !node.live
                    || node.listed.is_some()
                    || node.renews && node.process != Process::None
                {
                    return None;
                }
                node.listed = Some((on == n).then_some(term)?);
                node.has_listed = true;
            }
            Event::GoOn(n) => {
                let node = &mut self.nodes[usize::from(n)];
                let term = node.listed?;
                // Only of this term; another one is ended first.
                match node.process {
                    Process::None => {}
                    Running(own) | Frozen(own) if own == term => {}
                    _ => return None,
                }
                node.process = Running(term);
                node.listed = None;
                node.renews = node.up;
            }
            Event::EndProcess(n) => {
                let node = self.nodes[usize::from(n)];
                let (Running(term) | Frozen(term)) = node.process else { return None };
                if !node.up || !node.live || self.is_ordered(n, term) {
                    return None;
                }
                let node = &mut self.nodes[usize::from(n)];
                node.process = Process::None;
                node.listed = node.listed.filter(|listed| *listed != term);
            }
            Event::Elect => {
                if self.leader != 0 {
                    return None;
                }
                self.leader = 1;
            }
            Event::SeeLost(leader, n) => {
                if leader > self.leader || self.nodes[usize::from(n)].live || self.on != n {
                    return None;
                }
                let own = &mut self.moves[usize::from(leader)];
                if *own != Move::None {
                    return None;
                }
                *own = Move::Seen(n);
                if guards.one_view {
                    return self.after(Event::Decide(leader), guards);
                }
            }
            Event::Decide(leader) => {
                let Move::Seen(from) = self.moves[usize::from(leader)] else { return None };
                if self.term == TERMS || self.on != from {
                    return None;
                }
                let epoch = self.nodes[usize::from(from)].epoch;
                self.moves[usize::from(leader)] = Move::Sent { from, epoch, term: self.term };
            }
            Event::Commit(leader) => {
                let Move::Sent { from, epoch, term } = self.moves[usize::from(leader)] else { return None };
                self.moves[usize::from(leader)] = Move::None;
                let is_back = guards.epoch_in_move && self.nodes[usize::from(from)].epoch != epoch;
                if self.leader == leader && self.is_ordered(from, term) && !is_back {
                    (self.on, self.term) = (1 - from, term + 1);
                }
            }
        }
        Some(self)
    }
}

const EVENTS: [Event; 29] = [
    Event::Cut(0),
    Event::Cut(1),
    Event::Stop(0),
    Event::Stop(1),
    Event::Deadline(0),
    Event::Deadline(1),
    Event::Kill(0),
    Event::Kill(1),
    Event::Heal(0),
    Event::Heal(1),
    Event::Expire(0),
    Event::Expire(1),
    Event::Register(0),
    Event::Register(1),
    Event::List(0),
    Event::List(1),
    Event::GoOn(0),
    Event::GoOn(1),
    Event::EndProcess(0),
    Event::EndProcess(1),
    Event::Elect,
    Event::SeeLost(0, 0),
    Event::SeeLost(0, 1),
    Event::SeeLost(1, 0),
    Event::SeeLost(1, 1),
    Event::Decide(0),
    Event::Decide(1),
    Event::Commit(0),
    Event::Commit(1),
];

/// Everything that can be reached, with the event that led there first.
struct Reached {
    states: HashMap<State, Option<(State, Event)>, BuildHasherDefault<Fast>>,
    /// Events that brought two unfrozen processes about, if any.
    two: Option<Vec<Event>>,
}

fn explore(guards: Guards) -> Reached {
    let start = State::start();
    let mut reached = Reached { states: HashMap::default(), two: None };
    reached.states.insert(start, None);
    let mut next = VecDeque::from([start]);
    while let Some(state) = next.pop_front() {
        for event in EVENTS {
            let Some(after) = state.after(event, guards) else { continue };
            if reached.states.contains_key(&after) {
                continue;
            }
            reached.states.insert(after, Some((state, event)));
            if after.has_two() {
                reached.two = Some(reached.way_to(after));
                return reached;
            }
            next.push_back(after);
        }
    }
    reached
}

impl Reached {
    fn way_to(&self, state: State) -> Vec<Event> {
        let steps = std::iter::successors(self.states[&state], |(before, _)| self.states[before]);
        let mut way: Vec<_> = steps.map(|(_, event)| event).collect();
        way.reverse();
        way
    }

    fn any(&self, of: impl Fn(&State) -> bool) -> bool {
        self.states.keys().any(of)
    }
}

#[test]
fn with_all_guards_nothing_runs_twice_and_everything_happens() {
    let reached = explore(ALL);
    assert_eq!(reached.two, None);
    assert!(reached.states.len() > 15_000, "{} states are too few to mean anything", reached.states.len());
    let runs = |state: &State, node: usize, term| state.nodes[node].process == Process::Running(term);
    assert!(reached.any(|state| runs(state, 1, 2)), "it runs on the other node after a move");
    assert!(reached.any(|state| runs(state, 0, 3)), "it runs on its first node after a move there and back");
    assert!(reached.any(|state| runs(state, 1, 2) && state.leader == 1), "the second leader moves it");
    assert!(
        reached.any(|state| runs(state, 0, 1) && state.nodes[0].epoch == 1 && state.nodes[0].renews),
        "it returns in time"
    );
    let frozen_there = |state: &State| runs(state, 1, 2) && state.nodes[0].process == Process::Frozen(1);
    assert!(reached.any(frozen_there), "the old copy may be frozen while the new one runs");
}

#[test]
fn without_the_epoch_in_the_move_a_late_decision_meets_a_node_that_is_back() {
    let way = explore(Guards { epoch_in_move: false, ..ALL }).two.expect("a way");
    let at = |event| way.iter().position(|it| *it == event).unwrap_or_else(|| panic!("{event:?} in {way:?}"));
    assert!(at(Event::SeeLost(0, 0)) < at(Event::Register(0)), "{way:?}");
    assert!(at(Event::Register(0)) < at(Event::Commit(0)), "{way:?}");
}

#[test]
fn without_a_list_a_node_goes_on_with_what_it_knew() {
    let way = explore(Guards { list_before_going_on: false, ..ALL }).two.expect("a way");
    let at = |event| way.iter().position(|it| *it == event).unwrap_or_else(|| panic!("{event:?} in {way:?}"));
    assert!(at(Event::Commit(0)) < at(Event::GoOn(0)), "{way:?}");
    assert!(!way.contains(&Event::List(0)), "{way:?}");
}

#[test]
fn a_session_that_heals_before_its_first_list_knows_nothing() {
    let way = explore(Guards { list_counts_per_session: false, ..ALL }).two.expect("a way");
    let at = |event| way.iter().position(|it| *it == event).unwrap_or_else(|| panic!("{event:?} in {way:?}"));
    assert!(at(Event::Register(0)) < at(Event::Heal(0)), "{way:?}");
    assert!(!way.contains(&Event::List(0)), "{way:?}");
}

#[test]
fn a_session_that_is_closed_politely_gives_a_running_app_away() {
    let way = explore(Guards { keep_session: false, ..ALL }).two.expect("a way");
    assert!(way.contains(&Event::Stop(0)) && !way.contains(&Event::Deadline(0)), "{way:?}");
}

#[test]
fn an_epoch_that_is_read_after_the_presence_may_be_that_of_a_node_that_is_back() {
    let way = explore(Guards { one_view: false, ..ALL }).two.expect("a way");
    let at = |event| way.iter().position(|it| *it == event).unwrap_or_else(|| panic!("{event:?} in {way:?}"));
    assert!(at(Event::SeeLost(0, 0)) < at(Event::Register(0)), "{way:?}");
    assert!(at(Event::Register(0)) < at(Event::Decide(0)), "{way:?}");
}

/// A quick hash: hundreds of thousands of states are looked up, and nobody chooses them to collide.
#[derive(Default)]
struct Fast(u64);

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u8(number.to_le_bytes()[0]);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
