//! The command tree, and which function each command is.

mod app;
mod application;
mod cluster;
mod export;
mod node;
mod runtime;
mod stream;
mod what_if;

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use flowkeeper_api::Client;

use crate::Context;
use crate::exit::Failure;
use crate::ui::{Format, Ui};

/// Server of commands that name none.
const LOCAL: &str = "http://localhost:9393";

/// The commands, to be added to a command tree.
pub fn commands() -> Vec<Command> {
    let commands = [
        app::command(),
        stream::command(),
        application::command(),
        runtime::command(),
        export::command(),
        node::command(),
        cluster::command(),
        what_if::command(),
    ];
    commands.into_iter().map(with_common_options).collect()
}

fn with_common_options(command: Command) -> Command {
    let formats = PossibleValuesParser::new(["table", "json", "yaml", "name"]);
    let has_subcommands = command.has_subcommands();
    command
        .subcommand_required(has_subcommands)
        .arg_required_else_help(has_subcommands)
        .arg(Arg::new("server").long("server").value_name("URL").global(true).help(format!(
            "Server to talk to, or several with commas [default: {LOCAL}] [env: FLOWKEEPER_SERVER]"
        )))
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FORMAT")
                .value_parser(formats)
                .global(true)
                .help("Form of the output; by default a table on a terminal and plain lines otherwise"),
        )
}

/// Runs one command.
pub(crate) async fn dispatch(
    name: &str,
    matches: &ArgMatches,
    context: &Context,
    ui: &mut Ui,
) -> Result<(), Failure> {
    let server = text(matches, "server").or(context.default_server.as_deref()).unwrap_or(LOCAL);
    let client = Client::new(server)?;
    ui.format = text(matches, "output").map(Format::parse).unwrap_or_default();
    let result = match name {
        "app" => app::run(matches, &client, ui).await,
        "stream" => stream::run(matches, &client, ui).await,
        "application" => application::run(matches, &client, ui).await,
        "export" => export::run(matches, &client, ui).await,
        "node" => node::run(matches, &client, ui).await,
        "cluster" => cluster::run(matches, &client, ui).await,
        "what-if" => what_if::run(matches, &client, ui).await,
        "runtime" => runtime::run(matches, &client, ui).await,
        name => Err(Failure::usage(format!("there is no command '{name}'; see 'flowkeeper help'"))),
    };
    let stale = client.stale_seconds();
    if stale > 0 {
        ui.error(&format!(
            "The server has no connection to ZooKeeper: what it shows may be {stale} s old, and what runs may have changed"
        ));
    }
    result
}

/// The name of something, as a bare first argument or with `--name`, as SCDF's shell takes both.
fn name_args() -> [Arg; 2] {
    [
        Arg::new("NAME").value_name("NAME").help("Its name; --name NAME is the same"),
        Arg::new("name").long("name").value_name("NAME").hide(true).conflicts_with("NAME"),
    ]
}

/// The name that was given in either way.
fn name(matches: &ArgMatches) -> Result<&str, Failure> {
    let given = text(matches, "NAME").or(text(matches, "name"));
    given.ok_or_else(|| Failure::usage("a name is needed: give it as the first argument or with --name NAME"))
}

/// Waiting for a change to be carried out.
fn wait_args() -> [Arg; 2] {
    [
        flag("wait", "Wait until it is done, showing progress; fail with the reason if it fails"),
        option("timeout", "SECONDS", "How long to wait").default_value("120"),
    ]
}

/// How long to wait.
fn seconds(matches: &ArgMatches) -> Result<Duration, Failure> {
    let seconds = text(matches, "timeout").unwrap_or_default();
    let number = seconds
        .parse()
        .map_err(|_| Failure::usage(format!("--timeout: '{seconds}' is no number of seconds")));
    number.map(Duration::from_secs)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}
