//! Which container registries there are, and how each is asked.

use std::borrow::Cow;

use flowkeeper_deploy::artifact::Credentials;
use flowkeeper_deploy::artifact::http::is_internal;
use reqwest::Url;

use super::reference::{DOCKER_HUB, Reference};

/// How registries are asked; one that is not named is asked over https, as nobody.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    named: Vec<Registry>,
}

/// A container registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// With a port, if it is not the usual one.
    host: String,
    /// `None`: https, but http on this machine.
    scheme: Option<&'static str>,
    credentials: Option<Credentials>,
    authorization: Authorization,
    manifest_media_type: Option<String>,
    /// Where tokens come from, with `{registry}`, `{repository}` and `{tag}` in it; `None`: where the registry says.
    auth_uri: Option<String>,
    is_default: bool,
}

/// How a registry is told who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authorization {
    /// As it asks.
    Asked,
    /// Not at all.
    Anonymous,
    /// With user and password at once.
    Basic,
    /// With a token.
    Token,
}

impl Registries {
    pub fn new(named: Vec<Registry>) -> Registries {
        Registries { named }
    }

    /// The host of images that name none.
    pub(super) fn default_host(&self) -> &str {
        let default = self.named.iter().find(|registry| registry.is_default);
        default.map_or(DOCKER_HUB, |registry| registry.host.as_str())
    }

    pub(super) fn of(&self, host: &str) -> Cow<'_, Registry> {
        let named = self.named.iter().find(|registry| registry.host.eq_ignore_ascii_case(host));
        named.map_or_else(|| Cow::Owned(Registry::unnamed(host)), Cow::Borrowed)
    }
}

