//! `maven-metadata.xml`: which builds of a snapshot a repository has.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::coordinate::{Coordinate, is_safe};

/// Deepest nesting that is followed; real documents have five levels.
const MAX_DEPTH: usize = 32;

/// What one repository says about the builds of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// When anything of it changed last: `yyyyMMddHHmmss`, in UTC.
    updated: Option<String>,
    /// The newest build as a whole.
    timestamp: Option<String>,
    build: Option<String>,
    /// The newest build per file.
    files: Vec<File>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    classifier: Option<String>,
    extension: Option<String>,
    value: Option<String>,
    updated: Option<String>,
}

/// The newest build of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Build {
    /// When it was made: `yyyyMMddHHmmss`, in UTC; builds are ordered by it.
    pub(super) updated: String,
    /// Its version, with the time instead of `SNAPSHOT`.
    pub(super) version: String,
}

impl Metadata {
    /// Reads a document; what is unknown in it is skipped.
    ///
    /// # Errors
    /// When it is no such document.
    pub(super) fn parse(bytes: &[u8]) -> Result<Metadata, String> {
        let mut reader = Reader::from_reader(bytes);
        let mut found = Metadata::default();
        let mut path: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut has_root = false;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) => {
                    path.push(tag.local_name().as_ref().to_owned());
                    text.clear();
                    if path.len() > MAX_DEPTH {
                        return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
                    }
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    match *path {
                        ["metadata"] => has_root = true,
                        [_] => return Err("it is another kind of document".to_owned()),
                        ["metadata", "versioning", "snapshotVersions", "snapshotVersion"] => {
                            found.files.push(File::default());
                        }
                        _ => {}
                    }
                }
                // No value that is looked for holds a reference such as `&amp;`.
                Event::Text(piece) => text.push_str(&piece),
                Event::End(_) => {
                    found.set(&path, text.trim());
                    path.pop();
                    text.clear();
                }
                Event::Eof if path.is_empty() && has_root => return Ok(found),
                Event::Eof => return Err("it ends too early".to_owned()),
                _ => {}
            }
        }
    }

    /// The newest build of the file that `coordinate` names.
    pub(super) fn newest(&self, coordinate: &Coordinate) -> Option<Build> {
        let is_it = |file: &&File| {
            file.extension.as_deref() == Some(coordinate.extension())
                && file.classifier.as_deref().filter(|classifier| !classifier.is_empty())
                    == coordinate.classifier()
        };
        let of_file = self.files.iter().filter(is_it).filter_map(|file| {
            let version = file.value.clone()?;
            let updated = file.updated.clone().or_else(|| self.updated.clone()).unwrap_or_default();
            Some(Build { updated, version })
        });
        let of_all = || {
            let base = coordinate.version().strip_suffix("SNAPSHOT")?;
            let (timestamp, build) = (self.timestamp.as_ref()?, self.build.as_ref()?);
            let updated = self.updated.clone().unwrap_or_else(|| timestamp.replace('.', ""));
            Some(Build { updated, version: format!("{base}{timestamp}-{build}") })
        };
        // A repository of Maven 2 lists no files.
        of_file.max().or_else(of_all).filter(|build| is_safe(&build.version))
    }

    /// When a version that was installed by hand was installed last.
    pub(super) fn updated(&self) -> Option<&str> {
        self.updated.as_deref()
    }

    fn set(&mut self, path: &[String], text: &str) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let value = || Some(text.to_owned());
        match *path {
            ["metadata", "versioning", "lastUpdated"] => self.updated = value(),
            ["metadata", "versioning", "snapshot", "timestamp"] => self.timestamp = value(),
            ["metadata", "versioning", "snapshot", "buildNumber"] => self.build = value(),
            ["metadata", "versioning", "snapshotVersions", "snapshotVersion", name] => {
                let Some(file) = self.files.last_mut() else { return };
                match name {
                    "classifier" => file.classifier = value(),
                    "extension" => file.extension = value(),
                    "value" => file.value = value(),
                    "updated" => file.updated = value(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCUMENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metadata modelVersion="1.1.0">
  <groupId>g</groupId><artifactId>a</artifactId><version>1.0-SNAPSHOT</version>
  <versioning>
    <snapshot><timestamp>20260102.030405</timestamp><buildNumber>7</buildNumber></snapshot>
    <lastUpdated>20260102030406</lastUpdated>
    <snapshotVersions>
      <snapshotVersion><extension>jar</extension><value>1.0-20260102.030405-7</value><updated>20260102030405</updated></snapshotVersion>
      <snapshotVersion><classifier>metadata</classifier><extension>jar</extension><value>1.0-20260101.000000-6</value><updated>20260101000000</updated></snapshotVersion>
    </snapshotVersions>
  </versioning>
</metadata>"#;

    fn newest(document: &str, coordinate: &str) -> Option<(String, String)> {
        let coordinate = Coordinate::parse(coordinate).expect("a coordinate");
        let build = Metadata::parse(document.as_bytes()).expect("metadata").newest(&coordinate)?;
        Some((build.version, build.updated))
    }

    #[test]
    fn the_newest_build_is_that_of_the_file() {
        let of = |coordinate| newest(DOCUMENT, coordinate).expect("a build");
        assert_eq!(of("g:a:1.0-SNAPSHOT"), ("1.0-20260102.030405-7".into(), "20260102030405".into()));
        assert_eq!(of("g:a:jar:metadata:1.0-SNAPSHOT").0, "1.0-20260101.000000-6");
        // Not listed: what is said of the version as a whole.
        assert_eq!(of("g:a:zip:1.0-SNAPSHOT"), ("1.0-20260102.030405-7".into(), "20260102030406".into()));
    }

    #[test]
    fn a_build_cannot_lead_out_of_a_folder() {
        let wicked = DOCUMENT.replace("1.0-20260102.030405-7", "../../../../etc/x");
        assert_eq!(newest(&wicked, "g:a:1.0-SNAPSHOT"), None);
        let wicked = DOCUMENT.replace("<buildNumber>7", "<buildNumber>/../7");
        assert_eq!(newest(&wicked, "g:a:zip:1.0-SNAPSHOT"), None);
    }

    #[test]
    fn other_documents_are_refused() {
        for text in ["", "<html></html>", "no xml", "<metadata>", "<metadata><a></metadata>", "{}"] {
            assert!(Metadata::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("<metadata>{}", "<a>".repeat(100_000));
        assert!(Metadata::parse(deep.as_bytes()).expect_err("too deep").contains("32 levels"));
        // Entities are not expanded, so they cannot explode.
        let laughs = "<!DOCTYPE m [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><metadata><versioning><lastUpdated>&b;</lastUpdated></versioning></metadata>";
        assert_eq!(Metadata::parse(laughs.as_bytes()).map(|found| found.updated), Ok(Some(String::new())));
    }

    proptest! {
        #[test]
        fn damaged_documents_never_panic(at in 0..DOCUMENT.len(), byte: u8, end in 0..=DOCUMENT.len()) {
            let mut bytes = DOCUMENT.as_bytes().to_vec();
            bytes[at] = byte;
            let coordinate = Coordinate::parse("g:a:1.0-SNAPSHOT").expect("a coordinate");
            if let Ok(found) = Metadata::parse(&bytes[..end])
                && let Some(build) = found.newest(&coordinate)
            {
                prop_assert!(is_safe(&build.version));
            }
        }
    }
}
