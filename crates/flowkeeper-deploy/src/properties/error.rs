//! What is wrong with a property of a deployment.

/// A property that cannot be carried out: which one, what it says, why not, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}{said}: {problem}")]
pub struct DeployPropertyError {
    /// Label of the app.
    pub app: String,
    /// The property as a user writes it, for example `deployer.log.local.debugPort`.
    pub key: String,
    /// ` is '…'`; empty where the value is secret or says nothing.
    said: String,
    /// What is expected instead.
    pub problem: String,
}

impl DeployPropertyError {
    /// How much of a value is quoted, in characters.
    const QUOTED: usize = 80;

    pub(super) fn new(app: &str, key: String, value: Option<&str>, problem: impl Into<String>) -> Self {
        let said = value.map_or_else(String::new, |value| {
            let quoted: String = value.chars().take(Self::QUOTED).collect();
            let more = if quoted.len() < value.len() { "…" } else { "" };
            format!(" is '{quoted}{more}'")
        });
        DeployPropertyError { app: app.to_owned(), key, said, problem: problem.into() }
    }
}
