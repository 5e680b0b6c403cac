//! Artifacts of `maven:` URIs: looked for in the cache, in Maven's own folder, and then in the configured repositories, in order.
//!
//! A file from a repository must match the checksum that the repository has for it. A repository that is down does not hide the
//! ones behind it; one that delivers something else than it promises ends the search, because silently taking the program from
//! elsewhere could be what an attacker wants.

mod coordinate;
mod metadata;
mod repository;

pub use coordinate::Coordinate;
pub use repository::{Repositories, Repository};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{StatusCode, Url};

use super::cache::{self, Cache, Partial, ReceiveError};
use super::checksum::{Algorithm, Checksum};
use super::error::ArtifactError;
use super::http::{Answer, Get, Http};
use metadata::{Build, Metadata};

/// Largest `maven-metadata.xml` and largest file of a checksum, in bytes.
const MAX_METADATA: usize = 2 << 20;
const MAX_CHECKSUM: usize = 16 << 10;

/// Resolves coordinates. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Maven {
    repositories: Arc<Repositories>,
    cache: Cache,
    http: Http,
}

/// Why one repository does not give a file.
enum Miss {
    /// It does not have it.
    Absent,
    /// It, or the way to it, is broken.
    Failed(String),
    /// Not to be made good by another repository.
    Final(ArtifactError),
}

/// What one repository says of a snapshot.
struct Candidate<'a> {
    repository: &'a Repository,
    build: Build,
}

impl Maven {
    pub(super) fn new(repositories: Repositories, cache: Cache, http: Http) -> Maven {
        Maven { repositories: Arc::new(repositories), cache, http }
    }

    /// The file that `uri` names, whose text behind `maven:` is `coordinate`.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub(super) async fn resolve(&self, uri: &str, coordinate: &str) -> Result<PathBuf, ArtifactError> {
        let coordinate = Coordinate::parse(coordinate)
            .map_err(|reason| ArtifactError::Coordinate { uri: uri.to_owned(), reason })?;
        let lookup = Lookup { maven: self, uri, coordinate };
        if lookup.coordinate.is_snapshot() { lookup.snapshot().await } else { lookup.release().await }
    }
}

/// One artifact that is being looked for.
struct Lookup<'a> {
    maven: &'a Maven,
    uri: &'a str,
    coordinate: Coordinate,
}

impl<'a> Lookup<'a> {
    async fn release(&self) -> Result<PathBuf, ArtifactError> {
        let file = self.coordinate.file(self.coordinate.version());
        let cached = self.cached(&file);
        if let Some(found) =
            [Some(cached.clone()), self.local(&file)].into_iter().flatten().find(|p| p.is_file())
        {
            return Ok(found);
        }
        if self.maven.repositories.is_offline {
            return Err(self.offline(&file));
        }
        let fetch = async {
            let mut misses = Vec::new();
            for repository in &self.maven.repositories.remote {
                match self.fetch(repository, &file, &cached).await {
                    Ok(()) => {
                        self.warn(&misses);
                        return Ok(());
                    }
                    Err(Miss::Final(error)) => return Err(error),
                    Err(miss) => misses.push((repository.id(), miss)),
                }
            }
            Err(self.missed(&misses))
        };
        self.maven.cache.once(cached.clone(), fetch).await
    }

    /// The newest build that anybody has; repositories are asked each time, because it may have changed.
    async fn snapshot(&self) -> Result<PathBuf, ArtifactError> {
        let literal = self.coordinate.file(self.coordinate.version());
        let local = self.local(&literal).filter(|path| path.is_file());
        let mut misses = Vec::new();
        let mut candidates = self.candidates(&mut misses).await?;
        candidates.sort_by(|a, b| b.build.cmp(&a.build));
        let installed = self.installed();
        for Candidate { repository, build } in &candidates {
            if let (Some(local), Some(installed)) = (&local, &installed)
                && *installed >= build.updated
            {
                return Ok(local.clone());
            }
            let file = self.coordinate.file(&build.version);
            let cached = self.cached(&file);
            if cached.is_file() {
                self.warn(&misses);
                return Ok(cached);
            }
            if self.maven.repositories.is_offline {
                continue;
            }
            let fetch = async {
                self.fetch(repository, &file, &cached).await.map_err(|miss| match miss {
                    Miss::Final(error) => error,
                    miss => self.missed(&[(repository.id(), miss)]),
                })
            };
            match self.maven.cache.once(cached.clone(), fetch).await {
                Ok(found) => {
                    self.warn(&misses);
                    return Ok(found);
                }
                Err(ArtifactError::NotFound { .. }) => misses.push((repository.id(), Miss::Absent)),
                Err(ArtifactError::Fetch { reason, .. }) => {
                    misses.push((repository.id(), Miss::Failed(reason)));
                }
                Err(error) => return Err(error),
            }
        }
        // Maven's own copy of what it fetched, or installed without saying when.
        if let Some(local) = local {
            self.warn(&misses);
            return Ok(local);
        }
        if self.maven.repositories.is_offline {
            let cached = self.cached(&literal);
            return if cached.is_file() { Ok(cached) } else { Err(self.offline(&literal)) };
        }
        self.unversioned(&literal, misses).await
    }

