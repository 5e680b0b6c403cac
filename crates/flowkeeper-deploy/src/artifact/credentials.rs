//! Who we are to a server, kept out of logs and error texts.

use std::fmt;

use reqwest::{RequestBuilder, Url};

/// What is shown to one server.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Basic { user: String, password: String },
    Bearer(String),
}

impl Credentials {
    /// Takes user and password out of `url`; `None` when it has none.
    pub fn take(url: &mut Url) -> Option<Credentials> {
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decoded(url.username());
        let password = url.password().map(decoded);
        if user.is_empty() && password.is_none() {
            return None;
        }
        // Only a URL without a host refuses that, and it has no user either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(Credentials::Basic { user, password: password.unwrap_or_default() })
    }

    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
            Credentials::Bearer(token) => request.bearer_auth(token),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Basic { .. } => "Basic(…)",
            Credentials::Bearer(_) => "Bearer(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_out_of_an_address_and_never_printed() {
        let mut url: Url = "https://me%40home:p%2Cw%2F@h/x".parse().expect("a URL");
        let taken = Credentials::take(&mut url).expect("credentials");
        assert_eq!(taken, Credentials::Basic { user: "me@home".to_owned(), password: "p,w/".to_owned() });
        assert_eq!(url.as_str(), "https://h/x");
        assert_eq!(Credentials::take(&mut url), None);
        let printed = format!("{taken:?} {:?}", Credentials::Bearer("secret".to_owned()));
        assert_eq!(printed, "Basic(…) Bearer(…)");
    }
}
