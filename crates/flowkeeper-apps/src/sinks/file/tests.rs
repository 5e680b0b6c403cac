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

#[tokio::test]
async fn what_is_wrong_with_the_place_is_tried_again_and_what_is_wrong_with_the_message_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    let mut fixed = sink(&below, &[(NAME.name, "x")]);
    // Someone puts a file where the directory was.
    fs::remove_dir(&below).unwrap();
    fs::write(&below, "in the way").unwrap();
    let message = Message::new("a".to_owned());
    let error = fixed.write(&message).await.unwrap_err();
    assert!(matches!(error, Error::Transient(_)), "{error}");
    assert!(error.to_string().contains(&below.join("x").display().to_string()), "{error}");
    fs::remove_file(&below).unwrap();
    fixed.write(&message).await.unwrap();
    assert_eq!(fs::read_to_string(below.join("x")).unwrap(), "a\n");

    let mut computed = sink(directory.path(), &[(NAME_EXPRESSION.name, "payload")]);
    for name in ["n".repeat(300), "below".to_owned(), "below/x/y".to_owned()] {
        let error = computed.write(&Message::new(name)).await.unwrap_err();
        assert!(matches!(error, Error::Message(_)), "{error}");
    }
    let mut fails = sink(&below, &[(NAME.name, "x"), (MODE.name, "FAIL")]);
    assert!(matches!(fails.write(&message).await, Err(Error::Message(_))));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_a_reason_to_wait() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join("x")).unwrap();
    let mut full = sink(directory.path(), &[(NAME.name, "x")]);
    let error = full.write(&Message::new("a".to_owned())).await.unwrap_err();
    assert!(matches!(error, Error::Transient(_)), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_used_keeps_the_app_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("below").display().to_string();
    let error = build(&Props::from_pairs([(DIRECTORY.name, below.as_str())])).err().unwrap().to_string();
    let start = format!("the directory {below} cannot be made: Not a directory");
    assert!(error.starts_with(&start) && error.ends_with(DIRECTORY.name), "{error}");
}

/// A copy of one instance, with the guard on.
fn fenced(directory: &Path, term: &str, options: &[(&str, &str)]) -> Result<Box<dyn Sink>, Error> {
    let directory = directory.display().to_string();
    let placed = [
        (FENCE, "true"),
        ("flowkeeper.fence.term", term),
        ("flowkeeper.stream.uid", "u"),
        ("spring.cloud.dataflow.stream.app.label", "file"),
        (DIRECTORY.name, directory.as_str()),
    ];
    match build(&Props::from_pairs(placed.into_iter().chain(options.iter().copied())))?.role {
        Role::Sink(sink) => Ok(sink),
        _ => panic!("a sink"),
    }
}

#[tokio::test]
async fn an_older_copy_ends_at_its_next_message_and_does_not_start_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut older = fenced(path, "7", &[]).unwrap();
    older.write(&Message::new("a")).await.unwrap();
    let mut newer = fenced(path, "8", &[]).unwrap();
    let error = older.write(&Message::new("stale")).await.unwrap_err();
    assert!(matches!(error, Error::Fatal(_)), "{error}");
    assert!(error.to_string().contains("term 8") && error.to_string().contains("term 7"), "{error}");
    newer.write(&Message::new("b")).await.unwrap();
    assert!(matches!(fenced(path, "7", &[]).err(), Some(Error::Fatal(_))));
    assert_eq!(fs::read_to_string(path.join("file-consumer")).unwrap(), "a\nb\n");
}

#[tokio::test]
async fn a_computed_directory_is_claimed_with_its_first_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let expression = format!("'{}/' + payload", path.display());
    let options = [(DIRECTORY_EXPRESSION.name, expression.as_str())];
    let mut older = fenced(path, "1", &options).unwrap();
    let mut newer = fenced(path, "2", &options).unwrap();
    assert_eq!(write_all(&mut *older, &["x"]).await, [true]);
    assert_eq!(write_all(&mut *newer, &["x"]).await, [true]);
    assert_eq!(write_all(&mut *older, &["x", "y"]).await, [false, true]);
    assert_eq!(fs::read_to_string(path.join("x/file-consumer")).unwrap(), "x\nx\n");
}

#[tokio::test]
async fn the_guards_own_files_are_no_place_for_messages() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = fenced(directory.path(), "1", &[(NAME_EXPRESSION.name, "payload")]).unwrap();
    assert_eq!(write_all(&mut *sink, &[".term-u-file-0", "fine"]).await, [false, true]);
}
