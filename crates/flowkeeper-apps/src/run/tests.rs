//! Whole pipelines in memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use flowkeeper_appkit::binder::stdio::{LineConsumer, LineProducer};
use flowkeeper_appkit::pipeline::{Ends, run_stages};
use tokio_util::sync::CancellationToken;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `label: name --key=value` with a blank before each option.
fn stage(text: &str) -> Stage {
    let (app, options) = text.split_once(" --").unwrap_or((text, ""));
    let (label, name) = app.split_once(": ").unwrap_or((app, app));
    let pairs = options.split(" --").filter(|o| !o.is_empty());
    Stage {
        label: label.to_owned(),
        name: name.to_owned(),
        kind: None,
        properties: pairs
            .map(|p| {
                p.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).expect("an option has a value")
            })
            .collect(),
    }
}

/// Runs a pipeline over lines and returns the lines that come out.
async fn run_lines(stages: &[&str], input: &'static str) -> Result<Vec<String>, Error> {
    let stages = build_stages(stages.iter().map(|s| stage(s)).collect(), &BTreeMap::new())?;
    let out = Captured::default();
    let ends = Ends {
        input: Some(Box::new(LineConsumer::new(input.as_bytes()))),
        output: Some(Box::new(LineProducer::new(Box::new(out.clone())))),
    };
    run_stages(stages, ends, CancellationToken::new()).await?;
    let text = String::from_utf8(out.0.lock().unwrap().clone()).expect("text");
    Ok(text.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn lines_go_through_every_stage_in_order_until_the_end() {
    let stages = [
        "splitter --delimiters=,",
        "filter --expression=payload.length() > 1",
        "transform --expression=payload.toUpperCase() + headers['sequenceNumber']",
        "bridge",
    ];
    let lines = run_lines(&stages, "aa,b,cc\ndd\n").await.unwrap();
    assert_eq!(lines, ["AA1", "CC3", "DD1"]);
}

#[tokio::test]
async fn more_messages_than_any_queue_holds_arrive() {
    let input: &'static str =
        Box::leak((0..5_000).map(|n| format!("{n}\n")).collect::<String>().into_boxed_str());
    let lines = run_lines(&["one: bridge", "two: bridge"], input).await.unwrap();
    assert_eq!(lines.len(), 5_000);
    assert!(lines.iter().enumerate().all(|(i, l)| *l == i.to_string()));
}

#[tokio::test]
async fn a_pipeline_writes_to_files() {
    let directory = tempfile::tempdir().unwrap();
    let sink = format!("file --directory={} --name=out --suffix=txt", directory.path().display());
    run_lines(&["transform --expression='<' + payload + '>'", &sink], "a\nb\n").await.unwrap();
    assert_eq!(std::fs::read_to_string(directory.path().join("out.txt")).unwrap(), "<a>\n<b>\n");
}

#[tokio::test]
async fn a_source_runs_until_it_is_stopped_and_what_it_sent_is_processed() {
    let stages = vec![stage("time --fixed-delay=1ms --date-format='tick'"), stage("bridge")];
    let stages = build_stages(stages, &BTreeMap::new()).unwrap();
    let out = Captured::default();
    let ends = Ends { input: None, output: Some(Box::new(LineProducer::new(Box::new(out.clone())))) };
    let stop = CancellationToken::new();
    let enough = async {
        while out.0.lock().unwrap().len() < 15 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (result, ()) = tokio::join!(run_stages(stages, ends, stop.clone()), enough);
    result.unwrap();
    assert!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap().lines().all(|l| l == "tick"));
}

#[tokio::test]
async fn pipelines_that_do_not_fit_are_refused() {
    let cases: [(&[&str], &str); 5] = [
        (&["bridge", "time", "log"], "'time' is a source and can only be the first app"),
        (&["log", "bridge"], "'log' is a sink and can only be the last app"),
        (&["bridge", "bridge"], "'bridge' is there twice"),
        (&["bridge", "explode"], "explode: there is no bundled sink 'explode'; there are log, file"),
        (&["x: transform --expresion=1"], "x: the processor 'transform' has no option 'expresion'"),
    ];
    for (stages, expected) in cases {
        let error = run_lines(stages, "").await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_closed_output_ends_the_pipeline_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stages = build_stages(vec![stage("time --fixed-delay=1ms")], &BTreeMap::new()).unwrap();
    let ends = Ends { input: None, output: Some(Box::new(LineProducer::new(Box::new(Gone)))) };
    run_stages(stages, ends, CancellationToken::new()).await.unwrap();
}
