//! Decides what must happen next. Pure: no clock, no I/O, no serialization, no async.
//!
//! The control plane holds three views of a stream: what is *desired* (the definition and the release to run), where it is
//! *placed* (the leader's record), and what is *observed* (live nodes and the reports of their agents). This crate turns
//! them into the next writes and into words for people:
//!
//! * [`planner::plan`]: desired + placement + observed → [`planner::Action`]s and the new placement;
//! * [`phase::phase`]: the same inputs → `deploying`, `deployed`, `failed`, …, each with a reason;
//! * [`restart::RestartPolicy`]: what an agent does after an app instance exited;
//! * [`binding`]: definition + deployment properties → the properties each app gets, as SCDF computes them.
//!
//! Everything here is a function of its arguments, so two leaders that see the same state decide the same, and a decision can
//! be tested, explained or tried out ("what if") without a cluster. Start with [`model`], then [`planner`].

pub mod binding;
pub mod criteria;
pub mod model;
pub mod phase;
pub mod planner;
pub mod restart;
pub mod rollout;
