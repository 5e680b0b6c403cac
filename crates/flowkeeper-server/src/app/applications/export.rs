//! Everything as documents that can be applied again: registrations, stream applications, streams that belong to none.

use flowkeeper_api::applications::{Document, DocumentApp, DocumentStream};
use flowkeeper_dsl::properties::Sanitizer;

use super::super::{Error, apps, uri};
use super::look::current;
use super::member::{masked, owned, properties};
use crate::catalog::BUILTIN;
use crate::meta::Model;
use crate::meta::record::{MemberRecord, WantState};

/// All documents, or that of one application. Secrets are masked unless `secrets`; what is masked cannot be applied again.
///
/// # Errors
/// [`Error::NoApplication`].
pub fn export(model: &Model, application: Option<&str>, secrets: bool) -> Result<Vec<Document>, Error> {
    if let Some(name) = application {
        return Ok(vec![document(model, name, secrets)?]);
    }
    let mut documents = vec![Document { apps: registered(model, secrets), ..Document::default() }];
    for name in model.applications.keys() {
        documents.push(document(model, name, secrets)?);
    }
    let loose = model.streams_by_age().filter(|(_, stream)| stream.record.application.is_none());
    let loose = loose.filter_map(|(name, _)| stream(model, name, None, secrets));
    documents.push(Document { streams: loose.collect(), ..Document::default() });
    documents.retain(|document| *document != Document::default());
    Ok(documents)
}

/// An application as it stands.
pub(super) fn document(model: &Model, name: &str, secrets: bool) -> Result<Document, Error> {
    let found = model.applications.get(name).ok_or_else(|| Error::NoApplication(name.to_owned()))?;
    let current = current(model, name)?;
    let stream = |member: &String| {
        let known = current.streams.iter().find(|known| known.name == *member);
        // One that was destroyed by itself is part of the application all the same, and comes back with the next change.
        match (owned(model, name, member), known) {
            (None, Some(known)) => Some(remembered(known, secrets)),
            // A stopped one shows what it is to be started as, which is not what a failed release made of it.
            (Some(read), Some(known)) if read.record.want.state != WantState::Deployed => {
                Some(remembered(known, secrets))
            }
            _ => stream(model, member, known, secrets),
        }
    };
    Ok(Document {
        name: Some(name.to_owned()),
        description: found.record.desc.clone(),
        streams: found.record.streams.iter().filter_map(stream).collect(),
        apps: Vec::new(),
    })
}

fn stream(model: &Model, name: &str, known: Option<&MemberRecord>, secrets: bool) -> Option<DocumentStream> {
    let shown = model.shown(name)?;
    let stream = DocumentStream {
        name: name.to_owned(),
        definition: shown.original().to_owned(),
        description: shown.record().desc.clone(),
        properties: properties(model, name, known),
    };
    Some(if secrets { stream } else { sanitized(stream) })
}

fn remembered(member: &MemberRecord, secrets: bool) -> DocumentStream {
    let stream = DocumentStream {
        name: member.name.clone(),
        definition: member.dsl.clone(),
        description: member.desc.clone(),
        properties: member.properties.clone(),
    };
    if secrets { stream } else { sanitized(stream) }
}

/// A stream with its secrets masked.
fn sanitized(mut stream: DocumentStream) -> DocumentStream {
    stream.definition = masked(&stream.name, &stream.definition);
    for (key, value) in &mut stream.properties {
        *value = Sanitizer::DataFlow.sanitize(key, value);
    }
    stream
}

/// Registered versions of apps that are not bundled, in the order in which they were registered.
fn registered(model: &Model, secrets: bool) -> Vec<DocumentApp> {
    let told = |address: String| if secrets { address } else { uri::shown(&address) };
    let others = apps::list(model, &apps::Filter::default());
    let others = others.into_iter().filter(|app| !app.uri.starts_with(BUILTIN));
    let document = |app: apps::Listed| {
        let entry = model.apps.get(&app.key).and_then(|entry| entry.versions.get(&app.version));
        DocumentApp {
            kind: app.key.kind.name().to_owned(),
            name: app.key.name,
            version: Some(app.version),
            uri: told(app.uri),
            metadata_uri: app.metadata_uri.map(told),
            boot_version: entry.and_then(|entry| entry.record.boot.clone()),
            default: app.is_default,
        }
    };
    others.map(document).collect()
}
