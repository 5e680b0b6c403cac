//! Turns the URI of a registered app into something that can be executed on this node.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

/// Largest program that is fetched.
const MAX_BYTES: u64 = 1 << 30;
/// How long a server may be silent while a program is fetched.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Why a program cannot be had; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error(
        "{0} names no scheme: expected builtin:, file:, http: or https:; register the app again with a full URI"
    )]
    NoScheme(String),
    #[error(
        "{uri}: '{scheme}:' artifacts cannot be run by this version; register the app from a file:, http: or https: address"
    )]
    Unsupported { uri: String, scheme: String },
    #[error(
        "{0} does not exist on this node; copy it there or register the app from an http: or https: address"
    )]
    Missing(PathBuf),
    #[error(
        "{uri} could not be fetched: {reason}; check the address and register the app again, or deploy again later"
    )]
    Fetch { uri: String, reason: String },
    #[error("{path} could not be written: {source}; free some space on this node")]
    Write { path: PathBuf, source: std::io::Error },
}

/// Fetches programs into a cache folder and remembers them.
#[derive(Clone, Debug)]
pub struct Artifacts {
    cache: PathBuf,
    client: reqwest::Client,
}

impl Artifacts {
    /// Fetches into `cache`, which is created when needed.
    pub fn new(cache: impl Into<PathBuf>, client: reqwest::Client) -> Artifacts {
        Artifacts { cache: cache.into(), client }
    }

    /// The program that `uri` names, fetched if it is remote and not in the cache yet.
    ///
    /// Cancel safe: a cancelled fetch leaves a partial file that the next one replaces.
    ///
    /// # Errors
    /// See [`ArtifactError`]; only `Fetch` and `Write` may pass by themselves.
    pub async fn resolve(&self, uri: &str) -> Result<Program, ArtifactError> {
        let (scheme, rest) = uri.split_once(':').ok_or_else(|| ArtifactError::NoScheme(uri.to_owned()))?;
        match scheme.to_ascii_lowercase().as_str() {
            "builtin" => {
                let (kind, name) =
                    rest.split_once('/').ok_or_else(|| ArtifactError::NoScheme(uri.to_owned()))?;
                Ok(Program::Bundled { kind: kind.to_owned(), name: name.to_owned() })
            }
            "file" => {
                let path = Path::new("/").join(rest.trim_start_matches('/'));
                if path.is_file() { Ok(Program::from_path(path)) } else { Err(ArtifactError::Missing(path)) }
            }
            "http" | "https" => Ok(Program::from_path(self.fetch(uri).await?)),
            scheme => Err(ArtifactError::Unsupported { uri: uri.to_owned(), scheme: scheme.to_owned() }),
        }
    }

    async fn fetch(&self, uri: &str) -> Result<PathBuf, ArtifactError> {
        let path = self.cache.join(cache_name(uri));
        if path.is_file() {
            return Ok(path);
        }
        let failed = |reason: String| ArtifactError::Fetch { uri: uri.to_owned(), reason };
        let write = |source| ArtifactError::Write { path: path.clone(), source };
        let response = self.client.get(uri).timeout(READ_TIMEOUT * 20).send().await;
        let mut response =
            response.and_then(reqwest::Response::error_for_status).map_err(|e| failed(root(&e)))?;
        tokio::fs::create_dir_all(&self.cache).await.map_err(write)?;
        let partial = self.cache.join(format!("{}.{}.part", cache_name(uri), uuid::Uuid::new_v4().simple()));
        let mut file = tokio::fs::File::create(&partial).await.map_err(write)?;
        let mut bytes = 0;
        loop {
            let chunk = tokio::time::timeout(READ_TIMEOUT, response.chunk()).await;
            let chunk = chunk.map_err(|_| failed(format!("no data for {} s", READ_TIMEOUT.as_secs())))?;
            let Some(chunk) = chunk.map_err(|error| failed(root(&error)))? else { break };
            bytes += chunk.len() as u64;
            if bytes > MAX_BYTES {
                drop(tokio::fs::remove_file(&partial).await);
                return Err(failed(format!("it is larger than {MAX_BYTES} bytes")));
            }
            file.write_all(&chunk).await.map_err(write)?;
        }
        file.sync_all().await.map_err(write)?;
        // Closed for certain before anybody executes it: a file that is open for writing cannot be.
        drop(file.into_std().await);
        make_executable(&partial).map_err(write)?;
        tokio::fs::rename(&partial, &path).await.map_err(write)?;
        Ok(path)
    }
}

impl Program {
    fn from_path(path: PathBuf) -> Program {
        let is_jar = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jar"));
        if is_jar { Program::Jar(path) } else { Program::Executable(path) }
    }
}

/// Unique for the address, and still readable: hash, then the last segment of the path.
fn cache_name(uri: &str) -> String {
    let hash = Sha256::digest(uri.as_bytes());
    let mut name = hash.iter().take(16).fold(String::new(), |mut name, byte| {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    });
    let last = uri.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    name.push('-');
    name.extend(last.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(100));
    name
}

/// The innermost cause: what the network said, without the address that our own sentence names already.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts(folder: &Path) -> Artifacts {
        Artifacts::new(folder, reqwest::Client::new())
    }

    #[tokio::test]
    async fn resolves_what_lies_here() {
        let folder = tempfile::tempdir().expect("folder");
        let jar = folder.path().join("app-1.0.JAR");
        std::fs::write(&jar, "x").expect("written");
        let artifacts = artifacts(folder.path());
        let found = artifacts.resolve(&format!("file://{}", jar.display())).await.expect("found");
        assert_eq!(found, Program::Jar(jar));
        let bundled = artifacts.resolve("builtin:source/time").await.expect("found");
        assert_eq!(bundled, Program::Bundled { kind: "source".into(), name: "time".into() });
    }

    #[tokio::test]
    async fn says_why_it_cannot_run() {
        let folder = tempfile::tempdir().expect("folder");
        let artifacts = artifacts(folder.path());
        let cases = [
            (
                "file:///no/such",
                "/no/such does not exist on this node; copy it there or register the app from an http: or https: address",
            ),
            (
                "maven://g:a:1",
                "maven://g:a:1: 'maven:' artifacts cannot be run by this version; register the app from a file:, http: or https: address",
            ),
            (
                "nothing",
                "nothing names no scheme: expected builtin:, file:, http: or https:; register the app again with a full URI",
            ),
        ];
        for (uri, sentence) in cases {
            assert_eq!(artifacts.resolve(uri).await.expect_err("refused").to_string(), sentence);
        }
        let refused =
            artifacts.resolve("http://127.0.0.1:1/x.jar").await.expect_err("nobody listens").to_string();
        assert!(refused.starts_with("http://127.0.0.1:1/x.jar could not be fetched: "), "{refused}");
        let refused =
            artifacts.resolve("https://127.0.0.1:1/x.jar").await.expect_err("nobody listens").to_string();
        assert!(refused.contains("Connection refused"), "https is spoken: {refused}");
    }

    #[test]
    fn a_cache_name_cannot_leave_the_cache() {
        let name = cache_name("http://h/../../etc/passwd?x=/../y");
        assert!(name.ends_with("-passwd") && !name.contains('/'), "{name}");
    }
}
