//! Repositories that serve, fail, lie and change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::artifact::server::{Reply, Server};
use crate::artifact::{Artifacts, Program};

const URI: &str = "maven://org.example:app:1.0";
const JAR: &str = "/org/example/app/1.0/app-1.0.jar";
const SHA1_OF_ABC: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

/// Files of a repository by path, which a test may change while it serves.
type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

fn serve(files: &[(&str, &str)]) -> (Server, Files) {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    let files: Files = Arc::new(Mutex::new(files.collect()));
    let served = Arc::clone(&files);
    let server = Server::start(move |path| {
        served.lock().expect("files").get(path).map_or(Reply::Status(404), |body| Reply::Body(body.clone()))
    });
    (server, files)
}

struct Place {
    folder: tempfile::TempDir,
    artifacts: Artifacts,
}

impl Place {
    fn new(remote: &[String]) -> Place {
        let folder = tempfile::tempdir().expect("folder");
        let artifacts = artifacts(folder.path(), remote, false);
        Place { folder, artifacts }
    }

    /// The same cache and local repository, offline.
    fn offline(&self, remote: &[String]) -> Artifacts {
        artifacts(self.folder.path(), remote, true)
    }

    fn local(&self, path: &str, text: &str) {
        let path = self.folder.path().join("m2").join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, text).expect("written");
    }

    async fn text(&self, uri: &str) -> Result<String, ArtifactError> {
        text(&self.artifacts, uri).await
    }

    async fn refused(&self, uri: &str) -> String {
        self.text(uri).await.expect_err("refused").to_string()
    }
}

fn artifacts(folder: &Path, remote: &[String], is_offline: bool) -> Artifacts {
    let remote = remote.iter().map(|text| Repository::parse(text).expect("a repository")).collect();
    let repositories = Repositories { local: Some(folder.join("m2")), remote, is_offline };
    Artifacts::new(folder.join("cache"), repositories).expect("a client")
}

async fn text(artifacts: &Artifacts, uri: &str) -> Result<String, ArtifactError> {
    match artifacts.resolve(uri).await? {
        Program::Jar(path) | Program::Executable(path) => Ok(std::fs::read_to_string(path).expect("read")),
        Program::Bundled { .. } => panic!("not bundled"),
    }
}

#[tokio::test]
async fn an_artifact_is_fetched_checked_and_kept() {
    let (server, _) = serve(&[(JAR, "abc"), (&format!("{JAR}.sha1"), SHA1_OF_ABC)]);
    let remote = [format!("corp={}", server.url(""))];
    let place = Place::new(&remote);
    assert_eq!(place.text(URI).await.as_deref(), Ok("abc"));
    let asked = ["", ".sha512", ".sha256", ".sha1"].map(|ending| format!("{JAR}{ending}"));
    assert_eq!(server.paths(), asked);
    assert_eq!(place.text("MAVEN:org.example:app:jar:1.0").await.as_deref(), Ok("abc"));
    assert_eq!(text(&place.offline(&remote), URI).await.as_deref(), Ok("abc"));
    assert_eq!(server.asked().len(), 4, "it is in the cache");
}

#[tokio::test]
async fn many_who_want_an_artifact_fetch_it_once() {
    let server = Server::start(|path| match path {
        JAR => Reply::Slow(Duration::from_millis(50), b"abc".to_vec()),
        _ => Reply::Status(404),
    });
    let place = Place::new(&[server.url("")]);
    let all = tokio::join!(place.text(URI), place.text(URI), place.text(URI));
    assert_eq!(all, (Ok("abc".into()), Ok("abc".into()), Ok("abc".into())));
    assert_eq!(server.paths().iter().filter(|path| *path == JAR).count(), 1);
}

#[tokio::test]
async fn the_first_repository_that_has_it_wins_and_a_broken_one_hides_nothing() {
    let (empty, _) = serve(&[]);
    let (full, _) = serve(&[(JAR, "abc")]);
    let broken = Server::start(|_| Reply::Status(500));
    let place = Place::new(&[
        "dead=http://127.0.0.1:1/".to_owned(),
        format!("broken={}", broken.url("")),
        format!("empty={}", empty.url("")),
        format!("full={}", full.url("/")),
    ]);
    assert_eq!(place.text(URI).await.as_deref(), Ok("abc"));
    let refused = place.refused("maven://org.example:app:2.0").await;
    assert!(refused.contains("repository dead: "), "{refused}");
    assert!(refused.contains("Connection refused"), "{refused}");
    assert!(refused.contains("repository broken: it answers 500"), "{refused}");
    assert!(refused.contains("repository empty, full does not have it"), "{refused}");
    let place = Place::new(&[format!("empty={}", empty.url(""))]);
    assert_eq!(
        place.refused(URI).await,
        format!(
            "maven://org.example:app:1.0 is in none of the places looked at ({}, repository empty); check the coordinate, or name \
             the repository that has it with the setting maven-repository",
            place.folder.path().join("m2").display()
        )
    );
}

