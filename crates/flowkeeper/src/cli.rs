//! The command line: roles, and the shell's one-shot commands.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::exit::Failure;
use crate::logging;
use crate::roles;
use crate::settings::{self, Role, Settings};

/// Runs the command that `args` (with the program's name first) say; returns the exit code.
///
/// # Errors
/// What went wrong, for the person who typed it.
pub(crate) fn run(args: Vec<String>, env: BTreeMap<String, String>) -> Result<i32, Failure> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Help goes to standard output, usage errors to standard error; a closed one is nothing to complain about.
            let _ = error.print();
            return Ok(if is_answer { 0 } else { 2 });
        }
    };
    let Some((name, matches)) = matches.subcommand() else { return Ok(2) };
    if let ("zookeeper", Some((tool, matches))) = (name, matches.subcommand()) {
        return roles::zookeeper_tools::run(tool, matches, &env);
    }
    let load = |role| {
        let settings = Settings::load(role, matches, &env)?;
        logging::start(&settings)?;
        Ok::<_, Failure>(settings)
    };
    match name {
        "dev" => roles::dev::run(&load(Role::Dev)?, &env)?,
        "server" => roles::server::run(&load(Role::Server)?, &env)?,
        "agent" => roles::agent::run(&load(Role::Agent)?, &env)?,
        "zookeeper" => roles::zookeeper::run(&load(Role::Zookeeper)?, &env)?,
        "broker" => roles::broker::run(&load(Role::Broker)?, &env)?,
        "run" => {
            let definition = matches.get_one::<String>("definition").map(String::as_str).unwrap_or_default();
            return roles::run::run(definition, env);
        }
        name => {
            let context = flowkeeper_shell::Context {
                default_server: env.get("FLOWKEEPER_SERVER").cloned(),
                is_terminal: std::io::stdout().is_terminal(),
                columns: env.get("COLUMNS").and_then(|columns| columns.parse().ok()),
            };
            return Ok(flowkeeper_shell::run(name, matches, &context));
        }
    }
    Ok(0)
}

fn command() -> Command {
    let role = |name: &'static str, role, about: &'static str| {
        Command::new(name).about(about).args(settings::args(role))
    };
    Command::new("flowkeeper")
        .about("Runs data pipelines: streams of apps, on ZooKeeper. Start with 'flowkeeper dev --demo'.")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(role("dev", Role::Dev, "Everything in one process: API, agent, embedded ZooKeeper and broker"))
        .subcommand(role("server", Role::Server, "The REST API; one of all servers leads"))
        .subcommand(role("agent", Role::Agent, "Runs app instances on this node"))
        .subcommand(role("zookeeper", Role::Zookeeper, "The embedded ZooKeeper server alone").subcommands(roles::zookeeper_tools::commands()))
        .subcommand(role("broker", Role::Broker, "The embedded Kafka-protocol broker alone"))
        .subcommand(
            Command::new("run")
                .about("Runs a stream of bundled apps in the foreground, without a server")
                .after_help(
                    "Without a source it reads standard input, without a sink it writes standard output, a message per line:\n  \
                     flowkeeper run 'time | transform --expression=payload.toUpperCase() | log'\n  \
                     echo '{\"a\":{\"b\":1}}' | flowkeeper run 'transform --expression=payload.a.b'",
                )
                .arg(Arg::new("definition").value_name("DSL").required(true).help("The stream, as in 'stream create'")),
        )
        .subcommands(flowkeeper_shell::commands())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_sound() {
        super::command().debug_assert();
    }
}
