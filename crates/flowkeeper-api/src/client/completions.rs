//! Completion of definitions.

use reqwest::Method;

use super::{Client, Error};
use crate::completions::{Completions, Proposal};

impl Client {
    /// How the definition of a stream could go on after `start`. `detail` is 1 for what is commonly wanted and more for
    /// everything there is.
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) when `detail` is 0.
    pub async fn complete_stream(&self, start: &str, detail: u32) -> Result<Vec<Proposal>, Error> {
        // Sent as a form, because a definition may be longer than an address.
        let form = [("start", start), ("detailLevel", &detail.to_string())];
        let call = self.call(Method::POST, &["completions", "stream"]).form(&form);
        self.read::<Completions>(call).await.map(|answer| answer.proposals)
    }
}
