//! Programs from this machine and over http.

use std::time::Duration;

use super::server::{Reply, Server};
use super::*;

fn artifacts(folder: &Path) -> Artifacts {
    Artifacts::new(folder, Repositories { remote: Vec::new(), ..Repositories::default() }).expect("a client")
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
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
    let refused = artifacts.resolve(&format!("file://{}", folder.path().display())).await;
    assert!(matches!(refused, Err(ArtifactError::Missing(_))), "a folder is no program");
}

#[tokio::test]
async fn says_why_it_cannot_run() {
    let folder = tempfile::tempdir().expect("folder");
    let artifacts = artifacts(folder.path());
    let cases = [
        (
            "file:///no/such",
            "/no/such does not exist on this node; copy it there or register the app from a maven:, http: or https: address",
        ),
        (
            "docker:example/time:1",
            "docker:example/time:1: containers are not run by this version; register the app from a maven:, file:, http: or https: address",
        ),
        (
            "s3://b/a.jar",
            "s3://b/a.jar: 's3:' artifacts cannot be run by this version; register the app from a maven:, file:, http: or https: address",
        ),
        (
            "nothing",
            "nothing names no scheme: expected builtin:, file:, http:, https: or maven:; register the app again with a full URI",
        ),
        (
            "maven://g:..:1",
            "maven://g:..:1 is not a maven coordinate: its artifact '..' has a dot at its start or end, or two in a row; write maven://<group>:<artifact>[:<extension>[:<classifier>]]:<version>",
        ),
    ];
    for (uri, sentence) in cases {
        assert_eq!(artifacts.resolve(uri).await.expect_err("refused").to_string(), sentence);
    }
    let refused =
        artifacts.resolve("http://u:secret@127.0.0.1:1/x.jar?key=secret").await.expect_err("nobody listens");
    let refused = refused.to_string();
    assert!(refused.starts_with("http://127.0.0.1:1/x.jar?… could not be fetched: "), "{refused}");
    let refused =
        artifacts.resolve("https://127.0.0.1:1/x.jar").await.expect_err("nobody listens").to_string();
    assert!(refused.contains("Connection refused"), "https is spoken: {refused}");
}

#[tokio::test]
async fn a_program_is_fetched_once_by_all_who_want_it() {
    let server = Server::start(|_| Reply::Slow(Duration::from_millis(50), b"program".to_vec()));
    let folder = tempfile::tempdir().expect("folder");
    let artifacts = artifacts(folder.path());
    let uri = server.url("/x/app-1.jar");
    let both = tokio::join!(artifacts.resolve(&uri), artifacts.resolve(&uri), artifacts.resolve(&uri));
    let Program::Jar(path) = both.0.expect("fetched") else { panic!("a jar") };
    assert_eq!(std::fs::read(&path).expect("read"), b"program");
    assert_eq!((both.1, both.2), (Ok(Program::Jar(path.clone())), Ok(Program::Jar(path.clone()))));
    assert_eq!(server.paths(), ["/x/app-1.jar"]);
    assert!(artifacts.resolve(&uri).await.is_ok());
    assert_eq!(server.asked().len(), 1, "it is in the cache");
    assert_eq!(names(folder.path()).len(), 1);
}

#[tokio::test]
async fn who_waited_for_a_failure_shares_it_and_who_comes_later_tries_again() {
    let server = Server::start(|_| Reply::Slow(Duration::from_millis(50), b"x".repeat(3)));
    let broken = Server::start(|_| Reply::Broken(100, b"half".to_vec()));
    let folder = tempfile::tempdir().expect("folder");
    let artifacts = artifacts(folder.path());
    let uri = broken.url("/app-1.jar");
    let both = tokio::join!(artifacts.resolve(&uri), artifacts.resolve(&uri));
    assert!(matches!(both, (Err(ArtifactError::Fetch { .. }), Err(ArtifactError::Fetch { .. }))), "{both:?}");
    assert_eq!(broken.asked().len(), 1);
    assert!(artifacts.resolve(&uri).await.is_err());
    assert_eq!(broken.asked().len(), 2);
    assert!(names(folder.path()).is_empty(), "nothing half fetched stays");
    assert!(artifacts.resolve(&server.url("/app-1.jar")).await.is_ok());
}

#[tokio::test]
async fn a_cancelled_fetch_leaves_nothing_and_the_next_one_fetches() {
    let server = Server::start(|_| Reply::Slow(Duration::from_millis(200), b"x".to_vec()));
    let folder = tempfile::tempdir().expect("folder");
    let artifacts = artifacts(folder.path());
    let uri = server.url("/app-1.jar");
    let cancelled = tokio::time::timeout(Duration::from_millis(20), artifacts.resolve(&uri)).await;
    assert!(cancelled.is_err());
    assert!(artifacts.resolve(&uri).await.is_ok());
    assert_eq!(names(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_server_that_misbehaves_is_given_up_with_the_reason() {
    let server = Server::start(|path| match path {
        "/gone.jar" => Reply::Status(404),
        "/empty.jar" => Reply::Status(204),
        "/large.jar" => Reply::Broken(2 << 30, Vec::new()),
        "/loop.jar" => Reply::Redirect("/loop.jar".to_owned()),
        "/astray.jar" => Reply::Redirect("file:///etc/passwd".to_owned()),
        _ => Reply::Silence(Duration::from_secs(60)),
    });
    let folder = tempfile::tempdir().expect("folder");
    let http = Http::with_read_timeout(Duration::from_millis(300)).expect("a client");
    let artifacts = Artifacts::with_http(folder.path().to_owned(), Repositories::default(), http);
    for (path, reason) in [
        ("/gone.jar", "the server answers 404 Not Found"),
        ("/empty.jar", "the server answers 204 No Content"),
        ("/large.jar", "it is larger than 1073741824 bytes"),
        ("/loop.jar", "it was redirected more than 10 times"),
        ("/astray.jar", "leads to another protocol"),
        ("/silent.jar", "did not answer for 0 s"),
    ] {
        let error = artifacts.resolve(&server.url(path)).await.expect_err(path);
        assert!(error.to_string().contains(reason), "{path}: {error}");
    }
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn credentials_stay_with_the_host_they_are_for() {
    let other = Server::start(|_| Reply::Body(b"other".to_vec()));
    let (same, away) = (other.url("/away.jar"), other.alias("/away.jar"));
    let server = Server::start(move |path| match path {
        "/same.jar" => Reply::Redirect("/target.jar".to_owned()),
        "/port.jar" => Reply::Redirect(same.clone()),
        "/host.jar" => Reply::Redirect(away.replace("http://", "http://x:y@")),
        _ => Reply::Body(b"target".to_vec()),
    });
    let folder = tempfile::tempdir().expect("folder");
    let artifacts = artifacts(folder.path());
    for path in ["/same.jar", "/port.jar", "/host.jar"] {
        let uri = server.url(path).replace("http://", "http://me:secret@");
        artifacts.resolve(&uri).await.expect(path);
    }
    let seen = |server: &Server| {
        let asked = server.asked().into_iter();
        asked.map(|asked| (asked.path, asked.authorization.is_some())).collect::<Vec<_>>()
    };
    let expected = ["/same.jar", "/target.jar", "/port.jar", "/host.jar"].map(|path| (path.to_owned(), true));
    assert_eq!(seen(&server), expected);
    assert_eq!(seen(&other), ["/away.jar", "/away.jar"].map(|path| (path.to_owned(), false)));
}
