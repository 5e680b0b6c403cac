//! `flowkeeper run`: no server, no broker, this process only.

use flowkeeper_testkit::dev::{run, run_with_input};

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
    assert!(wrong.contains("no option 'date-formt', did you mean 'date-format'?"), "{wrong}");
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
