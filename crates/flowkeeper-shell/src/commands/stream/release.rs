//! `stream update | rollback | scale | cancel | history | manifest | platform-list`: releases of a stream.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use flowkeeper_api::Client;
use flowkeeper_api::releases::Release;
use indexmap::IndexMap;

use super::{await_phase, await_phase_after, properties};
use crate::commands::{flag, name, name_args, option, text};
use crate::exit::Failure;
use crate::table::Table;
use crate::ui::{Format, Ui};

pub(super) fn update_command() -> Command {
    Command::new("update")
        .about("Changes properties or versions of a deployed stream's apps, without stopping it")
        .args(name_args())
        .arg(list_option("remove", "KEYS", "Properties to take away: app.time.x,deployer.log.memory"))
        .arg(flag("force", "Replace apps even where nothing differs"))
        .arg(
            list_option("appNames", "LABELS", "Which apps --force is about; all if not given")
                .visible_alias("app-names")
                .requires("force"),
        )
        .args(package_options())
}

pub(super) fn rollback_command() -> Command {
    Command::new("rollback")
        .about("Makes the apps of an earlier release run again")
        .args(name_args())
        .arg(release_option("The release to go back to; the one before the present one if not given"))
}

/// SCDF's shell says `stream scale app instances`; plain `stream scale` does the same.
pub(super) fn scale_command(wait: &impl Fn() -> [Arg; 2]) -> Command {
    let with_args = |command: Command| {
        command
            .args(name_args())
            .arg(
                option("applicationName", "LABEL", "The app")
                    .visible_aliases(["application-name", "app"])
                    .required(true),
            )
            .arg(
                option("count", "NUMBER", "How many copies of it")
                    .required(true)
                    .value_parser(value_parser!(u32)),
            )
            .arg(option("properties", "LIST", "For platforms that need some").hide(true))
            .args(wait())
    };
    let instances = with_args(Command::new("instances").about("Runs so many copies of an app"));
    with_args(Command::new("scale").about("Runs so many copies of an app"))
        .subcommand_negates_reqs(true)
        .subcommand(Command::new("app").hide(true).subcommand_required(true).subcommand(instances))
}

pub(super) fn cancel_command() -> Command {
    Command::new("cancel")
        .about("Gives up an update that is under way; the release before it runs on")
        .args(name_args())
}

pub(super) fn history_command() -> Command {
    Command::new("history").about("Lists the releases of a stream, newest first").args(name_args())
}

pub(super) fn manifest_command() -> Command {
    Command::new("manifest")
        .about("Prints a release with everything resolved, as YAML")
        .args(name_args())
        .arg(release_option("The release; the present one if not given"))
}

pub(super) fn platforms_command() -> Command {
    Command::new("platform-list").about("Lists where streams can be deployed to")
}

pub(super) async fn update(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    let mut changes: IndexMap<String, Option<String>> =
        properties(matches)?.into_iter().map(|(key, value)| (key, Some(value))).collect();
    changes.extend(list(matches, "remove").into_iter().map(|key| (key, None)));
    let force = matches.get_flag("force");
    if changes.is_empty() && !force {
        return Err(Failure::usage("nothing to update: give --properties, --remove or --force"));
    }
    client.update_stream(name, &changes, force, &list(matches, "appNames")).await?;
    ui.done(&format!("Update request has been sent for the stream '{name}'"), name);
    await_phase(matches, client, name, "deployed", ui).await
}

pub(super) async fn rollback(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    let asked = release(matches);
    // Without a number the release is named, and the same one is sent: what is printed is what happens. When there is none,
    // the server says so.
    let found = if asked == 0 { release_before(&client.history(name).await?) } else { None };
    client.rollback_stream(name, found.unwrap_or(asked)).await?;
    let target = found.map(|release| format!(" (to release {release})")).unwrap_or_default();
    ui.done(&format!("Rollback request has been sent for the stream '{name}'{target}"), name);
    await_phase(matches, client, name, "deployed", ui).await
}

pub(super) async fn scale(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let matches = match matches.subcommand().and_then(|(_, app)| app.subcommand()) {
        Some((_, instances)) => instances,
        None => matches,
    };
    let name = name(matches)?;
    let app = text(matches, "applicationName").unwrap_or_default();
    let count = matches.get_one::<u32>("count").copied().unwrap_or_default();
    let known = if matches.get_flag("wait") { client.stream_state(name).await?.rollout } else { None };
    client.scale_stream(name, app, count).await?;
    ui.done(&format!("Scale request has been sent for the stream '{name}'"), name);
    await_phase_after(matches, client, name, "deployed", known.as_deref(), ui).await
}

pub(super) async fn cancel(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    client.cancel_update(name).await?;
    ui.done(&format!("Cancelled the update of stream '{name}'"), name);
    Ok(())
}

