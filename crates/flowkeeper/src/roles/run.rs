//! `flowkeeper run`: a stream of bundled apps in this process.

use std::collections::BTreeMap;

use flowkeeper_apps::{AppKind, Stage};
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
            0 if last == 0 => &[AppKind::Processor, AppKind::Source, AppKind::Sink],
            0 => &[AppKind::Source, AppKind::Processor],
            index if index == last => &[AppKind::Sink, AppKind::Processor],
            _ => &[AppKind::Processor],
        }
    };
    let mut stages = Vec::new();
    for (index, app) in stream.apps().iter().enumerate() {
        let kinds = place(index);
        let found = kinds.iter().find_map(|kind| flowkeeper_apps::find(*kind, app.name()));
        let descriptor = found.ok_or_else(|| unknown(app.name(), kinds))?;
        let given: Vec<_> = app.args().iter().map(|arg| (arg.name.as_str(), arg.value.as_str())).collect();
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
