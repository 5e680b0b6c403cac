//! `export`: everything as a file that can be applied on another server.

use clap::{ArgMatches, Command};
use flowkeeper_api::Client;

use super::application::{file, print_documents, secrets_flag};
use super::{option, text};
use crate::exit::Failure;
use crate::ui::Ui;

pub(super) fn command() -> Command {
    Command::new("export")
        .about("Prints registered apps, stream applications and streams as a file for 'application apply'")
        .arg(option("file", "FILE", "Where to write it; standard output if not given").short('f'))
        .arg(secrets_flag())
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let documents = client.export(None, matches.get_flag("secrets")).await?;
    let Some(path) = text(matches, "file") else { return print_documents(ui, &documents) };
    std::fs::write(path, file::print(&documents)?)
        .map_err(|error| Failure::failed(format!("{path} cannot be written: {error}; check the path")))?;
    ui.done(&format!("Wrote {} documents to {path}", documents.len()), path);
    Ok(())
}
