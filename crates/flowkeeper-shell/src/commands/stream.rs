//! `stream …`: definitions and their deployment.

mod changes;
mod explain;
mod release;
mod watch;

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use clap::{ArgMatches, Command};
use flowkeeper_api::Client;
use flowkeeper_api::client::CreateStream;
use indexmap::IndexMap;

use super::{flag, name, name_args, option, seconds, text, wait_args};
use crate::exit::{Code, Failure};
use crate::table::Table;
use crate::ui::{Format, Ui};
use crate::wait;

pub(super) fn command() -> Command {
    let wait = wait_args;
    let properties = || {
        [
            option("properties", "LIST", "Deployment properties: app.time.x=1,deployer.log.count=2"),
            option("propertiesFile", "FILE", "Deployment properties from a YAML or properties file")
                .visible_alias("properties-file")
                .conflicts_with("properties"),
        ]
    };
    Command::new("stream")
        .about("Creates, deploys and shows streams")
        .subcommand(
            Command::new("create")
                .about("Creates a stream from its definition")
                .args(name_args())
                .arg(option("definition", "DSL", "Apps joined by |, as in 'time | log'").required(true))
                .arg(option("description", "TEXT", "What it is for"))
                .arg(flag("deploy", "Deploy it at once"))
                .args(properties())
                .args(wait()),
        )
        .subcommand(
            Command::new("deploy")
                .about("Deploys a stream")
                .args(name_args())
                .args(properties())
                .args(wait()),
        )
        .subcommand(release::update_command().args(properties()).args(wait()))
        .subcommand(release::rollback_command().args(wait()))
        .subcommand(release::scale_command(&wait))
        .subcommand(explain::command())
        .subcommand(release::cancel_command())
        .subcommand(release::history_command())
        .subcommand(release::manifest_command())
        .subcommand(release::platforms_command())
        .subcommand(Command::new("undeploy").about("Stops a stream's apps").args(name_args()).args(wait()))
        .subcommand(Command::new("destroy").about("Stops and forgets a stream").args(name_args()))
        .subcommand(
            Command::new("list")
                .about("Lists streams")
                .arg(flag("watch", "Go on with a line for each stream that changes, until interrupted")),
        )
        .subcommand(
            Command::new("info").about("Shows a stream with its deployment properties").args(name_args()),
        )
        .subcommand(Command::new("validate").about("Checks a stream's apps").args(name_args()))
        .subcommand(
            Command::new("logs").about("Prints the logs of a stream's apps").args(name_args()).arg(option(
                "app",
                "LABEL",
                "Only this app's",
            )),
        )
        .subcommand(
            Command::new("all")
                .about("Acts on all streams")
                .subcommand_required(true)
                .subcommand(
                    Command::new("undeploy").about("Stops all streams").arg(flag("force", "Do not ask")),
                )
                .subcommand(
                    Command::new("destroy")
                        .about("Stops and forgets all streams")
                        .arg(flag("force", "Do not ask")),
                ),
        )
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("create", matches)) => create(matches, client, ui).await,
        Some(("deploy", matches)) => deploy(matches, client, ui).await,
        Some(("undeploy", matches)) => undeploy(matches, client, ui).await,
        Some(("destroy", matches)) => {
            let name = name(matches)?;
            client.destroy_stream(name).await?;
            ui.done(&format!("Destroyed stream '{name}'"), name);
            Ok(())
        }
        Some(("list", matches)) if matches.get_flag("watch") => watch::run(client, ui).await,
        Some(("list", _)) => list(client, ui).await,
        Some(("info", matches)) => info(matches, client, ui).await,
        Some(("validate", matches)) => validate(matches, client, ui).await,
        Some(("logs", matches)) => logs(matches, client, ui).await,
        Some(("all", matches)) => all(matches, client, ui).await,
        Some(("explain", matches)) => explain::run(matches, client, ui).await,
        Some(("update", matches)) => release::update(matches, client, ui).await,
        Some(("rollback", matches)) => release::rollback(matches, client, ui).await,
        Some(("scale", matches)) => release::scale(matches, client, ui).await,
        Some(("cancel", matches)) => release::cancel(matches, client, ui).await,
        Some(("history", matches)) => release::history(matches, client, ui).await,
        Some(("manifest", matches)) => release::manifest(matches, client, ui).await,
        Some(("platform-list", _)) => release::platforms(client, ui).await,
        _ => Err(Failure::usage("see 'flowkeeper stream --help'")),
    }
}

