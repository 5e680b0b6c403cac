//! Operations on what runs, and on the server itself.

use super::{ALL, Client, Error};
use crate::about::{About, SecurityInfo};
use crate::cluster::Cluster;
use crate::hal::Paged;
use crate::runtime::{ActuatorRequest, AppStatus, StreamStatus};
use reqwest::Method;
use serde_json::{Map, Value};

impl Client {
    /// What the server is and offers.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn about(&self) -> Result<About, Error> {
        self.read(self.get(&["about"])).await
    }

    /// Who we are to the server.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn security_info(&self) -> Result<SecurityInfo, Error> {
        self.read(self.get(&["security", "info"])).await
    }

    /// Servers, nodes and the leader.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        self.read(self.get(&["api", "v1", "cluster"])).await
    }

    /// The apps of all streams that are deployed.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn runtime_apps(&self) -> Result<Vec<AppStatus>, Error> {
        let call = self.get(&["runtime", "apps"]).query("size", ALL);
        self.read::<Paged<AppStatus>>(call).await.map(Paged::into_items)
    }

    /// One app that runs, by its deployment id.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn runtime_app(&self, id: &str) -> Result<AppStatus, Error> {
        self.read(self.get(&["runtime", "apps", id])).await
    }

    /// The streams that are deployed, or those of `names` that are.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn runtime_streams(&self, names: &[&str]) -> Result<Vec<StreamStatus>, Error> {
        let mut call = self.get(&["runtime", "streams"]).query("size", ALL);
        if !names.is_empty() {
            call = call.query("names", names.join(","));
        }
        self.read::<Paged<StreamStatus>>(call).await.map(Paged::into_items)
    }

    /// What an actuator endpoint of an instance answers, as text.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Failed`](super::Kind::Failed) when the app refuses.
    pub async fn actuator_get(&self, app: &str, instance: &str, endpoint: &str) -> Result<String, Error> {
        let call = self.get(&["runtime", "apps", app, "instances", instance, "actuator"]);
        self.read(call.query("endpoint", endpoint)).await
    }

    /// Posts `body` to an actuator endpoint of an instance.
    ///
    /// # Errors
    /// As for [`Client::actuator_get`].
    pub async fn actuator_post(
        &self,
        app: &str,
        instance: &str,
        endpoint: &str,
        body: Map<String, Value>,
    ) -> Result<(), Error> {
        let call = self.call(Method::POST, &["runtime", "apps", app, "instances", instance, "actuator"]);
        self.done(call.json(&ActuatorRequest { endpoint: endpoint.to_owned(), body })).await
    }
}
