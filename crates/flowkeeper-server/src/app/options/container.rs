//! The labels of a container image, asked from its registry over the HTTP API of the OCI distribution specification.
//!
//! Only two documents are fetched, the manifest and the configuration it names, whose checksum is compared. No layer is, and no
//! image is ever run from here.

mod challenge;
mod reference;
mod registry;

pub use registry::{Registries, Registry};

use std::collections::BTreeMap;

use flowkeeper_deploy::artifact::Credentials;
use flowkeeper_deploy::artifact::http::{Answer, Get, Http, HttpError, is_internal};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use challenge::Challenge;
use reference::Reference;

/// The label with the options that are for users.
pub(super) const METADATA_LABEL: &str =
    "org.springframework.cloud.dataflow.spring-configuration-metadata.json";
/// Kinds of manifests that are understood, of one image and of one per platform.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json";
const CONFIGS: &str =
    "application/vnd.docker.container.image.v1+json, application/vnd.oci.image.config.v1+json, */*";
/// Largest manifest, configuration, and token with what stands around it, in bytes.
const MAX_MANIFEST: usize = 4 << 20;
const MAX_CONFIG: usize = 8 << 20;
const MAX_TOKEN: usize = 1 << 20;
/// The platform whose labels are read where an image has several.
const PLATFORM: (&str, &str) = ("linux", "amd64");

/// Why the labels of an image cannot be had; the texts repeat no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("'{0}' is not the name of an image: {1}; write docker:[host[:port]/]repository[:tag]")]
    Reference(String, String),
    #[error("the registry {registry} {reason}")]
    Registry { registry: String, reason: String },
}

/// The labels of `image`, which is named without `docker:`.
///
/// # Errors
/// When it has no such name, the registry cannot be asked, or what it says cannot be used.
pub(super) async fn labels(
    http: &Http,
    registries: &Registries,
    image: &str,
) -> Result<BTreeMap<String, String>, ImageError> {
    let reference = Reference::parse(image, registries.default_host())
        .map_err(|reason| ImageError::Reference(image.to_owned(), reason))?;
    let registry = registries.of(&reference.host);
    let failed = |reason: String| ImageError::Registry { registry: reference.host.clone(), reason };
    let base = registry.base().map_err(failed)?;
    let mut session =
        Session { http, registry: &registry, base, reference: &reference, shown: None, has_asked: false };
    session.labels().await.map_err(failed)
}

/// A conversation with one registry about one repository.
struct Session<'a> {
    http: &'a Http,
    registry: &'a Registry,
    base: Url,
    reference: &'a Reference,
    /// What is shown with each request.
    shown: Option<Credentials>,
    /// Whether the registry was answered to its question who we are.
    has_asked: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: Option<u64>,
    config: Option<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
struct Configuration {
    config: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Session<'_> {
    async fn labels(&mut self) -> Result<BTreeMap<String, String>, String> {
        if self.registry.is_basic() {
            self.shown = self.registry.credentials().cloned();
        } else if let Some(url) = self.registry.token_url(self.reference) {
            self.shown = Some(self.token(&url?, true).await?);
        }
        let accept = match self.registry.manifest_media_type() {
            Some(first) => format!("{first}, {MANIFESTS}"),
            None => MANIFESTS.to_owned(),
        };
        let mut manifest = self.manifest(&self.reference.version.clone(), &accept).await?;
        if !manifest.manifests.is_empty() {
            let digest = of_platform(&manifest.manifests)?.to_owned();
            manifest = self.manifest(&digest, &accept).await?;
        }
        let config = manifest.config.ok_or_else(|| match manifest.schema_version {
            Some(1) => "has the image in an old format that has no labels (schema version 1); push it again"
                .to_owned(),
            _ => "has a manifest without configuration, as for something that is no image".to_owned(),
        })?;
        let bytes = self.fetch(&format!("blobs/{}", checked(&config.digest)?), CONFIGS, MAX_CONFIG).await?;
        verify(&config.digest, &bytes)?;
        let config: Configuration = read("configuration", &bytes)?;
        Ok(config.config.and_then(|config| config.labels).unwrap_or_default())
    }

    async fn manifest(&mut self, version: &str, accept: &str) -> Result<Manifest, String> {
        let bytes = self.fetch(&format!("manifests/{version}"), accept, MAX_MANIFEST).await?;
        if version.contains(':') {
            verify(version, &bytes)?;
        }
        read("manifest", &bytes)
    }

    /// The body at `place` in the repository.
    async fn fetch(&mut self, place: &str, accept: &str, limit: usize) -> Result<Vec<u8>, String> {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{place}", self.reference.repository));
        let mut answer = self.get(&url, accept).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && !self.has_asked {
            self.has_asked = true;
            let challenges = answer.headers("www-authenticate").flat_map(Challenge::parse).collect();
            self.shown = Some(self.introduce(challenges).await?);
            answer = self.get(&url, accept).await?;
        }
        match answer.status() {
            StatusCode::OK => answer.bytes(limit).await.map_err(|error| failed(&error)),
            StatusCode::NOT_FOUND => Err(format!("does not have {}", self.reference)),
            status => {
                let who = if self.shown.is_some() { "with" } else { "without" };
                Err(format!(
                    "answers {} to a request {who} credentials for {}",
                    status.as_u16(),
                    self.reference
                ))
            }
        }
    }

