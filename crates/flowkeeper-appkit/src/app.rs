//! What an app is: a source, a processor or a sink, and how it fails.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::http::Handler;
use crate::message::Message;
use crate::output::Output;

/// Why an app cannot do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// This one message cannot be processed, however often it is tried; it is put aside.
    #[error("{0}")]
    Message(String),
    /// What the message needs is away (a disk, a server); it is tried again until it works.
    #[error("{0}")]
    Transient(String),
    /// The app cannot start or go on.
    #[error("{0}")]
    Fatal(String),
    /// Whoever took the app's messages has gone, as `head` does; nothing is wrong with the app.
    #[error("the other side of the binding has gone")]
    Closed,
}

impl From<crate::props::Error> for Error {
    fn from(error: crate::props::Error) -> Error {
        Error::Fatal(error.to_string())
    }
}

impl From<crate::binder::Error> for Error {
    fn from(error: crate::binder::Error) -> Error {
        match error {
            crate::binder::Error::Closed => Error::Closed,
            other => Error::Fatal(other.to_string()),
        }
    }
}

impl From<crate::expr::EvalError> for Error {
    fn from(error: crate::expr::EvalError) -> Error {
        Error::Message(error.to_string())
    }
}

/// An app, built from its properties and ready to run.
pub struct App {
    pub role: Role,
    /// Names of the Spring functions it stands for; its bindings may be addressed by them (`spelFunction-in-0`).
    pub functions: &'static [&'static str],
    /// What it serves over HTTP beside the actuator.
    pub http: Option<Arc<dyn Handler>>,
    /// Whether it can work; the app and the runner note it, the actuator shows it.
    pub health: Health,
}

impl App {
    /// An app that serves no HTTP of its own.
    pub fn new(role: Role, functions: &'static [&'static str]) -> App {
        App { role, functions, http: None, health: Health::default() }
    }
}

/// The place of an app in a stream.
pub enum Role {
    Source(Box<dyn Source>),
    Processor(Box<dyn Processor>),
    Sink(Box<dyn Sink>),
}

/// Makes messages.
pub trait Source: Send {
    /// Sends messages until there are no more or `stop` is cancelled; what was accepted is sent before it returns.
    ///
    /// # Errors
    /// The source cannot go on.
    fn run(
        self: Box<Self>,
        output: Arc<Output>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Error>>;
}

/// Makes messages from a message.
pub trait Processor: Send {
    /// Appends what comes of the message to `out`: nothing, one, or many.
    ///
    /// # Errors
    /// The message cannot be processed; what was appended is thrown away.
    fn process(&mut self, message: &Message, out: &mut Vec<Message>) -> Result<(), Error>;
}

/// Takes messages out of the stream.
pub trait Sink: Send {
    /// Takes one message; when it returns, the message is safe.
    ///
    /// # Errors
    /// The message cannot be taken: [`Error::Message`] never, [`Error::Transient`] not now.
    fn write<'a>(&'a mut self, message: &'a Message) -> BoxFuture<'a, Result<(), Error>>;
}
