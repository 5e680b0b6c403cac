//! What was done by whom: records of changes, and questions about them.
//!
//! A record is made by the use case that makes the change and written in the same transaction, so there is no change without
//! one and none without its change. Secrets are masked before it is written: nobody can read them from the records later.

use std::sync::Arc;

use flowkeeper_dsl::properties::Sanitizer;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::{Error, uri};
use crate::clock;
use crate::meta::record::AuditRecord;
use crate::meta::{AppKey, Model, redact};

/// What was done, with SCDF's numbers and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Delete,
    Deploy,
    Rollback,
    Undeploy,
    Update,
    LoginSuccess,
}

/// To what kind of thing it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    AppRegistration,
    Schedule,
    Stream,
    Task,
    Login,
}

/// Which records are asked for; all by default.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these; none means all.
    pub actions: Vec<Action>,
    pub kinds: Vec<Kind>,
    /// From this time on, up to this time; RFC 3339 as records have it.
    pub from: Option<String>,
    pub to: Option<String>,
}

impl Action {
    pub const ALL: [Action; 7] = [
        Action::Create,
        Action::Delete,
        Action::Deploy,
        Action::Rollback,
        Action::Undeploy,
        Action::Update,
        Action::LoginSuccess,
    ];

    /// Number, key, name and description.
    pub fn words(self) -> (u32, &'static str, &'static str, &'static str) {
        match self {
            Action::Create => (100, "CREATE", "Create", "Create an Entity"),
            Action::Delete => (200, "DELETE", "Delete", "Delete an Entity"),
            Action::Deploy => (300, "DEPLOY", "Deploy", "Deploy an Entity"),
            Action::Rollback => (400, "ROLLBACK", "Rollback", "Rollback an Entity"),
            Action::Undeploy => (500, "UNDEPLOY", "Undeploy", "Undeploy an Entity"),
            Action::Update => (600, "UPDATE", "Update", "Update an Entity"),
            Action::LoginSuccess => (700, "LOGIN_SUCCESS", "SuccessfulLogin", "Successful login"),
        }
    }
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::AppRegistration, Kind::Schedule, Kind::Stream, Kind::Task, Kind::Login];

    /// Number, key and name.
    pub fn words(self) -> (u32, &'static str, &'static str) {
        match self {
            Kind::AppRegistration => (100, "APP_REGISTRATION", "App Registration"),
            Kind::Schedule => (200, "SCHEDULE", "Schedule"),
            Kind::Stream => (300, "STREAM", "Stream"),
            Kind::Task => (400, "TASK", "Task"),
            Kind::Login => (500, "LOGIN", "Login"),
        }
    }
}

/// Records in the order in which things were done.
pub fn list(model: &Model, filter: &Filter) -> Vec<(u32, Arc<AuditRecord>)> {
    let is_asked_for = |record: &AuditRecord| {
        (filter.actions.is_empty() || filter.actions.iter().any(|action| action.words().1 == record.action))
            && (filter.kinds.is_empty() || filter.kinds.iter().any(|kind| kind.words().1 == record.kind))
            && filter.from.as_ref().is_none_or(|from| *from <= record.at)
            && filter.to.as_ref().is_none_or(|to| record.at <= *to)
    };
    let records = model.audit.iter().filter(|(_, record)| is_asked_for(record));
    records.map(|(number, record)| (*number, record.clone())).collect()
}

/// A time as a parameter gives it (`2020-01-01T00:00:00`, taken as UTC), in the form that records have.
///
/// # Errors
/// [`Error::NoDate`], in Java's words, which name the place.
pub fn read_time(text: &str) -> Result<String, Error> {
    let no_date = |index| Error::NoDate { text: text.to_owned(), index };
    let time: DateTime = text.parse().map_err(|_| no_date(0))?;
    if !text.contains('T') {
        return Err(no_date(text.len()));
    }
    let instant = TimeZone::UTC.to_timestamp(time).map_err(|_| no_date(0))?;
    Ok(format!("{instant:.6}"))
}

/// Something was done to an app registration.
pub(super) fn app(
    action: Action,
    key: &AppKey,
    version: &str,
    uris: (Option<&str>, Option<&str>),
    is_default: bool,
) -> AuditRecord {
    let (uri, metadata_uri) = (uris.0.map(uri::shown), uris.1.map(uri::shown));
    let data = json!({
        "metaDataUri": metadata_uri, "APP_NAME": key.name, "APP_TYPE": key.kind.name(), "APP_VERSION": version,
        "uri": uri, "APP_IS_DEFAULT": is_default,
    });
    record(action, Kind::AppRegistration, &key.name, data.to_string())
}

/// Something was done to a stream whose definition is `dsl`, in clear.
pub(super) fn stream(action: Action, name: &str, dsl: &str) -> AuditRecord {
    record(action, Kind::Stream, name, redact(name, dsl))
}

/// A stream whose definition is `dsl`, in clear, was deployed with these properties.
pub(super) fn deploy<'a>(
    name: &str,
    dsl: &str,
    properties: impl Iterator<Item = (&'a String, &'a String)>,
    platform: &str,
) -> AuditRecord {
    let data =
        json!({"streamDefinitionDslText": redact(name, dsl), "deploymentProperties": masked(properties)});
    on_platform(record(Action::Deploy, Kind::Stream, name, data.to_string()), platform)
}

/// Something was done to the deployment of a stream; `data` has no secrets.
pub(super) fn deployment(action: Action, name: &str, data: String, platform: &str) -> AuditRecord {
    on_platform(record(action, Kind::Stream, name, data), platform)
}

/// Properties with secrets masked.
pub(super) fn masked<'a>(properties: impl Iterator<Item = (&'a String, &'a String)>) -> Map<String, Value> {
    let mask = |(key, value): (&String, &String)| {
        (key.clone(), Value::String(Sanitizer::DataFlow.sanitize(key, value)))
    };
    properties.map(mask).collect()
}

fn record(action: Action, kind: Kind, subject: &str, data: String) -> AuditRecord {
    AuditRecord {
        v: 1,
        action: action.words().1.to_owned(),
        kind: kind.words().1.to_owned(),
        subject: subject.to_owned(),
        data,
        at: clock::now_exactly(),
        ..AuditRecord::default()
    }
}

fn on_platform(record: AuditRecord, platform: &str) -> AuditRecord {
    AuditRecord { platform: Some(platform.to_owned()), ..record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_utc_and_refused_with_the_place() {
        assert_eq!(read_time("2020-01-01T00:00:00").as_deref(), Ok("2020-01-01T00:00:00.000000Z"));
        assert_eq!(read_time("2020-01-01T00:00:00.25").as_deref(), Ok("2020-01-01T00:00:00.250000Z"));
        for (text, message) in [
            ("yesterday", "Text 'yesterday' could not be parsed at index 0"),
            ("2020-01-01", "Text '2020-01-01' could not be parsed at index 10"),
        ] {
            assert_eq!(read_time(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn secrets_are_masked_before_they_are_written() {
        let properties = [("app.log.password".to_owned(), "hush".to_owned())];
        let pairs = properties.iter().map(|(key, value)| (key, value));
        let record = deploy("s", "time --secret=hush | log", pairs, "default");
        assert!(
            !record.data.contains("hush") && record.data.matches("******").count() == 2,
            "{}",
            record.data
        );
    }

    proptest::proptest! {
        #[test]
        fn no_time_is_too_strange(text in ".*") {
            let _ = read_time(&text);
        }
    }
}