pub(super) async fn history(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let name = name(matches)?;
    let releases = client.history(name).await?;
    if releases.is_empty() {
        // Nothing was ever deployed, or there is no such stream: say which.
        client.stream(name).await?;
    }
    let mut table =
        Table::new(&["Version", "Last updated", "Status", "Package Name", "Package Version", "Description"]);
    for release in &releases {
        table.row([
            &release.version.to_string(),
            &release.info.last_deployed,
            &release.info.status.status_code,
            &release.pkg.metadata.name,
            &release.pkg.metadata.version,
            &release.info.description,
        ]);
    }
    let names: Vec<_> = releases.iter().map(|release| release.version.to_string()).collect();
    ui.show(&releases, &names, &table)
}

pub(super) async fn manifest(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let manifest = client.manifest(name(matches)?, release(matches)).await?;
    match ui.format {
        Format::Auto => {
            ui.print(&manifest);
            Ok(())
        }
        _ => ui.show(&manifest, &[], &Table::default()),
    }
}

pub(super) async fn platforms(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let platforms = client.platforms().await?;
    let mut table = Table::new(&["Name", "Type", "Description"]);
    for platform in &platforms {
        table.row([&platform.name, &platform.kind, &platform.description]);
    }
    let names: Vec<_> = platforms.iter().map(|platform| platform.name.clone()).collect();
    ui.show(&platforms, &names, &table)
}

/// The release before the one that runs, or that ran last; releases that failed do not count, as they never ran.
fn release_before(releases: &[Release]) -> Option<u32> {
    let ran = || releases.iter().filter(|release| release.info.status.status_code != "FAILED");
    let runs = ran().find(|release| release.info.status.status_code == "DEPLOYED");
    let present = runs.map(|release| release.version).or_else(|| ran().map(|it| it.version).max())?;
    ran().map(|release| release.version).filter(|version| *version < present).max()
}

fn list_option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_delimiter(',').action(ArgAction::Append)
}

fn list(matches: &ArgMatches, name: &str) -> Vec<String> {
    let values = matches.get_many::<String>(name).into_iter().flatten();
    values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
}

fn release_option(help: &'static str) -> Arg {
    option("releaseVersion", "NUMBER", help)
        .visible_alias("release-version")
        .default_value("0")
        .hide_default_value(true)
        .value_parser(value_parser!(u32))
}

fn release(matches: &ArgMatches) -> u32 {
    matches.get_one::<u32>("releaseVersion").copied().unwrap_or_default()
}

/// What SCDF's shell takes and only Skipper needs.
fn package_options() -> [Arg; 2] {
    [
        option("packageVersion", "VERSION", "For Skipper, which there is none of").hide(true),
        option("repoName", "NAME", "For Skipper, which there is none of").hide(true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases as the server lists them, newest first.
    fn releases(states: &[(u32, &str)]) -> Vec<Release> {
        let release = |(version, state): &(u32, &str)| {
            serde_json::from_value(serde_json::json!({
                "name": "s", "version": version, "platformName": "default",
                "info": {
                    "status": {"statusCode": state, "platformStatus": null},
                    "firstDeployed": "", "lastDeployed": "", "deleted": null, "description": "",
                },
                "pkg": {
                    "metadata": {
                        "apiVersion": "", "origin": "", "repositoryId": null, "repositoryName": "", "kind": "", "name": "s",
                        "displayName": "", "version": "", "packageSourceUrl": "", "packageHomeUrl": "", "tags": "",
                        "maintainer": "", "description": "", "sha256": "", "iconUrl": "",
                    },
                    "templates": [], "dependencies": [], "configValues": null, "fileHolders": [],
                },
                "configValues": {"raw": ""}, "manifest": {"data": ""},
            }))
            .expect("a release")
        };
        states.iter().map(release).collect()
    }

    #[test]
    fn a_rollback_without_a_number_goes_to_the_release_before() {
        let before = |states: &[(u32, &str)]| release_before(&releases(states));
        assert_eq!(before(&[(3, "DEPLOYED"), (2, "DELETED"), (1, "DELETED")]), Some(2));
        assert_eq!(before(&[(3, "DEPLOYED"), (2, "FAILED"), (1, "DELETED")]), Some(1));
        assert_eq!(before(&[(3, "FAILED"), (2, "DEPLOYED"), (1, "DELETED")]), Some(1), "3 never ran");
        assert_eq!(before(&[(2, "DELETED"), (1, "DELETED")]), Some(1), "an undeployed stream");
        assert_eq!(before(&[(2, "FAILED"), (1, "DEPLOYED")]), None);
        assert_eq!(before(&[]), None);
    }

    #[test]
    fn the_help_does_not_speak_of_a_release_0() {
        for mut command in [rollback_command(), manifest_command()] {
            let help = command.render_help().to_string();
            assert!(help.contains("--releaseVersion") && !help.contains("[default: 0]"), "{help}");
        }
    }
}
