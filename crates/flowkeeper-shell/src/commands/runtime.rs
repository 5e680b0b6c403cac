//! `runtime …`: what runs.

use clap::{ArgMatches, Command};
use flowkeeper_api::Client;

use super::{flag, option, text};
use crate::exit::Failure;
use crate::table::Table;
use crate::ui::Ui;

pub(super) fn command() -> Command {
    Command::new("runtime").about("Shows what runs").subcommand(
        Command::new("apps")
            .about("Lists running apps and their instances")
            .arg(flag("summary", "Apps only, without their instances"))
            .arg(
                option("appId", "IDS", "Only these, separated by commas; 'STREAM.*' means all of a stream")
                    .alias("appIds"),
            ),
    )
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("apps", matches)) => apps(matches, client, ui).await,
        _ => Err(Failure::usage("see 'flowkeeper runtime --help'")),
    }
}

async fn apps(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let mut apps = client.runtime_apps().await?;
    if let Some(ids) = text(matches, "appId") {
        let wanted: Vec<_> = ids.split(',').map(str::trim).collect();
        let is_wanted = |id: &str| {
            wanted
                .iter()
                .any(|want| want.strip_suffix('*').map_or(*want == id, |prefix| id.starts_with(prefix)))
        };
        apps.retain(|app| is_wanted(&app.deployment_id));
    }
    let names: Vec<_> = apps.iter().map(|app| app.deployment_id.clone()).collect();
    let is_summary = matches.get_flag("summary");
    let header: [&str; 3] = if is_summary {
        ["App Id", "Unit Status", "No. of Instances"]
    } else {
        ["App Id / Instance Id", "Unit Status", "No. of Instances / Attributes"]
    };
    let mut table = Table::new(&header);
    for app in &apps {
        let instances = &app.instances.embedded.0;
        table.row([&app.deployment_id, &app.state, &instances.len().to_string()]);
        for instance in instances.iter().filter(|_| !is_summary) {
            let width = instance.attributes.keys().map(String::len).max().unwrap_or(0);
            let attributes =
                instance.attributes.iter().map(|(name, value)| format!("{name:>width$} = {value}"));
            table.row([&instance.instance_id, &instance.state, &attributes.collect::<Vec<_>>().join("\n")]);
        }
    }
    ui.show(&apps, &names, &table)
}
