//! Exit codes, and the one way a failed command ends.

use std::process::ExitCode;

/// Why a command failed; the discriminant is the exit code, which scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed = 1,
    Usage = 2,
    NotAllowed = 5,
    Unavailable = 6,
}

/// A failure with the sentence for the person who typed the command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn failed(message: impl ToString) -> Failure {
        Failure { kind: Kind::Failed, message: message.to_string() }
    }

    pub(crate) fn usage(message: impl ToString) -> Failure {
        Failure { kind: Kind::Usage, message: message.to_string() }
    }

    pub(crate) fn not_allowed(message: impl ToString) -> Failure {
        Failure { kind: Kind::NotAllowed, message: message.to_string() }
    }

    pub(crate) fn unavailable(message: impl ToString) -> Failure {
        Failure { kind: Kind::Unavailable, message: message.to_string() }
    }

    /// Prints the sentence and gives the exit code.
    pub(crate) fn tell(self) -> ExitCode {
        use std::io::Write;
        // Nothing is left to do when even standard error is closed.
        let _ = writeln!(std::io::stderr(), "flowkeeper: {}", self.message);
        ExitCode::from(self.kind as u8)
    }
}
