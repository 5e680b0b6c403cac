//! Which Maven repositories there are, and how an address in the settings names one.

use std::path::PathBuf;

use reqwest::Url;

use crate::artifact::credentials::Credentials;

/// Where Maven looks when nothing else is said.
const CENTRAL: &str = "https://repo.maven.apache.org/maven2";
/// Its name, which stands for its address in settings.
const CENTRAL_ID: &str = "central";

/// Where artifacts of `maven:` URIs come from.
#[derive(Clone, Debug)]
pub struct Repositories {
    /// Maven's own folder, which is read and never written; `None`: there is none.
    pub local: Option<PathBuf>,
    /// In the order in which they are asked.
    pub remote: Vec<Repository>,
    /// Ask none of them.
    pub is_offline: bool,
}

/// A Maven repository that is reached over http or https.
#[derive(Clone, Debug)]
pub struct Repository {
    id: String,
    /// Without credentials, with a slash at its end.
    url: Url,
    credentials: Option<Credentials>,
}

impl Default for Repositories {
    /// Maven Central alone.
    fn default() -> Self {
        let remote = Repository::parse(CENTRAL_ID).into_iter().collect();
        Repositories { local: None, remote, is_offline: false }
    }
}

impl Repository {
    /// Reads `central`, `URL` or `ID=URL`; user and password stand in the URL, percent-encoded where they have signs of their own.
    /// Without an id it is named after its host.
    ///
    /// # Errors
    /// One sentence, which repeats no credentials.
    pub fn parse(text: &str) -> Result<Repository, String> {
        let text = text.trim();
        let text = if text == CENTRAL_ID { CENTRAL } else { text };
        let (id, address) = match text.split_once('=') {
            Some((id, address)) if !id.contains([':', '/', '?']) => (Some(id.trim()), address.trim()),
            _ => (None, text),
        };
        let mut url: Url = address.parse().map_err(|error| {
            format!("the address of a Maven repository is wrong ({error}); write ID=https://host/path")
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "a Maven repository cannot be reached over {}; write ID=https://host/path, and name a folder with maven-local-repository",
                url.scheme()
            ));
        }
        let credentials = Credentials::take(&mut url);
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let host = url.host_str().unwrap_or_default();
        let id = match id {
            Some(id) => id.to_owned(),
            None if url.as_str().trim_end_matches('/') == CENTRAL => CENTRAL_ID.to_owned(),
            None => host.trim_matches(['[', ']']).replace(':', "-"),
        };
        // It becomes part of the name of a file.
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || id.starts_with('.') || !id.chars().all(is_fine) {
            return Err(format!(
                "'{id}' cannot be the id of a Maven repository: use letters, digits, dots and dashes"
            ));
        }
        Ok(Repository { id, url, credentials })
    }

    /// Its name in texts.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Address of a file in it; `place` is made of checked parts.
    pub(super) fn url_of(&self, place: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{place}", self.url.path()));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_address_with_a_name() {
        let of = |text: &str| {
            let repository = Repository::parse(text).expect(text);
            let credentials = repository.credentials().is_some();
            (repository.id.clone(), repository.url_of("g/a/1+2/a.jar").to_string(), credentials)
        };
        assert_eq!(of("central"), ("central".into(), format!("{CENTRAL}/g/a/1+2/a.jar"), false));
        assert_eq!(of(CENTRAL).0, "central");
        assert_eq!(
            of("corp=https://u:p@h:8/nexus/maven?x=1"),
            ("corp".into(), "https://h:8/nexus/maven/g/a/1+2/a.jar".into(), true)
        );
        assert_eq!(of("http://h/?a=b").0, "h");
        assert_eq!(of("http://[::1]:9/").0, "--1");
        assert_eq!(Repositories::default().remote.len(), 1);
    }

    #[test]
    fn a_wrong_one_is_refused_without_its_credentials() {
        for (text, reason) in [
            ("corp", "is wrong"),
            ("", "is wrong"),
            ("corp=file:///srv/maven", "over file"),
            ("corp=https://u:secret@", "is wrong"),
            ("a b=https://u:secret@h/", "'a b' cannot be the id"),
            ("..=https://h/", "'..' cannot be the id"),
            ("=https://h/", "'' cannot be the id"),
        ] {
            let refused = Repository::parse(text).expect_err(text);
            assert!(refused.contains(reason) && !refused.contains("secret"), "{text}: {refused}");
        }
        let repository = Repository::parse("https://u:secret@h/").expect("fine");
        assert!(!format!("{repository:?}").contains("secret"));
    }
}
