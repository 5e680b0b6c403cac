//! Runs a whole pipeline in one process, over the memory binder (`flowkeeper run`).
//!
//! Where the first stage is no source, lines of standard input are its messages; where the last is no sink, its messages
//! are lines of standard output. When the source ends, everything behind it is processed before the pipeline ends. A message
//! that cannot be processed is skipped, and the pipeline then ends with a failure that counts them. When standard output is
//! gone, as with `| head`, the pipeline ends at once, quietly.

use std::io::Write;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio_util::sync::CancellationToken;

use crate::actuator::Actuator;
use crate::app::{App, Error, Role};
use crate::binder::memory::MemoryBinder;
use crate::binder::settings::{InputSettings, OutputSettings};
use crate::binder::stdio::{LineConsumer, LineProducer};
use crate::binder::{Consumer, Producer};
use crate::console::{OutputEnd, Watched};
use crate::metrics::Metrics;
use crate::output::Output;
use crate::props::Props;
use crate::runner::{self, Input};
use crate::skips::Skips;
use crate::{harness, http, log, task};

/// The group of every stage; there is only one reader per topic.
const GROUP: &str = "pipeline";

/// Skipped messages that are said one by one.
const SPOKEN_SKIPS: u64 = 10;

/// One app of a pipeline.
pub struct Stage {
    /// Its name within the pipeline, unique.
    pub label: String,
    pub app: App,
    pub props: Props,
}

/// The outer ends of a pipeline whose first or last stage needs one.
#[derive(Default)]
pub struct Ends {
    pub input: Option<Box<dyn Consumer>>,
    pub output: Option<Box<dyn Producer>>,
}

/// Runs a pipeline in the foreground until its source ends or Ctrl-C; returns the exit code.
pub fn run(stages: Vec<Stage>) -> i32 {
    let end = OutputEnd::default();
    log::install_in_foreground(end.clone());
    let outcome = harness::block_on(async {
        let stop = CancellationToken::new();
        let _signals = task::spawn(harness::stop_on_signal(stop.clone()));
        let is_source = |role: Option<&Stage>| matches!(role.map(|s| &s.app.role), Some(Role::Source(_)));
        let is_sink = |role: Option<&Stage>| matches!(role.map(|s| &s.app.role), Some(Role::Sink(_)));
        let mut ends = Ends::default();
        if !is_source(stages.first()) {
            ends.input = Some(Box::new(LineConsumer::stdin()));
        }
        if !is_sink(stages.last()) {
            let output = Watched { inner: std::io::stdout(), end: end.clone() };
            ends.output = Some(Box::new(LineProducer::new(Box::new(output))));
        }
        let ended = tokio::select! {
            biased;
            error = end.reached() => Err(error),
            ended = run_stages(stages, ends, stop) => ended,
        };
        match ended {
            // `flowkeeper run … | head`: the reader has seen enough.
            Err(Error::Closed) => Ok(()),
            ended => ended,
        }
    });
    harness::exit_code("run", outcome)
}

