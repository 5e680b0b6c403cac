//! `flowkeeper run`: a stream of bundled apps in this process.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use flowkeeper_apps::{AppDescriptor, AppKind, Stage};
use flowkeeper_dsl::StreamDefinition;

use crate::exit::Failure;

/// Runs `definition` in the foreground; returns its exit code.
///
/// # Errors
/// When it is no stream that can run here.
pub(crate) fn run(definition: &str, env: BTreeMap<String, String>) -> Result<i32, Failure> {
    let stream =
        flowkeeper_dsl::parse(Some("run"), definition).map_err(|error| Failure::usage(error.render()))?;
    let destination = stream.source_destination().or(stream.sink_destination());
    if let Some(destination) = destination {
        return Err(Failure::usage(format!(
            "':{}' is a destination of a broker, and 'flowkeeper run' uses none; start 'flowkeeper dev' and create a stream",
            destination.name
        )));
    }
    let stages = stages(&stream)?;
    Ok(flowkeeper_apps::run_pipeline(stages, env))
}

/// Finds the bundled app of each place. The first may be a source or a processor, the last a sink or a processor: standard
/// input and output stand in for what is missing.
fn stages(stream: &StreamDefinition) -> Result<Vec<Stage>, Failure> {
    let last = stream.apps().len().saturating_sub(1);
    let place = |index: usize| -> &[AppKind] {
        match index {
            0 if last == 0 => &[AppKind::Source, AppKind::Processor, AppKind::Sink],
            0 => &[AppKind::Source, AppKind::Processor],
            index if index == last => &[AppKind::Sink, AppKind::Processor],
            _ => &[AppKind::Processor],
        }
    };
    let mut stages = Vec::new();
    for (index, app) in stream.apps().iter().enumerate() {
        let kinds = place(index);
        let given: Vec<_> = app.args().iter().map(|arg| (arg.name.as_str(), arg.value.as_str())).collect();
        let found: Vec<_> =
            kinds.iter().filter_map(|kind| flowkeeper_apps::find(*kind, app.name())).collect();
        let descriptor = match found.as_slice() {
            [] => return Err(unknown(app.name(), kinds)),
            [only] => *only,
            several => by_options(several, &given)?,
        };
        let properties = descriptor.check_options(&given).map_err(Failure::usage)?;
        stages.push(Stage {
            label: app.label().to_owned(),
            name: app.name().to_owned(),
            kind: Some(descriptor.kind),
            properties,
        });
    }
    Ok(stages)
}

/// One name, several kinds: the one whose options were given. Where none fits, standard input tells whose error to show:
/// what is piped in is meant for the sink.
fn by_options(
    several: &[&'static AppDescriptor],
    given: &[(&str, &str)],
) -> Result<&'static AppDescriptor, Failure> {
    let fitting: Vec<_> = several.iter().filter(|app| app.check_options(given).is_ok()).collect();
    match fitting.as_slice() {
        [only] => Ok(**only),
        [] => {
            let wanted = if std::io::stdin().is_terminal() { AppKind::Source } else { AppKind::Sink };
            let meant = several.iter().find(|app| app.kind == wanted).or(several.first());
            meant.copied().ok_or_else(|| Failure::usage("the stream has no apps"))
        }
        _ => {
            let name = several.first().map_or("it", |app| app.name);
            let kinds: Vec<_> = several.iter().map(|app| app.kind.word()).collect();
            Err(Failure::usage(format!(
                "'{name}' is a {}; write `bridge | {name}` to send standard input into the sink, or `{name} | bridge` to \
                 print what the source makes",
                kinds.join(" and a ")
            )))
        }
    }
}

fn unknown(name: &str, kinds: &[AppKind]) -> Failure {
    let known = flowkeeper_apps::catalog().iter().filter(|app| kinds.contains(&app.kind)).map(|app| app.name);
    let near = flowkeeper_appkit::suggest::nearest(name, known);
    let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
    Failure::usage(format!(
        "there is no bundled {} named '{name}'; {hint}'flowkeeper app list' lists them",
        kinds.join(" or ")
    ))
}
