//! One bundled app as this process, started by a shim.

use std::collections::BTreeMap;

use flowkeeper_apps::AppKind;

use crate::exit::{Failure, Kind};

/// Runs the bundled app `kind`/`name` with `args` until it is told to end; returns its exit code.
pub(crate) fn run(kind: &str, name: &str, args: &[String], env: BTreeMap<String, String>) -> i32 {
    let kinds = [AppKind::Source, AppKind::Processor, AppKind::Sink];
    let Some(kind) = kinds.into_iter().find(|known| known.word() == kind) else {
        Failure::usage(format!("'{kind}' is no type of app: source, processor, sink")).tell();
        return Kind::Usage as i32;
    };
    flowkeeper_apps::run_app(kind, name, args.to_vec(), env)
}
