//! `application apply` and `application diff`: a file, document by document.

use clap::ArgMatches;
use flowkeeper_api::Client;
use flowkeeper_api::applications::{ChangeAction, Document, DocumentApp, DocumentStream, StreamChange};
use flowkeeper_api::client::{Apply, CreateStream, Register};

use super::show::{AppChange, Report};
use super::{file, wait_for};
use crate::commands::text;
use crate::exit::{Code, Failure};
use crate::table::Table;
use crate::ui::{Format, Ui};

/// Applies a file, or tells what that would change. Each document is applied by itself, in the order of the file; what was done
/// before a document that is refused stands, and is told.
pub(super) async fn apply(
    matches: &ArgMatches,
    client: &Client,
    ui: &mut Ui,
    dry_run: bool,
) -> Result<(), Failure> {
    let documents = file::read(text(matches, "file").unwrap_or_default())?;
    let how = Apply { deploy: matches.get_flag("deploy"), adopt: matches.get_flag("adopt"), dry_run };
    check_loose(client, &documents, how).await?;
    let mut report = Report::default();
    let mut result = Ok(());
    for document in &documents {
        result = one(client, document, how, &mut report).await;
        if result.is_err() {
            break;
        }
    }
    match ui.format {
        Format::Auto => ui.print(&report.describe(!dry_run)),
        _ => ui.show(&report, &report.names(), &Table::default())?,
    }
    result?;
    if !dry_run {
        for application in &report.applications {
            wait_for(matches, client, ui, &application.name).await?;
        }
    }
    Ok(())
}

/// Refuses properties that would be lost: a stream of no application has none until it is deployed.
async fn check_loose(client: &Client, documents: &[Document], how: Apply) -> Result<(), Failure> {
    let loose = documents.iter().filter(|document| document.name.is_none());
    let loose = loose.flat_map(|document| &document.streams);
    let with_properties: Vec<_> = loose.filter(|stream| !stream.properties.is_empty()).collect();
    if how.deploy || with_properties.is_empty() {
        return Ok(());
    }
    let present = client.export(None, true).await?;
    let is_present =
        |name: &str| present.iter().flat_map(|document| &document.streams).any(|stream| stream.name == name);
    let lost: Vec<_> = with_properties
        .iter()
        .filter(|stream| !is_present(&stream.name))
        .map(|stream| format!("'{}'", stream.name))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "properties of {}, which belong to no stream application, are used when they are deployed and would be lost now: apply \
         with --deploy, or give the document a name, which makes it a stream application; nothing was changed",
        lost.join(", ")
    )))
}

async fn one(client: &Client, document: &Document, how: Apply, report: &mut Report) -> Result<(), Failure> {
    if let Some(name) = &document.name {
        report.applications.push(client.apply_application(name, document, how).await?);
        return Ok(());
    }
    // What is there, texts as they were typed: the lists of the API mask and reformat them.
    let present = client.export(None, true).await?;
    for app in &document.apps {
        report.apps.push(register(client, app, &present, how).await?);
    }
    let decided: Vec<bool> =
        document.streams.iter().map(|stream| is_new(stream, &present)).collect::<Result<_, _>>()?;
    for (stream, is_new) in document.streams.iter().zip(decided) {
        report.streams.push(create(client, stream, is_new, how).await?);
    }
    Ok(())
}

/// Registers an app that is not registered, and makes it the default if it is to be.
async fn register(
    client: &Client,
    app: &DocumentApp,
    present: &[Document],
    how: Apply,
) -> Result<AppChange, Failure> {
    let is_it = |other: &&DocumentApp| {
        (&other.kind, &other.name, &other.uri) == (&app.kind, &app.name, &app.uri)
            && app.version.as_ref().is_none_or(|version| other.version.as_ref() == Some(version))
    };
    let known = present.iter().flat_map(|document| &document.apps).find(is_it);
    let version = known.and_then(|known| known.version.as_ref()).or(app.version.as_ref());
    let action = match known {
        None => "register",
        Some(known) if app.default && !known.default => "default",
        Some(_) => "unchanged",
    };
    let subject = [Some(&app.kind), Some(&app.name), version].into_iter().flatten();
    let change = AppChange { app: subject.cloned().collect::<Vec<_>>().join(":"), action };
    if how.dry_run || action == "unchanged" {
        return Ok(change);
    }
    if known.is_none() {
        let register = Register {
            kind: app.kind.clone(),
            name: app.name.clone(),
            version: app.version.clone(),
            uri: app.uri.clone(),
            metadata_uri: app.metadata_uri.clone(),
            boot_version: app.boot_version.clone(),
            force: false,
        };
        client.register_app(&register).await?;
    }
    if app.default
        && let Some(version) = version
    {
        client.set_default_app(&app.kind, &app.name, version).await?;
    }
    Ok(change)
}

/// Whether a stream that belongs to no application is to be created; one that is there must be the same.
fn is_new(stream: &DocumentStream, present: &[Document]) -> Result<bool, Failure> {
    let conflict = |message: String| Failure { code: Code::Conflict, message };
    for document in present {
        let Some(known) = document.streams.iter().find(|known| known.name == stream.name) else { continue };
        return match &document.name {
            Some(application) => Err(conflict(format!(
                "stream '{}' belongs to stream application '{application}': change it there, or rename it",
                stream.name
            ))),
            None if known.definition.trim() == stream.definition => Ok(false),
            None => Err(conflict(format!(
                "stream '{}' exists with another definition: destroy it first, or give the document a name, which makes it a \
                 stream application that can be changed",
                stream.name
            ))),
        };
    }
    Ok(true)
}

async fn create(
    client: &Client,
    stream: &DocumentStream,
    is_new: bool,
    how: Apply,
) -> Result<StreamChange, Failure> {
    let action = if is_new { ChangeAction::Create } else { ChangeAction::Unchanged };
    let change = StreamChange { stream: stream.name.clone(), action, details: Vec::new() };
    if !is_new || how.dry_run {
        return Ok(change);
    }
    let request = CreateStream {
        name: stream.name.clone(),
        definition: stream.definition.clone(),
        description: stream.description.clone(),
        deploy: false,
    };
    client.create_stream(&request).await?;
    if how.deploy {
        let properties = stream.properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        client.deploy_stream(&stream.name, &properties).await?;
    }
    Ok(change)
}
