//! The `flowkeeper` binary: picks a role from the command line and runs it. Knows everything, decides nothing.

mod catalog;
mod cli;
mod demo;
mod exit;
mod folder;
mod listen;
mod logging;
mod roles;
mod settings;
mod signals;

use std::collections::BTreeMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let env = environment();
    // Processes that the agent starts by the hundred take the short way: no command tree, no logging, no runtime of ours.
    match args.get(1).map(String::as_str) {
        Some("shim") if args.len() == 3 => return exit_code(flowkeeper_deploy::shim::main(args[2].as_ref())),
        Some("exec-app") if args.len() == 4 => {
            return exit_code(flowkeeper_deploy::shim::exec_main(args[2].as_ref(), &args[3]));
        }
        Some("run-app") if args.len() >= 4 => {
            return exit_code(roles::app::run(&args[2], &args[3], &args[4..], env));
        }
        _ => {}
    }
    match cli::run(args, env) {
        Ok(code) => exit_code(code),
        Err(failure) => failure.tell(),
    }
}

/// The environment, read once, here, and handed on as a map.
fn environment() -> BTreeMap<String, String> {
    let vars = std::env::vars_os();
    vars.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
