//! Asks a running app whether it is ready.

use std::time::Duration;

use reqwest::{Client, StatusCode};

/// How long an app may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What an app said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ready,
    /// Not yet, or not any more; the reason is for a person.
    NotReady(String),
}

/// Probes an app on this machine, at `/actuator/health` as Boot apps serve it. An app that answers anything else than
/// "unavailable" is ready: it listens, and not every program has that page.
pub(crate) async fn probe(client: &Client, port: u16) -> Health {
    let answer = client.get(format!("http://127.0.0.1:{port}/actuator/health")).timeout(TIMEOUT).send().await;
    match answer {
        Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
            let text = response.text().await.unwrap_or_default();
            let text: String = text.chars().take(300).collect();
            Health::NotReady(format!("its health check on port {port} says: {text}"))
        }
        Ok(_) => Health::Ready,
        Err(error) if error.is_timeout() => Health::NotReady(format!(
            "its health check on port {port} does not answer within {} s",
            TIMEOUT.as_secs()
        )),
        Err(error) if error.is_connect() => {
            Health::NotReady(format!("it does not listen on port {port} yet"))
        }
        // It listens and does not speak HTTP.
        Err(_) => Health::Ready,
    }
}
