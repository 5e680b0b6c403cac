//! Producing: idempotent, bounded, acknowledged by all replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::sync::mpsc;

use super::config::{KafkaConfig, Transactional};
use super::context::Context;
use super::topics::{self, Wanted};
use super::transactions::{Queued, Transactions};
use super::{HEALTH_TIMEOUT, Probe, unavailable};
use crate::binder::{Ack, Error, Outgoing, Producer, ProducerSpec};
use crate::message::wire;
use crate::task;

/// How often a full queue is looked at again.
pub(super) const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);
/// Closing waits this long for acknowledgements, as Spring's `close-timeout` does.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the thread that takes acknowledgements waits at once. It wakes for each at once all the same; the client's own
/// thread does this with a tenth of a second, at whose end it spins, which costs a percent of a core when idle.
const POLL: Duration = Duration::from_secs(5);

pub(super) type Client = BaseProducer<Context>;

/// Resolves when the broker has a record, or will never have it.
pub(super) type Delivery = oneshot::Receiver<Result<(), KafkaError>>;

pub(super) struct KafkaProducer {
    topic: String,
    partitions: u32,
    /// `None` once closed.
    way: Mutex<Option<Way>>,
    /// Writes the transactions, where there are any; `None` once closed.
    writer: Mutex<Option<task::Task<()>>>,
    context: Context,
}

/// How records get to the broker.
#[derive(Clone)]
enum Way {
    Plain(Arc<Client>),
    Transactions(mpsc::Sender<Queued>),
}

/// Opens a producer for a binding, under the binder's transactional id if it has one.
pub(super) async fn open(config: &KafkaConfig, spec: ProducerSpec) -> Result<(KafkaProducer, Probe), Error> {
    open_as(config, spec, config.transactional.as_ref()).await
}

/// Opens a producer under a transactional id of its own, or none.
pub(super) async fn open_as(
    config: &KafkaConfig,
    spec: ProducerSpec,
    transactional: Option<&Transactional>,
) -> Result<(KafkaProducer, Probe), Error> {
    let settings = config.producer(&spec.binding, transactional)?;
    let wanted = Wanted { topic: &spec.topic, partitions: spec.partition_count, must_have_partitions: true };
    let partitions = topics::ensure(config, &wanted).await?;
    let context = Context::default();
    let client: Client = settings
        .create_with_context(context.clone())
        .map_err(|e| Error::Invalid(format!("the Kafka producer cannot start: {e}")))?;
    let client = Arc::new(client);
    let polled = Arc::downgrade(&client);
    task::thread("acknowledgements", move || {
        while let Some(client) = polled.upgrade() {
            client.poll(POLL);
        }
    })
    .map_err(|e| Error::Unavailable(format!("the Kafka producer cannot start: {e}")))?;
    let seen = context.clone();
    let (probed, topic) = (Arc::downgrade(&client), spec.topic.clone());
    let probe: Probe = Box::new(move || {
        let answer = probed.upgrade()?.client().fetch_metadata(Some(&topic), HEALTH_TIMEOUT);
        Some(answer.map(|_| seen.is_up()).map_err(|e| unavailable("the broker does not answer", &e)))
    });
    let (way, writer) = match transactional {
        None => (Way::Plain(client), None),
        Some(asked) => {
            let (queue, writer) = Transactions::start(client, &spec.topic, asked).await?;
            (Way::Transactions(queue), Some(writer))
        }
    };
    let producer = KafkaProducer {
        topic: spec.topic,
        partitions,
        way: Mutex::new(Some(way)),
        writer: Mutex::new(writer),
        context,
    };
    Ok((producer, probe))
}

impl KafkaProducer {
    /// Queues a record; waits while the queue is full.
    pub(super) async fn send_raw(
        &self,
        key: Option<&Bytes>,
        value: Option<&Bytes>,
        headers: OwnedHeaders,
        partition: Option<i32>,
    ) -> Result<Ack, Error> {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)?;
        let client = match way {
            Way::Plain(client) => client,
            Way::Transactions(queue) => {
                let (done, outcome) = oneshot::channel();
                let queued = Queued { key: key.cloned(), value: value.cloned(), headers, partition, done };
                queue.send(queued).await.map_err(|_| Error::Closed)?;
                return Ok(async { outcome.await.unwrap_or(Err(Error::Closed)) }.boxed());
            }
        };
        loop {
            match produce(&client, &self.topic, key, value, headers.clone(), partition) {
                Ok(delivery) => {
                    let ack = async {
                        match delivery.await {
                            Ok(Ok(())) => Ok(()),
                            Ok(Err(error)) => Err(send_error(&error)),
                            Err(_) => Err(Error::Closed),
                        }
                    };
                    return Ok(ack.boxed());
                }
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    tokio::time::sleep(FULL_QUEUE_PAUSE).await;
                }
                Err(error) => return Err(send_error(&error)),
            }
        }
    }
}

