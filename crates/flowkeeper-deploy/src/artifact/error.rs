//! Why a program cannot be had.

use std::path::PathBuf;

/// Why a program cannot be had; each says what to do. Credentials and query strings of addresses are never part of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    #[error(
        "{0} names no scheme: expected builtin:, file:, http:, https: or maven:; register the app again with a full URI"
    )]
    NoScheme(String),
    /// Known, but not to be run here: containers, or a scheme of another world.
    #[error("{uri}: {}; register the app from a maven:, file:, http: or https: address", unsupported(scheme))]
    Unsupported { uri: String, scheme: String },
    #[error(
        "{0} does not exist on this node; copy it there or register the app from a maven:, http: or https: address"
    )]
    Missing(PathBuf),
    /// The text after `maven:` names no artifact.
    #[error(
        "{uri} is not a maven coordinate: {reason}; write maven://<group>:<artifact>[:<extension>[:<classifier>]]:<version>"
    )]
    Coordinate { uri: String, reason: String },
    /// Every repository answered, and none has it.
    #[error(
        "{uri} is in none of the places looked at ({places}); check the coordinate, or name the repository that has it with the setting maven-repository"
    )]
    NotFound { uri: String, places: String },
    #[error(
        "{uri} is not on this machine and the setting maven-offline forbids to fetch it; looked for {places}; put it into one of these places"
    )]
    Offline { uri: String, places: String },
    /// What was received is not what the repository says it has; it is not used, and not looked for elsewhere.
    #[error(
        "{uri} cannot be trusted as the repository {repository} delivers it: {reason}; have the file there repaired, then deploy again"
    )]
    Checksum { uri: String, repository: String, reason: String },
    /// May pass: a network or a server that fails.
    #[error(
        "{uri} could not be fetched: {reason}; check the address and register the app again, or deploy again later"
    )]
    Fetch { uri: String, reason: String },
    #[error("{path} could not be written: {reason}; free some space on this node")]
    Write { path: PathBuf, reason: String },
    /// The part that speaks HTTP cannot start, for example without certificates of authorities.
    #[error("nothing can be fetched from this node: {0}; see whether its certificates are installed")]
    Client(String),
}

fn unsupported(scheme: &str) -> String {
    match scheme {
        "docker" => "containers are not run by this version".to_owned(),
        scheme => format!("'{scheme}:' artifacts cannot be run by this version"),
    }
}
