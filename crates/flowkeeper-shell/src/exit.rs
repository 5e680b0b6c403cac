//! How a command fails: a sentence and a number that scripts can rely on.

use flowkeeper_api::{Error, Kind};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    NotAllowed = 5,
    Unavailable = 6,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure { code: Code::Failed, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { code: Code::Usage, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::Conflict => Code::Conflict,
            Kind::Invalid => Code::Usage,
            Kind::NotAllowed => Code::NotAllowed,
            Kind::Unavailable => Code::Unavailable,
            Kind::Failed => Code::Failed,
        };
        Failure { code, message: error.to_string() }
    }
}
