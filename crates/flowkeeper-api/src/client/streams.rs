//! Operations on stream definitions and deployments.

use indexmap::IndexMap;
use reqwest::Method;

use super::apps::bool_text;
use super::{ALL, Client, Error};
use crate::apps::AppRegistration;
use crate::cluster::StreamExplanation;
use crate::hal::Paged;
use crate::streams::{Logs, Platform, StreamDefinition, StreamDeployment, Validation};

/// A stream to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateStream {
    pub name: String,
    /// `time | log`.
    pub definition: String,
    pub description: String,
    /// Deploy it in the same step.
    pub deploy: bool,
}

impl Client {
    /// Stream definitions, those whose name contains `search` if given.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn streams(&self, search: Option<&str>) -> Result<Vec<StreamDefinition>, Error> {
        let call = self.get(&["streams", "definitions"]).query("size", ALL).query_some("search", search);
        self.read::<Paged<StreamDefinition>>(call).await.map(Paged::into_items)
    }

    /// Creates a stream definition. Waits while a stream of this name is being destroyed.
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) with a picture of what is wrong; [`Kind::Conflict`](super::Kind::Conflict)
    /// when the name is taken.
    pub async fn create_stream(&self, stream: &CreateStream) -> Result<StreamDefinition, Error> {
        let form = [
            ("name", stream.name.as_str()),
            ("definition", &stream.definition),
            ("description", &stream.description),
            ("deploy", bool_text(stream.deploy)),
        ];
        self.read(self.call(Method::POST, &["streams", "definitions"]).form(&form)).await
    }

    /// One stream definition.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn stream(&self, name: &str) -> Result<StreamDefinition, Error> {
        self.read(self.get(&["streams", "definitions", name])).await
    }

    /// The stream itself and those that read from it; `nested` also those that read from these.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn related_streams(&self, name: &str, nested: bool) -> Result<Vec<StreamDefinition>, Error> {
        let call = self.get(&["streams", "definitions", name, "related"]).query("nested", bool_text(nested));
        self.read::<Paged<StreamDefinition>>(call).await.map(Paged::into_items)
    }

    /// The registrations of a stream's apps, each with its label.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn stream_apps(&self, name: &str) -> Result<Vec<AppRegistration>, Error> {
        self.read(self.get(&["streams", "definitions", name, "applications"])).await
    }

    /// Stops and removes a stream; returns when it is gone, or after half a minute.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn destroy_stream(&self, name: &str) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["streams", "definitions", name])).await
    }

    /// Stops and removes all streams.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn destroy_all_streams(&self) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["streams", "definitions"])).await
    }

    /// Deploys a stream with these properties: `app.<label>.<key>`, `deployer.<label>.<key>`, `version.<label>`.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound); [`Kind::Conflict`](super::Kind::Conflict) when it is deployed;
    /// [`Kind::Invalid`](super::Kind::Invalid) when a property is wrong.
    pub async fn deploy_stream(
        &self,
        name: &str,
        properties: &IndexMap<String, String>,
    ) -> Result<(), Error> {
        self.done(self.call(Method::POST, &["streams", "deployments", name]).json(properties)).await
    }

    /// Stops a stream; its definition stays.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn undeploy_stream(&self, name: &str) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["streams", "deployments", name])).await
    }

    /// Stops all streams.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn undeploy_all_streams(&self) -> Result<(), Error> {
        self.done(self.call(Method::DELETE, &["streams", "deployments"])).await
    }

    /// How a stream is deployed; with `reuse` also how it was.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn deployment(&self, name: &str, reuse: bool) -> Result<StreamDeployment, Error> {
        let call = self.get(&["streams", "deployments", name]);
        self.read(call.query("reuse-deployment-properties", bool_text(reuse))).await
    }

    /// The platforms.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](super::Kind::Unavailable).
    pub async fn platforms(&self) -> Result<Vec<Platform>, Error> {
        self.read(self.get(&["streams", "deployments", "platform", "list"])).await
    }

    /// Whether the programs of a stream's apps can be had.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn validate_stream(&self, name: &str) -> Result<Validation, Error> {
        self.read(self.get(&["streams", "validation", name])).await
    }

    /// Output of a stream's apps; of one of them if `app` (a label or deployment id) is given.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when the stream was never deployed.
    pub async fn logs(&self, name: &str, app: Option<&str>) -> Result<Logs, Error> {
        let mut path = vec!["streams", "logs", name];
        path.extend(app);
        self.read(self.get(&path)).await
    }

    /// The state of a stream, with a reason for everything that is not as wanted.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn stream_state(&self, name: &str) -> Result<StreamExplanation, Error> {
        self.read(self.get(&["api", "v1", "streams", name])).await
    }

    /// The same, with what happened to the stream and the last lines of what is not as wanted.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound).
    pub async fn explain_stream(&self, name: &str) -> Result<StreamExplanation, Error> {
        self.read(self.get(&["api", "v1", "streams", name, "explain"])).await
    }
}
