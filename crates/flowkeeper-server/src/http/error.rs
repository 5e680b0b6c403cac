//! The one place where errors become answers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flowkeeper_api::error::ErrorBody;

use super::respond::{Produces, json};
use crate::app;

/// An error answer: status, SCDF's name of the error, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) logref: &'static str,
    pub(super) message: String,
}

impl Problem {
    fn new(status: StatusCode, logref: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, logref, message: message.into() }
    }

    /// A parameter that must be there is not.
    pub(super) fn missing(name: &str) -> Problem {
        let message =
            format!("Required request parameter '{name}' for method parameter type String is not present");
        Problem::new(StatusCode::BAD_REQUEST, "MissingServletRequestParameterException", message)
    }

    /// A parameter is none of the words it may be.
    pub(super) fn not_one_of(name: &str, words: &str) -> Problem {
        let message = format!("The parameter '{name}' must contain one of the following values: '{words}'.");
        Problem::new(StatusCode::BAD_REQUEST, "MethodArgumentTypeMismatchException", message)
    }

    /// A parameter has the wrong type.
    pub(super) fn mismatch(name: &str, value: &str, expected: &str) -> Problem {
        let message = format!("The parameter '{name}' is '{value}' and must be {expected}");
        Problem::new(StatusCode::BAD_REQUEST, "MethodArgumentTypeMismatchException", message)
    }

    /// A parameter has the right type but not a value that may be.
    pub(super) fn constraint(message: &str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "ConstraintViolationException", message)
    }

    /// The body is not what it should be.
    pub(super) fn unreadable_body(reason: &dyn std::fmt::Display) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "HttpMessageNotReadableException",
            format!("JSON parse error: {reason}"),
        )
    }

    /// The path cannot be read.
    pub(super) fn unreadable_path(reason: &dyn std::fmt::Display) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "RequestRejectedException",
            format!("The path cannot be read: {reason}"),
        )
    }

    /// The body is larger than the server takes.
    pub(super) fn too_large() -> Problem {
        let message = "The request is larger than this server accepts: send less at once";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "MaxUploadSizeExceededException", message)
    }

    /// The connection broke while the body was read.
    pub(super) fn broken_body(reason: &dyn std::fmt::Display) -> Problem {
        let message = format!("The request could not be read to its end: {reason}");
        Problem::new(StatusCode::BAD_REQUEST, "HttpMessageNotReadableException", message)
    }

    /// The body has a type that the route does not take. SCDF says 500, not 415.
    pub(super) fn unsupported_type(content_type: &str) -> Problem {
        let message = format!("Content type '{content_type}' not supported");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "HttpMediaTypeNotSupportedException", message)
    }

    /// The route does not take this method. SCDF says 500, not 405.
    pub(super) fn unsupported_method(method: &str) -> Problem {
        let message = format!("Request method '{method}' not supported");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "HttpRequestMethodNotSupportedException", message)
    }

    pub(super) fn no_schema_target(name: &str) -> Problem {
        let message = format!("SchemaVersionTarget: {name} not found");
        Problem::new(StatusCode::NOT_FOUND, "NoSuchSchemaTargetException", message)
    }

    /// An app answered with an error.
    pub(super) fn refused_by_app(status: u16, body: &str) -> Problem {
        let body = if body.is_empty() { "[no body]".to_owned() } else { format!("\"{body}\"") };
        let logref = match status {
            404 => "NotFound",
            400..=499 => "HttpClientErrorException",
            _ => "InternalServerError",
        };
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, logref, format!("{status} : {body}"))
    }
}

impl From<app::Error> for Problem {
    fn from(error: app::Error) -> Problem {
        use app::Error as E;
        const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
        const CONFLICT: StatusCode = StatusCode::CONFLICT;
        const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
        const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
        let (status, logref) = match &error {
            E::NoStream(_) => (NOT_FOUND, "NoSuchStreamDefinitionException"),
            E::NoApp(_) => (NOT_FOUND, "NoSuchAppRegistrationException"),
            E::NoDeployment(_) => (NOT_FOUND, "NoSuchAppException"),
            E::NoInstance(_) => (NOT_FOUND, "NoSuchAppInstanceException"),
            E::NoAuditRecord(_) => (NOT_FOUND, "NoSuchAuditRecordException"),
            E::NoNode(_) => (NOT_FOUND, "NoSuchNodeException"),
            E::NodeInUse { .. } => (CONFLICT, "NodeInUseException"),
            E::NoApplication(_) => (NOT_FOUND, "NoSuchStreamApplicationException"),
            E::NoApplicationRelease { .. } => (NOT_FOUND, "NoSuchStreamApplicationReleaseException"),
            E::InvalidApplication(_) => (BAD_REQUEST, "InvalidStreamApplicationException"),
            E::ApplicationConflict(_) => (CONFLICT, "StreamApplicationConflictException"),
            E::DateRange => (BAD_REQUEST, "InvalidDateRangeException"),
            E::NothingReplaced(_) => (CONFLICT, "StreamNotBeingUpdatedException"),
            E::BeingUpdated { .. } => (CONFLICT, "StreamBeingUpdatedException"),
            E::StreamExists(_) => (CONFLICT, "DuplicateStreamDefinitionException"),
            E::AppExists { .. } => (CONFLICT, "AppAlreadyRegisteredException"),
            E::AlreadyDeployed(_) => (CONFLICT, "StreamAlreadyDeployedException"),
            E::AlreadyDeploying(_) => (CONFLICT, "StreamAlreadyDeployingException"),
            E::AppInUse { .. } => (CONFLICT, "UnregisterAppException"),
            E::Locked(_) => (CONFLICT, "LockedException"),
            E::NoLock(_) => (NOT_FOUND, "NoSuchLockException"),
            E::NoOtherServer => (CONFLICT, "NoOtherServerException"),
            E::NoClusterKey => (CONFLICT, "NoClusterKeyException"),
            E::Conflict(_) => (CONFLICT, "ConcurrentModificationException"),
            E::InvalidStream(_) => (BAD_REQUEST, "InvalidStreamDefinitionException"),
            E::InvalidAppName(_) => (BAD_REQUEST, "InvalidApplicationNameException"),
            E::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "MaxUploadSizeExceededException"),
            E::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "MetadataUnavailableException"),
            // Wrong requests that SCDF answers with 500; its clients tell 4xx from 5xx, so they stay.
            E::InvalidArgument(_) => (FAILED, "IllegalArgumentException"),
            E::IllegalState(_) => (FAILED, "IllegalStateException"),
            E::NoProperty { .. } => (FAILED, "PropertyReferenceException"),
            E::NoDate { .. } => (FAILED, "DateTimeParseException"),
            E::NoDifference => (FAILED, "ReleaseUpgradeException"),
            E::NoRelease(_) => (FAILED, "ReleaseNotFoundException"),
            E::Unreadable(_) => (FAILED, "RuntimeException"),
            E::Upstream(_) => (FAILED, "ResourceAccessException"),
        };
        Problem::new(status, logref, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json(self.status, Produces::Error, &ErrorBody::new(self.logref, self.message));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
