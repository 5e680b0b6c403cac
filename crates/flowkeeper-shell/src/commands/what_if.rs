//! `what-if`: what would move if nodes were lost. Nothing is changed.

use clap::{Arg, ArgAction, ArgMatches, Command};
use flowkeeper_api::Client;
use flowkeeper_api::nodes::WhatIf;

use crate::exit::Failure;
use crate::table::Table;
use crate::ui::{Format, Ui};

pub(super) fn command() -> Command {
    Command::new("what-if").about("Computes what would move if nodes were lost; nothing is changed").arg(
        Arg::new("lose")
            .long("lose")
            .value_name("NODE|rack:R|zone:Z|host:H")
            .required(true)
            .value_delimiter(',')
            .action(ArgAction::Append)
            .help("What is lost; may be given several times"),
    )
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let lost: Vec<String> = matches.get_many::<String>("lose").into_iter().flatten().cloned().collect();
    show(&client.what_if_lost(&lost).await?, ui)
}

/// Prints an outcome.
pub(super) fn show(outcome: &WhatIf, ui: &mut Ui) -> Result<(), Failure> {
    let mut table = Table::new(&["Instance", "From", "To"]);
    for relocation in &outcome.moves {
        table.row([&relocation.instance, &relocation.from, &relocation.to]);
    }
    for stranded in &outcome.stranded {
        table.row([&stranded.instance, "", &format!("nowhere: {}", stranded.reason)]);
    }
    let names: Vec<_> = outcome.moves.iter().map(|relocation| relocation.instance.clone()).collect();
    if ui.format == Format::Auto && outcome.moves.is_empty() && outcome.stranded.is_empty() {
        ui.print(&format!("Nothing would move: nothing runs on {}\n", outcome.nodes.join(", ")));
        return Ok(());
    }
    ui.show(outcome, &names, &table)?;
    if ui.format == Format::Auto {
        let load =
            outcome.load.iter().map(|(node, load)| format!("{node} {} -> {}", load.before, load.after));
        let mut load = load.collect::<Vec<_>>().join(", ");
        if load.is_empty() {
            load.push_str("no node would be left");
        }
        ui.print(&format!(
            "{} would move, {} would run nowhere; instances per node: {}\n",
            outcome.moves.len(),
            outcome.stranded.len(),
            load
        ));
        if let Some(brake) = &outcome.brake {
            ui.print(&format!("{brake}\n"));
        }
    }
    Ok(())
}