async fn create(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    let properties = properties(matches)?;
    let deploys = matches.get_flag("deploy") || !properties.is_empty();
    let definition = text(matches, "definition").unwrap_or_default();
    // The server checks it too; here the caret can point into what was typed.
    flowkeeper_dsl::parse(Some(name), definition).map_err(|error| Failure::usage(error.render()))?;
    let stream = CreateStream {
        name: name.to_owned(),
        definition: definition.to_owned(),
        description: text(matches, "description").unwrap_or_default().to_owned(),
        deploy: deploys && properties.is_empty(),
    };
    client.create_stream(&stream).await?;
    ui.done(&format!("Created new stream '{name}'"), name);
    if !properties.is_empty() {
        client.deploy_stream(name, &properties).await?;
    }
    if deploys {
        if ui.format != Format::Name {
            ui.done("Deployment request has been sent", name);
        }
        await_phase(matches, client, name, "deployed", ui).await?;
    }
    Ok(())
}

async fn deploy(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    client.deploy_stream(name, &properties(matches)?).await?;
    ui.done(&format!("Deployment request has been sent for stream '{name}'"), name);
    await_phase(matches, client, name, "deployed", ui).await
}

async fn undeploy(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    client.undeploy_stream(name).await?;
    ui.done(&format!("Un-deployed stream '{name}'"), name);
    await_phase(matches, client, name, "undeployed", ui).await
}

async fn await_phase(
    matches: &ArgMatches,
    client: &Client,
    name: &str,
    phase: &str,
    ui: &mut Ui,
) -> Result<(), Failure> {
    await_phase_after(matches, client, name, phase, None, ui).await
}

/// As [`await_phase`], for a request that makes no release: a failure that was `known` before is none of it.
async fn await_phase_after(
    matches: &ArgMatches,
    client: &Client,
    name: &str,
    phase: &str,
    known: Option<&str>,
    ui: &mut Ui,
) -> Result<(), Failure> {
    if !matches.get_flag("wait") {
        return Ok(());
    }
    wait::until(client, name, phase, known, seconds(matches)?, ui).await?;
    if ui.format != Format::Name {
        ui.done(&format!("Stream '{name}' is {phase}"), name);
    }
    Ok(())
}

async fn list(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let streams = client.streams(None).await?;
    let mut table = Table::new(&["Stream Name", "Description", "Stream Definition", "Status"]);
    for stream in &streams {
        table.row([&stream.name, &stream.description, &stream.original_dsl_text, &stream.status]);
    }
    let names: Vec<_> = streams.iter().map(|stream| stream.name.clone()).collect();
    ui.show(&streams, &names, &table)
}

async fn info(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    let stream = client.deployment(name, true).await?;
    let mut table = Table::new(&["Stream Name", "Stream Definition", "Description", "Status"]);
    // What the user typed: the deployed text also holds everything that was computed, which follows below.
    let definition = client.stream(name).await?;
    let typed = &definition.original_dsl_text;
    table.row([&stream.stream_name, typed, &stream.description, &stream.status]);
    ui.show(&stream, std::slice::from_ref(&stream.stream_name), &table)?;
    if ui.format != Format::Auto {
        return Ok(());
    }
    for line in changes::since_typed(name, typed, &definition.dsl_text) {
        ui.print(&format!("{line}\n"));
    }
    if let Ok(serde_json::Value::Object(properties)) = serde_json::from_str(&stream.deployment_properties)
        && !properties.is_empty()
    {
        let pretty = serde_json::to_string_pretty(&properties).unwrap_or_default();
        ui.print(&format!("Stream Deployment properties: {pretty}\n"));
    }
    let now = client.stream_state(name).await?;
    if let Some(rollout) = &now.rollout {
        ui.print(&format!("{rollout}\n"));
    }
    let reasons = now.apps.iter().flat_map(|app| &app.instances).filter_map(|instance| {
        Some(format!("{} is {}: {}\n", instance.id, instance.phase, instance.reason.as_deref()?))
    });
    ui.print(&reasons.collect::<String>());
    Ok(())
}

