//! What an app instance is started with: command, environment and properties, as SCDF's local deployer hands them out.

mod java;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowkeeper_engine::model::InstanceId;
use serde_json::{Map, Value};

use crate::artifact::Program;
use crate::properties::{APPLICATION_JSON, Admin, DeployerProperties, application_json, fixed_port};
use crate::record::ManifestApp;

pub use crate::properties::deployer_property;

/// What is known when an instance is started.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    pub instance: &'a InstanceId,
    pub app: &'a ManifestApp,
    /// What is asked of the deployer for this app.
    pub asked: &'a DeployerProperties,
    pub uid: &'a str,
    pub term: u64,
    /// Where it is to listen; `None` for an app that serves nothing over HTTP.
    pub port: Option<u16>,
    /// Properties of the cluster, below all others.
    pub defaults: &'a BTreeMap<String, String>,
    /// The agent's own environment.
    pub inherited: &'a BTreeMap<String, String>,
}

impl Launch<'_> {
    /// Deployment id in SCDF's form: `<stream>.<label>-v<release>`.
    pub fn deployment_id(&self) -> String {
        format!("{}.{}-v{}", self.instance.stream, self.instance.app, self.instance.release)
    }

    /// Instance id in SCDF's form: deployment id and index.
    pub fn guid(&self) -> String {
        format!("{}-{}", self.deployment_id(), self.instance.index)
    }

    /// The program and its arguments.
    ///
    /// # Errors
    /// A sentence, when the program is a Java app and there is no Java as asked for on this node.
    pub fn command(&self, program: &Program, myself: &Path) -> Result<(PathBuf, Vec<String>), String> {
        let args = self.app.args.iter().cloned();
        match program {
            Program::Bundled { kind, name } => {
                let own = ["run-app".to_owned(), kind.clone(), name.clone()];
                Ok((myself.to_owned(), own.into_iter().chain(args).collect()))
            }
            Program::Executable(path) => Ok((path.clone(), args.collect())),
            Program::Jar(path) => {
                let java = &self.asked.java;
                let mut command = java::options(java, self.instance.index);
                command.extend(["-jar".to_owned(), path.display().to_string()]);
                command.extend(args);
                Ok((java::program(java, &self.app.label, self.inherited)?, command))
            }
        }
    }

    /// The whole environment: the variables that it inherits, who it is, and its properties, which come as one JSON variable
    /// or, when the deployer is told so, as variables of their names.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let passes = |name: &str| self.asked.inherited.iter().any(|pattern| pattern.is_match(name));
        let inherited = self.inherited.iter().filter(|(name, _)| passes(name));
        let mut env: BTreeMap<_, _> = inherited.map(|(name, value)| (name.clone(), value.clone())).collect();
        let properties = self.properties();
        if self.asked.as_json {
            env.insert(APPLICATION_JSON.to_owned(), Value::Object(properties).to_string());
        } else {
            env.extend(properties.into_iter().map(|(name, value)| match value {
                Value::String(text) => (name, text),
                value => (name, value.to_string()),
            }));
        }
        let index = self.instance.index.to_string();
        let own = [
            ("INSTANCE_INDEX", index.clone()),
            ("SPRING_APPLICATION_INDEX", index),
            ("SPRING_CLOUD_APPLICATION_GUID", self.guid()),
            ("FLOWKEEPER_FENCE_TERM", self.term.to_string()),
            ("FLOWKEEPER_STREAM_UID", self.uid.to_owned()),
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        env
    }

    /// Application properties, later ones winning: cluster defaults, the release's, what only the node knows, and, as in SCDF,
    /// those that come as JSON within them.
    fn properties(&self) -> Map<String, Value> {
        let text = |value: &str| Value::String(value.to_owned());
        let mut properties = Map::new();
        for (name, value) in self.defaults {
            properties.insert(name.clone(), text(value));
        }
        for (name, value) in &self.app.props {
            // SCDF stores a blank value as a pair of escaped quotes, because of its templates; an app is given the blank.
            properties.insert(name.clone(), text(if value == r#"\"\""# { "" } else { value }));
        }
        let index = self.instance.index.to_string();
        for (name, value) in [
            ("instance.index", &*index),
            ("spring.cloud.stream.instanceIndex", &index),
            ("spring.application.index", &index),
            ("spring.cloud.application.guid", &self.guid()),
            ("spring.cloud.application.group", &self.instance.stream),
            ("spring.jmx.default-domain", &self.deployment_id()),
            ("endpoints.jmx.unique-names", "true"),
        ] {
            properties.insert(name.to_owned(), text(value));
        }
        if let Some(port) = self.port {
            properties.insert("server.port".to_owned(), text(&port.to_string()));
        }
        if let Some(Admin { user, password }) = &self.asked.admin {
            properties.insert("spring.cloud.streamapp.security.admin-user".to_owned(), text(user));
            properties.insert("spring.cloud.streamapp.security.admin-password".to_owned(), text(password));
        }
        properties.entry("endpoints.shutdown.enabled").or_insert(text("true"));
        if self.asked.as_json
            && let Ok(Some(merged)) = application_json(self.app)
        {
            properties.shift_remove(APPLICATION_JSON);
            properties.extend(merged);
        }
        properties
    }

    /// The port that the user fixed, if any.
    pub fn fixed_port(app: &ManifestApp) -> Option<u16> {
        fixed_port(app)
    }
}

#[cfg(test)]
mod tests;
