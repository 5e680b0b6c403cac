//! Runs one app as a process: properties, log, bindings, actuator, signals, exit code.
//!
//! Exit codes: 0 the app ended or was told to, 1 it could not start or go on. The reason is one line on standard error.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::actuator::Actuator;
use crate::app::{App, Error, Role};
use crate::binder::Binder;
use crate::binder::kafka::KafkaBinder;
use crate::binder::settings::{InputSettings, OutputSettings};
use crate::metrics::Metrics;
use crate::output::Output;
use crate::props::Props;
use crate::runner::{self, Input};
use crate::{http, log, task};

/// After the signal to stop an app has this long to finish, unless `spring.lifecycle.timeout-per-shutdown-phase` says else.
const GRACE: Duration = Duration::from_secs(30);

/// What to run.
pub struct Launch<'a> {
    /// `log`
    pub name: &'a str,
    /// `sink`
    pub kind: &'a str,
    /// Makes the app from its properties.
    pub build: &'a dyn Fn(&Props) -> Result<App, Error>,
    /// Defaults of the app's options.
    pub defaults: &'a [(&'a str, &'a str)],
}

/// Runs an app until it ends or is told to stop; returns the exit code.
pub fn run(launch: &Launch<'_>, args: &[String], env: &BTreeMap<String, String>) -> i32 {
    let name = format!("{}-{}", launch.name, launch.kind);
    let outcome = Props::load(args, env).map_err(Error::from).and_then(|props| {
        let props = props.with_defaults(launch.defaults.iter().copied());
        log::install(log::Levels::read(&props)?);
        block_on(run_process(launch, props))
    });
    exit_code(&name, outcome)
}

/// Turns the outcome into an exit code; a failure is said once, on standard error.
pub(crate) fn exit_code(name: &str, outcome: Result<(), Error>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            // Nobody may be reading.
            let _ = writeln!(std::io::stderr(), "flowkeeper: {name}: {error}");
            1
        }
    }
}

/// Runs a future on a single-threaded runtime: an app's threads are its message client's, not ours.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(|e| Error::Fatal(format!("the runtime cannot start: {e}")))?;
    let result = runtime.block_on(future);
    // A read of standard input cannot be interrupted; it must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run_process(launch: &Launch<'_>, props: Props) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let signals = task::spawn(stop_on_signal(stop.clone()));
    let app = (launch.build)(&props)?;
    let port = props.integer::<u16>("server.port")?.unwrap_or(8080);
    let address = props.text("server.address")?.unwrap_or_else(|| "127.0.0.1".to_owned());
    let grace = props.duration("spring.lifecycle.timeout-per-shutdown-phase")?.unwrap_or(GRACE);
    let listener = http::bind(&address, port).await.map_err(Error::Fatal)?;
    let bound = listener.local_addr().map_or_else(|_| format!("{address}:{port}"), |a| a.to_string());
    tracing::info!("listening on {bound}");

    let metrics = Arc::new(Metrics::default());
    let binder: Arc<dyn Binder> = Arc::new(KafkaBinder::new(&props)?);
    let bindings = async {
        let input = match app.role {
            Role::Source(_) => None,
            _ => {
                let settings = InputSettings::read(&props, app.functions)?;
                Some(Input::open(&*binder, settings, metrics.clone()).await?)
            }
        };
        let output = match app.role {
            Role::Sink(_) => None,
            _ => {
                let settings = OutputSettings::read(&props, app.functions)?;
                Some(Arc::new(Output::open(&*binder, settings, metrics.clone()).await?))
            }
        };
        Ok::<_, Error>((input, output))
    };
    let (input, output) = tokio::select! {
        opened = bindings => opened?,
        // Told to stop while still waiting for a broker.
        () = stop.cancelled() => return Ok(()),
    };
    let controls =
        input.iter().map(|i| i.control().clone()).chain(output.iter().map(|o| o.control().clone()));
    let actuator = Arc::new(Actuator {
        app_name: launch.name.to_owned(),
        app_kind: launch.kind.to_owned(),
        binder,
        bindings: controls.collect(),
        metrics,
        tags: metric_tags(launch, &props)?,
        app: app.http.clone(),
        health: app.health.clone(),
        stop: stop.clone(),
    });
    let server = task::spawn(http::serve(listener, actuator, stop.clone()));
    tracing::info!("{}-{} is running", launch.name, launch.kind);
    let result = within_grace(runner::run(app, input, output, stop.clone()), &stop, grace).await;
    stop.cancel();
    // Replies under way are finished, idle connections are not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(2), server.join()).await;
    drop(signals);
    tracing::info!("{}-{} has stopped", launch.name, launch.kind);
    result
}

/// Runs to the end, but after `stop` no longer than the grace time.
async fn within_grace(
    work: impl Future<Output = Result<(), Error>>,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<(), Error> {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = work => result,
        () = late => Err(Error::Fatal(format!(
            "the app did not finish within {} s of being told to stop; unfinished messages come again",
            grace.as_secs_f64()
        ))),
    }
}

/// Cancels `stop` at SIGTERM or Ctrl-C; the second time the process ends at once.
pub(crate) async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be received; the app ends only by force");
        return;
    };
    for code in [None, Some(130)] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        match code {
            None => stop.cancel(),
            Some(code) => std::process::exit(code),
        }
    }
}

/// The tags Data Flow's dashboards select by.
fn metric_tags(launch: &Launch<'_>, props: &Props) -> Result<Vec<(String, String)>, Error> {
    let stream = "spring.cloud.dataflow.stream";
    let mut tags = Vec::new();
    for (tag, property, default) in [
        ("stream_name", format!("{stream}.name"), "unknown"),
        ("application_name", format!("{stream}.app.label"), launch.name),
        ("application_type", format!("{stream}.app.type"), launch.kind),
        ("instance_index", "instance.index".to_owned(), "0"),
        ("application_guid", "spring.cloud.application.guid".to_owned(), "unknown"),
    ] {
        tags.push((tag.to_owned(), props.text(&property)?.unwrap_or_else(|| default.to_owned())));
    }
    Ok(tags)
}
