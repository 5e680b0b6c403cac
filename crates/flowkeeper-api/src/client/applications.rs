//! Operations on stream applications, and the export of everything.

use reqwest::Method;

use super::{Client, Error};
use crate::applications::{
    Application, ApplicationChanges, ApplicationRelease, ApplicationSummary, Document,
};

/// How a document is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apply {
    /// Start streams that do not run.
    pub deploy: bool,
    /// Take in streams that exist and belong to no application.
    pub adopt: bool,
    /// Change nothing, only tell what would be changed.
    pub dry_run: bool,
}

impl Client {
    /// All stream applications, by name.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn applications(&self) -> Result<Vec<ApplicationSummary>, Error> {
        self.read(self.get(&["api", "v1", "applications"])).await
    }

    /// One stream application.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn application(&self, name: &str) -> Result<Application, Error> {
        self.read(self.get(&["api", "v1", "applications", name])).await
    }

    /// Makes stream application `name` what the document says; all of it or nothing.
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) with everything that is wrong; [`Kind::Conflict`](super::Kind::Conflict) when a
    /// stream belongs to somebody else or is being updated.
    pub async fn apply_application(
        &self,
        name: &str,
        document: &Document,
        how: Apply,
    ) -> Result<ApplicationChanges, Error> {
        let mut call = self.call(Method::PUT, &["api", "v1", "applications", name]);
        for (flag, is_set) in [("deploy", how.deploy), ("adopt", how.adopt), ("dry-run", how.dry_run)] {
            if is_set {
                call = call.query(flag, "true");
            }
        }
        self.read(call.json(document)).await
    }

    /// Starts all streams of an application that do not run.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Conflict`](super::Kind::Conflict) while an update is under way.
    pub async fn deploy_application(&self, name: &str) -> Result<ApplicationChanges, Error> {
        self.read(self.call(Method::POST, &["api", "v1", "applications", name, "deploy"])).await
    }

    /// Stops all streams of an application.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn undeploy_application(&self, name: &str) -> Result<ApplicationChanges, Error> {
        self.read(self.call(Method::POST, &["api", "v1", "applications", name, "undeploy"])).await
    }

    /// Makes an application what it was in an earlier release; 0 means the one before the present one.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when there is no such application or release;
    /// [`Kind::Conflict`](super::Kind::Conflict) while an update is under way.
    pub async fn rollback_application(&self, name: &str, release: u32) -> Result<ApplicationChanges, Error> {
        let release = release.to_string();
        self.read(self.call(Method::POST, &["api", "v1", "applications", name, "rollback", &release])).await
    }

    /// Stops and forgets an application and its streams.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn destroy_application(&self, name: &str) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["api", "v1", "applications", name])).await
    }

    /// The releases of an application, newest first.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn application_history(&self, name: &str) -> Result<Vec<ApplicationRelease>, Error> {
        self.read(self.get(&["api", "v1", "applications", name, "history"])).await
    }

    /// Everything as documents that can be applied again, or one application; secrets are masked unless asked for.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when there is no such application.
    pub async fn export(&self, application: Option<&str>, secrets: bool) -> Result<Vec<Document>, Error> {
        let mut call = self.get(&["api", "v1", "export"]).query_some("application", application);
        if secrets {
            call = call.query("secrets", "true");
        }
        self.read(call).await
    }
}
