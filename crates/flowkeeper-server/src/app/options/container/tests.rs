//! A registry that this test serves itself: manifests, indexes, tokens, redirects, and lies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::*;

/// What was asked for, and what was shown with it.
type Asked = (String, Option<String>);

/// What a registry has, and how it asks who one is.
#[derive(Clone, Default)]
struct Served {
    /// Body by path.
    files: Arc<Mutex<HashMap<String, String>>>,
    /// `Authorization` that is let in, and the challenge for others.
    lets_in: Option<String>,
    challenge: String,
    /// Who may have a token; anybody when empty.
    token_for: String,
    /// Where blobs are sent to instead.
    redirect: Option<String>,
    log: Arc<Mutex<Vec<Asked>>>,
}

struct Running {
    addr: std::net::SocketAddr,
    served: Served,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(served): State<Served>, headers: HeaderMap, uri: Uri) -> Response {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let path = uri.path().to_owned();
    served.log.lock().unwrap().push((uri.to_string(), shown.clone()));
    if path == "/token" {
        let is_let_in = served.token_for.is_empty() || shown.as_deref() == Some(&served.token_for);
        return match is_let_in {
            true => r#"{"access_token": "t0ken"}"#.into_response(),
            false => StatusCode::FORBIDDEN.into_response(),
        };
    }
    if served.lets_in.is_some() && shown != served.lets_in {
        let challenge = served.challenge.replace("HOST", headers[header::HOST].to_str().unwrap());
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    if let Some(to) = served.redirect.as_ref().filter(|_| path.contains("/blobs/")) {
        let to = format!("{to}{path}");
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response();
    }
    match served.files.lock().unwrap().get(&path) {
        Some(body) => body.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the server of a test, ended by it")]
async fn serve(served: Served) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(served.clone());
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { addr, served, task }
}

fn digest(text: &str) -> String {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

const CONFIG: &str = r#"{"architecture": "amd64", "config": {"Env": ["A=b"], "Labels": {"one": "1"}}}"#;

fn manifest(config: &str) -> String {
    format!(
        r#"{{"schemaVersion": 2, "config": {{"digest": "{}", "size": 1}}, "layers": []}}"#,
        digest(config)
    )
}

/// A registry with the image `example/time:1`.
fn with_image() -> Served {
    let served = Served::default();
    served.put("/v2/example/time/manifests/1", &manifest(CONFIG));
    served.put(&format!("/v2/example/time/blobs/{}", digest(CONFIG)), CONFIG);
    served
}

impl Served {
    fn put(&self, path: &str, body: &str) {
        self.files.lock().unwrap().insert(path.to_owned(), body.to_owned());
    }

    fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

impl Running {
    async fn labels(&self, registry: &str) -> Result<BTreeMap<String, String>, ImageError> {
        self.labels_of("example/time:1", registry).await
    }

    /// Labels of `image` here; `registry` describes it, with `HOST` for its address.
    async fn labels_of(&self, image: &str, registry: &str) -> Result<BTreeMap<String, String>, ImageError> {
        let host = self.addr.to_string();
        let named = if registry.is_empty() {
            Vec::new()
        } else {
            vec![Registry::parse(&registry.replace("HOST", &host)).unwrap()]
        };
        labels(&Http::new().unwrap(), &Registries::new(named), &format!("{host}/{image}")).await
    }

    async fn refused(&self, registry: &str) -> String {
        self.labels(registry).await.unwrap_err().to_string()
    }
}

fn one() -> BTreeMap<String, String> {
    [("one".to_owned(), "1".to_owned())].into()
}

#[tokio::test]
async fn labels_are_read_as_nobody() {
    let registry = serve(with_image()).await;
    assert_eq!(registry.labels("").await, Ok(one()));
    assert_eq!(registry.labels("http://HOST").await, Ok(one()));
    let refused = registry.labels_of("example/none:1", "").await.unwrap_err().to_string();
    assert_eq!(refused, format!("the registry {} does not have example/none:1", registry.addr));
    let refused = registry.labels_of("Example/none", "").await.unwrap_err().to_string();
    assert!(refused.contains("is not the name of an image"), "{refused}");
    // The registry of images without a host.
    let registries =
        Registries::new(vec![Registry::parse(&format!("{}?default=true", registry.addr)).unwrap()]);
    assert_eq!(labels(&Http::new().unwrap(), &registries, "example/time:1").await, Ok(one()));
}

#[tokio::test]
async fn of_many_platforms_one_is_picked() {
    let served = with_image();
    let other = CONFIG.replace("\"1\"", "\"other\"");
    for (name, config) in [("amd64", CONFIG), ("arm64", other.as_str())] {
        let manifest = format!("{}{}", manifest(config), if name == "amd64" { " " } else { "" });
        served.put(&format!("/v2/example/time/manifests/{}", digest(&manifest)), &manifest);
        served.put(&format!("/v2/example/time/blobs/{}", digest(config)), config);
    }
    let entry = |os: &str, architecture: &str, manifest: &str| {
        format!(
            r#"{{"digest": "{}", "platform": {{"os": "{os}", "architecture": "{architecture}"}}}}"#,
            digest(manifest)
        )
    };
    let (amd, arm) = (format!("{} ", manifest(CONFIG)), manifest(&other));
    let index =
        |entries: &[String]| format!(r#"{{"schemaVersion": 2, "manifests": [{}]}}"#, entries.join(","));
    let unknown = entry("unknown", "unknown", "attestation");
    served.put(
        "/v2/example/time/manifests/1",
        &index(&[unknown.clone(), entry("linux", "arm64", &arm), entry("linux", "amd64", &amd)]),
    );
    served.put("/v2/example/time/manifests/2", &index(&[unknown.clone(), entry("linux", "arm64", &arm)]));
    served.put("/v2/example/time/manifests/3", &index(&[unknown]));
    let registry = serve(served).await;
    assert_eq!(registry.labels("").await, Ok(one()));
    assert_eq!(registry.labels_of("example/time:2", "").await.unwrap()["one"], "other");
    let refused = registry.labels_of("example/time:3", "").await.unwrap_err().to_string();
    assert!(refused.contains("lists no image for any platform"), "{refused}");
    // By its checksum.
    let by_digest = format!("example/time@{}", digest(&amd));
    assert_eq!(registry.labels_of(&by_digest, "").await, Ok(one()));
}

// me:s&cret
const ME: &str = "Basic bWU6cyZjcmV0";

#[tokio::test]
async fn a_registry_is_told_user_and_password() {
    let served =
        Served { lets_in: Some(ME.to_owned()), challenge: "Basic realm=\"here\"".to_owned(), ..with_image() };
    let registry = serve(served).await;
    assert_eq!(registry.labels("me:s%26cret@HOST").await, Ok(one()));
    assert_eq!(registry.served.log()[0].1, None, "it is asked first");
    assert_eq!(registry.labels("me:s%26cret@HOST?authorization-type=basicauth").await, Ok(one()));
    assert_eq!(registry.served.log().len(), 3 + 2);
    for (described, reason) in [
        ("", "wants user and password; give them with the setting container-registry"),
        ("me:wrong-secret@HOST", "answers 401 to a request with credentials for example/time:1"),
        ("me:s%26cret@HOST?authorization-type=anonymous", "its authorization-type is anonymous"),
    ] {
        let refused = registry.refused(described).await;
        assert!(refused.contains(reason) && !refused.contains("secret"), "{described}: {refused}");
    }
}

#[tokio::test]
async fn a_token_is_fetched_where_the_registry_says() {
    let served = Served {
        lets_in: Some("Bearer t0ken".to_owned()),
        challenge: r#"Bearer realm="http://HOST/token",service="r&s""#.to_owned(),
        ..with_image()
    };
    let registry = serve(served.clone()).await;
    assert_eq!(registry.labels("").await, Ok(one()), "anybody gets a token");
    let asked = served.log();
    assert_eq!(asked[1], ("/token?service=r%26s&scope=repository%3Aexample%2Ftime%3Apull".to_owned(), None));
    assert_eq!(asked.len(), 4, "one token serves for all requests");
    assert_eq!(registry.labels("me:s%26cret@HOST").await, Ok(one()));
    assert_eq!(served.log()[5].1.as_deref(), Some(ME));
    let closed = serve(Served { token_for: ME.to_owned(), ..served }).await;
    assert_eq!(closed.labels("me:s%26cret@HOST?authorization-type=dockeroauth2").await, Ok(one()));
    let refused = closed.refused("").await;
    assert!(refused.contains("which answers 403 to a request without credentials"), "{refused}");
    let refused = closed.refused("me:other-secret@HOST").await;
    assert!(
        refused.contains("which answers 403 to these credentials") && !refused.contains("other-secret"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_token_server_elsewhere_gets_credentials_only_when_it_is_named() {
    let tokens = serve(Served { token_for: ME.to_owned(), ..Served::default() }).await;
    let served = Served {
        lets_in: Some("Bearer t0ken".to_owned()),
        challenge: format!(r#"Bearer realm="http://localhost:{}/token""#, tokens.addr.port()),
        ..with_image()
    };
    let registry = serve(served).await;
    let refused = registry.refused("me:s%26cret@HOST").await;
    assert!(refused.contains("name it with auth-uri"), "{refused}");
    assert_eq!(tokens.served.log()[0].1, None, "nothing was shown to it");
    let named = format!(
        "me:s%26cret@HOST?auth-uri=http%3A%2F%2F{}%2Ftoken%3Fscope%3Drepository%3A%7Brepository%7D%3Apull",
        tokens.addr
    );
    assert_eq!(registry.labels(&named).await, Ok(one()));
    let expected = ("/token?scope=repository:example/time:pull".to_owned(), Some(ME.to_owned()));
    assert_eq!(tokens.served.log()[1], expected);
}

#[tokio::test]
async fn blobs_may_lie_elsewhere_and_credentials_do_not_go_there() {
    let store = serve(with_image()).await;
    let served = Served {
        lets_in: Some(ME.to_owned()),
        redirect: Some(format!("http://localhost:{}", store.addr.port())),
        ..with_image()
    };
    let registry = serve(served).await;
    assert_eq!(registry.labels("me:s%26cret@HOST?authorization-type=basicauth").await, Ok(one()));
    assert_eq!(store.served.log().len(), 1);
    assert_eq!(store.served.log()[0].1, None);
}

#[tokio::test]
async fn what_a_registry_should_not_say_is_refused() {
    let served = with_image();
    let registry = serve(served.clone()).await;
    let manifests = "/v2/example/time/manifests/1";
    let wrong = CONFIG.replace("\"1\"", "\"forged\"");
    served.put(&format!("/v2/example/time/blobs/{}", digest(CONFIG)), &wrong);
    assert!(registry.refused("").await.contains("gave something else for sha256:"));
    for (body, reason) in [
        ("<html>", "gave a manifest that cannot be read"),
        (r#"{"schemaVersion": 1, "fsLayers": []}"#, "push it again"),
        (r#"{"schemaVersion": 2}"#, "a manifest without configuration"),
        (r#"{"config": {"digest": "sha256:../../../secret"}}"#, "a checksum that is not sha256"),
        (r#"{"manifests": [{"digest": "../../secret"}]}"#, "a checksum that is not sha256"),
        (&format!(r#"{{"x": {}}}"#, "[".repeat(10_000)), "cannot be read"),
        (&" ".repeat(MAX_MANIFEST + 1), "is larger than 4194304 bytes"),
    ] {
        served.put(manifests, body);
        let refused = registry.refused("").await;
        assert!(refused.contains(reason), "{refused}");
    }
    served.put(manifests, &manifest("{\"config\": null}"));
    served.put(&format!("/v2/example/time/blobs/{}", digest("{\"config\": null}")), "{\"config\": null}");
    assert_eq!(registry.labels("").await, Ok(BTreeMap::new()), "an image may have no labels");
}

#[tokio::test]
async fn strange_questions_are_not_answered() {
    for (challenge, reason) in [
        ("Negotiate", "of a kind that is not understood"),
        ("Bearer service=\"x\"", "does not say where to get one"),
        ("Bearer realm=\"no address\"", "something that is no address"),
        ("Bearer realm=\"file:///etc/passwd\"", "that is not https"),
        ("", "of a kind that is not understood"),
    ] {
        let served =
            Served { lets_in: Some("nobody".to_owned()), challenge: challenge.to_owned(), ..with_image() };
        let refused = serve(served).await.refused("me:s%26cret@HOST").await;
        assert!(refused.contains(reason), "{challenge}: {refused}");
    }
}

#[test]
fn credentials_go_to_the_domain_of_the_registry() {
    let of = |realm: &str, registry: &str| is_of(&realm.parse().unwrap(), &registry.parse().unwrap());
    assert!(of("https://auth.docker.io/token", "https://registry-1.docker.io/"));
    assert!(of("https://h.example/token", "https://h.example/"));
    assert!(of("http://127.0.0.1:5/token", "http://127.0.0.1:5/"));
    for (realm, registry) in [
        ("https://docker.io.evil.example/", "https://registry-1.docker.io/"),
        ("http://auth.docker.io/token", "https://registry-1.docker.io/"),
        ("https://10.0.0.1/", "https://10.0.0.2/"),
        ("https://localhost/", "https://other/"),
        ("http://127.0.0.1:6/token", "http://127.0.0.1:5/"),
    ] {
        assert!(!of(realm, registry), "{realm}");
    }
}
