//! Names of images: `[host[:port]/]repository[:tag][@digest]`.

use std::fmt;

use reqwest::Url;

/// Where images without a host come from.
pub(super) const DOCKER_HUB: &str = "registry-1.docker.io";
/// Other names of the same.
const DOCKER_HUB_NAMES: [&str; 2] = ["docker.io", "index.docker.io"];
/// Where images without a path lie there.
const OFFICIAL: &str = "library";
const LATEST: &str = "latest";
/// Longest name, in bytes.
const MAX_LENGTH: usize = 512;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// With a port, if it is not the usual one.
    pub(super) host: String,
    pub(super) repository: String,
    /// A tag, or `sha256:` and a checksum.
    pub(super) version: String,
}

impl Reference {
    /// Reads a name; one without a host is of `default`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn parse(text: &str, default: &str) -> Result<Reference, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} bytes"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
            _ => (None, name),
        };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let host = match host {
            Some(host) if DOCKER_HUB_NAMES.contains(&host) => DOCKER_HUB,
            Some(host) => host,
            None => default,
        };
        if !is_host(host) {
            return Err(format!("'{host}' is no host"));
        }
        if !repository.split('/').all(is_component) {
            return Err(format!(
                "'{repository}' is not made of small letters and digits, with dots, dashes and underscores between them"
            ));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(format!("'{tag}' is no tag"));
        }
        let version = match digest {
            Some(digest) => {
                super::checked(digest).map_err(|_| format!("'{digest}' is not sha256: and 64 digits"))?
            }
            None => tag.unwrap_or(LATEST),
        };
        let is_official = host == DOCKER_HUB && !repository.contains('/');
        let repository = if is_official { format!("{OFFICIAL}/{repository}") } else { repository.to_owned() };
        Ok(Reference { host: host.to_owned(), repository, version: version.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.version.contains(':') { '@' } else { ':' };
        write!(f, "{}{separator}{}", self.repository, self.version)
    }
}

fn is_host(host: &str) -> bool {
    let is_plain = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    is_plain && format!("https://{host}/").parse::<Url>().is_ok()
}

fn is_component(part: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_edge)
        && part.ends_with(is_edge)
        && !part.contains("..")
        && part.chars().all(|c| is_edge(c) || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(is_word) && tag.len() <= 128 && tag.chars().all(|c| is_word(c) || ".-".contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        for (text, host, rest) in [
            ("time", DOCKER_HUB, "library/time:latest".to_owned()),
            ("example/time:2.3", DOCKER_HUB, "example/time:2.3".to_owned()),
            ("docker.io/time", DOCKER_HUB, "library/time:latest".to_owned()),
            ("h.example/a/b/c:1", "h.example", "a/b/c:1".to_owned()),
            ("localhost/time", "localhost", "time:latest".to_owned()),
            ("localhost:5000/time:1", "localhost:5000", "time:1".to_owned()),
            (&format!("h.example/time:1@{digest}"), "h.example", format!("time@{digest}")),
        ] {
            let found = Reference::parse(text, DOCKER_HUB).unwrap();
            assert_eq!((found.host.as_str(), found.to_string()), (host, rest), "{text}");
        }
        assert_eq!(Reference::parse("time", "h:5").unwrap().to_string(), "time:latest");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "/",
            "UPPER",
            "a//b",
            "a/../b",
            "a:",
            "a:b/c",
            "a:-x",
            "a@sha256:1",
            "h.x/a b",
            "a/%2e",
            "h.x?/a",
        ] {
            assert!(Reference::parse(text, DOCKER_HUB).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_made_of_a_name_stays_in_its_place(text in "[a-zA-Z./:@%_-]{0,30}|.*") {
            if let Ok(found) = Reference::parse(&text, DOCKER_HUB) {
                prop_assert!(!found.repository.contains("..") && !found.repository.contains("//"));
                prop_assert!(found.repository.chars().chain(found.version.chars())
                    .all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c)));
                prop_assert!(!found.version.contains('/'));
            }
        }
    }
}
