//! Operations on what is deployed: update, rollback, scale, history.

use indexmap::IndexMap;
use reqwest::Method;

use super::{Client, Error};
use crate::releases::{PackageIdentifier, Release, UpdateStream};

impl Client {
    /// Changes deployment properties of a deployed stream; a property without a value is removed. `force` replaces `apps` (all
    /// when there are none) even where nothing differs.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Conflict`](super::Kind::Conflict) while another update is under way;
    /// [`Kind::Failed`](super::Kind::Failed) when nothing would change.
    pub async fn update_stream(
        &self,
        name: &str,
        properties: &IndexMap<String, Option<String>>,
        force: bool,
        apps: &[String],
    ) -> Result<(), Error> {
        let body = UpdateStream {
            release_name: Some(name.to_owned()),
            package_identifier: Some(PackageIdentifier {
                package_name: Some(name.to_owned()),
                ..PackageIdentifier::default()
            }),
            update_properties: Some(properties.clone()),
            force: Some(force),
            app_names: (!apps.is_empty()).then(|| apps.to_vec()),
        };
        self.done(self.call(Method::POST, &["streams", "deployments", "update", name]).json(&body)).await
    }

    /// Makes the apps of an earlier release run again; 0 means the one before the present one.
    ///
    /// # Errors
    /// [`Kind::Failed`](super::Kind::Failed) when there is no such release; [`Kind::Conflict`](super::Kind::Conflict) while an
    /// update is under way.
    pub async fn rollback_stream(&self, name: &str, release: u32) -> Result<(), Error> {
        let release = release.to_string();
        self.done(self.call(Method::POST, &["streams", "deployments", "rollback", name, &release])).await
    }

    /// Runs `count` copies of an app.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when the stream has no such app; [`Kind::Conflict`](super::Kind::Conflict)
    /// while an update is under way.
    pub async fn scale_stream(&self, name: &str, app: &str, count: u32) -> Result<(), Error> {
        let count = count.to_string();
        let path = ["streams", "deployments", "scale", name, app, "instances", &count];
        self.done(self.call(Method::POST, &path)).await
    }

    /// Gives up the release that replaces another at this moment.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Failed`](super::Kind::Failed) when nothing is being replaced.
    pub async fn cancel_update(&self, name: &str) -> Result<(), Error> {
        self.done(self.call(Method::POST, &["api", "v1", "streams", name, "cancel"])).await
    }

    /// The releases of a stream, newest first; none when it was never deployed.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn history(&self, name: &str) -> Result<Vec<Release>, Error> {
        self.read(self.get(&["streams", "deployments", "history", name])).await
    }

    /// The manifest of a release as YAML; 0 means the present one.
    ///
    /// # Errors
    /// [`Kind::Failed`](super::Kind::Failed) when there is no such release.
    pub async fn manifest(&self, name: &str, release: u32) -> Result<String, Error> {
        let release = release.to_string();
        self.read(self.get(&["streams", "deployments", "manifest", name, &release])).await
    }
}
