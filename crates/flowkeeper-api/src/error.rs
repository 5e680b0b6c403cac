//! The one shape of every error: a list with one entry, below `_embedded`.

use serde::{Deserialize, Serialize};

use crate::hal::SelfLink;

/// The body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    #[serde(rename = "_embedded")]
    pub embedded: Errors,
}

/// The errors; there is always exactly one, in a list because SCDF's clients iterate it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Errors {
    pub errors: Vec<ErrorEntry>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEntry {
    /// What is wrong, for people.
    pub message: String,
    /// SCDF's name of the kind of error, for programs: `NoSuchStreamDefinitionException`.
    pub logref: String,
    /// Always `/`; SCDF's Java client cannot read an error without it.
    #[serde(rename = "_links")]
    pub links: SelfLink,
}

impl ErrorBody {
    pub fn new(logref: impl Into<String>, message: impl Into<String>) -> ErrorBody {
        let entry = ErrorEntry { message: message.into(), logref: logref.into(), links: SelfLink::new("/") };
        ErrorBody { embedded: Errors { errors: vec![entry] } }
    }
}
