//! What can go wrong with a call, by what the caller can do about it.

use crate::error::ErrorBody;

/// What a caller can do about an error; a command turns it into its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What the call is about does not exist.
    NotFound,
    /// It cannot be done in the present state: it exists already, is in use, or somebody else was faster.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// The user may not do this.
    NotAllowed,
    /// Nobody answers, or the server has no metadata store: try again later.
    Unavailable,
    /// The server, or something it asked, failed.
    Failed,
}

/// A call that did not succeed. The text is a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("'{url}' is not the address of a server; write it like http://localhost:9393")]
    InvalidUrl { url: String },
    #[error("no server answers at {url}; start one with 'flowkeeper dev', or name another with --server URL")]
    Unreachable { url: String },
    #[error(
        "the connection to {url} broke before the answer was complete: a change may have been made all the same; look \
         at it and at the server's log before you try again, and check that a flowkeeper server is there"
    )]
    Transport { url: String, source: reqwest::Error },
    #[error("{url} did not answer like a flowkeeper server: {source}; check the address and the version")]
    Answer { url: String, source: serde_json::Error },
    /// The server refused or failed.
    #[error("{}", .messages.join("\n"))]
    Refused {
        status: u16,
        /// SCDF's name of the error: `NoSuchStreamDefinitionException`. Empty when the answer had none.
        logref: String,
        /// At least one.
        messages: Vec<String>,
    },
}

impl Error {
    pub(super) fn from_answer(status: u16, body: &[u8]) -> Error {
        #[derive(serde::Deserialize)]
        struct Plain {
            error: String,
            #[serde(default)]
            path: String,
        }
        let (logref, messages) = if let Ok(body) = serde_json::from_slice::<ErrorBody>(body) {
            let errors = body.embedded.errors;
            let logref = errors.first().map(|error| error.logref.clone()).unwrap_or_default();
            (logref, errors.into_iter().map(|error| error.message).collect())
        } else if let Ok(plain) = serde_json::from_slice::<Plain>(body) {
            (String::new(), vec![format!("{}: {}", plain.error, plain.path)])
        } else {
            (String::new(), Vec::new())
        };
        let messages = if messages.is_empty() {
            vec![format!("the server answered with status {status}")]
        } else {
            messages
        };
        Error::Refused { status, logref, messages }
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Error::InvalidUrl { .. } => Kind::Invalid,
            Error::Unreachable { .. } | Error::Transport { .. } => Kind::Unavailable,
            Error::Answer { .. } => Kind::Failed,
            Error::Refused { status, logref, .. } => refused(*status, logref),
        }
    }

    /// Status of the answer, when there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The sentences of the answer; empty when there was none.
    pub fn messages(&self) -> &[String] {
        match self {
            Error::Refused { messages, .. } => messages,
            _ => &[],
        }
    }
}

/// SCDF answers 500 to many wrong requests; their names tell them from real failures.
fn refused(status: u16, logref: &str) -> Kind {
    match status {
        401 | 403 => Kind::NotAllowed,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        400..=499 => Kind::Invalid,
        502..=504 => Kind::Unavailable,
        _ => match logref {
            "ReleaseNotFoundException" => Kind::NotFound,
            "IllegalArgumentException" | "IllegalStateException" | "PropertyReferenceException" => {
                Kind::Invalid
            }
            _ => Kind::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_status_and_name() {
        let kind = |status, logref: &str| {
            let body = serde_json::to_vec(&ErrorBody::new(logref, "no")).unwrap();
            Error::from_answer(status, &body).kind()
        };
        assert_eq!(kind(404, "NoSuchStreamDefinitionException"), Kind::NotFound);
        assert_eq!(kind(409, "StreamAlreadyDeployedException"), Kind::Conflict);
        assert_eq!(kind(400, "InvalidStreamDefinitionException"), Kind::Invalid);
        assert_eq!(kind(403, ""), Kind::NotAllowed);
        assert_eq!(kind(500, "ReleaseNotFoundException"), Kind::NotFound);
        assert_eq!(kind(500, "IllegalArgumentException"), Kind::Invalid);
        assert_eq!(kind(500, "InternalServerError"), Kind::Failed);
        assert_eq!(kind(503, "Unavailable"), Kind::Unavailable);
    }

    #[test]
    fn any_body_gives_a_sentence() {
        let text = |body: &str| Error::from_answer(404, body.as_bytes()).to_string();
        assert_eq!(text(r#"{"error":"Not Found","path":"/x","status":404}"#), "Not Found: /x");
        for body in ["", "<html>", "{}", r#"{"_embedded":{"errors":[]}}"#] {
            assert_eq!(text(body), "the server answered with status 404", "{body}");
        }
    }
}
