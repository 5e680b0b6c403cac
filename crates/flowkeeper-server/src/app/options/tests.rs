//! Where options come from, and when they are read again.

use super::*;
use crate::meta::{AppKey, AppKind};

fn reader() -> (OptionsReader, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(folder.path().join("cache"), Default::default()).unwrap();
    (OptionsReader::new(Catalog::default(), artifacts, Registries::default(), Tasks::new()), folder)
}

fn app(uri: &str) -> Listed {
    Listed {
        key: AppKey::new(AppKind::Source, "a".to_owned()),
        version: "1".to_owned(),
        uri: uri.to_owned(),
        is_default: true,
        boot: "2".to_owned(),
        metadata_uri: None,
        age: 0,
    }
}

fn document(name: &str) -> String {
    format!(r#"{{"properties": [{{"name": "{name}"}}]}}"#)
}

fn ids(options: &Options) -> Vec<&str> {
    options.all.iter().map(|described| described.option.id.as_str()).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_that_changed_is_read_again() {
    let (reader, folder) = reader();
    let path = folder.path().join("a.jar");
    let app = app(&format!("file://{}", path.display()));
    std::fs::write(&path, jar::tests::with_metadata(&document("one"))).unwrap();
    let first = reader.of(&app).await;
    assert_eq!(ids(&first), ["one"]);
    assert!(Arc::ptr_eq(&first, &reader.of(&app).await), "it is remembered");
    std::fs::write(&path, jar::tests::with_metadata(&document("other"))).unwrap();
    assert_eq!(ids(&*reader.of(&app).await), ["other"]);
    std::fs::remove_file(&path).unwrap();
    assert!(reader.of(&app).await.all.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_metadata_uri_goes_before_the_program_and_may_name_a_folder() {
    let (reader, folder) = reader();
    let meta = folder.path().join("classes/META-INF");
    std::fs::create_dir_all(&meta).unwrap();
    std::fs::write(meta.join("spring-configuration-metadata.json"), document("in.folder")).unwrap();
    let mut app = app("file:/no/such.jar");
    assert!(reader.of(&app).await.all.is_empty());
    app.metadata_uri = Some(format!("file://{}", folder.path().join("classes").display()));
    assert_eq!(ids(&*reader.of(&app).await), ["in.folder"]);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_file_is_not_waited_for() {
    let (reader, _folder) = reader();
    for uri in ["file:/dev/zero", "file:/dev/stdin", "file:/", "gopher:x", "docker:UPPER:1", "maven://g:..:1"]
    {
        assert!(reader.of(&app(uri)).await.all.is_empty(), "{uri}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn many_who_ask_at_once_get_the_same() {
    let (reader, folder) = reader();
    let path = folder.path().join("a.jar");
    std::fs::write(&path, jar::tests::with_metadata(&document("one"))).unwrap();
    let app = app(&format!("file://{}", path.display()));
    let (a, b) = tokio::join!(reader.of(&app), reader.of(&app));
    assert!(Arc::ptr_eq(&a, &b) && ids(&a) == ["one"]);
    assert!(lock(&reader.running).is_empty());
}

#[test]
fn labels_of_an_image_are_its_metadata() {
    let labels = [
        (container::METADATA_LABEL, document("trivial.unit")),
        ("configuration-properties.inbound-ports", "a,b".to_owned()),
        (
            "org.springframework.cloud.dataflow.configuration-properties.option-groups.g",
            "trivial.unit".to_owned(),
        ),
        ("maintainer", "somebody".to_owned()),
    ];
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let options = of_labels(&labels).unwrap();
    assert_eq!(options.visible().count(), 1);
    assert_eq!(options.inbound_ports, ["a", "b"]);
    assert_eq!(options.groups["g"], ["trivial.unit"]);
    let broken = [(container::METADATA_LABEL.to_owned(), "{".to_owned())].into();
    assert!(of_labels(&broken).unwrap_err().to_string().starts_with("the label org."));
}

#[test]
fn the_first_sentence_is_short() {
    assert_eq!(first_sentence("One. Two."), "One.");
    assert_eq!(first_sentence("One\n more e.g.this."), "One more e.g.this.");
    assert_eq!(first_sentence(""), "");
}
