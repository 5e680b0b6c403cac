//! Modes, names, line ends and character sets, on a real file system.

use super::*;

fn sink(directory: &Path, pairs: &[(&str, &str)]) -> Box<dyn Sink> {
    let directory = directory.display().to_string();
    let props = Props::from_pairs(pairs.iter().copied().chain([(DIRECTORY.name, directory.as_str())]));
    match build(&props).unwrap().role {
        Role::Sink(sink) => sink,
        _ => panic!("a sink"),
    }
}

/// Writes messages and returns what each answered.
async fn write_all(sink: &mut dyn Sink, payloads: &[&str]) -> Vec<bool> {
    let mut results = Vec::new();
    for payload in payloads {
        results.push(sink.write(&Message::new((*payload).to_owned())).await.is_ok());
    }
    results
}

#[tokio::test]
async fn each_mode_treats_an_existing_file_its_way() {
    let cases: [(&str, &[bool], &str); 6] = [
        ("APPEND", &[true, true], "a\nb\n"),
        ("APPEND_NO_FLUSH", &[true, true], "a\nb\n"),
        ("FAIL", &[true, false], "a\n"),
        ("IGNORE", &[true, true], "a\n"),
        ("REPLACE", &[true, true], "b\n"),
        ("replace-if-modified", &[true, true], "b\n"),
    ];
    for (mode, results, content) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = sink(directory.path(), &[(MODE.name, mode)]);
        assert_eq!(write_all(&mut *sink, &["a", "b"]).await, results, "{mode}");
        assert_eq!(fs::read_to_string(directory.path().join("file-consumer")).unwrap(), content, "{mode}");
    }
}

#[tokio::test]
async fn the_name_is_fixed_or_computed_and_has_a_suffix() {
    let directory = tempfile::tempdir().unwrap();
    let mut fixed = sink(directory.path(), &[(NAME.name, "out"), (SUFFIX.name, "txt")]);
    write_all(&mut *fixed, &["x"]).await;
    let options = [
        (NAME_EXPRESSION.name, "'day/' + payload.substring(0, 1)"),
        (SUFFIX.name, ".log"),
        (BINARY.name, "true"),
    ];
    let mut computed = sink(directory.path(), &options);
    write_all(&mut *computed, &["a1", "b2", "a3"]).await;
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(read("out.txt"), "x\n");
    assert_eq!(read("day/a.log"), "a1a3");
    assert_eq!(read("day/b.log"), "b2");
}

#[tokio::test]
async fn a_message_cannot_leave_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = sink(directory.path(), &[(NAME_EXPRESSION.name, "payload")]);
    assert_eq!(
        write_all(&mut *sink, &["../x", "/etc/x", "", "a/../../x", "fine"]).await,
        [false, false, false, false, true]
    );
}

#[tokio::test]
async fn text_is_encoded_and_bytes_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = sink(directory.path(), &[(CHARSET.name, "ISO-8859-1"), (BINARY.name, "true")]);
    write_all(&mut *sink, &["é世"]).await;
    let bytes = Message::new(vec![0xffu8, 0]).with_header("contentType", "application/octet-stream");
    sink.write(&bytes).await.unwrap();
    assert_eq!(fs::read(directory.path().join("file-consumer")).unwrap(), [0xe9, b'?', 0xff, 0]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (name, value) in
        [(MODE.name, "OVERWRITE"), (CHARSET.name, "UTF-7"), (NAME_EXPRESSION.name, "payload.")]
    {
        let error = build(&Props::from_pairs([(name, value)])).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains(value), "{error}");
    }
}
