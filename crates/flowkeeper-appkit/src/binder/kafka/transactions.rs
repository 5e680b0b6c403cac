//! Producing in transactions, so that the broker refuses an older copy of the instance once a newer one has begun.
//!
//! What is queued while a transaction is committed makes up the next one: a lone message is committed at once, a busy
//! producer pays for a commit once per some hundred. A message is acknowledged when its transaction is committed, hence
//! before its source is.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::Producer as _;
use rdkafka::util::Timeout;
use tokio::sync::mpsc;

use super::config::Transactional;
use super::producer::{Client, Delivery, produce, send_error};
use super::unavailable;
use crate::binder::Error;
use crate::task;

/// Records that wait while a transaction is under way, and the most that one holds.
const QUEUE: usize = 500;
/// A transaction ends at this many bytes of payload, well below what the client queues.
const MAX_BYTES: usize = 4 << 20;
/// How long to wait for the broker's answer to the first request under the id.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for the end of a transaction that has failed.
const ABORT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a batch is tried again that the client threw away by mistake.
const MAX_PURGED: u32 = 3;

/// A record on its way into a transaction; the sender is told when it is committed.
pub(super) struct Queued {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: OwnedHeaders,
    pub(super) partition: Option<i32>,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
}

/// Puts what is queued into transactions, one after the other.
pub(super) struct Transactions {
    client: Arc<Client>,
    topic: String,
    id: String,
    /// Why nothing can be sent any more.
    fenced: Option<String>,
}

/// Why a transaction was not committed.
struct Failure {
    /// Records that will never be accepted, by their place.
    refused: Vec<(usize, Error)>,
    /// Records went down with a transaction before theirs: the client empties its queues after an abort, a moment late.
    is_purged: bool,
    reason: Error,
}

impl Transactions {
    /// Announces the id to the broker, which from then on refuses older copies with it; the task ends when its queue is
    /// closed and empty.
    ///
    /// # Errors
    /// The broker has no transactions, does not allow the id, or does not answer.
    pub(super) async fn start(
        client: Arc<Client>,
        topic: &str,
        asked: &Transactional,
    ) -> Result<(mpsc::Sender<Queued>, task::Task<()>), Error> {
        let starting = client.clone();
        let Transactional { id, property } = asked;
        task::blocking(move || starting.init_transactions(START_TIMEOUT)).await.map_err(|error| {
            let code = error.rdkafka_error_code();
            let is_unable = matches!(
                code,
                Some(
                    RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                        | RDKafkaErrorCode::UnsupportedVersion
                        | RDKafkaErrorCode::UnsupportedFeature
                )
            );
            if is_unable {
                Error::Invalid(format!(
                    "the broker does not take the transactional id '{id}' ({error}): it has no transactions, as the embedded \
                     one, or does not allow this id; use Apache Kafka, or remove {property}"
                ))
            } else if is_fenced(code) {
                Error::Fenced(fenced_reason(id, &error))
            } else {
                Error::Unavailable(format!(
                    "the broker did not begin transactions for the id '{id}' within {} s ({error}); see why, or remove \
                     {property}",
                    START_TIMEOUT.as_secs()
                ))
            }
        })?;
        let (queue, queued) = mpsc::channel(QUEUE);
        let transactions = Transactions { client, topic: topic.to_owned(), id: id.clone(), fenced: None };
        Ok((queue, task::spawn(transactions.run(queued))))
    }

    async fn run(mut self, mut queued: mpsc::Receiver<Queued>) {
        while let Some(first) = queued.recv().await {
            let mut n_bytes = first.size();
            let mut batch = vec![first];
            let mut n_before = 0;
            // Whoever is in the middle of sending a batch gets a turn: each further transaction costs as much as this one.
            while batch.len() > n_before {
                n_before = batch.len();
                tokio::task::yield_now().await;
                while batch.len() < QUEUE && n_bytes < MAX_BYTES {
                    let Ok(next) = queued.try_recv() else { break };
                    n_bytes += next.size();
                    batch.push(next);
                }
            }
            self.write(batch).await;
        }
        // Closing the client waits for its threads.
        task::blocking(move || drop(self)).await;
    }

    /// Commits a batch and tells its senders. A record that the broker refuses spoils its whole transaction: the others go
    /// into another one without it.
    async fn write(&mut self, mut batch: Vec<Queued>) {
        let mut n_purged = 0;
        while !batch.is_empty() {
            let result = match &self.fenced {
                Some(reason) => Err(Failure::of_all(Error::Fenced(reason.clone()))),
                None => self.attempt(&batch).await,
            };
            let mut failure = match result {
                Ok(()) => return tell(batch, &Ok(())),
                Err(failure) => failure,
            };
            if failure.is_purged && n_purged < MAX_PURGED {
                n_purged += 1;
                continue;
            }
            if let Error::Fenced(reason) = &failure.reason {
                self.fenced = Some(reason.clone());
            }
            if failure.refused.is_empty() || self.fenced.is_some() {
                return tell(batch, &Err(failure.reason));
            }
            // From the end, so that the places before stay right.
            while let Some((place, error)) = failure.refused.pop() {
                tell([batch.remove(place)], &Err(error));
            }
        }
    }

