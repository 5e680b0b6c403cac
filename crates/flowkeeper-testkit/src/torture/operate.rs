//! What an operator does with a cluster, over REST, at whichever server answers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::System;
use crate::http::{Answer, exchange};
use crate::wait::pause;

/// How long a client tries again when a server is gone or says that it cannot now; users' clients are told to do so.
const RETRY_FOR: Duration = Duration::from_secs(30);

impl System {
    /// One request to one server. `None`: nobody answered.
    pub fn ask(&self, api: &str, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let text = body.map(Value::to_string);
        let headers: &[_] = if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        exchange(api, method, path, headers, text.as_deref()).ok()
    }

    /// A request that is tried again at the next server when one is gone or answers 503, as a patient client does.
    ///
    /// # Errors
    /// The last answer, when it is still no success after half a minute, or at once when the request is refused.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let deadline = Instant::now() + RETRY_FOR;
        let mut last = "no server runs".to_owned();
        loop {
            for api in self.apis() {
                match self.ask(&api, method, path, body) {
                    Some(answer) if answer.status < 300 => return Ok(answer),
                    Some(answer) if answer.status == 503 => {
                        last = format!("{} {}", answer.status, answer.body)
                    }
                    Some(answer) => {
                        return Err(format!("{method} {path}: {} {}", answer.status, answer.body));
                    }
                    None => last = format!("{api} does not answer"),
                }
            }
            if Instant::now() > deadline {
                return Err(format!("{method} {path}: {last}"));
            }
            pause();
        }
    }

    /// A document.
    ///
    /// # Errors
    /// As [`System::request`].
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let answer = self.request("GET", path, None)?;
        serde_json::from_str(&answer.body).map_err(|error| format!("GET {path}: {error}: {}", answer.body))
    }

    /// Registers the probe as source (strictly exclusive unless told otherwise), processor and sink (shared).
    ///
    /// # Errors
    /// As [`System::request`].
    pub fn register_probe(&self) -> Result<(), String> {
        for kind in ["source", "processor", "sink"] {
            let uri = format!("file://{}", self.probe.display());
            self.request("POST", &format!("/apps/{kind}/probe/1.0?uri={uri}&force=true"), None)?;
        }
        Ok(())
    }

    /// Creates a stream of probes, `source | sink`, and deploys it with these properties.
    ///
    /// # Errors
    /// As [`System::request`].
    pub fn deploy(&self, name: &str, properties: &[(&str, &str)]) -> Result<(), String> {
        self.create(name)?;
        self.deploy_existing(name, properties)
    }

    /// Creates a stream of probes.
    ///
    /// # Errors
    /// As [`System::request`].
    pub fn create(&self, name: &str) -> Result<(), String> {
        let oracle = self.oracle();
        let definition =
            format!("in: probe --oracle={oracle} | out: probe --oracle={oracle}", oracle = oracle.display());
        let query = format!("name={name}&definition={}", encode(&definition));
        self.request("POST", &format!("/streams/definitions?{query}"), None).map(drop)
    }

    /// Deploys a stream that was created.
    ///
    /// # Errors
    /// As [`System::request`].
    pub fn deploy_existing(&self, name: &str, properties: &[(&str, &str)]) -> Result<(), String> {
        let properties: serde_json::Map<String, Value> =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        self.request("POST", &format!("/streams/deployments/{name}"), Some(&Value::Object(properties)))
            .map(drop)
    }

    /// SCDF's word for the state of a stream.
    pub fn status(&self, name: &str) -> String {
        let document = self.get(&format!("/streams/definitions/{name}")).unwrap_or_default();
        document["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Which server leads, by its place among the servers, and its epoch.
    pub fn leader(&self) -> Option<(usize, u64)> {
        let cluster = self.apis().iter().find_map(|api| {
            let answer = self.ask(api, "GET", "/api/v1/cluster", None)?;
            serde_json::from_str::<Value>(&answer.body).ok().filter(|cluster| cluster["leader"].is_object())
        })?;
        let api = cluster["leader"]["api"].as_str()?;
        let own = self.servers.iter().position(|server| server.addr.as_deref() == Some(api))?;
        Some((own, cluster["leader"]["epoch"].as_u64()?))
    }

    /// The node of each instance of all streams, by SCDF's name of it.
    pub fn placement(&self) -> Result<std::collections::BTreeMap<String, String>, String> {
        let mut found = std::collections::BTreeMap::new();
        for node in 0..self.agents.len() {
            let name = &self.agents[node].name;
            let Ok(document) = self.get(&format!("/api/v1/nodes/{name}")) else { continue };
            for instance in document["instances"].as_array().into_iter().flatten() {
                let is_current = instance["order"] == "run" && instance["leaving"] != true;
                if let Some(id) = instance["id"].as_str().filter(|_| is_current) {
                    found.insert(id.to_owned(), name.clone());
                }
            }
        }
        Ok(found)
    }
}

/// A text as the value of a query.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
            out + &char::from(byte).to_string()
        }
        _ => out + &format!("%{byte:02X}"),
    })
}
