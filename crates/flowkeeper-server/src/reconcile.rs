//! Reconcilers: they make observed state follow desired state.
//!
//! A reconciler takes no input but the model: an event only says *which* stream to look at, never what to do, and every
//! 30 s all of them are looked at anyway, so a missed event costs time and nothing else. A pass is idempotent, isolated (one
//! stream's error never stops another's) and ends either in rest or in a written change. What to do is decided by the pure
//! planner; this module only carries it out, each step in one transaction that checks the leader's fence and the record the
//! plan was made from.
//!
//! [`Nodes`] watches nodes come and go: it holds moves back when too many are lost at once, and closes restless ones.
//! [`Mover`] evens out nodes, slowly. [`Janitor`] beside them sweeps up what grows by itself, and [`Sealing`]
//! brings keys into use.

mod janitor;
mod mover;
mod nodes;
mod reservations;
mod sealing;
mod streams;

pub(crate) use janitor::Janitor;
pub(crate) use mover::Mover;
pub(crate) use nodes::Nodes;
pub(crate) use sealing::Sealing;
pub(crate) use streams::Streams;