    /// A snapshot whose repository has no metadata: a plain folder behind a web server. Fetched each time, as it may change.
    async fn unversioned(
        &self,
        file: &str,
        mut misses: Vec<(&'a str, Miss)>,
    ) -> Result<PathBuf, ArtifactError> {
        let cached = self.cached(file);
        for repository in &self.maven.repositories.remote {
            match self.fetch(repository, file, &cached).await {
                Ok(()) => return Ok(cached),
                Err(Miss::Final(error)) => return Err(error),
                Err(Miss::Absent) => {}
                Err(miss) => misses.push((repository.id(), miss)),
            }
        }
        if cached.is_file() {
            self.warn(&misses);
            return Ok(cached);
        }
        Err(self.missed(&misses))
    }

    /// What each repository has; what it said last where it cannot be asked.
    async fn candidates(
        &self,
        misses: &mut Vec<(&'a str, Miss)>,
    ) -> Result<Vec<Candidate<'a>>, ArtifactError> {
        let mut candidates = Vec::new();
        for repository in &self.maven.repositories.remote {
            let kept = self.cached(&format!("maven-metadata-{}.xml", repository.id()));
            let answer = match self.maven.repositories.is_offline {
                true => Err(Miss::Absent),
                false => self.metadata(repository).await,
            };
            let found = match answer {
                Ok((found, bytes)) => {
                    cache::write(&kept, &bytes)?;
                    Some(found)
                }
                Err(miss) => {
                    let is_down = self.maven.repositories.is_offline || matches!(miss, Miss::Failed(_));
                    misses.push((repository.id(), miss));
                    is_down.then(|| read(&kept)).flatten()
                }
            };
            let build = found.and_then(|found| found.newest(&self.coordinate));
            candidates.extend(build.map(|build| Candidate { repository, build }));
        }
        Ok(candidates)
    }

    async fn metadata(&self, repository: &Repository) -> Result<(Metadata, Vec<u8>), Miss> {
        let url = repository.url_of(&format!("{}/maven-metadata.xml", self.coordinate.folder()));
        let answer = self.get(repository, &url).await?;
        let bytes = answer.bytes(MAX_METADATA).await.map_err(|error| Miss::Failed(error.to_string()))?;
        let found = Metadata::parse(&bytes)
            .map_err(|reason| Miss::Failed(format!("its maven-metadata.xml cannot be read: {reason}")))?;
        Ok((found, bytes))
    }

    /// When the artifact was last installed into Maven's own folder from this machine.
    fn installed(&self) -> Option<String> {
        let path = self.local("maven-metadata-local.xml")?;
        read(&path)?.updated().map(str::to_owned)
    }

    /// Fetches `file` of the version's folder and puts it to `target`.
    async fn fetch(&self, repository: &Repository, file: &str, target: &Path) -> Result<(), Miss> {
        let url = repository.url_of(&format!("{}/{file}", self.coordinate.folder()));
        let answer = self.get(repository, &url).await?;
        let partial = cache::receive(answer, target).await.map_err(|error| match error {
            ReceiveError::Answer(reason) => Miss::Failed(reason),
            ReceiveError::Write(error) => Miss::Final(error),
        })?;
        self.verify(repository, &url, &partial).await?;
        partial.keep(target).map_err(Miss::Final)
    }

    /// Compares what was received with the checksum that the repository has for it.
    async fn verify(&self, repository: &Repository, url: &Url, partial: &Partial) -> Result<(), Miss> {
        let mut unreadable = None;
        for algorithm in Algorithm::ALL {
            let mut sidecar = url.clone();
            sidecar.set_path(&format!("{}.{}", url.path(), algorithm.name()));
            let answer = match self.get(repository, &sidecar).await {
                Ok(answer) => answer,
                Err(Miss::Absent) => continue,
                Err(miss) => return Err(miss),
            };
            let text = answer.bytes(MAX_CHECKSUM).await.map_err(|error| Miss::Failed(error.to_string()))?;
            let Some(expected) = Checksum::parse(algorithm, &String::from_utf8_lossy(&text)) else {
                unreadable.get_or_insert(algorithm);
                continue;
            };
            let path = partial.path().to_owned();
            let found = tokio::task::spawn_blocking(move || Checksum::of(algorithm, &path));
            let found = found.await.map_err(|error| std::io::Error::other(error.to_string()));
            let found = found.and_then(|found| found).map_err(|error| Miss::Failed(error.to_string()))?;
            if found == expected {
                return Ok(());
            }
            return Err(self.refused(
                repository,
                format!(
                    "the {} checksum of the received file is {}, but should be {}",
                    algorithm.name(),
                    found.hex,
                    expected.hex
                ),
            ));
        }
        if let Some(algorithm) = unreadable {
            let reason = format!("what it has as the {} checksum is no such thing", algorithm.name());
            return Err(self.refused(repository, reason));
        }
        tracing::warn!(
            artifact = %self.coordinate,
            repository = repository.id(),
            "an artifact was taken unchecked, because its repository has no checksum for it"
        );
        Ok(())
    }

    /// An answer with content.
    async fn get(&self, repository: &Repository, url: &Url) -> Result<Answer, Miss> {
        let get = Get { url, accept: None, credentials: repository.credentials() };
        let answer = self.maven.http.get(get).await.map_err(|error| Miss::Failed(error.to_string()))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Miss::Absent),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                let hint = match repository.credentials() {
                    Some(_) => "with the configured credentials",
                    None => "without credentials",
                };
                Err(Miss::Failed(format!("it answers {} {hint}", status.as_u16())))
            }
            status => Err(Miss::Failed(format!("it answers {}", status.as_u16()))),
        }
    }

    fn cached(&self, file: &str) -> PathBuf {
        self.maven.cache.path(Path::new("maven").join(self.coordinate.folder()).join(file))
    }

    fn local(&self, file: &str) -> Option<PathBuf> {
        Some(self.maven.repositories.local.as_ref()?.join(self.coordinate.folder()).join(file))
    }

    fn refused(&self, repository: &Repository, reason: String) -> Miss {
        let (uri, repository) = (self.uri.to_owned(), repository.id().to_owned());
        Miss::Final(ArtifactError::Checksum { uri, repository, reason })
    }

    fn failed(&self, reason: String) -> ArtifactError {
        ArtifactError::Fetch { uri: self.uri.to_owned(), reason }
    }

    /// None of the repositories has it, or it cannot be told because one of them failed.
    fn missed(&self, misses: &[(&str, Miss)]) -> ArtifactError {
        let failures = failures(misses);
        if failures.is_empty() {
            let ids = misses.iter().map(|(id, _)| format!("repository {id}"));
            let places: Vec<String> = self.local_place().into_iter().chain(ids).collect();
            return ArtifactError::NotFound { uri: self.uri.to_owned(), places: places.join(", ") };
        }
        let absent: Vec<&str> =
            misses.iter().filter(|(_, miss)| matches!(miss, Miss::Absent)).map(|(id, _)| *id).collect();
        let others = match absent.is_empty() {
            true => String::new(),
            false => format!("; repository {} does not have it", absent.join(", ")),
        };
        self.failed(format!("{}{others}", failures.join("; ")))
    }

    fn offline(&self, file: &str) -> ArtifactError {
        let local = self.local(file).map(|path| path.display().to_string());
        let places: Vec<String> =
            local.into_iter().chain([self.cached(file).display().to_string()]).collect();
        ArtifactError::Offline { uri: self.uri.to_owned(), places: places.join(" and ") }
    }

    fn local_place(&self) -> Option<String> {
        self.maven.repositories.local.as_ref().map(|path| path.display().to_string())
    }

    /// Tells of repositories that failed although the artifact was found elsewhere.
    fn warn(&self, misses: &[(&str, Miss)]) {
        for failure in failures(misses) {
            tracing::warn!(artifact = %self.coordinate, failure, "a Maven repository could not be asked");
        }
    }
}

fn failures(misses: &[(&str, Miss)]) -> Vec<String> {
    let failure = |(id, miss): &(&str, Miss)| match miss {
        Miss::Failed(reason) => Some(format!("repository {id}: {reason}")),
        Miss::Absent | Miss::Final(_) => None,
    };
    misses.iter().filter_map(failure).collect()
}

/// Metadata on this disk; none where it cannot be read.
fn read(path: &Path) -> Option<Metadata> {
    Metadata::parse(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests;