async fn validate(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    let found = client.validate_stream(name).await?;
    let mut table = Table::new(&["App Name", "Validation Status"]);
    for (app, status) in &found.app_statuses {
        table.row([app, status]);
    }
    let names: Vec<_> = found.app_statuses.keys().cloned().collect();
    ui.show(&found, &names, &table)?;
    let is_valid = found.app_statuses.values().all(|status| status == "valid");
    let verdict = if is_valid { "a valid" } else { "an invalid" };
    if ui.format == Format::Auto {
        ui.print(&format!("{name} is {verdict} stream.\n"));
    }
    if is_valid {
        Ok(())
    } else {
        Err(Failure::failed(format!("stream '{name}' uses apps that are not valid")))
    }
}

async fn logs(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let logs = client.logs(name(matches)?, text(matches, "app")).await?;
    match ui.format {
        Format::Auto => {
            let has_many = logs.logs.len() > 1;
            for (id, text) in &logs.logs {
                if has_many {
                    ui.print(&format!("==> {id} <==\n"));
                }
                ui.print(text);
                if !text.ends_with('\n') {
                    ui.print("\n");
                }
            }
            Ok(())
        }
        _ => ui.show(&logs, &logs.logs.keys().cloned().collect::<Vec<_>>(), &Table::default()),
    }
}

async fn all(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let (action, matches) =
        matches.subcommand().ok_or_else(|| Failure::usage("say what: undeploy or destroy"))?;
    if !matches.get_flag("force") && !confirm(&format!("Really {action} all streams?"))? {
        return Ok(());
    }
    if action == "undeploy" {
        client.undeploy_all_streams().await?;
        ui.done("Un-deployed all the streams", "");
    } else {
        client.destroy_all_streams().await?;
        ui.done("Destroyed all streams", "");
    }
    Ok(())
}

/// Asks on the terminal; a script has to say `--force`.
fn confirm(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure {
            code: Code::Usage,
            message: format!("{question} There is no terminal to ask on: say --force"),
        });
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{question} [y, n]: ").and_then(|()| err.flush());
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Deployment properties from the option or the file.
fn properties(matches: &ArgMatches) -> Result<IndexMap<String, String>, Failure> {
    if let Some(list) = text(matches, "properties") {
        let parsed = flowkeeper_dsl::properties::parse_property_list(list);
        return parsed
            .map(|pairs| pairs.into_iter().collect())
            .map_err(|error| Failure::usage(error.to_string()));
    }
    let Some(path) = text(matches, "propertiesFile") else { return Ok(IndexMap::new()) };
    let content = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{path} cannot be read: {error}; check the path")))?;
    let is_yaml =
        Path::new(path).extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    if is_yaml { yaml_properties(path, &content) } else { Ok(plain_properties(&content)) }
}

/// Nested keys of a YAML file, joined by dots.
fn yaml_properties(path: &str, content: &str) -> Result<IndexMap<String, String>, Failure> {
    let value: serde_json::Value = serde_norway::from_str(content)
        .map_err(|error| Failure::usage(format!("{path} is not YAML: {error}")))?;
    let mut properties = IndexMap::new();
    flatten(String::new(), &value, &mut properties);
    Ok(properties)
}

fn flatten(prefix: String, value: &serde_json::Value, into: &mut IndexMap<String, String>) {
    use serde_json::Value;
    let dot = if prefix.is_empty() { "" } else { "." };
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| flatten(format!("{prefix}{dot}{key}"), value, into))
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, value)| flatten(format!("{prefix}[{index}]"), value, into));
        }
        Value::Null => {}
        Value::String(text) => drop(into.insert(prefix, text.clone())),
        other => drop(into.insert(prefix, other.to_string())),
    }
}

/// Lines of `key=value` or `key: value`; `#` and `!` begin comments.
fn plain_properties(content: &str) -> IndexMap<String, String> {
    let lines =
        content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let pairs = lines.filter_map(|line| line.split_once(['=', ':']));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_property_files_of_both_forms() {
        let plain = plain_properties("# comment\napp.time.x=1\n\ndeployer.log.count: 2\n! other\n");
        let yaml = yaml_properties("f.yml", "app:\n  time:\n    x: 1\ndeployer.log.count: 2\nempty:\n")
            .unwrap_or_default();
        let expected: IndexMap<String, String> = [("app.time.x", "1"), ("deployer.log.count", "2")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        assert_eq!(plain, expected);
        assert_eq!(yaml, expected);
    }
}
