//! `application …`: sets of streams that are changed as one.

mod apply;
pub(super) mod file;
mod show;
mod wait;

use clap::{ArgMatches, Command, value_parser};
use flowkeeper_api::Client;
use flowkeeper_api::applications::ApplicationChanges;

use super::{flag, name, name_args, option, seconds, wait_args};
use crate::exit::Failure;
use crate::table::Table;
use crate::ui::{Format, Ui};

pub(super) fn command() -> Command {
    let file = || {
        option("file", "FILE", "YAML file with stream applications; - is standard input")
            .short('f')
            .required(true)
    };
    let adopt = || flag("adopt", "Take in streams that exist and belong to no application");
    let deploy = || flag("deploy", "Start streams that do not run");
    Command::new("application")
        .about("Creates, changes and shows stream applications: sets of streams that are changed as one")
        .subcommand(
            Command::new("apply")
                .about("Makes stream applications what a file says; all of one or nothing of it")
                .arg(file())
                .arg(deploy())
                .arg(adopt())
                .arg(flag("dry-run", "Change nothing, only tell what would be changed"))
                .args(wait_args()),
        )
        .subcommand(
            Command::new("diff")
                .about("Tells what applying a file would change")
                .arg(file())
                .arg(deploy())
                .arg(adopt()),
        )
        .subcommand(Command::new("list").about("Lists stream applications"))
        .subcommand(
            Command::new("info").about("Shows a stream application with its streams").args(name_args()),
        )
        .subcommand(
            Command::new("deploy")
                .about("Starts all streams that do not run, at once")
                .args(name_args())
                .args(wait_args()),
        )
        .subcommand(
            Command::new("undeploy").about("Stops all streams at once").args(name_args()).args(wait_args()),
        )
        .subcommand(
            Command::new("rollback")
                .about("Makes a stream application what it was in an earlier release")
                .args(name_args())
                .arg(
                    option(
                        "release",
                        "NUMBER",
                        "The release to go back to; the one before that differs if not given",
                    )
                    .default_value("0")
                    .hide_default_value(true)
                    .value_parser(value_parser!(u32)),
                )
                .args(wait_args()),
        )
        .subcommand(
            Command::new("history")
                .about("Lists the releases of a stream application, newest first")
                .args(name_args()),
        )
        .subcommand(
            Command::new("destroy")
                .about("Stops and forgets a stream application with its streams")
                .args(name_args()),
        )
        .subcommand(
            Command::new("export")
                .about("Prints a stream application as a file that can be applied")
                .args(name_args())
                .arg(secrets_flag()),
        )
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("apply", matches)) => apply::apply(matches, client, ui, matches.get_flag("dry-run")).await,
        Some(("diff", matches)) => apply::apply(matches, client, ui, true).await,
        Some(("list", _)) => list(client, ui).await,
        Some(("info", matches)) => info(matches, client, ui).await,
        Some(("deploy", matches)) => {
            let changes = client.deploy_application(name(matches)?).await?;
            done(matches, client, ui, changes).await
        }
        Some(("undeploy", matches)) => {
            let changes = client.undeploy_application(name(matches)?).await?;
            done(matches, client, ui, changes).await
        }
        Some(("rollback", matches)) => {
            let release = matches.get_one::<u32>("release").copied().unwrap_or_default();
            let changes = client.rollback_application(name(matches)?, release).await?;
            done(matches, client, ui, changes).await
        }
        Some(("history", matches)) => {
            let releases = client.application_history(name(matches)?).await?;
            let names: Vec<_> = releases.iter().map(|release| release.release.to_string()).collect();
            ui.show(&releases, &names, &show::history(&releases))
        }
        Some(("destroy", matches)) => {
            let name = name(matches)?;
            client.destroy_application(name).await?;
            ui.done(&format!("Destroyed stream application '{name}' and its streams"), name);
            Ok(())
        }
        Some(("export", matches)) => {
            let documents = client.export(Some(name(matches)?), matches.get_flag("secrets")).await?;
            print_documents(ui, &documents)
        }
        _ => Err(Failure::usage("see 'flowkeeper application --help'")),
    }
}

/// Prints documents as YAML, or in the format that was asked for.
pub(super) fn print_documents(
    ui: &mut Ui,
    documents: &[flowkeeper_api::applications::Document],
) -> Result<(), Failure> {
    match ui.format {
        Format::Auto | Format::Yaml => {
            ui.print(&file::print(documents)?);
            Ok(())
        }
        _ => {
            let names: Vec<_> = documents.iter().filter_map(|document| document.name.clone()).collect();
            ui.show(&documents, &names, &Table::default())
        }
    }
}

pub(super) fn secrets_flag() -> clap::Arg {
    flag(
        "secrets",
        "With passwords and other secrets in clear; without it they are masked, and the file cannot be applied",
    )
}

async fn list(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let applications = client.applications().await?;
    let names: Vec<_> = applications.iter().map(|application| application.name.clone()).collect();
    ui.show(&applications, &names, &show::list(&applications))
}

async fn info(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let application = client.application(name(matches)?).await?;
    let is_text = ui.format == Format::Auto;
    if is_text {
        ui.print(&show::title(&application));
    }
    ui.show(&application, std::slice::from_ref(&application.name), &show::streams(&application))?;
    if is_text {
        ui.print(&show::remarks(&application));
    }
    Ok(())
}

/// Tells what was done, and waits for it if that is asked for.
async fn done(
    matches: &ArgMatches,
    client: &Client,
    ui: &mut Ui,
    changes: ApplicationChanges,
) -> Result<(), Failure> {
    let name = changes.name.clone();
    let text = show::head(&changes, true) + &show::changes(&changes.changes);
    match ui.format {
        Format::Auto => ui.print(&text),
        _ => ui.show(&changes, std::slice::from_ref(&name), &Table::default())?,
    }
    wait_for(matches, client, ui, &name).await
}

async fn wait_for(matches: &ArgMatches, client: &Client, ui: &mut Ui, name: &str) -> Result<(), Failure> {
    if !matches.get_flag("wait") {
        return Ok(());
    }
    wait::until_settled(client, name, seconds(matches)?, ui).await
}
