//! `app …`: the registry of apps.

use clap::{Arg, ArgMatches, Command};
use flowkeeper_api::Client;
use flowkeeper_api::client::{AppFilter, Register};
use serde_json::Value;

use super::{flag, name, name_args, option, text};
use crate::exit::{Code, Failure};
use crate::table::Table;
use crate::ui::{Format, Ui};

pub(super) fn command() -> Command {
    let kind = || option("type", "TYPE", "source, processor, sink, app or task").required(true);
    Command::new("app")
        .about("Registers and shows apps")
        .subcommand(
            Command::new("register")
                .about("Registers one version of an app")
                .args(name_args())
                .arg(kind())
                .arg(
                    option("uri", "URI", "Its program: builtin:, file:, http:, https:, maven: or docker:")
                        .required(true),
                )
                .arg(
                    option("metadata-uri", "URI", "Where its option metadata is")
                        .visible_alias("metadataUri")
                        .short('m'),
                )
                .arg(
                    option("boot-version", "N", "Generation of Spring Boot, 2 or 3")
                        .visible_alias("bootVersion")
                        .short('b'),
                )
                .arg(flag("force", "Replace what is registered under the same version")),
        )
        .subcommand(
            Command::new("import")
                .about("Registers all apps that a properties file lists, lines of <type>.<name>=<uri>")
                .arg(Arg::new("FILE").value_name("FILE").help("The file; --uri URI is the same"))
                .arg(option("uri", "URI", "The list: a file, file: or http(s): URI").conflicts_with("FILE"))
                .arg(
                    option("local", "BOOL", "true: this command reads the list; false: the server does")
                        .default_value("true"),
                )
                .arg(flag("force", "Replace what is registered")),
        )
        .subcommand(
            Command::new("list")
                .about("Lists registered apps by type; with TYPE:NAME, the versions of one")
                .arg(
                    Arg::new("ID")
                        .value_name("TYPE:NAME")
                        .help("Show the versions of this app, their programs, and which is the default"),
                )
                .arg(option("id", "TYPE:NAME", "The same").conflicts_with("ID")),
        )
        .subcommand(
            Command::new("info")
                .about("Shows an app and its options")
                .args(name_args())
                .arg(kind())
                .arg(option("version", "VERSION", "Another version than the default one"))
                .arg(flag("exhaustive", "Also options that are not commonly used")),
        )
        .subcommand(
            Command::new("default")
                .about("Makes a version the default of its app")
                .arg(Arg::new("ID").value_name("TYPE:NAME").help("The app"))
                .arg(option("id", "TYPE:NAME", "The same").hide(true).conflicts_with("ID"))
                .arg(option("version", "VERSION", "The version").required(true)),
        )
        .subcommand(
            Command::new("unregister")
                .about("Unregisters one version of an app")
                .args(name_args())
                .arg(kind())
                .arg(option("version", "VERSION", "Another version than the default one")),
        )
        .subcommand(Command::new("all").about("Acts on all apps").subcommand_required(true).subcommand(
            Command::new("unregister").about("Unregisters all apps that no deployed stream uses"),
        ))
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("register", matches)) => register(matches, client, ui).await,
        Some(("import", matches)) => import(matches, client, ui).await,
        Some(("list", matches)) => match text(matches, "ID").or(text(matches, "id")) {
            Some(id) => versions(id, client, ui).await,
            None => list(client, ui).await,
        },
        Some(("info", matches)) => info(matches, client, ui).await,
        Some(("default", matches)) => set_default(matches, client, ui).await,
        Some(("unregister", matches)) => unregister(matches, client, ui).await,
        _ => unregister_all(client, ui).await,
    }
}

async fn register(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let app = Register {
        kind: text(matches, "type").unwrap_or_default().to_owned(),
        name: name(matches)?.to_owned(),
        uri: text(matches, "uri").unwrap_or_default().to_owned(),
        metadata_uri: text(matches, "metadata-uri").map(str::to_owned),
        boot_version: text(matches, "boot-version").map(str::to_owned),
        force: matches.get_flag("force"),
        ..Register::default()
    };
    client.register_app(&app).await?;
    let boot = app.boot_version.as_ref().map(|version| format!(" (boot {version})")).unwrap_or_default();
    ui.done(&format!("Successfully registered application '{}:{}{boot}'", app.kind, app.name), &app.name);
    Ok(())
}

async fn import(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let source = text(matches, "FILE").or(text(matches, "uri"));
    let source = source.ok_or_else(|| Failure::usage("a list is needed: give a file, or --uri URI"))?;
    let force = matches.get_flag("force");
    let path = source.strip_prefix("file:").map_or(source, |rest| rest.trim_start_matches("//"));
    let is_file = !source.contains("://") || source.starts_with("file:");
    let imported = if text(matches, "local") != Some("false") && is_file {
        let list = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{path} cannot be read: {error}; check the path")))?;
        client.import_apps(&list, force).await?
    } else {
        client.import_apps_from(source, force).await?
    };
    let keys: Vec<_> = imported.iter().map(|app| format!("{}.{}", app.kind, app.name)).collect();
    match ui.format {
        Format::Name => ui.print(&keys.iter().map(|key| format!("{key}\n")).collect::<String>()),
        _ => ui
            .done(&format!("Successfully registered {} applications: [{}]", keys.len(), keys.join(", ")), ""),
    }
    Ok(())
}

