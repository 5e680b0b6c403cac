//! Why an app's options cannot be had.

use flowkeeper_deploy::artifact::ArtifactError;

use super::container::ImageError;

/// Why an app's options cannot be had; the texts end a sentence that names the app's program, and repeat no credentials.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is not a jar: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("{name} in it is not configuration metadata: {error}")]
    Json { name: String, error: serde_json::Error },
    /// One file, or one jar within a jar, that is larger than it may be.
    #[error("{0}, more than a sane jar has")]
    TooLarge(String),
    /// A program that wants more memory or time than a sane one.
    #[error("{0}, more than a sane program has")]
    Excessive(String),
    #[error("it is neither a file nor a folder")]
    NoFile,
    #[error("it could not be had within {0} s; it is fetched on, for whoever asks later")]
    Late(u64),
}
