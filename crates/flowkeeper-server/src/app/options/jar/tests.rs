//! Jars made here, good and hostile.

use std::io::Write;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn read_bytes(bytes: &[u8]) -> Result<Options, JarError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read(file.reopen().expect("opened"))
}

const TIME: &[u8] = br#"{
  "groups": [{"name": "trivial.time", "type": "x.Time", "sourceType": "x.Time"}],
  "properties": [
    {"name": "trivial.time.unit", "type": "java.lang.String", "sourceType": "x.Time", "defaultValue": "s",
     "description": "Unit. Long text."},
    {"name": "trivial.time.old", "type": "java.lang.String", "sourceType": "x.Time",
     "deprecation": {"level": "error", "replacement": "trivial.time.unit"}},
    {"name": "server.hidden", "type": "java.lang.String"}],
  "hints": [{"name": "trivial.time.unit", "values": [{"value": "s"}], "providers": [{"name": "any"}]}]}"#;
const LIST: &[u8] = b"# lists\nconfiguration-properties.classes=x.Time,\\\n x.Other\n\
    configuration-properties.inbound-ports=a, b\n\
    org.springframework.cloud.dataflow.configuration-properties.option-groups.g=trivial.time.unit\n";

#[test]
fn options_are_those_the_app_lists() {
    let options = read_bytes(&jar(&[(METADATA, TIME), (LISTS[0], LIST)])).unwrap();
    let visible: Vec<_> = options.visible().collect();
    assert_eq!(visible.len(), 1);
    assert_eq!((visible[0].id.as_str(), visible[0].name.as_str()), ("trivial.time.unit", "unit"));
    assert_eq!(visible[0].short_description.as_deref(), Some("Unit."));
    assert_eq!(visible[0].hints.value_hints.len(), 1);
    assert_eq!(options.all.len(), 3);
    assert_eq!(options.inbound_ports, ["a", "b"]);
    assert_eq!(options.groups["g"], ["trivial.time.unit"]);
}

#[test]
fn libraries_within_the_jar_count_too() {
    let library = jar(&[(METADATA, TIME), (LISTS[0], LIST)]);
    let options = read_bytes(&jar(&[("BOOT-INF/lib/time-1.jar", &library)])).unwrap();
    assert_eq!(options.visible().count(), 1);
}

#[test]
fn a_jar_without_metadata_has_no_options() {
    assert!(read_bytes(&jar(&[("a.txt", b"x")])).unwrap().all.is_empty());
}

#[test]
fn what_is_no_jar_or_no_metadata_is_an_error() {
    assert!(matches!(read_bytes(b"not a jar"), Err(JarError::Zip(_))));
    assert!(matches!(read_bytes(&jar(&[(METADATA, b"[1]")])), Err(JarError::Json(..))));
}

#[test]
fn a_file_that_unpacks_without_end_is_cut_off() {
    let bomb = vec![b' '; usize::try_from(MAX_FILE).unwrap() + 2];
    let bytes = jar(&[(METADATA, &bomb)]);
    assert!(bytes.len() < 100_000);
    assert!(matches!(read_bytes(&bytes), Err(JarError::TooLarge(_))));
}

proptest::proptest! {
    #[test]
    fn damaged_jars_never_panic(at in 0_usize..4000, byte: u8) {
        let mut bytes = jar(&[(METADATA, TIME), (LISTS[0], LIST)]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read_bytes(&bytes);
    }
}