    async fn get(&self, url: &Url, accept: &str) -> Result<Answer, String> {
        let get = Get { url, accept: Some(accept), credentials: self.shown.as_ref() };
        self.http.get(get).await.map_err(|error| failed(&error))
    }

    /// What to show after the registry asked who we are.
    async fn introduce(&self, challenges: Vec<Challenge>) -> Result<Credentials, String> {
        if self.registry.is_anonymous() {
            return Err("wants credentials, and its authorization-type is anonymous".to_owned());
        }
        if let Some(bearer) = challenges.iter().find(|challenge| challenge.is("bearer")) {
            let realm = bearer.get("realm").ok_or("asks for a token and does not say where to get one")?;
            let mut realm: Url =
                realm.parse().map_err(|_| "asks for a token from something that is no address")?;
            self.check_realm(&realm)?;
            let scope = format!("repository:{}:pull", self.reference.repository);
            if let Some(service) = bearer.get("service") {
                realm.query_pairs_mut().append_pair("service", service);
            }
            realm.query_pairs_mut().append_pair("scope", bearer.get("scope").unwrap_or(&scope));
            let is_trusted = is_of(&realm, &self.base);
            return self.token(&realm, is_trusted).await;
        }
        if challenges.iter().any(|challenge| challenge.is("basic")) {
            let credentials = self.registry.credentials().cloned();
            return credentials.ok_or_else(|| {
                "wants user and password; give them with the setting container-registry".to_owned()
            });
        }
        Err("wants credentials of a kind that is not understood".to_owned())
    }

    /// An address that the registry names must be no way into this machine, and protected unless the registry is not.
    fn check_realm(&self, realm: &Url) -> Result<(), String> {
        let is_plain_registry = self.base.scheme() == "http";
        match realm.scheme() {
            "https" => {}
            "http" if is_plain_registry => {}
            _ => return Err("asks for a token from an address that is not https".to_owned()),
        }
        if is_internal(realm) && !is_internal(&self.base) {
            return Err("asks for a token from an address of this machine or its link".to_owned());
        }
        Ok(())
    }

    /// A token from `url`; user and password are shown there only if it is trusted with them.
    async fn token(&self, url: &Url, is_trusted: bool) -> Result<Credentials, String> {
        let credentials = self.registry.credentials().filter(|_| is_trusted);
        let get = Get { url, accept: None, credentials };
        let host = url.host_str().unwrap_or_default();
        let answer = self.http.get(get).await;
        let answer =
            answer.map_err(|error| format!("names {host} for tokens, which does not answer: {error}"))?;
        if answer.status() != StatusCode::OK {
            let hint = match self.registry.credentials() {
                Some(_) if is_trusted => "to these credentials",
                Some(_) => {
                    "to a request without credentials; it is not of the registry's domain, so name it with auth-uri if it may have them"
                }
                None => "to a request without credentials",
            };
            return Err(format!(
                "names {host} for tokens, which answers {} {hint}",
                answer.status().as_u16()
            ));
        }
        let bytes = answer.bytes(MAX_TOKEN).await.map_err(|error| failed(&error))?;
        let token: Token = read("token", &bytes)?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        Ok(Credentials::Bearer(token.ok_or_else(|| format!("names {host} for tokens, which gave none"))?))
    }
}

/// Whether the server of `realm` may see what is meant for the registry: it is the same, or a protected one of the same domain.
fn is_of(realm: &Url, registry: &Url) -> bool {
    if realm.origin() == registry.origin() {
        return true;
    }
    let domain = |url: &Url| {
        let host = url.domain()?.to_owned();
        let mut labels = host.rsplit('.');
        let (top, name) = (labels.next()?.to_owned(), labels.next()?.to_owned());
        Some((top, name))
    };
    realm.scheme() == "https" && domain(realm).is_some() && domain(realm) == domain(registry)
}

/// The manifest for our platform; where there is none, the first that is an image at all.
fn of_platform(manifests: &[Descriptor]) -> Result<&str, String> {
    let is_ours = |found: &&Descriptor| {
        found.platform.as_ref().is_some_and(|p| (p.os.as_str(), p.architecture.as_str()) == PLATFORM)
    };
    // Attestations are listed as images of an unknown system.
    let is_image =
        |found: &&Descriptor| found.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
    let found = manifests.iter().find(is_ours).or_else(|| manifests.iter().find(is_image));
    checked(&found.ok_or("lists no image for any platform")?.digest)
}

/// A digest that may be part of an address.
fn checked(digest: &str) -> Result<&str, String> {
    let is_fine = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm == "sha256" && hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if is_fine { Ok(digest) } else { Err("names something by a checksum that is not sha256".to_owned()) }
}

fn verify(digest: &str, bytes: &[u8]) -> Result<(), String> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if checked(digest)?.eq_ignore_ascii_case(&format!("sha256:{found}")) {
        Ok(())
    } else {
        Err(format!("gave something else for {digest}"))
    }
}

fn read<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("gave a {what} that cannot be read: {error}"))
}

fn failed(error: &HttpError) -> String {
    format!("does not answer: {error}")
}

#[cfg(test)]
mod tests;
