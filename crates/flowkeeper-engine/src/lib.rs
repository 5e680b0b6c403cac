//! Decides what must happen next. Pure: no clock, no I/O, no serialization, no async.
//!
//! The control plane holds three views of a stream: what is *desired* (the definition and the release to run), where it is
//! *placed* (the leader's record), and what is *observed* (live nodes and the reports of their agents). This crate turns
//! them into the next writes and into words for people:
//!
//! * [`planner::plan`]: desired + placement + observed → [`planner::Action`]s and the new placement;
//! * [`placement::rank`]: one instance + all nodes → which node it goes to, and why each of the others not; an app limits
//!   them by [`criteria`];
//! * [`rollout`]: how one release replaces another;
//! * [`phase::phase`]: the same inputs → `deploying`, `deployed`, `failed`, …, each with a reason;
//! * [`nodes::NodeWatch`]: who is live, again and again → whether anything is moved at all, who is too restless, who is new;
//! * [`rebalance::propose`]: uneven nodes → a few moves;
//! * [`what_if::without`]: the planner applied to a copy, for nodes that are to go;
//! * [`restart::RestartPolicy`]: what an agent does after an app instance exited;
//! * [`binding`]: definition + deployment properties → the properties each app gets, as SCDF computes them.
//!
//! # When nodes go
//!
//! A node that does not answer may be dead, or cut off with everything on it running. Nobody can tell, so what happens
//! depends on what a second copy would do ([`model::Exclusivity`]). What may run twice moves after a short wait, at once if
//! nobody else does its work. What must not moves when the node's guard time is over: then the shims there have frozen it
//! for certain. The move is one transaction that fails if the node has registered again meanwhile. Why these guards are needed,
//! all of them, is shown by exhaustion in `tests/it/lease_model.rs`. If very many nodes go at once, nothing moves
//! ([`nodes`]): then it is more likely that we are the ones who are cut off.
//!
//! The leader does this in each pass: tell [`nodes::NodeWatch`] who is live and take its assessment into the nodes' views
//! ([`model::NodeView::closed`], [`model::NodeView::penalty`]) and into [`model::Observed::brake`]; plan each stream that
//! changed with [`planner::plan_with`]; write; look again after [`planner::Plan::wake_ms`].
//!
//! Everything here is a function of its arguments, so two leaders that see the same state decide the same, and a decision can
//! be tested, explained or tried out ("what if") without a cluster. Start with [`model`], then [`planner`].

pub mod binding;
pub mod criteria;
pub mod model;
pub mod nodes;
pub mod phase;
pub mod placement;
pub mod planner;
pub mod rebalance;
pub mod restart;
pub mod rollout;
pub mod what_if;
