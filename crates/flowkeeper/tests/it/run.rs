//! `flowkeeper run`: no server, no broker, this process only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use flowkeeper_testkit::dev::{run, run_with_input};
use flowkeeper_testkit::wait::until;

use crate::PROGRAM;

#[test]
fn reads_standard_input_and_writes_standard_output() {
    let home = tempfile::tempdir().expect("folder");
    let input = "{\"a\":{\"b\":1}}\n{\"a\":{\"b\":\"two\"}}\n";
    let ran = run_with_input(PROGRAM, home.path(), &["run", "transform --expression=payload.a.b"], input);
    assert_eq!(ran.ok(), "1\ntwo\n");
}

#[test]
fn runs_whole_pipelines() {
    let home = tempfile::tempdir().expect("folder");
    let definition = "splitter --expression=payload.split(' ') | filter --expression=payload.length()>3 | \
                      transform --expression=payload.toUpperCase()";
    let ran = run_with_input(PROGRAM, home.path(), &["run", definition], "some words that do flow\n");
    assert_eq!(ran.ok(), "SOME\nWORDS\nTHAT\nFLOW\n");
}

#[test]
fn says_what_is_wrong_and_where() {
    let home = tempfile::tempdir().expect("folder");
    let fails = |definition: &str| {
        let ran = run(PROGRAM, home.path(), &["run", definition]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        ran.stderr
    };
    let wrong = fails("time --date-formt=x | log");
    assert!(
        wrong.contains("no option 'date-formt'; did you mean 'date-format'? `flowkeeper app info"),
        "{wrong}"
    );
    assert!(wrong.contains("flowkeeper app info --name time --type source"), "{wrong}");
    let wrong = fails("tiem | log");
    assert!(wrong.contains("no bundled source or processor named 'tiem'; did you mean time?"), "{wrong}");
    let wrong = fails("time | | log");
    assert!(wrong.contains('^'), "a caret: {wrong}");
    let wrong = fails("time > :somewhere");
    assert!(wrong.contains("':somewhere' is a destination of a broker"), "{wrong}");
    let wrong = fails("transform --expression=payload.explode()");
    assert!(wrong.contains("explode"), "{wrong}");
}

/// A pipeline in the background, all its ends piped.
fn start(definition: &str) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["run", definition]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

/// How it ended, and what it said on standard error.
fn ended(mut child: Child) -> (ExitStatus, String) {
    until("the pipeline ends", || child.try_wait().expect("asked").is_some());
    let output = child.wait_with_output().expect("ended");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ends_quietly_when_its_reader_has_gone_whatever_writes() {
    let every_millisecond = "time --fixed-delay=1ms";
    for rest in ["log", "transform --expression=payload", "bridge | log --expression='a'+payload"] {
        let mut child = start(&format!("{every_millisecond} | {rest}"));
        let mut line = String::new();
        // Taken, read once and dropped, as `head -1` does.
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert!(line.ends_with('\n'), "{rest}: {line}");
        let (status, stderr) = ended(child);
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{rest}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn fails_when_its_output_cannot_be_written() {
    for last in ["log", "bridge"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the device");
        let mut command = Command::new(PROGRAM);
        command.args(["run", &format!("time --fixed-delay=1ms | {last}")]).stdin(Stdio::null());
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (status, stderr) = ended(child);
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("standard output cannot be written: No space left"), "{stderr}");
    }
}

#[test]
fn skips_bad_messages_at_once_and_counts_them() {
    let home = tempfile::tempdir().expect("folder");
    let input = "{\"a\":1}\n".to_owned() + &"no number\n".repeat(12) + "{\"a\":2}\n";
    let definition = "transform --expression=#jsonPath(payload,'$.a')+1";
    let ran = run_with_input(PROGRAM, home.path(), &["run", definition], &input);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "2\n3\n"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("transform: a message was skipped: ").count(), 10, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("further ones are counted only").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.ends_with("12 messages were skipped\n"), "{}", ran.stderr);
    let ran = run_with_input(PROGRAM, home.path(), &["run", definition], "x\n");
    assert!(ran.stderr.ends_with("1 message was skipped\n"), "{}", ran.stderr);
}

#[test]
fn passes_bytes_through_and_refuses_an_endless_line() {
    let mut child = start("bridge");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"a\n\xff\xfe\nb\n").expect("written");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).split(b'\n');
    for expected in [&b"a"[..], b"\xff\xfe", b"b"] {
        assert_eq!(lines.next().expect("a line").expect("read"), expected);
    }
    // More than the limit and no end: the program must not wait for one. It may stop reading first.
    let piece = vec![b'x'; 1 << 20];
    let n_written = (0..40).take_while(|_| stdin.write_all(&piece).is_ok()).count();
    assert!(n_written < 40, "the line is refused while it is read");
    let (status, stderr) = ended(child);
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains("line 4 of standard input is longer than the limit of 16777216 bytes"),
        "{stderr}"
    );
}

#[test]
fn says_where_to_post() {
    let mut child = start("http --server.port=0 --path-pattern=/in | log --expression=payload");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line");
    let address = line.strip_prefix("http: listening on http://").and_then(|rest| rest.split("/in").next());
    let mut stream = TcpStream::connect(address.expect("an address")).expect("it listens there");
    let request = "POST /in HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("answered");
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    let mut logged = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut logged).expect("a line");
    assert!(logged.ends_with(" : hello\n"), "{logged}");
    child.kill().expect("killed");
    child.wait().expect("reaped");
}

#[test]
fn a_lone_app_of_several_kinds_is_the_one_whose_options_are_given() {
    let home = tempfile::tempdir().expect("folder");
    let folder = home.path().join("out");
    let definition = format!("file --file.consumer.directory={} --name=x", folder.display());
    let ran = run_with_input(PROGRAM, home.path(), &["run", &definition], "a\nb\n");
    assert_eq!(ran.ok(), "");
    assert_eq!(std::fs::read_to_string(folder.join("x")).expect("written"), "a\nb\n");
    let ran = run_with_input(PROGRAM, home.path(), &["run", "file"], "a\n");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("write `bridge | file`") && ran.stderr.contains("`file | bridge`"),
        "{ran:?}"
    );
    let ran = run_with_input(PROGRAM, home.path(), &["run", "file --nmae=x"], "a\n");
    assert!(ran.stderr.contains("the sink 'file' has no option 'nmae'; did you mean 'name'?"), "{ran:?}");
}

#[test]
fn a_directory_that_is_missing_is_waited_for_and_one_that_cannot_be_made_is_refused() {
    let home = tempfile::tempdir().expect("folder");
    let folder = home.path().join("later");
    let mut child =
        start(&format!("file --directory={} --delay-when-empty=1ms --mode=lines", folder.display()));
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.contains(&format!("{} does not exist; waiting for it", folder.display())), "{line}");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("a.txt"), "hello\n").expect("written");
    let mut read = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut read).expect("a line");
    assert_eq!(read, "hello\n");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let definition = format!("bridge | file --directory={}/a.txt/below", folder.display());
    let ran = run_with_input(PROGRAM, home.path(), &["run", &definition], "a\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("a.txt/below cannot be made: Not a directory"), "{ran:?}");
    assert!(ran.stderr.contains("file.consumer.directory"), "{ran:?}");
}