#[tokio::test]
async fn what_is_not_as_promised_is_not_used() {
    let wrong = "0".repeat(40);
    let (server, files) = serve(&[(JAR, "abc"), (&format!("{JAR}.sha1"), &wrong)]);
    let (other, _) = serve(&[(JAR, "other")]);
    let place = Place::new(&[format!("bad={}", server.url("")), format!("other={}", other.url(""))]);
    assert_eq!(
        place.refused(URI).await,
        format!(
            "maven://org.example:app:1.0 cannot be trusted as the repository bad delivers it: the sha1 checksum of the received \
             file is {SHA1_OF_ABC}, but should be {wrong}; have the file there repaired, then deploy again"
        )
    );
    assert!(other.asked().is_empty(), "it is not taken from elsewhere in silence");
    let cached = place.folder.path().join("cache/maven/org/example/app/1.0");
    assert_eq!(std::fs::read_dir(cached).expect("folder").count(), 0);
    // The strongest one counts.
    files.lock().expect("files").insert(format!("{JAR}.sha1"), SHA1_OF_ABC.into());
    files.lock().expect("files").insert(format!("{JAR}.sha256"), "1".repeat(64).into());
    assert!(place.refused(URI).await.contains("the sha256 checksum"));
    files.lock().expect("files").insert(format!("{JAR}.sha256"), b"<html>log in</html>".to_vec());
    assert_eq!(
        place.text(URI).await.as_deref(),
        Ok("abc"),
        "what is no checksum is passed over if there is one"
    );
}

#[tokio::test]
async fn a_page_instead_of_a_checksum_is_no_checksum() {
    let server = Server::start(|_| Reply::Body(b"<html>log in</html>".to_vec()));
    let place = Place::new(&[server.url("")]);
    assert!(place.refused(URI).await.contains("what it has as the sha512 checksum is no such thing"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_nothing() {
    let server = Server::start(|path| match path {
        JAR => Reply::Broken(1000, b"abc".to_vec()),
        _ => Reply::Status(404),
    });
    let place = Place::new(&[format!("r={}", server.url(""))]);
    assert!(matches!(place.text(URI).await, Err(ArtifactError::Fetch { .. })));
    let cached = place.folder.path().join("cache/maven/org/example/app/1.0");
    assert_eq!(std::fs::read_dir(cached).expect("folder").count(), 0);
}

#[tokio::test]
async fn mavens_own_folder_is_read_first_and_never_written() {
    let (server, _) = serve(&[(JAR, "remote")]);
    let place = Place::new(&[server.url("")]);
    place.local(JAR, "local");
    assert_eq!(place.text(URI).await.as_deref(), Ok("local"));
    assert!(server.asked().is_empty());
    assert!(!place.folder.path().join("cache").exists());
}

#[tokio::test]
async fn offline_it_is_told_what_is_missing_and_where_it_was_looked_for() {
    let (server, _) = serve(&[(JAR, "remote")]);
    let place = Place::new(&[]);
    let offline = place.offline(&[server.url("")]);
    let folder = place.folder.path().display().to_string();
    assert_eq!(
        text(&offline, URI).await.expect_err("offline").to_string(),
        format!(
            "maven://org.example:app:1.0 is not on this machine and the setting maven-offline forbids to fetch it; looked for \
             {folder}/m2/org/example/app/1.0/app-1.0.jar and {folder}/cache/maven/org/example/app/1.0/app-1.0.jar; put it into one \
             of these places"
        )
    );
    let refused =
        text(&offline, "maven://org.example:app:1-SNAPSHOT").await.expect_err("offline").to_string();
    assert!(refused.contains("app-1-SNAPSHOT.jar"), "{refused}");
    assert!(server.asked().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_repository_gets_its_credentials_and_texts_do_not() {
    let server = Server::start_with(|asked| match asked.authorization.as_deref() {
        // me:pa,ss
        Some("Basic bWU6cGEsc3M=") => Reply::Body(b"abc".to_vec()),
        Some(_) => Reply::Status(403),
        None => Reply::Status(401),
    });
    let with = |user: &str| format!("corp={}", server.url("").replace("http://", &format!("http://{user}")));
    let right = Place::new(&[with("me:pa%2Css@")]);
    // The same bytes answer for the checksum, which is none: what matters is that all was asked with the credentials.
    assert!(right.refused(URI).await.contains("checksum"));
    assert!(server.asked().iter().all(|asked| asked.authorization.is_some()));
    let wrong = Place::new(&[with("me:secret@")]).refused(URI).await;
    assert!(wrong.contains("repository corp: it answers 403 with the configured credentials"), "{wrong}");
    assert!(!wrong.contains("secret"), "{wrong}");
    let none = Place::new(&[with("")]).refused(URI).await;
    assert!(none.contains("it answers 401 without credentials"), "{none}");
}

const FOLDER: &str = "/org/example/app/2.0-SNAPSHOT";
const SNAPSHOT: &str = "maven://org.example:app:2.0-SNAPSHOT";

fn metadata(time: &str, build: u32) -> String {
    let updated = time.replace('.', "");
    format!(
        "<metadata><versioning><snapshot><timestamp>{time}</timestamp><buildNumber>{build}</buildNumber></snapshot>\
         <lastUpdated>{updated}</lastUpdated><snapshotVersions><snapshotVersion><extension>jar</extension>\
         <value>2.0-{time}-{build}</value><updated>{updated}</updated></snapshotVersion></snapshotVersions></versioning></metadata>"
    )
}

#[tokio::test]
async fn a_snapshot_is_the_newest_build_of_any_repository() {
    let index = format!("{FOLDER}/maven-metadata.xml");
    let (old, files) = serve(&[
        (&index, &metadata("20260101.000000", 1)),
        (&format!("{FOLDER}/app-2.0-20260101.000000-1.jar"), "old"),
    ]);
    let (new, _) = serve(&[
        (&index, &metadata("20260202.000000", 2)),
        (&format!("{FOLDER}/app-2.0-20260202.000000-2.jar"), "new"),
    ]);
    let remote = [format!("old={}", old.url("")), format!("new={}", new.url(""))];
    let place = Place::new(&remote);
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("new"));
    // A build that came since is found, although the version is the same.
    {
        let mut files = files.lock().expect("files");
        files.insert(index.clone(), metadata("20260303.000000", 3).into());
        files.insert(format!("{FOLDER}/app-2.0-20260303.000000-3.jar"), b"newest".to_vec());
    }
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("newest"));
    // With nobody there, the newest known one.
    assert_eq!(text(&place.offline(&remote), SNAPSHOT).await.as_deref(), Ok("newest"));
    let dead = ["old=http://127.0.0.1:1/".to_owned(), "new=http://127.0.0.1:1/".to_owned()];
    assert_eq!(text(&artifacts(place.folder.path(), &dead, false), SNAPSHOT).await.as_deref(), Ok("newest"));
    // One build by its own name.
    assert_eq!(place.text("maven://org.example:app:2.0-20260101.000000-1").await.as_deref(), Ok("old"));
    // What is announced and not there gives way to what is.
    files.lock().expect("files").insert(index, metadata("20260404.000000", 4).into());
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("new"));
}

#[tokio::test]
async fn an_installed_snapshot_counts_when_it_is_newer() {
    let (server, files) = serve(&[
        (&format!("{FOLDER}/maven-metadata.xml"), &metadata("20260202.000000", 2)),
        (&format!("{FOLDER}/app-2.0-20260202.000000-2.jar"), "remote"),
    ]);
    let place = Place::new(&[format!("r={}", server.url(""))]);
    place.local(&format!("{FOLDER}/app-2.0-SNAPSHOT.jar"), "installed");
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("remote"), "nobody knows when it was installed");
    let installed = |time: &str| {
        let text = format!("<metadata><versioning><lastUpdated>{time}</lastUpdated></versioning></metadata>");
        place.local(&format!("{FOLDER}/maven-metadata-local.xml"), &text);
    };
    installed("20260101000000");
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("remote"));
    installed("20260303000000");
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("installed"));
    installed("20260101000000");
    files.lock().expect("files").clear();
    assert_eq!(text(&place.offline(&[]), SNAPSHOT).await.as_deref(), Ok("installed"));
}