async fn list(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    const KINDS: [&str; 5] = ["app", "source", "processor", "sink", "task"];
    let apps = client.apps(&AppFilter { default_only: true, ..AppFilter::default() }).await?;
    if apps.is_empty() && ui.format == Format::Auto {
        ui.done("No registered apps.\nYou can register new apps with the 'app register' and 'app import' commands.", "");
        return Ok(());
    }
    let of = |kind: &str| {
        apps.iter().filter(|app| app.kind == kind).map(|app| app.name.clone()).collect::<Vec<_>>()
    };
    let columns = KINDS.map(of);
    let mut table = Table::new(&KINDS);
    for row in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
        table.row_of(columns.iter().map(|column| column.get(row).cloned().unwrap_or_default()).collect());
    }
    let names: Vec<_> = apps.iter().map(|app| format!("{}:{}", app.kind, app.name)).collect();
    ui.show(&apps, &names, &table)
}

async fn versions(id: &str, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let (kind, name) = split_id(id)?;
    let filter =
        AppFilter { kind: Some(kind.to_owned()), search: Some(name.to_owned()), ..AppFilter::default() };
    let mut apps = client.apps(&filter).await?;
    apps.retain(|app| app.name == name);
    if apps.is_empty() {
        return Err(Failure {
            code: Code::NotFound,
            message: format!("no app {kind}:{name} is registered; 'app list' shows the registered ones"),
        });
    }
    let mut table = Table::new(&["Version", "Default", "URI"]);
    for app in &apps {
        table.row([&app.version, if app.default_version { "yes" } else { "" }, &app.uri]);
    }
    let names: Vec<_> = apps.iter().map(|app| app.version.clone()).collect();
    ui.show(&apps, &names, &table)
}

async fn info(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let (kind, name) = (text(matches, "type").unwrap_or_default(), name(matches)?);
    let app = client.app(kind, name, text(matches, "version"), matches.get_flag("exhaustive")).await?;
    let mut table = Table::new(&["Option Name", "Description", "Default", "Type"]);
    for option in &app.options {
        let default = match &option.default_value {
            Value::Null => "<none>".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let kind = option.java_type.as_deref().unwrap_or("<unknown>");
        table.row([&option.id, option.description.as_deref().unwrap_or("<unknown>"), &default, kind]);
    }
    if ui.format == Format::Auto {
        let summary = app.short_description.as_deref().map(|text| format!("{text}\n")).unwrap_or_default();
        ui.print(&format!(
            "Information about {kind} application '{name}':\n{summary}Version: '{}':\nDefault application version: '{}':\n\
             Resource URI: {}\n",
            app.version, app.default_version, app.uri
        ));
    }
    let names: Vec<_> = app.options.iter().map(|option| option.id.clone()).collect();
    ui.show(&app, &names, &table)
}

async fn set_default(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let id = text(matches, "ID").or(text(matches, "id"));
    let (kind, name) = split_id(id.ok_or_else(|| Failure::usage("an app is needed: TYPE:NAME"))?)?;
    let version = text(matches, "version").unwrap_or_default();
    client.set_default_app(kind, name, version).await?;
    ui.done(&format!("New default Application {kind}:{name}:{version}"), name);
    Ok(())
}

async fn unregister(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let (kind, name) = (text(matches, "type").unwrap_or_default(), name(matches)?);
    client.unregister_app(kind, name, text(matches, "version")).await?;
    ui.done(&format!("Successfully unregistered application '{name}' with type '{kind}'."), name);
    Ok(())
}

async fn unregister_all(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    client.unregister_all_apps().await?;
    let left = client.apps(&AppFilter::default()).await?;
    let left: Vec<_> =
        left.iter().map(|app| format!("[{}:{}:{}]", app.name, app.kind, app.version)).collect();
    match left.as_slice() {
        [] => ui.done("Successfully unregistered all applications.", ""),
        left => ui.done(
            &format!(
                "Unregistered all applications but those that deployed streams use: {}",
                left.join(", ")
            ),
            "",
        ),
    }
    Ok(())
}

fn split_id(id: &str) -> Result<(&str, &str), Failure> {
    id.split_once(':').ok_or_else(|| {
        Failure::usage(format!("'{id}' does not name an app: write TYPE:NAME, as source:time"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(name: &str) -> String {
        let mut command = command();
        command.find_subcommand_mut(name).expect("a command").render_help().to_string()
    }

    #[test]
    fn the_help_names_every_scheme_and_the_versions_of_an_app() {
        let register = help("register");
        for scheme in ["builtin:", "file:", "http:", "https:", "maven:", "docker:"] {
            assert!(register.contains(scheme), "{scheme} in {register}");
        }
        assert!(help("list").contains("--id <TYPE:NAME>"));
    }
}
