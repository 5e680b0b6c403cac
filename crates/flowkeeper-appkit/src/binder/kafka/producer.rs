//! Producing: idempotent, bounded, acknowledged by all replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::config::KafkaConfig;
use super::context::Context;
use super::topics::{self, Wanted};
use super::{HEALTH_TIMEOUT, Probe, unavailable};
use crate::binder::{Ack, Error, Outgoing, Producer, ProducerSpec};
use crate::message::wire;
use crate::task;

/// How often a full queue is looked at again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);
/// Closing waits this long for acknowledgements, as Spring's `close-timeout` does.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

type Client = FutureProducer<Context>;

pub(super) struct KafkaProducer {
    topic: String,
    partitions: u32,
    /// `None` once closed.
    client: Mutex<Option<Arc<Client>>>,
    context: Context,
}

pub(super) async fn open(config: &KafkaConfig, spec: ProducerSpec) -> Result<(KafkaProducer, Probe), Error> {
    let settings = config.producer(&spec.binding)?;
    let wanted = Wanted { topic: &spec.topic, partitions: spec.partition_count, must_have_partitions: true };
    let partitions = topics::ensure(config, &wanted).await?;
    let context = Context::default();
    let client: Client = settings
        .create_with_context(context.clone())
        .map_err(|e| Error::Invalid(format!("the Kafka producer cannot start: {e}")))?;
    let client = Arc::new(client);
    let (probed, topic) = (Arc::downgrade(&client), spec.topic.clone());
    let probe: Probe = Box::new(move || {
        let answer = probed.upgrade()?.client().fetch_metadata(Some(&topic), HEALTH_TIMEOUT);
        Some(answer.map(drop).map_err(|e| unavailable("the broker does not answer", &e)))
    });
    let producer = KafkaProducer { topic: spec.topic, partitions, client: Mutex::new(Some(client)), context };
    Ok((producer, probe))
}

impl KafkaProducer {
    fn client(&self) -> Result<Arc<Client>, Error> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }

    /// Queues a record; waits while the queue is full.
    pub(super) async fn send_raw(
        &self,
        key: Option<&Bytes>,
        value: Option<&Bytes>,
        headers: OwnedHeaders,
        partition: Option<i32>,
    ) -> Result<Ack, Error> {
        let client = self.client()?;
        let mut record = FutureRecord {
            topic: &self.topic,
            partition,
            payload: None,
            key: None,
            timestamp: None,
            headers: None,
        };
        record.payload = value.map(|v| &**v);
        record.key = key.map(|k| &**k);
        if rdkafka::message::Headers::count(&headers) > 0 {
            record.headers = Some(headers);
        }
        loop {
            match client.send_result(record) {
                Ok(delivery) => {
                    let context = self.context.clone();
                    let ack = async move {
                        match delivery.await {
                            Ok(Ok(_)) => {
                                context.is_up();
                                Ok(())
                            }
                            Ok(Err((error, _))) => Err(send_error(&error)),
                            Err(_) => Err(Error::Closed),
                        }
                    };
                    return Ok(ack.boxed());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    tokio::time::sleep(FULL_QUEUE_PAUSE).await;
                }
                Err((error, _)) => return Err(send_error(&error)),
            }
        }
    }
}

fn send_error(error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::UnknownPartition,
        ) => Error::Refused(format!("the broker does not take the message: {error}")),
        _ => unavailable("the message was not delivered", error),
    }
}

impl Producer for KafkaProducer {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Ack, Error>> {
        async move {
            let mut headers = OwnedHeaders::new();
            for (name, value) in wire::encode_headers(&outgoing.message.headers) {
                headers = headers.insert(Header { key: &name, value: Some(&*value) });
            }
            let value = (!outgoing.message.is_tombstone).then_some(&outgoing.message.payload);
            let partition = outgoing.partition.and_then(|p| i32::try_from(p).ok());
            self.send_raw(outgoing.key.as_ref(), value, headers, partition).await
        }
        .boxed()
    }

    fn partitions(&self) -> Option<u32> {
        Some(self.partitions)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let Some(client) = client else { return Ok(()) };
            task::blocking(move || client.flush(CLOSE_TIMEOUT))
                .await
                .map_err(|e| unavailable("not every message was acknowledged before the end", &e))
        }
        .boxed()
    }
}
