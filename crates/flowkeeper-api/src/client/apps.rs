//! Operations on the app registry.

use super::{ALL, Call, Client, Error};
use crate::apps::{AppRegistration, DetailedApp};
use crate::hal::Paged;
use reqwest::Method;

/// Which apps to list; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppFilter {
    /// `source`, `processor`, `sink`, `task` or `app`.
    pub kind: Option<String>,
    /// Part of the name, in any case.
    pub search: Option<String>,
    pub version: Option<String>,
    pub default_only: bool,
}

/// A registration to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    pub kind: String,
    pub name: String,
    /// Taken from the URI when absent.
    pub version: Option<String>,
    pub uri: String,
    pub metadata_uri: Option<String>,
    /// Generation of Spring Boot: `2` or `3`.
    pub boot_version: Option<String>,
    /// Replace what is registered under the same version.
    pub force: bool,
}

impl Client {
    /// Registered apps.
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) when the filter names no type.
    pub async fn apps(&self, filter: &AppFilter) -> Result<Vec<AppRegistration>, Error> {
        let mut call = self.get(&["apps"]).query("size", ALL);
        call = call.query_some("type", filter.kind.as_deref());
        call = call.query_some("search", filter.search.as_deref());
        call = call.query_some("version", filter.version.as_deref());
        if filter.default_only {
            call = call.query("defaultVersion", "true");
        }
        self.read::<Paged<AppRegistration>>(call).await.map(Paged::into_items)
    }

    /// One app with its options; the default version unless one is given. `exhaustive` also shows hidden options.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn app(
        &self,
        kind: &str,
        name: &str,
        version: Option<&str>,
        exhaustive: bool,
    ) -> Result<DetailedApp, Error> {
        let mut call = self.app_call(Method::GET, kind, name, version);
        if exhaustive {
            call = call.query("exhaustive", "true");
        }
        self.read(call).await
    }

    /// Registers an app.
    ///
    /// # Errors
    /// [`Kind::Conflict`](super::Kind::Conflict) when the version is registered and `force` is not set.
    pub async fn register_app(&self, app: &Register) -> Result<(), Error> {
        let mut form = vec![("uri", app.uri.as_str()), ("force", bool_text(app.force))];
        form.extend(app.metadata_uri.as_deref().map(|uri| ("metadata-uri", uri)));
        form.extend(app.boot_version.as_deref().map(|version| ("bootVersion", version)));
        let call = self.app_call(Method::POST, &app.kind, &app.name, app.version.as_deref());
        self.done(call.form(&form)).await
    }

    /// Registers the apps listed in the document at `uri`, which the *server* reads. Gives what was registered.
    ///
    /// # Errors
    /// [`Kind::Failed`](super::Kind::Failed) when the document cannot be read, [`Kind::Invalid`](super::Kind::Invalid) when
    /// a line is wrong; nothing was registered then.
    pub async fn import_apps_from(&self, uri: &str, force: bool) -> Result<Vec<AppRegistration>, Error> {
        self.import(("uri", uri), force).await
    }

    /// Registers the apps listed in `text`, lines of `<type>.<name>=<uri>`. Gives what was registered.
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) when a line is wrong; nothing was registered then.
    pub async fn import_apps(&self, text: &str, force: bool) -> Result<Vec<AppRegistration>, Error> {
        self.import(("apps", text), force).await
    }

    async fn import(&self, what: (&str, &str), force: bool) -> Result<Vec<AppRegistration>, Error> {
        let call = self.call(Method::POST, &["apps"]).form(&[what, ("force", bool_text(force))]);
        self.read::<Paged<AppRegistration>>(call).await.map(Paged::into_items)
    }

    /// Makes a registered version the default.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn set_default_app(&self, kind: &str, name: &str, version: &str) -> Result<(), Error> {
        self.done(self.app_call(Method::PUT, kind, name, Some(version))).await
    }

    /// Unregisters a version, the default one unless one is given.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Conflict`](super::Kind::Conflict) while a deployed stream uses it.
    pub async fn unregister_app(&self, kind: &str, name: &str, version: Option<&str>) -> Result<(), Error> {
        self.done(self.app_call(Method::DELETE, kind, name, version)).await
    }

    /// Unregisters all apps that no deployed stream uses.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn unregister_all_apps(&self) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["apps"])).await
    }

    fn app_call(&self, method: Method, kind: &str, name: &str, version: Option<&str>) -> Call {
        let mut path = vec!["apps", kind, name];
        path.extend(version);
        self.call(method, &path)
    }
}

pub(super) fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
