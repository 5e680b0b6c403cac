//! Turns the URI of a registered app into something that can be executed on this node.
//!
//! * [`Artifacts`]: finds or fetches what a URI names, into a cache where files appear whole or not at all;
//! * [`maven`]: coordinates, repositories, snapshots, checksums;
//! * [`http`]: requests whose redirects carry no credentials away; also used to ask container registries.

mod cache;
mod checksum;
mod credentials;
mod error;
pub mod http;
pub mod maven;

pub use credentials::Credentials;
pub use error::ArtifactError;
pub use maven::{Repositories, Repository};

use std::path::{Path, PathBuf};

use reqwest::{StatusCode, Url};

use cache::{Cache, ReceiveError};
use http::{Get, Http, shown};
use maven::Maven;

/// Something to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// An app inside this very binary: `<type>/<name>`.
    Bundled { kind: String, name: String },
    /// A jar, run by Java.
    Jar(PathBuf),
    /// Any other executable file.
    Executable(PathBuf),
}

/// Fetches programs into a cache folder and remembers them. Cheap to clone; clones share the cache.
#[derive(Clone, Debug)]
pub struct Artifacts {
    cache: Cache,
    http: Http,
    maven: Maven,
}

impl Artifacts {
    /// Fetches into `cache`, which is created when needed, and `maven:` artifacts from `repositories`.
    ///
    /// # Errors
    /// [`ArtifactError::Client`].
    pub fn new(cache: impl Into<PathBuf>, repositories: Repositories) -> Result<Artifacts, ArtifactError> {
        let http = Http::new().map_err(|error| ArtifactError::Client(error.to_string()))?;
        Ok(Artifacts::with_http(cache.into(), repositories, http))
    }

    fn with_http(cache: PathBuf, repositories: Repositories, http: Http) -> Artifacts {
        let cache = Cache::new(cache);
        let maven = Maven::new(repositories, cache.clone(), http.clone());
        Artifacts { cache, http, maven }
    }

    /// What fetches.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The program that `uri` names, fetched if it is remote and not in the cache yet.
    ///
    /// Cancel safe: a cancelled fetch leaves nothing behind.
    ///
    /// # Errors
    /// See [`ArtifactError`]; only `Fetch` and `Write` may pass by themselves.
    pub async fn resolve(&self, uri: &str) -> Result<Program, ArtifactError> {
        if let Some(bundled) = strip_scheme(uri, "builtin") {
            let (kind, name) =
                bundled.split_once('/').ok_or_else(|| ArtifactError::NoScheme(uri.to_owned()))?;
            return Ok(Program::Bundled { kind: kind.to_owned(), name: name.to_owned() });
        }
        let path = self.file(uri).await?;
        if path.is_file() { Ok(Program::from_path(path)) } else { Err(ArtifactError::Missing(path)) }
    }

    /// The file or folder on this machine that `uri` names, fetched if it is remote and not in the cache yet.
    ///
    /// Cancel safe: a cancelled fetch leaves nothing behind.
    ///
    /// # Errors
    /// As [`Artifacts::resolve`]; what is in the binary is `Unsupported`.
    pub async fn file(&self, uri: &str) -> Result<PathBuf, ArtifactError> {
        let (scheme, rest) = uri.split_once(':').ok_or_else(|| ArtifactError::NoScheme(shown(uri)))?;
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = Path::new("/").join(rest.trim_start_matches('/'));
                if path.exists() { Ok(path) } else { Err(ArtifactError::Missing(path)) }
            }
            "http" | "https" => self.fetch(uri).await,
            "maven" => self.maven.resolve(uri, rest).await,
            scheme => Err(ArtifactError::Unsupported { uri: shown(uri), scheme: scheme.to_owned() }),
        }
    }

    async fn fetch(&self, uri: &str) -> Result<PathBuf, ArtifactError> {
        let failed = |reason: String| ArtifactError::Fetch { uri: shown(uri), reason };
        let path = self.cache.path(cache::name_of(uri));
        if path.is_file() {
            return Ok(path);
        }
        let mut url: Url = uri.parse().map_err(|error| failed(format!("its address is wrong ({error})")))?;
        let credentials = Credentials::take(&mut url);
        let fetch = async {
            let get = Get { credentials: credentials.as_ref(), ..Get::new(&url) };
            let answer = self.http.get(get).await.map_err(|error| failed(error.to_string()))?;
            if answer.status() != StatusCode::OK {
                return Err(failed(format!("the server answers {}", answer.status())));
            }
            let partial = cache::receive(answer, &path).await.map_err(|error| match error {
                ReceiveError::Answer(reason) => failed(reason),
                ReceiveError::Write(error) => error,
            })?;
            partial.keep(&path)
        };
        self.cache.once(path.clone(), fetch).await
    }
}

impl Program {
    fn from_path(path: PathBuf) -> Program {
        let is_jar = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jar"));
        if is_jar { Program::Jar(path) } else { Program::Executable(path) }
    }
}

fn strip_scheme<'a>(uri: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = uri.split_once(':')?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;