/// Hands a record to the client, which copies it.
pub(super) fn produce(
    client: &Client,
    topic: &str,
    key: Option<&Bytes>,
    value: Option<&Bytes>,
    headers: OwnedHeaders,
    partition: Option<i32>,
) -> Result<Delivery, KafkaError> {
    let (acknowledge, acknowledged) = oneshot::channel();
    let mut record = BaseRecord::with_opaque_to(topic, Box::new(acknowledge));
    record.partition = partition;
    record.payload = value.map(|v| &**v);
    record.key = key.map(|k| &**k);
    if rdkafka::message::Headers::count(&headers) > 0 {
        record.headers = Some(headers);
    }
    client.send(record).map(|()| acknowledged).map_err(|(error, _)| error)
}

pub(super) fn send_error(error: &KafkaError) -> Error {
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

    fn trouble(&self) -> Option<String> {
        self.context.reason()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            match (way, writer) {
                (Some(Way::Plain(client)), _) => task::blocking(move || client.flush(CLOSE_TIMEOUT))
                    .await
                    .map_err(|e| unavailable("not every message was acknowledged before the end", &e)),
                (Some(Way::Transactions(queue)), Some(writer)) => {
                    // What is queued is still committed.
                    drop(queue);
                    let ended = tokio::time::timeout(CLOSE_TIMEOUT, writer.join()).await;
                    ended.map_err(|_| {
                        Error::Unavailable("not every message was committed before the end".to_owned())
                    })
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::message::Message;
    use crate::props::Props;

    async fn producer(brokers: &str, pairs: &[(&str, &str)]) -> KafkaProducer {
        let broker = [
            ("spring.cloud.stream.kafka.binder.brokers", brokers),
            // The mock creates topics when they are asked for.
            ("spring.cloud.stream.kafka.binder.auto-create-topics", "false"),
        ];
        let config = KafkaConfig::read(&Props::from_pairs(pairs.iter().copied().chain(broker))).unwrap();
        let spec = ProducerSpec {
            binding: vec!["output".to_owned()],
            topic: "t".to_owned(),
            partition_count: 1,
            required_groups: Vec::new(),
        };
        open(&config, spec).await.unwrap().0
    }

    fn hello() -> Outgoing {
        Outgoing { message: Message::new("hello"), ..Outgoing::default() }
    }

    #[tokio::test]
    async fn an_acknowledgement_says_why_the_broker_did_not_take_a_message() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let quick = [("spring.cloud.stream.kafka.binder.producer-properties.retry.backoff.ms", "1")];
        let producer = producer(&cluster.bootstrap_servers(), &quick).await;
        producer.send(hello()).await.unwrap().await.unwrap();
        let disk = RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;
        cluster.request_errors(RDKafkaApiKey::Produce, &[disk; 100]);
        let ack = producer.send(hello()).await.unwrap();
        let error = ack.await.unwrap_err();
        assert!(error.is_retryable());
        assert!(error.to_string().contains("Disk error when trying to access log file"), "{error}");
        // The producer goes on once the broker can write again.
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
        producer.send(hello()).await.unwrap().await.unwrap();
        producer.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_broker_that_goes_away_is_the_trouble_until_it_is_back() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let producer = producer(&cluster.bootstrap_servers(), &[]).await;
        producer.send(hello()).await.unwrap().await.unwrap();
        assert_eq!(producer.trouble(), None);
        cluster.broker_down(1).unwrap();
        let ack = producer.send(hello()).await.unwrap();
        let named = async {
            while producer.trouble().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), named).await.expect("the outage is noticed");
        cluster.broker_up(1).unwrap();
        ack.await.unwrap();
        assert_eq!(producer.trouble(), None);
    }
}