impl Registry {
    /// Reads `[https://][user:secret@]host[:port][?name=value&…]`; user and secret are percent-encoded where they have signs of
    /// their own. The names: `authorization-type` (`anonymous`, `basicauth`, `dockeroauth2`), `manifest-media-type`, `auth-uri`,
    /// `default`. With `http://` the registry is asked without encryption.
    ///
    /// # Errors
    /// One sentence, which repeats no credentials.
    pub fn parse(text: &str) -> Result<Registry, String> {
        let text = text.trim();
        let has_scheme = text.split('?').next().is_some_and(|start| start.contains("://"));
        let address = if has_scheme { text.to_owned() } else { format!("https://{text}") };
        let mut url: Url = address.parse().map_err(|error| {
            format!("the address of a container registry is wrong ({error}); write https://user:secret@host")
        })?;
        let scheme = match (url.scheme(), has_scheme) {
            ("http", _) => Some("http"),
            ("https", true) => Some("https"),
            ("https", false) => None,
            (scheme, _) => {
                return Err(format!(
                    "a container registry cannot be asked over {scheme}; write https://user:secret@host"
                ));
            }
        };
        let credentials = Credentials::take(&mut url);
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if url.path() != "/" {
            return Err(format!("the container registry {host} has a path, where only a host belongs"));
        }
        // It is known by several names, and answers to one.
        let host =
            if host == "docker.io" || host == "index.docker.io" { DOCKER_HUB.to_owned() } else { host };
        let mut registry = Registry { scheme, credentials, ..Registry::unnamed(&host) };
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (name, value) in pairs {
            registry
                .set(&name, value)
                .map_err(|reason| format!("the container registry {host}: {reason}"))?;
        }
        let needs_credentials = matches!(registry.authorization, Authorization::Basic);
        if needs_credentials && registry.credentials.is_none() {
            return Err(format!(
                "the container registry {host} is asked with basicauth, and user and secret are missing"
            ));
        }
        Ok(registry)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "authorization-type" => {
                self.authorization = match value.as_str() {
                    "anonymous" => Authorization::Anonymous,
                    "basicauth" => Authorization::Basic,
                    "dockeroauth2" => Authorization::Token,
                    "awsecr" => {
                        return Err(
                            "authorization-type awsecr is not understood; use basicauth with the user AWS and the password of 'aws ecr get-login-password'"
                                .to_owned(),
                        );
                    }
                    other => {
                        return Err(format!(
                            "authorization-type {other} is none of anonymous, basicauth, dockeroauth2"
                        ));
                    }
                }
            }
            "manifest-media-type" if value.chars().all(|c| c.is_ascii_graphic()) => {
                self.manifest_media_type = Some(value);
            }
            "auth-uri" if value.starts_with("https://") || value.starts_with("http://") => {
                self.auth_uri = Some(value);
            }
            "default" if value == "true" || value == "false" => self.is_default = value == "true",
            "manifest-media-type" | "auth-uri" | "default" => {
                return Err(format!("{name} cannot be '{value}'"));
            }
            other => {
                return Err(format!(
                    "{other} is none of authorization-type, manifest-media-type, auth-uri, default"
                ));
            }
        }
        Ok(())
    }

    fn unnamed(host: &str) -> Registry {
        Registry {
            host: host.to_owned(),
            scheme: None,
            credentials: None,
            authorization: Authorization::Asked,
            manifest_media_type: None,
            auth_uri: None,
            is_default: false,
        }
    }

    /// Where its API begins.
    pub(super) fn base(&self) -> Result<Url, String> {
        let of = |scheme: &str| {
            let url = format!("{scheme}://{}/", self.host).parse::<Url>();
            url.map_err(|error| format!("has an address that cannot be asked: {error}"))
        };
        let safe = of("https")?;
        match self.scheme {
            Some(scheme) => of(scheme),
            None if is_internal(&safe) => of("http"),
            None => Ok(safe),
        }
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref().filter(|_| !self.is_anonymous())
    }

    pub(super) fn is_basic(&self) -> bool {
        self.authorization == Authorization::Basic
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.authorization == Authorization::Anonymous
    }

    pub(super) fn manifest_media_type(&self) -> Option<&str> {
        self.manifest_media_type.as_deref()
    }

    /// Where the token for `reference` comes from, if that was said.
    pub(super) fn token_url(&self, reference: &Reference) -> Option<Result<Url, String>> {
        let template = self.auth_uri.as_ref().filter(|_| !self.is_anonymous())?;
        let filled = template
            .replace("{registry}", &self.host)
            .replace("{repository}", &reference.repository)
            .replace("{tag}", &reference.version);
        Some(filled.parse().map_err(|error| format!("has an auth-uri that is no address: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_an_address_with_who_we_are_there() {
        let base = |text: &str| Registry::parse(text).unwrap().base().unwrap().to_string();
        assert_eq!(base("h.example"), "https://h.example/");
        assert_eq!(base("u:p@h.example:5000"), "https://h.example:5000/");
        assert_eq!(base("http://h.example"), "http://h.example/");
        assert_eq!(base("localhost:5000"), "http://localhost:5000/");
        assert_eq!(base("https://localhost:5000"), "https://localhost:5000/");
        assert_eq!(base("127.0.0.1:5000"), "http://127.0.0.1:5000/");
        assert_eq!(base("docker.io"), format!("https://{DOCKER_HUB}/"));
        let full = Registry::parse(
            "https://u:s%26@h?authorization-type=basicauth&manifest-media-type=a%2Fb&auth-uri=https%3A%2F%2Fa%2F%7Btag%7D&default=true",
        )
        .unwrap();
        assert!(full.is_basic() && full.is_default && full.manifest_media_type() == Some("a/b"));
        let expected = Credentials::Basic { user: "u".to_owned(), password: "s&".to_owned() };
        assert_eq!(full.credentials(), Some(&expected));
        let reference = Reference::parse("h.x/a:7", DOCKER_HUB).unwrap();
        assert_eq!(full.token_url(&reference).unwrap().unwrap().as_str(), "https://a/7");
        let registries = Registries::new(vec![full]);
        assert_eq!(registries.default_host(), "h");
        assert!(registries.of("H").is_basic() && !registries.of("other").is_basic());
        assert_eq!(Registries::default().default_host(), DOCKER_HUB);
    }

    #[test]
    fn a_wrong_one_is_refused_without_its_credentials() {
        for (text, reason) in [
            ("", "is wrong"),
            ("ftp://u:s3cret@h", "cannot be asked over ftp"),
            ("https://u:s3cret@h/path", "has a path"),
            ("u:s3cret@h?authorization-type=awsecr", "'aws ecr get-login-password'"),
            ("u:s3cret@h?authorization-type=other", "other is none of"),
            ("u:s3cret@h?default=yes", "default cannot be 'yes'"),
            ("u:s3cret@h?auth-uri=file:///x", "auth-uri cannot be"),
            ("u:s3cret@h?what=1", "what is none of"),
            ("h?authorization-type=basicauth", "user and secret are missing"),
        ] {
            let refused = Registry::parse(text).unwrap_err();
            assert!(refused.contains(reason) && !refused.contains("s3cret"), "{text}: {refused}");
        }
    }
}