    /// One transaction, committed or aborted.
    async fn attempt(&self, batch: &[Queued]) -> Result<(), Failure> {
        let client = self.client.clone();
        task::blocking(move || client.begin_transaction())
            .await
            .map_err(|e| Failure::of_all(self.error("no transaction was begun", &e)))?;
        let mut acknowledged = Vec::with_capacity(batch.len());
        for queued in batch {
            acknowledged.push(self.produce(queued).await);
        }
        let mut failed: Option<KafkaError> = None;
        let mut refused = Vec::new();
        for (place, acknowledged) in acknowledged.into_iter().enumerate() {
            let result = match acknowledged {
                Ok(acknowledged) => acknowledged.await.unwrap_or(Err(KafkaError::Canceled)),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                if let refusal @ Error::Refused(_) = send_error(&error) {
                    refused.push((place, refusal));
                }
                failed.get_or_insert(error);
            }
        }
        let code = failed.as_ref().and_then(KafkaError::rdkafka_error_code);
        let is_purged = refused.is_empty() && code == Some(RDKafkaErrorCode::PurgeQueue);
        let reason = match failed {
            None => match self.commit().await {
                Ok(()) => return Ok(()),
                Err(error) => self.error("the transaction was not committed", &error),
            },
            Some(error) => self.error("the transaction was given up", &error),
        };
        if let Error::Fenced(_) = reason {
            return Err(Failure::of_all(reason));
        }
        match self.abort().await {
            Ok(()) => Err(Failure { refused, is_purged, reason }),
            Err(error) => Err(Failure::of_all(Error::Fenced(format!(
                "the transaction under the id '{}' can be neither committed nor aborted ({error}); the app ends, and its \
                 successor aborts it",
                self.id
            )))),
        }
    }

    /// Hands a record to the client.
    async fn produce(&self, queued: &Queued) -> Result<Delivery, KafkaError> {
        loop {
            let sent = produce(
                &self.client,
                &self.topic,
                queued.key.as_ref(),
                queued.value.as_ref(),
                queued.headers.clone(),
                queued.partition,
            );
            match sent {
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    tokio::time::sleep(super::producer::FULL_QUEUE_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn commit(&self) -> Result<(), KafkaError> {
        loop {
            let client = self.client.clone();
            let committed = task::blocking(move || {
                // All is acknowledged, but the thread that said so may not have let go of its event; the client would poll
                // for a tenth of a second then.
                for _ in 0..1000 {
                    if client.in_flight_count() == 0 {
                        break;
                    }
                    std::thread::yield_now();
                }
                // Bounded by the time of the transaction, as the client's authors advise.
                client.commit_transaction(Timeout::Never)
            })
            .await;
            match committed {
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                other => return other,
            }
        }
    }

    async fn abort(&self) -> Result<(), KafkaError> {
        let deadline = tokio::time::Instant::now() + ABORT_TIMEOUT;
        loop {
            let client = self.client.clone();
            let aborted = task::blocking(move || client.abort_transaction(ABORT_TIMEOUT)).await;
            match aborted {
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && tokio::time::Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    /// What an error of the client means: that another copy has taken over, that the client is beyond repair, or that it may
    /// work another time.
    fn error(&self, what: &str, error: &KafkaError) -> Error {
        let fatal = self.client.client().fatal_error();
        let is_fatal = matches!(error, KafkaError::Transaction(e) if e.is_fatal());
        match fatal {
            // The client's reason says more than the error of a record that went down with it.
            Some((code, reason)) if is_fenced(Some(code)) => Error::Fenced(fenced_reason(&self.id, &reason)),
            _ if is_fenced(error.rdkafka_error_code()) => Error::Fenced(fenced_reason(&self.id, error)),
            Some((code, reason)) => {
                Error::Fenced(format!("{what}: {reason} ({code}); the app must start anew"))
            }
            None if is_fatal => Error::Fenced(format!("{what}: {error}; the app must start anew")),
            None => unavailable(what, error),
        }
    }
}

impl Failure {
    fn of_all(reason: Error) -> Failure {
        Failure { refused: Vec::new(), is_purged: false, reason }
    }
}

impl Queued {
    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

fn tell(batch: impl IntoIterator<Item = Queued>, result: &Result<(), Error>) {
    for queued in batch {
        // Nobody may be waiting any more.
        let _ = queued.done.send(result.clone());
    }
}

fn is_fenced(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    )
}

fn fenced_reason(id: &str, reason: &dyn Display) -> String {
    format!(
        "the broker refuses this copy of the instance, because a newer one sends under the transactional id '{id}', or because \
         a transaction took longer than transaction.timeout.ms ({reason}); this copy ends"
    )
}

#[cfg(test)]
mod tests;
