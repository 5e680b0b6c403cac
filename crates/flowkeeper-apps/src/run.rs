//! Runs bundled apps: one as a process, or a pipeline of them.

use std::collections::BTreeMap;
use std::io::Write;

use flowkeeper_appkit::app::{App, Error};
use flowkeeper_appkit::harness::{self, Launch};
use flowkeeper_appkit::pipeline;
use flowkeeper_appkit::props::Props;

use crate::catalog::{self, AppDescriptor, AppKind};

/// One app of a pipeline, as written in its definition.
#[derive(Debug, Clone)]
pub struct Stage {
    pub label: String,
    pub name: String,
    /// `None`: told by the place in the pipeline, or by the only kind with that name.
    pub kind: Option<AppKind>,
    /// Options in short or full names.
    pub properties: Vec<(String, String)>,
}

/// Runs one bundled app as this process until it ends or is told to stop; `args` are `--key=value`, options in short or full
/// names. Returns the exit code: 0 ended, 1 failed. The reason of a failure is on standard error.
pub fn run_app(kind: AppKind, name: &str, args: Vec<String>, env: BTreeMap<String, String>) -> i32 {
    let Some(descriptor) = catalog::find(kind, name) else {
        return fail(&format!("{name}-{kind}"), &unknown(kind, name));
    };
    match full_names(descriptor, args) {
        Err(message) => fail(&format!("{name}-{kind}"), &message),
        Ok(args) => {
            // As the Spring apps call themselves.
            let app_name = format!("{name}-{kind}");
            let defaults = [("spring.application.name", app_name.as_str())];
            let launch = Launch { name, kind: kind.word(), build: &descriptor.build, defaults: &defaults };
            harness::run(&launch, &args, &env)
        }
    }
}

/// Runs a pipeline in the foreground of this process until its source ends or Ctrl-C; returns the exit code.
pub fn run_pipeline(stages: Vec<Stage>, env: BTreeMap<String, String>) -> i32 {
    match build_stages(stages, &env) {
        Ok(stages) => pipeline::run(stages),
        Err(error) => fail("run", &error.to_string()),
    }
}

/// Builds the apps of a pipeline.
///
/// # Errors
/// An app that does not exist, or an option that is wrong.
pub(crate) fn build_stages(
    stages: Vec<Stage>,
    env: &BTreeMap<String, String>,
) -> Result<Vec<pipeline::Stage>, Error> {
    let n_stages = stages.len();
    let mut built = Vec::new();
    for (i, stage) in stages.into_iter().enumerate() {
        let in_stage = |message: String| Error::Fatal(format!("{}: {message}", stage.label));
        let descriptor = choose(&stage, i, n_stages).map_err(in_stage)?;
        let given: Vec<(&str, &str)> =
            stage.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let options = descriptor.check_options(&given).map_err(|e| in_stage(e.to_string()))?;
        let args: Vec<String> = options.into_iter().map(|(k, v)| format!("--{k}={v}")).collect();
        let props =
            Props::load(&args, env)?.with_defaults([("spring.application.name", stage.label.as_str())]);
        let app: App = (descriptor.build)(&props).map_err(|e| in_stage(e.to_string()))?;
        built.push(pipeline::Stage { label: stage.label, app, props });
    }
    Ok(built)
}

/// The app a stage means: of its kind, else of the kind its place suggests, else any of that name.
fn choose(stage: &Stage, index: usize, n_stages: usize) -> Result<&'static AppDescriptor, String> {
    if let Some(kind) = stage.kind {
        return catalog::find(kind, &stage.name).ok_or_else(|| unknown(kind, &stage.name));
    }
    let by_place = match index {
        0 => [AppKind::Source, AppKind::Processor, AppKind::Sink],
        i if i + 1 == n_stages => [AppKind::Sink, AppKind::Processor, AppKind::Source],
        _ => [AppKind::Processor, AppKind::Sink, AppKind::Source],
    };
    let found = by_place.into_iter().find_map(|kind| catalog::find(kind, &stage.name));
    found.ok_or_else(|| unknown(by_place[0], &stage.name))
}

fn unknown(kind: AppKind, name: &str) -> String {
    let names: Vec<&str> = catalog::catalog().iter().filter(|a| a.kind == kind).map(|a| a.name).collect();
    format!("there is no bundled {kind} '{name}'; there are {}", names.join(", "))
}

/// Arguments with short names replaced by full ones; what is no option passes unchanged.
fn full_names(descriptor: &AppDescriptor, args: Vec<String>) -> Result<Vec<String>, String> {
    args.into_iter()
        .map(|arg| {
            let Some(body) = arg.strip_prefix("--") else { return Ok(arg) };
            let (name, value) = body.split_once('=').unwrap_or((body, "true"));
            match descriptor.option(name).map_err(|e| e.to_string())? {
                None => Ok(arg),
                Some(option) => {
                    option.check_value(value).map_err(|e| e.to_string())?;
                    Ok(format!("--{}={value}", option.name))
                }
            }
        })
        .collect()
}

fn fail(name: &str, message: &str) -> i32 {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "flowkeeper: {name}: {message}");
    1
}

#[cfg(test)]
mod tests;
