//! Use cases, one file per resource: they validate against the model and write desired state. No HTTP, no ZooKeeper paths.
//!
//! * [`apps`]: the registry; [`options`] what an app can be told; [`uri`] what a registered URI means;
//! * [`applications`]: sets of streams that are changed as one;
//! * [`streams`]: definitions; [`deploy`]: making and ending deployments; [`releases`]: replacing what runs; [`history`]:
//!   what ran; [`related`]: questions about a definition; [`completions`]: how one could go on;
//! * [`runtime`], [`logs`]: what runs and what it says; [`explain`]: why; [`audit`]: who did what;
//! * [`cluster`], [`nodes`], [`placement`], [`fsck`]: what operators ask and decide.
//!
//! Every change is one transaction, decided on the model and committed under the versions it was decided on; when somebody
//! else was faster it is decided again ([`with_retry`]).

pub mod applications;
pub mod apps;
pub mod audit;
pub mod cluster;
pub mod completions;
pub mod coordination;
pub mod deploy;
pub mod explain;
pub mod fsck;
pub mod history;
pub mod logs;
pub mod nodes;
pub mod options;
pub mod placement;
mod properties;
pub mod related;
pub mod releases;
pub mod runtime;
pub mod streams;
pub mod uri;
mod yaml;

use std::time::Duration;

use crate::meta::{Meta, WriteError};

/// How often a change is decided again because somebody else changed the same thing.
const TRIES: usize = 3;
/// How long a request waits until the copy of the metadata shows what others did.
const CATCH_UP: Duration = Duration::from_secs(3);
/// How long a request waits for a stream that is being destroyed to be gone.
pub(crate) const DESTROY_WAIT: Duration = Duration::from_secs(30);

/// Why a request was not carried out. Nothing was changed then.
///
/// The kinds are what a caller can tell apart; the texts are SCDF's where its users know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Could not find stream definition named {0}")]
    NoStream(String),
    /// `type:name` or `type:name:version`.
    #[error("The '{0}' application could not be found.")]
    NoApp(String),
    /// No such deployment id.
    #[error("The '{0}' application could not be found.")]
    NoDeployment(String),
    #[error("The '{0}' application instance could not be found.")]
    NoInstance(String),
    #[error("There is no node named {0}: 'flowkeeper node list' shows all")]
    NoNode(String),
    /// A node cannot be forgotten yet.
    #[error("Node '{node}' cannot be forgotten: {reason}")]
    NodeInUse { node: String, reason: String },
    /// A text is no time; Java names the place.
    #[error("Text '{text}' could not be parsed at index {index}")]
    NoDate { text: String, index: usize },
    #[error("The fromDate cannot be after the toDate.")]
    DateRange,
    #[error("Could not find audit record for id {0}")]
    NoAuditRecord(u64),
    /// An update would change nothing.
    #[error("Package to upgrade has no difference than existing deployed/deleted package. Not upgrading.")]
    NoDifference,
    /// Another release is on its way.
    #[error(
        "Stream '{stream}' is being updated to release {release}: wait until that is done, or cancel it with \
         'flowkeeper stream cancel {stream}'"
    )]
    BeingUpdated { stream: String, release: u32 },
    /// No release replaces another at this moment.
    #[error("Stream '{0}' is not being updated: there is nothing to cancel")]
    NothingReplaced(String),
    /// The stream was never deployed.
    #[error("Release with the name [{0}] doesn't exist")]
    NoRelease(String),
    #[error("Cannot create stream {0} because another one has already been created with the same name")]
    StreamExists(String),
    #[error("The '{key}' application is already registered as {uri}")]
    AppExists { key: String, uri: String },
    #[error("Stream '{0}' is already deployed")]
    AlreadyDeployed(String),
    #[error("Stream '{0}' is already being deployed")]
    AlreadyDeploying(String),
    #[error(
        "The app [{name}:{kind}:{version}] you're trying to unregister is currently used in stream '{stream}'."
    )]
    AppInUse { name: String, kind: &'static str, version: String, stream: String },
    #[error("Could not find stream application named {0}")]
    NoApplication(String),
    /// 0: no earlier one.
    #[error("{}", no_application_release(application, *release))]
    NoApplicationRelease { application: String, release: u32 },
    /// Everything that is wrong with a document, a line each.
    #[error("{0}")]
    InvalidApplication(String),
    /// What a document names belongs to somebody else.
    #[error("{0}")]
    ApplicationConflict(String),
    /// A definition, or what it becomes with its deployment properties, is wrong.
    #[error("{0}")]
    InvalidStream(String),
    #[error("{0}")]
    InvalidAppName(String),
    /// Anything else in the request is wrong.
    #[error("{0}")]
    InvalidArgument(String),
    /// A list cannot be sorted by this.
    #[error("No property '{property}' found for type '{entity}'")]
    NoProperty { property: String, entity: &'static str },
    /// The request is right, but what it needs is not there.
    #[error("{0}")]
    IllegalState(String),
    /// A document that the request names cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// An app was asked and refused, or did not answer.
    #[error("{0}")]
    Upstream(String),
    /// Somebody else carries out a request about the same stream.
    #[error("{0}; wait until that is done, or see who it is with 'flowkeeper cluster locks'")]
    Locked(String),
    #[error("There is no lock {0}: it was released, or never there")]
    NoLock(String),
    #[error("This is the only server: there is nobody to hand the leadership to")]
    NoOtherServer,
    #[error(
        "No cluster key is in use: give every server and agent the same --cluster-key-file, and the leader brings its first \
         key into use"
    )]
    NoClusterKey,
    /// Others change the same thing all the time.
    #[error("{0} is being changed by somebody else at the same time; look at it and try again")]
    Conflict(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Unavailable(String),
}

