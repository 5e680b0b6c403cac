//! Binders: how an app's bindings reach a message system.
//!
//! A [`Binder`] opens a [`Consumer`] or a [`Producer`] for a binding. [`kafka`] speaks to a Kafka-protocol broker, [`memory`]
//! connects apps of one process, [`stdio`] is the console. All give the same promises, held by one suite (`suite`):
//! messages of a binding arrive in order, at least once, and nothing is committed before it was processed.

pub mod kafka;
pub mod memory;
pub mod settings;
pub mod stdio;
#[cfg(any(test, feature = "test-util"))]
pub mod suite;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::message::Message;

/// Why a binding does not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A property is wrong; trying again does not help.
    #[error("{0}")]
    Invalid(String),
    /// The message system does not answer or does not take the message now; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// The message itself is not acceptable, for instance too large.
    #[error("{0}")]
    Refused(String),
    /// This process may not send any more, because a newer copy of its instance does, or its client is beyond repair; it
    /// must end.
    #[error("{0}")]
    Fenced(String),
    /// The other side has gone.
    #[error("the binding is closed")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable(_))
    }
}

impl From<crate::props::Error> for Error {
    fn from(error: crate::props::Error) -> Error {
        Error::Invalid(error.to_string())
    }
}

/// What a consumer is opened for.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// The binding's names, the usual one first (`input`).
    pub binding: Vec<String>,
    pub topics: Vec<String>,
    /// `None`: anonymous, sees only what is sent from now on and keeps no position.
    pub group: Option<String>,
    pub instance_index: u32,
    pub instance_count: u32,
    pub concurrency: u32,
}

/// What a producer is opened for.
#[derive(Debug, Clone)]
pub struct ProducerSpec {
    /// The binding's names, the usual one first (`output`).
    pub binding: Vec<String>,
    pub topic: String,
    /// How many partitions the topic must have at least.
    pub partition_count: u32,
    /// Groups that must find everything sent from now on, even if they come later.
    pub required_groups: Vec<String>,
}

/// A message on its way out.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    pub message: Message,
    pub key: Option<Bytes>,
    pub partition: Option<u32>,
}

/// Resolves when the message system has taken responsibility for a message.
pub type Ack = BoxFuture<'static, Result<(), Error>>;

/// What became of a message that could not be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// Nothing keeps it.
    Skipped,
    /// It went to the dead letter topic.
    DeadLettered,
}

/// A message system.
pub trait Binder: Send + Sync {
    /// Its name in health reports: `kafka`, `memory`, `stdio`.
    fn name(&self) -> &'static str;

    /// Opens a consumer, creating its topics where they are missing.
    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>>;

    /// Opens a producer, creating its topic where it is missing.
    fn producer(&self, spec: ProducerSpec) -> BoxFuture<'_, Result<Box<dyn Producer>, Error>>;

    /// Whether the message system answers.
    fn health(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// The receiving end of a binding.
pub trait Consumer: Send {
    /// Waits for messages and takes up to `max` of them; `None` when there will be no more.
    ///
    /// Order: as sent, within a partition. Cancel safety: a cancelled call loses nothing.
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Option<Vec<Message>>, Error>>;

    /// Marks everything received so far as processed. What was not comes again to the next consumer of the group.
    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>>;

    /// Puts aside a message of the last batch that could not be processed.
    fn reject(&mut self, index: usize, reason: &str) -> BoxFuture<'_, Result<Rejected, Error>>;

    /// Stops or resumes fetching while the binding is paused.
    fn set_paused(&mut self, paused: bool) -> Result<(), Error>;

    /// Leaves the group after the commits made so far.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>>;
}

/// The sending end of a binding.
pub trait Producer: Send + Sync {
    /// Queues a message; waits while the queue is full. The order of calls is the order of messages.
    ///
    /// Cancel safety: a cancelled call has sent nothing.
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Ack, Error>>;

    /// Why messages are not taken now, when the client knows; for people.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// How many partitions the topic has; `None` where there are none.
    fn partitions(&self) -> Option<u32>;

    /// Waits until everything queued is acknowledged, then lets go.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}
