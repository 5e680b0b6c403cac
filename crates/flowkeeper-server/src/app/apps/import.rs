//! Registering many apps at once, from lines of `<type>.<name>=<uri>`.

use std::time::Duration;

use super::{Entry, Error, Listed, changes_of, check_name, describe, get, with_records};
use crate::app::{uri, with_retry};
use crate::catalog::Catalog;
use crate::meta::{AppKey, AppKind, Meta, Written};

/// Largest list that is read from a URI.
const MAX_LIST: usize = 1 << 20;
/// How long a remote list may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What an import did.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// What was registered, by type and name.
    pub registered: Vec<Listed>,
    /// `None`: nothing had to be written.
    pub written: Option<Written>,
}

/// Registers the apps listed in `text`, all or none. What is registered already is left alone unless `force` is set.
///
/// # Errors
/// The first line that is wrong.
pub async fn import(meta: &Meta, catalog: &Catalog, text: &str, force: bool) -> Result<Import, Error> {
    let entries = parse(text, catalog)?;
    for entry in &entries {
        check_name(&entry.key.name)?;
    }
    let mut chosen = Vec::new();
    let written = with_retry(meta, "the app registry", || {
        let prepared = {
            let model = meta.model();
            chosen = entries.clone();
            chosen.retain(|entry| force || get(&model, &entry.key, Some(&entry.version)).is_err());
            changes_of(&model, &chosen)
        };
        async move {
            let changes = prepared?;
            if changes.is_empty() { Ok(None) } else { Ok(Some(meta.write(with_records(&changes)).await?)) }
        }
    })
    .await?;
    let model = meta.model();
    let mut registered: Vec<Listed> =
        chosen.iter().filter_map(|entry| get(&model, &entry.key, Some(&entry.version)).ok()).collect();
    registered.sort_by(|a, b| (&a.key, &a.version).cmp(&(&b.key, &b.version)));
    Ok(Import { registered, written })
}

/// Reads the list at `location`, a `file:` or `http:` URI.
///
/// # Errors
/// [`Error::Unreadable`].
pub async fn read_list(client: &reqwest::Client, location: &str) -> Result<String, Error> {
    let unreadable = |reason: &dyn std::fmt::Display| {
        tracing::info!(location, %reason, "a list of apps could not be read");
        Error::Unreadable(format!("Error reading from URL [{}]", uri::as_url(location)))
    };
    let too_large = || {
        Error::TooLarge(format!(
            "The list of apps at {} has more than the {MAX_LIST} bytes that are read at once: split it",
            uri::as_url(location)
        ))
    };
    let bytes = match uri::file_path(location) {
        Some(path) => {
            let size = tokio::fs::metadata(&path).await.map_err(|error| unreadable(&error))?.len();
            if size > MAX_LIST as u64 {
                return Err(too_large());
            }
            tokio::fs::read(&path).await.map_err(|error| unreadable(&error))?
        }
        None => {
            let request = client.get(location).timeout(READ_TIMEOUT);
            let response = request.send().await.and_then(reqwest::Response::error_for_status);
            let mut response = response.map_err(|error| unreadable(&error))?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| unreadable(&error))? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > MAX_LIST {
                    return Err(too_large());
                }
            }
            bytes
        }
    };
    String::from_utf8(bytes).map_err(|error| unreadable(&error))
}

/// An app as its lines describe it so far.
struct Draft {
    key: AppKey,
    version: String,
    uri: Option<String>,
    metadata_uri: Option<String>,
    boot: Option<String>,
}