fn no_application_release(application: &str, release: u32) -> String {
    match release {
        0 => format!("Stream application '{application}' has no earlier release to go back to"),
        release => format!(
            "Stream application '{application}' has no release {release}: see 'flowkeeper application history {application}'"
        ),
    }
}

impl Error {
    /// Whether it says how things are, which an old copy of the metadata may get wrong.
    fn is_about_metadata(&self) -> bool {
        !matches!(
            self,
            Error::NoDate { .. }
                | Error::DateRange
                | Error::InvalidArgument(_)
                | Error::InvalidAppName(_)
                | Error::NoProperty { .. }
                | Error::Unreadable(_)
                | Error::Upstream(_)
                | Error::TooLarge(_)
                | Error::Unavailable(_)
                | Error::Conflict(_)
                | Error::Locked(_)
        )
    }

    /// What a failed write means to whoever asked for `what`.
    fn from_write(what: &str, error: WriteError) -> Error {
        match error {
            WriteError::Exists { .. } | WriteError::Missing { .. } | WriteError::Conflict { .. } => {
                Error::Conflict(what.to_owned())
            }
            WriteError::TooLarge { bytes, limit, .. } => Error::TooLarge(format!(
                "{what} would need {bytes} bytes in the metadata, of which one change may hold {limit}: make it smaller"
            )),
            WriteError::Unavailable(reason) => Error::Unavailable(reason),
        }
    }
}

/// How one try of a change ended without being committed.
#[derive(Debug)]
enum Failed {
    /// The request cannot be carried out.
    Refused(Error),
    /// It was not written.
    Write(WriteError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Refused(error)
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Failed {
        Failed::Write(error)
    }
}

/// As [`with_retry`], for a request about the life of a stream. Such requests take turns: whoever has to wait for too long is told for
/// whom. `what` is what the request does, as a verb.
async fn in_turn<T, F>(
    meta: &Meta,
    stream: &str,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failed>>,
{
    let subject = format!("stream '{stream}'");
    let is_there = || meta.model().stream(stream).is_some();
    if !is_there() {
        catch_up(meta).await?;
    }
    if !is_there() {
        // One that is not there needs no lock to be told of.
        return decide(&subject, &mut attempt).await;
    }
    let lock = meta.lock_stream(stream, what).await?;
    if !meta.wait_applied(lock.zxid(), CATCH_UP).await {
        return Err(Error::Unavailable("this server's copy of the metadata is late; try again".to_owned()));
    }
    decide(&subject, &mut attempt).await
}

/// Decides and writes. A refusal is decided a second time on a copy that shows everything that was acknowledged before, by any
/// server: a change carries its versions and cannot be made on an old copy, but a refusal could.
async fn with_retry<T, F>(meta: &Meta, what: &str, mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failed>>,
{
    match decide(what, &mut attempt).await {
        Err(error) if error.is_about_metadata() => {
            catch_up(meta).await?;
            decide(what, &mut attempt).await
        }
        other => other,
    }
}

/// Waits until this server's copy shows everything that was acknowledged before, by any server.
async fn catch_up(meta: &Meta) -> Result<(), Error> {
    let barrier = meta.strong_barrier(meta.server_name(), CATCH_UP).await;
    barrier.map(drop).map_err(|error| Error::from_write("the metadata", error))
}

/// Decides and writes, again when what was decided on changed meanwhile. `what` names the subject for people.
async fn decide<T, F>(what: &str, attempt: &mut impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failed>>,
{
    let mut tries = 1;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::Write(
                WriteError::Conflict { .. } | WriteError::Exists { .. } | WriteError::Missing { .. },
            )) if tries < TRIES => tries += 1,
            Err(Failed::Write(error)) => return Err(Error::from_write(what, error)),
        }
    }
}