#[tokio::test]
async fn a_snapshot_without_metadata_is_taken_as_it_lies_there() {
    let (server, files) = serve(&[(&format!("{FOLDER}/app-2.0-SNAPSHOT.jar"), "one")]);
    let remote = [format!("r={}", server.url(""))];
    let place = Place::new(&remote);
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("one"));
    files.lock().expect("files").insert(format!("{FOLDER}/app-2.0-SNAPSHOT.jar"), b"two".to_vec());
    assert_eq!(place.text(SNAPSHOT).await.as_deref(), Ok("two"));
    assert_eq!(text(&place.offline(&remote), SNAPSHOT).await.as_deref(), Ok("two"));
    files.lock().expect("files").clear();
    let refused = Place::new(&remote).refused(SNAPSHOT).await;
    assert!(refused.contains("is in none of the places looked at"), "{refused}");
}

#[tokio::test]
async fn hostile_metadata_names_no_file_outside() {
    let wicked = metadata("20260202.000000", 2).replace("2.0-20260202.000000-2", "../../../../../../secret");
    let (server, _) = serve(&[(&format!("{FOLDER}/maven-metadata.xml"), &wicked)]);
    let place = Place::new(&[format!("r={}", server.url(""))]);
    assert!(place.refused(SNAPSHOT).await.contains("in none of the places"));
    assert!(server.paths().iter().all(|path| path.starts_with(FOLDER)), "{:?}", server.paths());
    let (server, _) = serve(&[(&format!("{FOLDER}/maven-metadata.xml"), "<html>")]);
    let place = Place::new(&[format!("r={}", server.url(""))]);
    assert!(place.refused(SNAPSHOT).await.contains("its maven-metadata.xml cannot be read"));
}
