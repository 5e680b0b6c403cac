//! Hiding secrets in what people see: texts, audit records, logs.

/// What is shown instead of a secret.
pub const MASK: &str = "******";

/// Whose list of secret keys applies; the two servers of SCDF never agreed on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitizer {
    /// Stream and task definitions, audit records, launch arguments.
    DataFlow,
    /// Manifests of releases: user names and addresses stay readable.
    Skipper,
}

impl Sanitizer {
    /// Whether the value of `key` is a secret: by the end of the key, or `credentials` anywhere in it,
    /// in any case.
    pub fn is_secret(self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
        key.contains("credentials")
            || ends(&["password", "secret", "key", "token", "vcap_services"])
            || (self == Self::DataFlow && ends(&["username", "url"]))
    }

    /// The value, or [`MASK`] if it is a secret. Blank values hide nothing and stay.
    pub fn sanitize(self, key: &str, value: &str) -> String {
        if super::has_text(value) && self.is_secret(key) { MASK.to_owned() } else { value.to_owned() }
    }
}
