//! Reconcilers: they make observed state follow desired state.
//!
//! A reconciler takes no input but the model: an event only says *which* stream to look at, never what to do, and every
//! 30 s all of them are looked at anyway, so a missed event costs time and nothing else. A pass is idempotent, isolated (one
//! stream's error never stops another's) and ends either in rest or in a written change. What to do is decided by the pure
//! planner; this module only carries it out, each step in one transaction that checks the leader's fence and the record the
//! plan was made from.
//!
//! [`Janitor`] beside them sweeps up what grows by itself.

mod janitor;
mod streams;

pub(crate) use janitor::Janitor;
pub(crate) use streams::Streams;
