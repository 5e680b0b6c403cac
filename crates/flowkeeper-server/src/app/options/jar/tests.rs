//! Jars made here, good and hostile.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn with(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    with(files, CompressionMethod::Deflated)
}

/// A jar with one document of metadata, for other tests.
pub(in crate::app::options) fn with_metadata(document: &str) -> Vec<u8> {
    jar(&[(METADATA, document.as_bytes())])
}

fn read_jar(bytes: &[u8]) -> Result<Options, OptionsError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let of_file = read(file.path());
    // A file and the same bytes in memory are read alike.
    let of_bytes = read_bytes(bytes.to_vec());
    assert_eq!(format!("{of_file:?}"), format!("{of_bytes:?}"));
    of_file
}

fn visible(options: &Options) -> Vec<&str> {
    options.visible().map(|option| option.name.as_str()).collect()
}

const TIME: &[u8] = br#"{
  "groups": [{"name": "trivial.time", "type": "x.Time", "sourceType": "x.Time"}],
  "properties": [
    {"name": "trivial.time.unit", "type": "java.lang.String", "sourceType": "x.Time"},
    {"name": "server.hidden", "type": "java.lang.String"}]}"#;
const LIST: &[u8] = b"configuration-properties.classes=x.Time,\\\n x.Other\n";
const PORTS: &[u8] =
    b"configuration-properties.inbound-ports=a, b\nconfiguration-properties.outbound-ports=c\n";
const GROUPS: &[u8] =
    b"org.springframework.cloud.dataflow.configuration-properties.option-groups.g=trivial.time.unit\n";

fn all_files() -> [(&'static str, &'static [u8]); 4] {
    [(METADATA, TIME), (LISTS[0], LIST), (LISTS[1], PORTS), (LISTS[2], GROUPS)]
}

#[test]
fn a_jar_tells_options_ports_and_groups() {
    let options = read_jar(&jar(&all_files())).unwrap();
    assert_eq!(visible(&options), ["unit"]);
    assert_eq!(options.all.len(), 2);
    assert_eq!(
        (options.inbound_ports.as_slice(), options.outbound_ports.as_slice()),
        (["a".to_owned(), "b".to_owned()].as_slice(), ["c".to_owned()].as_slice())
    );
    assert_eq!(options.groups["g"], ["trivial.time.unit"]);
}

#[test]
fn metadata_lies_at_the_top_or_beside_the_classes() {
    for root in ROOTS {
        let files = all_files().map(|(name, content)| (format!("{root}{name}"), content));
        let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        assert_eq!(visible(&read_jar(&jar(&files)).unwrap()), ["unit"], "{root}");
    }
}

#[test]
fn libraries_within_the_jar_count_too_stored_or_packed() {
    let library = jar(&[(METADATA, TIME)]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        for folder in LIBRARIES {
            let name = format!("{folder}time-1.jar");
            let bytes = with(&[("a.txt", b"x"), (&name, &library), (LISTS[0], LIST)], method);
            assert_eq!(visible(&read_jar(&bytes).unwrap()), ["unit"], "{method} {folder}");
            // A Boot jar may begin with a script that starts it.
            let mut executable = b"#!/bin/sh\nexec java -jar \"$0\"\n".to_vec();
            executable.extend(&bytes);
            assert_eq!(visible(&read_jar(&executable).unwrap()), ["unit"], "{method} {folder} with a script");
        }
    }
}

#[test]
fn only_one_level_of_libraries_is_looked_into() {
    let deep = (0..20).fold(jar(&all_files()), |inner, _| jar(&[("BOOT-INF/lib/inner.jar", &inner)]));
    assert!(read_jar(&deep).unwrap().all.is_empty());
}

#[test]
fn names_that_lead_out_of_their_folder_are_no_libraries() {
    let library = jar(&all_files());
    for name in
        ["BOOT-INF/lib/../../x.jar", "/BOOT-INF/lib/x.jar", "../BOOT-INF/lib/x.jar", "BOOT-INF/lib/a/x.jar"]
    {
        assert!(read_jar(&jar(&[(name, &library)])).unwrap().all.is_empty(), "{name}");
    }
}

#[test]
fn a_broken_library_costs_its_own_options_only() {
    let library = jar(&all_files());
    let broken = jar(&[(METADATA, b"{")]);
    let truncated = &library[..library.len() / 2];
    let large = jar(&[(METADATA, &vec![b' '; usize::try_from(MAX_FILE).unwrap() + 2])]);
    let bytes = jar(&[
        ("BOOT-INF/lib/a.jar", b"not a jar"),
        ("BOOT-INF/lib/b.jar", &broken),
        ("BOOT-INF/lib/c.jar", truncated),
        ("BOOT-INF/lib/d.jar", &large),
        ("BOOT-INF/lib/e.jar", &library),
    ]);
    assert_eq!(visible(&read_jar(&bytes).unwrap()), ["unit"]);
}

#[test]
fn a_jar_without_metadata_has_no_options() {
    assert!(read_jar(&jar(&[("a.txt", b"x")])).unwrap().all.is_empty());
    assert!(read_jar(&jar(&[])).unwrap().all.is_empty());
}

#[test]
fn what_is_no_jar_or_no_metadata_is_an_error() {
    assert!(matches!(read_jar(b"not a jar"), Err(OptionsError::Zip(_))));
    assert!(matches!(read_jar(b""), Err(OptionsError::Zip(_))));
    assert!(matches!(read_jar(&jar(&[(METADATA, b"[1]")])), Err(OptionsError::Json { .. })));
    assert!(matches!(read(Path::new("/no/such")), Err(OptionsError::Io(_))));
    assert!(matches!(read(Path::new("/dev/null")), Err(OptionsError::NoFile)));
}

#[test]
fn too_many_libraries_are_refused() {
    let names: Vec<String> = (0..=MAX_LIBRARIES).map(|n| format!("BOOT-INF/lib/{n}.jar")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert!(matches!(read_jar(&jar(&files)), Err(OptionsError::Excessive(_))));
}

#[test]
fn a_folder_is_read_like_a_jar() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write(&format!("BOOT-INF/classes/{}", LISTS[0]), LIST);
    write("BOOT-INF/lib/time.jar", &jar(&[(METADATA, TIME)]));
    write("BOOT-INF/lib/broken.jar", b"x");
    write("BOOT-INF/lib/notes.txt", b"x");
    assert_eq!(visible(&read(folder.path()).unwrap()), ["unit"]);
    write(METADATA, &vec![b' '; usize::try_from(MAX_FILE).unwrap() + 2]);
    assert!(matches!(read(folder.path()), Err(OptionsError::TooLarge(_))));
}

proptest::proptest! {
    #[test]
    fn damaged_jars_never_panic(changes in proptest::collection::vec((0_usize..8000, 0_u8..), 1..20), end in 0_usize..8000) {
        let library = jar(&all_files());
        let mut bytes = with(&[("BOOT-INF/lib/a.jar", &library), (METADATA, TIME), (LISTS[0], LIST)], CompressionMethod::Stored);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = read_jar(&bytes);
        bytes.truncate(end);
        let _ = read_jar(&bytes);
    }
}