/// Reads the lines. Blank lines, comments and lines without `=` say nothing; an app that never got a URI is dropped.
fn parse(text: &str, catalog: &Catalog) -> Result<Vec<Entry>, Error> {
    let mut drafts: Vec<Draft> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((path, value)) = line.split_once('=') else { continue };
        let (path, value) = (path.trim(), value.trim());
        let parts: Vec<&str> = path.split('.').collect();
        let (kind, name, what) = match parts.as_slice() {
            [kind, name] => (kind, name, None),
            [kind, name, what] => (kind, name, Some(*what)),
            _ => {
                return Err(Error::InvalidArgument(format!(
                    "Invalid format for app key '{path}'in file. Must be <type>.<name> or <type>.<name>.metadata or \
                     <type>.<name>.bootVersion"
                )));
            }
        };
        let key = AppKey::new(parse_kind(kind, line)?, *name);
        match what {
            Some("bootVersion") => {
                let draft = drafts.last_mut().filter(|draft| draft.key == key).ok_or_else(|| {
                    Error::InvalidArgument(format!(
                        "'{line}' must follow the line that registers {}",
                        describe(&key, None)
                    ))
                })?;
                draft.boot = Some(parse_boot(value)?);
            }
            Some("metadata") => {
                draft_of(&mut drafts, key, value, catalog)?.metadata_uri = Some(value.to_owned())
            }
            None => draft_of(&mut drafts, key, value, catalog)?.uri = Some(value.to_owned()),
            Some(other) => {
                return Err(Error::InvalidArgument(format!(
                    "Invalid property: {other} in '{line}': it must be metadata or bootVersion"
                )));
            }
        }
    }
    let entries = drafts.into_iter().filter_map(|draft| {
        let Draft { key, version, uri, metadata_uri, boot } = draft;
        Some(Entry { key, version, uri: uri?, metadata_uri, boot })
    });
    Ok(entries.collect())
}

/// The draft that a line about `uri` belongs to: of the same app and version.
fn draft_of<'a>(
    drafts: &'a mut Vec<Draft>,
    key: AppKey,
    uri: &str,
    catalog: &Catalog,
) -> Result<&'a mut Draft, Error> {
    let version = uri::version(uri, catalog)?;
    let at = drafts.iter().position(|draft| draft.key == key && draft.version == version);
    let at = at.unwrap_or(drafts.len());
    if at == drafts.len() {
        drafts.push(Draft { key, version, uri: None, metadata_uri: None, boot: None });
    }
    Ok(&mut drafts[at])
}

fn parse_kind(kind: &str, line: &str) -> Result<AppKind, Error> {
    let known = AppKind::ALL.into_iter().find(|known| known.name() == kind);
    known.ok_or_else(|| {
        Error::InvalidArgument(format!(
            "'{kind}' in '{line}' is no type of an app: it must be app, source, processor, sink or task"
        ))
    })
}

/// Checks a generation of Spring Boot.
///
/// # Errors
/// [`Error::InvalidArgument`] when it is none that is known.
pub fn parse_boot(text: &str) -> Result<String, Error> {
    match text {
        "2" | "3" => Ok(text.to_owned()),
        _ => Err(Error::InvalidArgument(format!("Invalid AppBootSchemaVersion: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let entries = parse(text, &Catalog::default()).map_err(|error| error.to_string())?;
        let show = |entry: Entry| {
            let (metadata, boot) = (entry.metadata_uri.unwrap_or_default(), entry.boot.unwrap_or_default());
            format!("{} {} {metadata} {boot}", describe(&entry.key, Some(&entry.version)), entry.uri)
        };
        Ok(entries.into_iter().map(show).collect())
    }

    #[test]
    fn lines_about_one_version_meet() {
        let text = "source.time=file:/a/t-1.0.jar\nsource.time.bootVersion=3\nsource.time.metadata=file:/a/t-1.0-metadata.jar";
        assert_eq!(read(text).unwrap(), ["source:time:1.0 file:/a/t-1.0.jar file:/a/t-1.0-metadata.jar 3"]);
    }

    #[test]
    fn comments_and_words_say_nothing_and_values_may_hold_equals_signs() {
        let text =
            "# a = b\n\n #sink.x=y\njust words\nsink.s=http://h/a=b-1.jar\ntask.t.metadata=file:/t-1.jar";
        assert_eq!(read(text).unwrap(), ["sink:s:1 http://h/a=b-1.jar  "]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, reason) in [
            ("time=file:/a-1.jar", "app key 'time'"),
            ("widget.time=file:/a-1.jar", "'widget' in 'widget.time=file:/a-1.jar'"),
            ("sink.a.b.c=x", "app key 'sink.a.b.c'"),
            ("sink.a.color=x", "Invalid property: color"),
            ("sink.a=file:/a.jar", "Could not parse version"),
            ("sink.a.bootVersion=3", "must follow"),
            ("sink.a=file:/a-1.jar\nsink.a.bootVersion=4", "Invalid AppBootSchemaVersion: 4"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(?s).*", line in "[a-z.=#: \n0-9-]*") {
            let _ = read(&text);
            let _ = read(&line);
        }
    }
}