/// Runs a pipeline between given ends. Cancelling `stop` ends the source; the rest ends when it has processed everything.
///
/// # Errors
/// The pipeline does not fit together, a stage failed, or messages were skipped.
pub async fn run_stages(stages: Vec<Stage>, mut ends: Ends, stop: CancellationToken) -> Result<(), Error> {
    check(&stages)?;
    let binder = Arc::new(MemoryBinder::default());
    let n_stages = stages.len();
    let labels: Vec<String> = stages.iter().map(|s| s.label.clone()).collect();
    let skips = Skips::limited(SPOKEN_SKIPS);
    let mut wired = Vec::new();
    for (i, stage) in stages.into_iter().enumerate() {
        let metrics = Arc::new(Metrics::new(skips.of(&stage.label)));
        let mut input = None;
        if !matches!(stage.app.role, Role::Source(_)) {
            let mut settings = InputSettings::read(&stage.props, stage.app.functions)?;
            settings.spec.group = Some(GROUP.to_owned());
            input = Some(if i == 0 {
                let given = ends.input.take();
                let consumer = given
                    .ok_or_else(|| Error::Fatal("the pipeline has no source and no input".to_owned()))?;
                Input::new(consumer, "stdio", settings, metrics.clone())
            } else {
                settings.spec.topics = vec![labels[i - 1].clone()];
                Input::open(&*binder, settings, metrics.clone()).await?
            });
        }
        let mut output = None;
        if !matches!(stage.app.role, Role::Sink(_)) {
            let mut settings = OutputSettings::read(&stage.props, stage.app.functions)?;
            output = Some(Arc::new(if i + 1 < n_stages {
                settings.spec.topic.clone_from(&labels[i]);
                settings.spec.required_groups = vec![GROUP.to_owned()];
                Output::open(&*binder, settings, metrics.clone()).await?
            } else {
                let producer = ends.output.take();
                let producer = producer
                    .ok_or_else(|| Error::Fatal("the pipeline has no sink and no output".to_owned()))?;
                Output::new(producer, "stdio", settings, metrics.clone())
            }));
        }
        let server = match &stage.app.http {
            None => None,
            Some(handler) => {
                let port = stage.props.integer::<u16>("server.port")?.unwrap_or(8080);
                let address = stage.props.text("server.address")?.unwrap_or_else(|| "127.0.0.1".to_owned());
                let listener = http::bind(&address, port).await.map_err(Error::Fatal)?;
                announce(&stage.label, &listener, handler.path());
                let (name, kind) = (stage.label.clone(), "source".to_owned());
                let actuator = Actuator {
                    app_name: name,
                    app_kind: kind,
                    binder: binder.clone(),
                    bindings: output.iter().map(|o| o.control().clone()).collect(),
                    metrics,
                    tags: Vec::new(),
                    app: Some(handler.clone()),
                    health: stage.app.health.clone(),
                    stop: stop.clone(),
                };
                Some(task::spawn(http::serve(listener, Arc::new(actuator), stop.clone())))
            }
        };
        // Only what brings messages in is stopped; the others end when their input does.
        let stage_stop = if i == 0 { stop.clone() } else { CancellationToken::new() };
        wired.push(async move {
            let result = runner::run(stage.app, input, output, stage_stop).await;
            drop(server);
            match result {
                Err(Error::Fatal(reason) | Error::Message(reason) | Error::Transient(reason)) => {
                    Err(Error::Fatal(format!("{}: {reason}", stage.label)))
                }
                other => other,
            }
        });
    }
    match try_join_all(wired).await {
        Ok(_) => {}
        // `flowkeeper run … | head`: the reader has seen enough.
        Err(Error::Closed) => return Ok(()),
        Err(error) => return Err(error),
    }
    match skips.count() {
        0 => Ok(()),
        1 => Err(Error::Fatal("1 message was skipped".to_owned())),
        n => Err(Error::Fatal(format!("{n} messages were skipped"))),
    }
}

/// Tells where to send messages; on standard error, since standard output belongs to the messages.
fn announce(label: &str, listener: &tokio::net::TcpListener, path: &str) {
    let Ok(address) = listener.local_addr() else { return };
    // Nobody may be reading.
    let _ = writeln!(
        std::io::stderr(),
        "{label}: listening on http://{address}{path}; each POST to it is a message, for example: \
         curl -d hello http://{address}{path}"
    );
}

fn check(stages: &[Stage]) -> Result<(), Error> {
    if stages.is_empty() {
        return Err(Error::Fatal("the pipeline has no apps".to_owned()));
    }
    for (i, stage) in stages.iter().enumerate() {
        let misplaced = match stage.app.role {
            Role::Source(_) if i > 0 => "is a source and can only be the first app",
            Role::Sink(_) if i + 1 < stages.len() => "is a sink and can only be the last app",
            _ if stages[..i].iter().any(|s| s.label == stage.label) => {
                "is there twice; give one of them a label, as in 'one: transform | two: transform'"
            }
            _ => continue,
        };
        return Err(Error::Fatal(format!("'{}' {misplaced}", stage.label)));
    }
    Ok(())
}
